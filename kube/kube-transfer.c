/*
 * Keys, certificates and tokens go to libcurl as memory, and never through a file.
 *
 * libcurl sends a request again by itself when a connection that was kept turns out to be dead. For a change
 * that would be a repetition nobody knows of: its second answer might be a conflict with its own first. So
 * changes go over new connections, where libcurl does not.
 *
 * With `tls-server-name` the URL has that name, which is all that libcurl verifies, and is connected to the
 * host of the server; the Host header stays the server's.
 */

#include "kube/kube-transfer.h"

#include <stdarg.h>
#include <stdio.h>

#include "lib/kube/kube-object.h"
#include "lib/kube/kube-watch.h"
#include "lib/protocol/reply.h"
#include "lib/protocol/transport-error.h"
#include "lib/x509/handshake.h"

#define CONNECT_TIMEOUT_MS 10000L
#define KEEPALIVE_SEC      60L

static size_t on_body(char *data, size_t size, size_t n, void *userdata) {
        struct kube_transfer *transfer = userdata;
        long status = 0;
        int r;

        curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
        if (transfer->line && status == 200)
                r = kube_lines_push(&transfer->answer, data, size * n, transfer->line, transfer->userdata);
        else
                r = kube_bytes_add(&transfer->answer, data, size * n, KUBE_OBJECT_MAX);
        transfer->is_too_large = transfer->is_too_large || r == -EFBIG;
        return r < 0 ? 0 : size * n; /* 0: curl fails with CURLE_WRITE_ERROR */
}

static int add_header(struct kube_transfer *transfer, const char *name, const char *value) {
        _cleanup_(free_secretp) char *line = NULL;
        struct curl_slist *headers;

        if (asprintf(&line, "%s: %s", name, value) < 0) {
                line = NULL;
                return -ENOMEM;
        }
        headers = curl_slist_append(transfer->headers, line);
        if (!headers)
                return -ENOMEM;
        transfer->headers = headers;
        return 0;
}

static int add_impersonation(struct kube_transfer *transfer, const struct kube_access *access) {
        int r;

        if (!access->as)
                return 0;
        r = add_header(transfer, "Impersonate-User", access->as);
        if (r == 0 && access->as_uid)
                r = add_header(transfer, "Impersonate-Uid", access->as_uid);
        for (char **group = access->as_groups; r == 0 && group && *group; group++)
                r = add_header(transfer, "Impersonate-Group", *group);
        return r;
}

static int make_headers(struct kube_transfer *transfer, const struct kube_transfer_options *options) {
        const char *token = options->credentials ? options->credentials->token : options->access->token;
        _cleanup_(free_secretp) char *bearer = NULL;
        int r;

        r = add_header(transfer, "Accept", "application/json");
        if (r == 0 && options->request->content_type)
                r = add_header(transfer, "Content-Type", options->request->content_type);
        if (r == 0)
                r = add_header(transfer, "Expect", "");
        if (r == 0)
                r = add_impersonation(transfer, options->access);
        if (r < 0 || !token)
                return r;
        if (asprintf(&bearer, "Bearer %s", token) < 0) {
                bearer = NULL;
                return -ENOMEM;
        }
        return add_header(transfer, "Authorization", bearer);
}

static CURLcode set_blob(CURL *easy, CURLoption option, char *text) {
        struct curl_blob blob = { .data = text, .len = strlen(text), .flags = CURL_BLOB_NOCOPY };

        return curl_easy_setopt(easy, option, &blob);
}

static CURLcode set_identity(CURL *easy, const struct kube_transfer_options *options) {
        const struct kube_credentials *given = options->credentials;
        char *certificate = given ? given->certificate_pem : options->access->certificate_pem;
        char *key = given ? given->key_pem : options->access->key_pem;
        CURLcode code = CURLE_OK;

        if (options->access->ca_pem) {
                code = set_blob(easy, CURLOPT_CAINFO_BLOB, options->access->ca_pem);
                if (code == CURLE_OK)
                        code = curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); /* no other CA */
                if (code == CURLE_OK && options->access->proxy_url)          /* as kubectl has it */
                        code = set_blob(easy, CURLOPT_PROXY_CAINFO_BLOB, options->access->ca_pem);
        }
        if (code == CURLE_OK && certificate)
                code = set_blob(easy, CURLOPT_SSLCERT_BLOB, certificate);
        if (code == CURLE_OK && certificate)
                code = set_blob(easy, CURLOPT_SSLKEY_BLOB, key);
        return code;
}

