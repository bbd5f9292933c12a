/*
 * A dependent that listens for HTTP: an Envoy, a sidecar, a program's own reload endpoint. One request, which
 * says what it is about; any 2xx is an answer. Redirects are not followed, and nothing of the answer is kept.
 */

#include "daemon/delivery/delivery.h"

#include <stdio.h>

struct request {
        struct delivery delivery;
        const struct config_notify *config;
        struct curl_glue *glue;
        delivery_done_t done;
        void *userdata;

        CURL *easy;
        struct curl_slist *headers;
        char *body;
};

static struct delivery *request_free(struct delivery *delivery) {
        struct request *request = (struct request *)delivery;

        if (request->easy)
                curl_glue_cancel(request->easy);
        curl_easy_cleanup(request->easy);
        curl_slist_free_all(request->headers);
        free(request->body);
        free(request);
        return NULL;
}

static size_t pass_over(_unused_ char *data, size_t size, size_t n, _unused_ void *userdata) {
        return size * n;
}

static void on_done(CURL *easy, CURLcode result, const char *text, void *userdata) {
        struct request *request = userdata;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        long status = 0;

        (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        if (result != CURLE_OK)
                error_set(&error, -EIO, "cannot call %s: %s", request->config->http, text);
        else if (status < 200 || status > 299)
                error_set(&error, -EIO, "%s answered with status %ld", request->config->http, status);
        request->done(error.code == 0 ? NULL : error_text(&error), request->userdata);
}

/* Names of certificates and fingerprints need no escaping. */
static int make_body(struct request *request, const struct notice *notice) {
        return asprintf(&request->body,
                        "{\"certificate\":\"%s\",\"generation\":%" PRIu64 ",\"fingerprint\":\"%s\"}\n",
                        notice->certificate, notice->generation, notice->fingerprint) < 0
                       ? -ENOMEM
                       : 0;
}

#define SET(option, value) (code == CURLE_OK ? curl_easy_setopt(request->easy, option, value) : code)

static int start(struct request *request, const struct notice *notice) {
        static const char *const methods[HTTP_METHOD_MAX] = {
                [HTTP_POST] = "POST",
                [HTTP_PUT] = "PUT",
                [HTTP_GET] = "GET",
        };
        static const struct proxy no_proxy = { 0 }; /* dependents are near */
        const struct config_notify *config = request->config;
        const struct curl_target target = {
                .url = config->http,
                .proxy = &no_proxy,
                .timeout_usec = config->timeout_usec,
        };
        CURLcode code = CURLE_OK;

        request->easy = curl_easy_init();
        request->headers = curl_slist_append(NULL, "Content-Type: application/json");
        if (!request->easy || !request->headers || make_body(request, notice) < 0) {
                request->body = NULL;
                return -ENOMEM;
        }

        code = SET(CURLOPT_PROTOCOLS_STR, "http,https");
        code = SET(CURLOPT_USERAGENT, "rekeyd/" REKEYD_VERSION);
        code = SET(CURLOPT_WRITEFUNCTION, pass_over);
        if (config->method != HTTP_GET) {
                code = SET(CURLOPT_POSTFIELDS, request->body);
                code = SET(CURLOPT_HTTPHEADER, request->headers);
                code = SET(CURLOPT_CUSTOMREQUEST, methods[config->method]);
        }
        return code == CURLE_OK ? curl_glue_start(request->glue, request->easy, &target, on_done, request)
                                : -ENOMEM;
}

int delivery_call_http(struct loop_services *services, const struct config_notify *config,
                       const struct notice *notice, delivery_done_t done, void *userdata,
                       struct delivery **ret, struct error *error) {
        _cleanup_(delivery_freep) struct delivery *delivery = NULL;
        struct request *request;
        int r;

        request = calloc(1, sizeof(*request));
        if (!request)
                return error_set(error, -ENOMEM, "out of memory");
        delivery = &request->delivery;
        delivery->free = request_free;
        request->config = config;
        request->glue = services->curl;
        request->done = done;
        request->userdata = userdata;

        r = start(request, notice);
        if (r < 0)
                return error_set_errno(error, r, "cannot call %s", config->http);
        *ret = take_ptr(delivery);
        return 0;
}
