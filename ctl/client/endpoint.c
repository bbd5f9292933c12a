/*
 * One call by libcurl says most: how far it got, and why no further. The name is looked up before it, since
 * only getaddrinfo() tells the kinds of failures apart. The chain is kept while it is verified.
 */

#include "ctl/client/endpoint.h"

#include <curl/curl.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

#include "lib/util/macro.h"
#include "lib/util/text-stream.h"

void endpoint_clear(struct endpoint *endpoint) {
        free(endpoint->host);
        free(endpoint->port);
        free(endpoint->addresses);
        free(endpoint->problem);
        server_view_clear(&endpoint->server);
        *endpoint = (struct endpoint) { 0 };
}

static int split_url(const char *url, struct endpoint *endpoint) {
        CURLU *parts = curl_url();
        char *host = NULL, *port = NULL;
        int r = -EINVAL;

        if (parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
            curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
            curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK) {
                const bool is_bracketed = host[0] == '[';

                endpoint->host = strndup(host + is_bracketed, strlen(host) - 2u * is_bracketed);
                endpoint->port = strdup(port);
                r = endpoint->host && endpoint->port ? 0 : -ENOMEM;
        }
        curl_free(host);
        curl_free(port);
        curl_url_cleanup(parts);
        return r;
}

/* --- The name --- */

static char *list_addresses(const struct addrinfo *found) {
        char *text = NULL, address[INET6_ADDRSTRLEN + 20];
        size_t size = 0;
        FILE *out = text_stream_open(&text, &size);

        for (const struct addrinfo *one = found; out && one; one = one->ai_next)
                if (getnameinfo(one->ai_addr, one->ai_addrlen, address, sizeof(address), NULL, 0,
                                NI_NUMERICHOST) == 0)
                        fprintf(out, "%s%s", one == found ? "" : ", ", address);
        return out && fclose(out) == 0 ? text : NULL;
}

static int look_up(struct endpoint *endpoint) {
        const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
        struct addrinfo *found = NULL;
        const int code = getaddrinfo(endpoint->host, endpoint->port, &hints, &found);

        if (code != 0) {
                endpoint->cause = CAUSE_DNS;
                return asprintf(&endpoint->problem, "the name %s cannot be looked up: %s", endpoint->host,
                                transport_lookup_problem(code)) < 0
                               ? -ENOMEM
                               : 0;
        }
        endpoint->step = ENDPOINT_CONNECT;
        endpoint->addresses = list_addresses(found);
        freeaddrinfo(found);
        return endpoint->addresses ? 0 : -ENOMEM;
}

/* --- The call --- */

static CURLcode on_tls(_unused_ CURL *easy, void *context, void *userdata) {
        struct endpoint *endpoint = userdata;

        endpoint->has_begun_tls = true;
        server_view_watch(context, &endpoint->server);
        return CURLE_OK;
}

static size_t on_body(_unused_ char *data, size_t size, size_t n, _unused_ void *userdata) {
        return size * n;
}

static CURLcode set_options(CURL *easy, const char *url, const char *trust, const char *proxy,
                            usec_t timeout_usec, char *text, struct endpoint *endpoint) {
        CURLcode code = CURLE_OK;

#define SET(option, value)    \
        if (code == CURLE_OK) \
        code = curl_easy_setopt(easy, option, value)

        SET(CURLOPT_URL, url);
        SET(CURLOPT_PROTOCOLS_STR, "https");
        SET(CURLOPT_PROXY, proxy ? proxy : "");
        SET(CURLOPT_NOBODY, 1L);
        SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
        SET(CURLOPT_SSL_CTX_FUNCTION, on_tls);
        SET(CURLOPT_SSL_CTX_DATA, endpoint);
        SET(CURLOPT_ERRORBUFFER, text);
        SET(CURLOPT_TIMEOUT_MS, (long)(timeout_usec / USEC_PER_MSEC));
        SET(CURLOPT_USERAGENT, "rekeyctl/" REKEYD_VERSION);
        SET(CURLOPT_WRITEFUNCTION, on_body);
        SET(CURLOPT_NOSIGNAL, 1L);
        if (trust) {
                SET(CURLOPT_CAINFO, trust);
                SET(CURLOPT_CAPATH, NULL);
        }
#undef SET
        return code;
}