static CURLcode on_tls(_unused_ CURL *easy, void *context, _unused_ void *userdata) {
        return handshake_limit(context) < 0 ? CURLE_OUT_OF_MEMORY : CURLE_OK;
}

static CURLcode set_options(struct kube_transfer *transfer, const struct kube_transfer_options *options) {
        const struct kube_request *request = options->request;
        CURL *easy = transfer->easy;
        CURLcode code = CURLE_OK;

#define SET(option, value)    \
        if (code == CURLE_OK) \
        code = curl_easy_setopt(easy, option, value)

        SET(CURLOPT_PROTOCOLS_STR, "https");
        SET(CURLOPT_FOLLOWLOCATION, 0L);
        SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
        SET(CURLOPT_SSL_CTX_FUNCTION, on_tls);
        SET(CURLOPT_SSL_VERIFYPEER, 1L);
        SET(CURLOPT_SSL_VERIFYHOST, 2L);
        SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
        SET(CURLOPT_NOSIGNAL, 1L);
        SET(CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
        SET(CURLOPT_TCP_KEEPALIVE, 1L); /* a watch may be silent for minutes, and its server gone */
        SET(CURLOPT_TCP_KEEPIDLE, KEEPALIVE_SEC);
        SET(CURLOPT_TCP_KEEPINTVL, KEEPALIVE_SEC);
        SET(CURLOPT_USERAGENT, options->agent);
        SET(CURLOPT_HTTPHEADER, transfer->headers);
        SET(CURLOPT_CONNECT_TO, transfer->connect_to);
        SET(CURLOPT_WRITEFUNCTION, on_body);
        SET(CURLOPT_WRITEDATA, transfer);
        if (request->body) {
                SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(request->body));
                SET(CURLOPT_POSTFIELDS, request->body); /* not copied */
        }
        SET(CURLOPT_CUSTOMREQUEST, request->method);
        if (request->changes)
                SET(CURLOPT_FRESH_CONNECT, 1L);
#undef SET
        return code == CURLE_OK ? set_identity(easy, options) : code;
}

/* --- Where it goes */

DEFINE_CLEANUP(CURLU *, curl_url_cleanup);

static void curl_freep(char **text) {
        curl_free(*text);
}

static int print(char **ret, const char *format, ...) _printf_(2, 3);
static int print(char **ret, const char *format, ...) {
        va_list arguments;
        int r;

        va_start(arguments, format);
        r = vasprintf(ret, format, arguments);
        va_end(arguments);
        if (r < 0)
                *ret = NULL;
        return r < 0 ? -ENOMEM : 0;
}

/* For libcurl: "::HOST:PORT", whatever the URL names. */
static int connect_to(struct kube_transfer *transfer, CURLU *parts) {
        _cleanup_(curl_freep) char *host = NULL, *port = NULL;
        _cleanup_(freep) char *text = NULL;

        if (curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
            curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK)
                return -EIO;
        if (print(&text, "::%s:%s", host, port) < 0)
                return -ENOMEM;
        transfer->connect_to = curl_slist_append(NULL, text);
        return transfer->connect_to ? 0 : -ENOMEM;
}

/* The URL has NAME for the host of the server. */
static int rename_server(struct kube_transfer *transfer, const char *name) {
        _cleanup_(curl_url_cleanupp) CURLU *parts = curl_url();
        _cleanup_(curl_freep) char *url = NULL;
        _cleanup_(freep) char *host = NULL;
        const char *authority = transfer->server + strlen("https://");
        int r;

        transfer->connect_url = take_ptr(transfer->url);
        if (!parts || print(&host, strchr(name, ':') ? "[%s]" : "%s", name) < 0)
                return -ENOMEM;
        if (curl_url_set(parts, CURLUPART_URL, transfer->connect_url, 0) != CURLUE_OK)
                return -EIO;
        r = connect_to(transfer, parts);
        if (r < 0)
                return r;
        if (curl_url_set(parts, CURLUPART_HOST, host, 0) != CURLUE_OK ||
            curl_url_get(parts, CURLUPART_URL, &url, 0) != CURLUE_OK)
                return -EIO;
        transfer->url = strdup(url);
        free(take_ptr(host));
        if (!transfer->url || print(&host, "%.*s", (int)strcspn(authority, "/"), authority) < 0)
                return -ENOMEM;
        return add_header(transfer, "Host", host);
}

