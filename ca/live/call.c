#include "ca/live/call.h"

#include <curl/curl.h>
#include <stdio.h>

#include "lib/util/secret.h"
#include "lib/x509/handshake.h"

#define CONNECT_SEC 10L
#define ANSWER_SEC  30L

struct call {
        CURL *easy;
        struct curl_slist *headers, *connect_to;
        char error[CURL_ERROR_SIZE];
        char *body;
        size_t size, room;
};

static void call_clear(struct call *call) {
        curl_easy_cleanup(call->easy);
        curl_slist_free_all(call->headers);
        curl_slist_free_all(call->connect_to);
        free(call->body);
}

void call_reply_clear(struct call_reply *reply) {
        free(reply->body);
        free(reply->content_type);
        free(reply->why);
        *reply = (struct call_reply) { 0 };
}

static size_t on_body(char *data, size_t size, size_t n, void *userdata) {
        struct call *call = userdata;
        const size_t more = size * n;

        if (call->size + more > CALL_REPLY_MAX)
                return 0;
        if (call->size + more + 1 > call->room) {
                const size_t room = 2 * (call->size + more + 1);
                char *grown = realloc(call->body, room);

                if (!grown)
                        return 0;
                call->body = grown;
                call->room = room;
        }
        memcpy(call->body + call->size, data, more);
        call->size += more;
        call->body[call->size] = '\0';
        return more;
}

#define SET(option, value) (code == CURLE_OK ? curl_easy_setopt(call->easy, option, value) : code)

/* The key is handed over where it lies: libcurl keeps no copy of it, and no file has it. */
static CURLcode set_identity(struct call *call, const struct call_request *request) {
        struct curl_blob key = { .flags = CURL_BLOB_NOCOPY }, certificate = { .flags = CURL_BLOB_NOCOPY };
        CURLcode code = CURLE_OK;
        const char *pem;

        if (!request->key)
                return CURLE_OK;
        key_pem(request->key, &pem, &key.len);
        key.data = (void *)pem;
        certificate.data = (void *)request->certificate_pem;
        certificate.len = strlen(request->certificate_pem);
        code = SET(CURLOPT_SSLKEYTYPE, "PEM");
        code = SET(CURLOPT_SSLCERTTYPE, "PEM");
        code = SET(CURLOPT_SSLKEY_BLOB, &key);
        return SET(CURLOPT_SSLCERT_BLOB, &certificate);
}

static CURLcode set_address(struct call *call, const char *address) {
        const bool is_v6 = strchr(address, ':') != NULL;
        char text[128];

        snprintf(text, sizeof(text), "::%s%s%s:", is_v6 ? "[" : "", address, is_v6 ? "]" : "");
        call->connect_to = curl_slist_append(NULL, text);
        return call->connect_to ? curl_easy_setopt(call->easy, CURLOPT_CONNECT_TO, call->connect_to)
                                : CURLE_OUT_OF_MEMORY;
}

static CURLcode set_body(struct call *call, const char *body) {
        CURLcode code = CURLE_OK;

        call->headers = curl_slist_append(NULL, "Content-Type: application/json");
        code = SET(CURLOPT_HTTPHEADER, call->headers);
        return SET(CURLOPT_POSTFIELDS, body);
}

static CURLcode on_tls(_unused_ CURL *easy, void *context, _unused_ void *userdata) {
        return handshake_limit(context) < 0 ? CURLE_OUT_OF_MEMORY : CURLE_OK;
}