static void take_answer(CURL *easy, struct endpoint *endpoint) {
        struct curl_header *date;
        long status = 0;
        time_t seconds;

        endpoint->step = ENDPOINT_DONE;
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        endpoint->status = (unsigned)status;
        if (curl_easy_header(easy, "Date", 0, CURLH_HEADER, -1, &date) != CURLHE_OK)
                return;
        seconds = curl_getdate(date->value, NULL);
        if (seconds > 0) {
                endpoint->date = (usec_t)seconds * USEC_PER_SEC;
                endpoint->now = now_usec(CLOCK_REALTIME);
        }
}

/* Whether a call through PROXY, which has ended without an answer in HTTP, got past it: so does what is told
 * by a tunnel that was opened, or by TLS with the server. */
static void look_at_proxy(CURL *easy, CURLcode code, const char *proxy, struct endpoint *endpoint) {
        long status = 0;

        curl_easy_getinfo(easy, CURLINFO_HTTP_CONNECTCODE, &status);
        if (has_prefix(proxy, "http"))
                endpoint->is_at_proxy = status / 100 != 2;
        else
                endpoint->is_at_proxy = !endpoint->has_begun_tls && code != CURLE_SSL_CACERT_BADFILE;
        endpoint->proxy_status = endpoint->is_at_proxy && status > 0 ? (unsigned)status : 0;
}

/* A server that misses a client certificate ends the handshake under TLS 1.2, and under 1.3 the connection:
 * what libcurl makes of it varies. That it has asked for one is after its own certificate was verified. */
static int take_end(CURL *easy, CURLcode code, const char *text, const char *proxy,
                    struct endpoint *endpoint) {
        struct transport_meaning meaning;
        curl_off_t secured = 0, connected = 0;
        long os_errno = 0;

        if (code == CURLE_OK) {
                take_answer(easy, endpoint);
                return 0;
        }
        if (proxy)
                look_at_proxy(easy, code, proxy, endpoint);
        if (endpoint->server.asks_for_certificate && !endpoint->is_at_proxy) {
                endpoint->step = ENDPOINT_DONE;
                return 0;
        }
        curl_easy_getinfo(easy, CURLINFO_APPCONNECT_TIME_T, &secured);
        curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os_errno);
        curl_easy_getinfo(easy, CURLINFO_CONNECT_TIME_T, &connected);
        meaning = transport_explain(&(struct transport_end) {
                .code = code,
                .text = text,
                .os_errno = (int)os_errno,
                .is_connected = connected > 0 || endpoint->has_begun_tls,
        });
        endpoint->cause = endpoint->is_at_proxy ? CAUSE_PROXY : meaning.cause;
        endpoint->step = endpoint->is_at_proxy                                          ? ENDPOINT_CONNECT
                         : secured > 0                                                  ? ENDPOINT_ANSWER
                         : endpoint->has_begun_tls || meaning.cause == CAUSE_TRUST_FILE ? ENDPOINT_TLS
                                                                                        : ENDPOINT_CONNECT;
        endpoint->problem = strdup(meaning.sentence);
        return endpoint->problem ? 0 : -ENOMEM;
}

int endpoint_examine(const char *url, const char *trust, const char *proxy, usec_t timeout_usec,
                     struct endpoint *ret) {
        _cleanup_(endpoint_clear) struct endpoint endpoint = { 0 };
        char text[CURL_ERROR_SIZE] = "";
        CURL *easy = NULL;
        CURLcode code;
        int r;

        r = split_url(url, &endpoint);
        if (r == 0 && !proxy)
                r = look_up(&endpoint);
        if (r < 0)
                return r;
        if (!endpoint.problem) {
                easy = curl_easy_init();
                if (!easy)
                        return -ENOMEM;
                code = set_options(easy, url, trust, proxy, timeout_usec, text, &endpoint);
                if (code == CURLE_OK)
                        code = curl_easy_perform(easy);
                r = take_end(easy, code, text[0] ? text : curl_easy_strerror(code), proxy, &endpoint);
                curl_easy_cleanup(easy);
                if (r < 0)
                        return r;
        }
        *ret = endpoint;
        endpoint = (struct endpoint) { 0 };
        return 0;
}