/* kubectl leaves names to a SOCKS proxy, which libcurl calls socks5h. */
static int make_proxy(struct kube_transfer *transfer, const char *proxy_url) {
        static const char socks[] = "socks5://";

        if (!proxy_url)
                return 0;
        return has_prefix(proxy_url, socks)
                       ? print(&transfer->proxy_url, "socks5h://%s", proxy_url + strlen(socks))
                       : print(&transfer->proxy_url, "%s", proxy_url);
}

static int make_urls(struct kube_transfer *transfer, const struct kube_transfer_options *options) {
        const struct kube_access *access = options->access;
        int r;

        transfer->server = access->server;
        r = print(&transfer->url, "%s%s", access->server, options->request->path);
        if (r == 0 && access->tls_server_name)
                r = rename_server(transfer, access->tls_server_name);
        return r == 0 ? make_proxy(transfer, access->proxy_url) : r;
}

int kube_transfer_init(struct kube_transfer *transfer, const struct kube_transfer_options *options) {
        int r;

        r = make_urls(transfer, options);
        if (r < 0)
                return r;
        transfer->easy = curl_easy_init();
        if (!transfer->easy)
                return -ENOMEM;
        r = make_headers(transfer, options);
        if (r < 0)
                return r;
        return set_options(transfer, options) == CURLE_OK ? 0 : -EIO;
}

void kube_transfer_clear(struct kube_transfer *transfer) {
        curl_easy_cleanup(transfer->easy);
        for (struct curl_slist *header = transfer->headers; header; header = header->next)
                explicit_bzero(header->data, strlen(header->data));
        curl_slist_free_all(transfer->headers);
        curl_slist_free_all(transfer->connect_to);
        kube_bytes_clear(&transfer->answer);
        free(transfer->url);
        free(transfer->connect_url);
        free_secret(transfer->proxy_url);
        *transfer = (struct kube_transfer) { 0 };
}

/* --- What came of it */

static bool may_have_been_sent(const struct kube_transfer *transfer) {
        long size = 0;

        curl_easy_getinfo(transfer->easy, CURLINFO_REQUEST_SIZE, &size);
        return size > 0;
}

/* In words for operators, where there are some. */
static const char *translate(const struct kube_transfer *transfer, CURLcode code, const char *text) {
        curl_off_t connected = 0;
        long os_errno = 0;

        curl_easy_getinfo(transfer->easy, CURLINFO_OS_ERRNO, &os_errno);
        curl_easy_getinfo(transfer->easy, CURLINFO_CONNECT_TIME_T, &connected);
        return transport_explain(&(struct transport_end) {
                                         .code = code,
                                         .text = text,
                                         .os_errno = (int)os_errno,
                                         .is_connected = connected > 0,
                                 })
                .sentence;
}

static int explain(const struct kube_transfer *transfer, const struct kube_request *request, CURLcode code,
                   const char *text, struct error *error) {
        char quote[REPLY_QUOTE_MAX + 1];

        if (code == CURLE_OUT_OF_MEMORY)
                return -ENOMEM;
        if (transfer->is_too_large)
                (void)error_set(error, -EPROTO,
                                "the API server's answer is larger than any that it should give");
        else
                (void)error_set(error, -EIO, "no answer from %s: %s", transfer->server,
                                reply_quote(translate(transfer, code, text), quote));
        if (request->changes && may_have_been_sent(transfer))
                return KUBE_UNCERTAIN;
        return transfer->is_too_large ? KUBE_BAD_REPLY : KUBE_UNREACHED;
}

int kube_transfer_read(const struct kube_transfer *transfer, const struct kube_request *request,
                       CURLcode code, const char *text, json_t **ret, usec_t *ret_retry_usec,
                       struct error *error) {
        struct kube_reply reply = { .changes = request->changes };
        curl_off_t retry_after = 0;
        long status = 0;

        if (code != CURLE_OK)
                return explain(transfer, request, code, text, error);
        curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(transfer->easy, CURLINFO_RETRY_AFTER, &retry_after);
        if (transfer->line && status == 200)
                return KUBE_DONE;
        reply.status = (unsigned)status;
        reply.body = transfer->answer.data ? transfer->answer.data : "";
        reply.size = transfer->answer.size;
        if (retry_after > 0)
                reply.retry_after_usec = (usec_t)retry_after * USEC_PER_SEC;
        return kube_answer_read(&reply, ret, ret_retry_usec, error);
}