static CURLcode set_options(struct call *call, const struct call_request *request) {
        CURLcode code = CURLE_OK;

        code = SET(CURLOPT_URL, request->url);
        code = SET(CURLOPT_PROTOCOLS_STR, request->key ? "https" : "http,https");
        code = SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
        code = SET(CURLOPT_SSL_CTX_FUNCTION, on_tls);
        code = SET(CURLOPT_PROXY, "");
        code = SET(CURLOPT_NOSIGNAL, 1L);
        code = SET(CURLOPT_CONNECTTIMEOUT, CONNECT_SEC);
        code = SET(CURLOPT_TIMEOUT, ANSWER_SEC);
        code = SET(CURLOPT_USERAGENT, "rekeyca/" REKEYD_VERSION);
        code = SET(CURLOPT_ERRORBUFFER, call->error);
        code = SET(CURLOPT_WRITEFUNCTION, on_body);
        code = SET(CURLOPT_WRITEDATA, call);
        if (request->trust)
                code = SET(CURLOPT_CAINFO, request->trust);
        if (request->socket)
                code = SET(CURLOPT_UNIX_SOCKET_PATH, request->socket);
        if (request->address && code == CURLE_OK)
                code = set_address(call, request->address);
        if (request->body && code == CURLE_OK)
                code = set_body(call, request->body);
        return code == CURLE_OK ? set_identity(call, request) : code;
}

/* RFC 8446 section 6.2: alerts about the certificate of a client. */
static bool is_alert(const char *text) {
        const char *p = strstr(text, "error:0A");
        unsigned reason;

        return p && sscanf(p, "error:0A%6x", &reason) == 1 &&
               ((reason >= 1040 && reason <= 1049) || reason == 1116);
}

static bool is_rejection(struct call *call, CURLcode code) {
        curl_off_t handshake = 0;

        if (code == CURLE_SSL_CLIENTCERT || is_alert(call->error))
                return true;
        /* libcurl 7.88 folds the alert for an expired certificate into this text. */
        if (code == CURLE_PEER_FAILED_VERIFICATION)
                return streq(call->error, "SSL certificate verification failed");
        curl_easy_getinfo(call->easy, CURLINFO_APPCONNECT_TIME_T, &handshake);
        return handshake > 0 && call->size == 0 &&
               (code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR || code == CURLE_GOT_NOTHING);
}

/* nginx completes the handshake, and says so in a page. */
static bool is_edge_page(long status, const char *body) {
        return status == 400 && body &&
               (strstr(body, "The SSL certificate error") ||
                strstr(body, "No required SSL certificate was sent"));
}

static int read_answer(struct call *call, struct call_reply *ret) {
        const char *type = NULL;
        long status = 0;

        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(call->easy, CURLINFO_CONTENT_TYPE, &type);
        ret->status = (unsigned)status;
        ret->size = call->size;
        ret->body = call->body ? take_ptr(call->body) : strdup("");
        ret->content_type = type ? strdup(type) : NULL;
        ret->answer = is_edge_page(status, ret->body) ? CALL_REJECTED : CALL_ANSWERED;
        if (ret->answer == CALL_REJECTED)
                ret->why = strdup("its page names an SSL certificate error");
        return ret->body && (!type || ret->content_type) ? 0 : -ENOMEM;
}

static int read_failure(struct call *call, CURLcode code, struct call_reply *ret) {
        ret->answer = is_rejection(call, code) ? CALL_REJECTED : CALL_UNREACHABLE;
        ret->why = strdup(*call->error ? call->error : curl_easy_strerror(code));
        ret->body = strdup("");
        return ret->why && ret->body ? 0 : -ENOMEM;
}

int call_make(const struct call_request *request, struct call_reply *ret, struct error *error) {
        _cleanup_(call_clear) struct call call = { .easy = curl_easy_init() };
        struct call_reply reply = { 0 };
        CURLcode code = CURLE_OUT_OF_MEMORY;
        int r;

        if (call.easy)
                code = set_options(&call, request);
        if (code != CURLE_OK)
                return error_set(error, code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL, "cannot call %s: %s",
                                 request->url, curl_easy_strerror(code));
        code = curl_easy_perform(call.easy);
        r = code == CURLE_OK ? read_answer(&call, &reply) : read_failure(&call, code, &reply);
        if (r < 0) {
                call_reply_clear(&reply);
                return error_set_errno(error, r, "cannot call %s", request->url);
        }
        *ret = reply;
        return 0;
}

/* libcurl copies bodies and headers. */
int call_begin(void) {
        return curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, free_cleansed, realloc_cleansed, strdup,
                                    calloc) == CURLE_OK
                       ? 0
                       : -EIO;
}

void call_end(void) {
        curl_global_cleanup();
}
