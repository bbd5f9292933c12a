/*
 * The one place where curl's options are set, so the promises of the manual are kept or broken here: https
 * only, TLS 1.2 or newer, the Connector's certificate always verified, no redirects, replies of at most 1
 * MiB. There is no option to relax any of them.
 *
 * Key and certificate are handed over as they are in memory: the staged pair has no path that another process
 * could swap between the check and the use. libcurl knows nothing of them then, and would let a call use a
 * connection that was made with another identity; so calls that present a certificate have their connections
 * in a share of their own, where no other call looks.
 *
 * An https proxy is a TLS server too, and must not see the client certificate. libcurl makes a TLS context
 * for either and hands both to the same callback; they are told apart by their highest version, which is set
 * for the Connector only. Without that mark no identity is given.
 */

#include "daemon/connector/connector-client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <systemd/sd-id128.h>

#include "lib/protocol/transport-error.h"
#include "lib/util/error.h"
#include "lib/util/files.h"
#include "lib/util/log.h"
#include "lib/util/user.h"
#include "lib/x509/handshake.h"
#include "lib/x509/identity.h"

#define CONNECT_TIMEOUT_MS 20000L

/* The trust file is parsed once in this time for all calls, instead of at each handshake (140 roots: 10 ms).
 * A file that was replaced counts after it. */
#define TRUST_CACHE_SEC 60L

struct connector_call {
        struct curl_glue *glue;
        connector_done_t done;
        void *userdata;

        CURL *easy;
        CURLSH *own_share; /* where the request has none */
        const struct key *key;
        const char *certificate_pem;
        struct error identity_error;
        struct curl_slist *headers;
        const struct protocol *protocol;
        struct protocol_request asked;
        char *url; /* for texts: url_shown() */
        struct proxy proxy;
        usec_t timeout_usec;
        bool has_reached; /* the Connector: its own TLS has begun */
        size_t body_size, body_sent;
        char *reply;
        size_t reply_size, reply_room;
        bool reply_too_large, has_trust;
        bool was_sent;     /* something of the body; not that of a second call */
        CURLcode doubtful; /* how the call ended, while a second one finds out why; CURLE_OK otherwise */
        int first_errno;
        char request_id[SD_ID128_UUID_STRING_MAX];
        char first_error[CURL_ERROR_SIZE];
};

CURLSH *connector_share_new(void) {
        CURLSH *share = curl_share_init();

        if (share && curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT) == CURLSHE_OK)
                return share;
        return connector_share_free(share);
}

CURLSH *connector_share_free(CURLSH *share) {
        if (share)
                curl_share_cleanup(share);
        return NULL;
}

/* 407 again and again may lock an account; and what a proxy forbids it forbids for long. */
static enum failure classify_at_proxy(const struct connector_end *end) {
        unsigned status = end->proxy_status;

        return status >= 300 && status < 500 && status != 408 && status != 429 ? FAILURE_REFUSED
                                                                               : FAILURE_TRANSIENT;
}

enum failure connector_classify(const struct connector_end *end) {
        switch (end->code) {
        case CURLE_OK:
                return FAILURE_NONE;
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_SSL_CERTPROBLEM:
        case CURLE_SSL_CIPHER:
        case CURLE_SSL_ENGINE_INITFAILED:
        case CURLE_URL_MALFORMAT:
        case CURLE_UNSUPPORTED_PROTOCOL:
        case CURLE_FAILED_INIT:
                return FAILURE_LOCAL;
        default:
                break;
        }
        if (end->is_at_proxy)
                return classify_at_proxy(end);
        if (transport_alert_meaning(transport_alert(end->code, end->text)))
                return FAILURE_REJECTED;

        switch (end->code) {
        case CURLE_OUT_OF_MEMORY:
                /* The code for a header line of more than 100 KB, too. */
                return end->was_sent ? FAILURE_BAD_REPLY : FAILURE_LOCAL;
        case CURLE_WRITE_ERROR: /* our own limit on the size of replies */
        case CURLE_WEIRD_SERVER_REPLY:
                return FAILURE_BAD_REPLY;
        default:
                return FAILURE_TRANSIENT;
        }
}

/*
 * Given this way, and with no way back to its beginning, a body cannot be sent twice. For a connection that
 * was kept from an earlier call and ends without a reply libcurl would send the call once more over a new
 * one, as if it could not have arrived: a second signature, or a token that is burnt by then.
 */
static size_t on_upload(char *buffer, size_t size, size_t n, void *userdata) {
        struct connector_call *call = userdata;
        size_t left = call->body_size - call->body_sent, more = size * n < left ? size * n : left;

        memcpy(buffer, call->asked.body + call->body_sent, more);
        call->body_sent += more;
        call->was_sent = call->was_sent || (more > 0 && call->doubtful == CURLE_OK);
        return more;
}

/* A call without a body is a GET. */
static CURLcode set_body(struct connector_call *call) {
        call->body_sent = 0;
        if (!call->asked.body)
                return curl_easy_setopt(call->easy, CURLOPT_HTTPGET, 1L);
        call->body_size = strlen(call->asked.body);
        return curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE, (long)call->body_size);
}

/* Not realloc(): it would leave copies of a reply, and so of a token, in freed memory. */
static bool make_room(struct connector_call *call, size_t needed) {
        size_t room = needed < 8192 ? 8192 : 2 * needed;
        char *reply = malloc(room);

        if (!reply)
                return false;
        if (call->reply) {
                memcpy(reply, call->reply, call->reply_size);
                explicit_bzero(call->reply, call->reply_size);
                free(call->reply);
        }
        call->reply = reply;
        call->reply_room = room;
        return true;
}

static size_t on_body(char *data, size_t size, size_t n, void *userdata) {
        struct connector_call *call = userdata;
        size_t more = size * n;

        if (call->reply_size + more > PROTOCOL_REPLY_MAX) {
                call->reply_too_large = true;
                return 0;
        }
        if (call->reply_size + more + 1 > call->reply_room && !make_room(call, call->reply_size + more + 1))
                return 0;
        memcpy(call->reply + call->reply_size, data, more);
        call->reply_size += more;
        call->reply[call->reply_size] = '\0';
        return more;
}

/* What did not get past the proxy is the proxy's. */
static void describe_at_proxy(const struct connector_call *call, const struct connector_end *end,
                              const char *detail, struct error *error) {
        const struct proxy *proxy = &call->proxy;

        if (end->proxy_status == 407)
                error_set(error, -EACCES,
                          "the proxy %s refuses to connect to %s: HTTP status 407, %s; the user and password "
                          "are taken from the environment variable %s of rekeyd",
                          proxy->url, call->url,
                          proxy->user ? "it does not accept the user or the password"
                                      : "it requires a user and a password",
                          proxy->variable);
        else if (end->proxy_status > 0)
                error_set(error, -EIO,
                          "the proxy %s does not connect to %s: HTTP status %u; the environment variable %s "
                          "names this proxy",
                          proxy->url, call->url, end->proxy_status, proxy->variable);
        else if (end->code == CURLE_PEER_FAILED_VERIFICATION)
                error_set(
                        error, -EPROTO,
                        "the certificate of the proxy %s, which the environment variable %s names, cannot be "
                        "trusted: %s; the system's CA certificates count for it, and `trust` does not",
                        proxy->url, proxy->variable, detail);
        else
                error_set(error, -EIO,
                          "the proxy %s, which the environment variable %s names, cannot be used to call %s: "
                          "%s",
                          proxy->url, proxy->variable, call->url, detail);
}

static struct transport_meaning explain(const struct connector_end *end) {
        return transport_explain(&(struct transport_end) {
                .code = end->code,
                .text = end->text,
                .os_errno = end->os_errno,
                .is_connected = end->is_connected,
        });
}

/* What can be mended; the classes for which nobody but the Connector's operators can do something have none.
 */
static enum cause find_cause(const struct connector_end *end, enum failure failure) {
        if (end->is_at_proxy)
                return CAUSE_PROXY;
        return failure == FAILURE_TRANSIENT || failure == FAILURE_LOCAL ? explain(end).cause : CAUSE_NONE;
}

static void describe(const struct connector_call *call, const struct connector_end *end, enum failure failure,
                     struct error *error) {
        const struct transport_meaning meaning = explain(end);
        const char *detail = meaning.sentence;

        if (meaning.is_translated)
                log_debug("call to %s: libcurl says: %s", call->url, end->text);
        if (call->identity_error.code < 0)
                error_set(error, call->identity_error.code, "cannot call %s: %s", call->url,
                          error_text(&call->identity_error));
        else if (end->code == CURLE_SSL_CACERT_BADFILE)
                error_set(error, -EINVAL,
                          "the CA certificates that %s must verify to cannot be used (%s): `trust` must be a "
                          "PEM file with them%s",
                          call->url, detail,
                          call->has_trust ? "" : "; without it the package ca-certificates is needed");
        else if (end->is_at_proxy)
                describe_at_proxy(call, end, detail, error);
        else if (call->reply_too_large)
                error_set(error, -EFBIG, "the reply of %s is larger than %u bytes", call->url,
                          PROTOCOL_REPLY_MAX);
        else if (failure == FAILURE_BAD_REPLY && end->code == CURLE_OUT_OF_MEMORY)
                error_set(error, -EFBIG, "the reply of %s has a header line that is too long", call->url);
        else if (failure == FAILURE_REJECTED && !call->key)
                error_set(error, -EACCES,
                          "%s requires a client certificate instead of a one-time token; is it the `url` "
                          "instead of the `enrol_url`? (A server without TLS 1.3 and ECDHE answers so, too.)",
                          call->url);
        else if (failure == FAILURE_REJECTED)
                error_set(error, -EACCES, "%s does not accept the client certificate: %s", call->url,
                          transport_alert_meaning(transport_alert(end->code, end->text)));
        else if (end->code == CURLE_PEER_FAILED_VERIFICATION)
                error_set(error, -EPROTO,
                          "the certificate of %s cannot be trusted: %s; is `trust` the CA of the Connector's "
                          "server certificate? (ca.crt is not: it is the CA of the clients)",
                          call->url, detail);
        else
                error_set(error, -EIO, "the call to %s failed: %s", call->url, detail);
}

/*
 * Under TLS 1.3 a server judges the client certificate after the client has finished its handshake. The alert
 * then races the end of the connection, and what is left may be a bare EOF or a reset, as if the network had
 * failed. Under TLS 1.2 the alert comes within the handshake. So a doubtful end is examined by a second,
 * harmless call that is limited to TLS 1.2; the first one is not repeated, since it may have been a
 * signature.
 */
static bool is_doubtful(const struct connector_call *call, const struct connector_end *end) {
        return call->key && call->doubtful == CURLE_OK && !end->is_at_proxy &&
               (end->code == CURLE_SSL_CONNECT_ERROR || end->code == CURLE_SEND_ERROR ||
                end->code == CURLE_RECV_ERROR || end->code == CURLE_GOT_NOTHING);
}

static int start(struct connector_call *call);

static int look_into(struct connector_call *call, const struct connector_end *end) {
        const struct protocol_ask ask = { .url = call->asked.url };
        struct protocol_request harmless;
        int r;

        r = call->protocol->ask_proof(&ask, &harmless, NULL);
        if (r < 0)
                return r;
        protocol_request_clear(&call->asked);
        call->asked = harmless;
        if (set_body(call) != CURLE_OK ||
            curl_easy_setopt(call->easy, CURLOPT_SSLVERSION,
                             (long)(CURL_SSLVERSION_TLSv1_2 | CURL_SSLVERSION_MAX_TLSv1_2)) != CURLE_OK ||
            curl_easy_setopt(call->easy, CURLOPT_FRESH_CONNECT, 1L) != CURLE_OK ||
            curl_easy_setopt(call->easy, CURLOPT_FORBID_REUSE, 1L) != CURLE_OK)
                return -EIO;
        snprintf(call->first_error, sizeof(call->first_error), "%s", end->text);
        call->first_errno = end->os_errno;
        if (call->reply)
                explicit_bzero(call->reply, call->reply_size); /* half of one, which may hold a token */
        call->reply_size = 0;
        r = start(call);
        if (r == 0)
                call->doubtful = end->code;
        return r;
}

/* Of a call without a body its head is all there is. */
static bool is_sent(const struct connector_call *call) {
        long size = 0;

        if (call->asked.body || call->doubtful != CURLE_OK)
                return call->was_sent;
        curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &size);
        return call->has_reached && size > 0;
}

/* No connection was made, and with a proxy it is the only one that is tried from here. */
static bool is_unconnected(const struct connector_end *end) {
        return end->code == CURLE_COULDNT_RESOLVE_PROXY || end->code == CURLE_COULDNT_RESOLVE_HOST ||
               end->code == CURLE_COULDNT_CONNECT || end->code == CURLE_PROXY ||
               (end->code == CURLE_OPERATION_TIMEDOUT && !end->is_connected);
}

/* A connection that was kept has passed the proxy long ago. */
static struct connector_end find_end(const struct connector_call *call, CURLcode code, const char *text) {
        struct connector_end end = { .code = code, .text = text, .was_sent = is_sent(call) };
        long status = 0, n_new = 0, os_errno = 0;
        curl_off_t connected = 0;

        curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &os_errno);
        curl_easy_getinfo(call->easy, CURLINFO_CONNECT_TIME_T, &connected);
        end.os_errno = (int)os_errno;
        end.is_connected = connected > 0 || call->has_reached; /* the former only comes with the end of TLS */
        if (code == CURLE_OK || !call->proxy.url)
                return end;
        curl_easy_getinfo(call->easy, CURLINFO_HTTP_CONNECTCODE, &status);
        curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &n_new);
        end.is_at_proxy = !call->has_reached && !call->was_sent && (n_new > 0 || is_unconnected(&end));
        end.proxy_status = end.is_at_proxy && status > 0 && status / 100 != 2 ? (unsigned)status : 0;
        return end;
}

static void on_done(CURL *easy, CURLcode code, const char *text, void *userdata) {
        struct connector_call *call = userdata;
        struct connector_end end = find_end(call, code, text);
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct connector_answer answer = { .request_id = call->request_id, .was_sent = is_sent(call) };
        curl_off_t retry_after = 0;
        char *content_type = NULL;
        unsigned alert;
        long status = 0;

        answer.failure = connector_classify(&end);
        if (answer.failure == FAILURE_TRANSIENT && is_doubtful(call, &end) && look_into(call, &end) == 0)
                return;
        if (call->doubtful != CURLE_OK && answer.failure != FAILURE_REJECTED) {
                /* It was the network, then. What the second call heard is no answer to the first. */
                end = (struct connector_end) { .code = call->doubtful,
                                               .text = call->first_error,
                                               .os_errno = call->first_errno };
                answer.failure = FAILURE_TRANSIENT;
        }
        alert = transport_alert(end.code, end.text);
        answer.may_be_revoked = answer.failure == FAILURE_REJECTED && alert != TLS_ALERT_UNKNOWN_CA &&
                                alert != TLS_ALERT_DECRYPT && alert != TLS_ALERT_EXPIRED;
        if (answer.failure == FAILURE_NONE) {
                curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
                curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after);
                curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &content_type);
                answer.reply = (struct protocol_reply) {
                        .status = (unsigned)status,
                        .body = call->reply ? call->reply : "",
                        .size = call->reply_size,
                        .content_type = content_type,
                };
                if (retry_after > 0)
                        answer.retry_after_usec = usec_add(0, (usec_t)retry_after * USEC_PER_SEC);
        } else {
                describe(call, &end, answer.failure, &error);
                answer.cause = find_cause(&end, answer.failure);
                answer.error = error_text(&error);
        }
        call->done(&answer, call->userdata);
}

static int start(struct connector_call *call) {
        const struct curl_target target = {
                .url = call->asked.url,
                .proxy = &call->proxy,
                .timeout_usec = call->timeout_usec,
        };

        call->has_reached = false;
        return curl_glue_start(call->glue, call->easy, &target, on_done, call);
}

static int add_header(struct connector_call *call, const char *name, const char *value) {
        _cleanup_(freep) char *line = NULL;
        struct curl_slist *headers;

        if (asprintf(&line, "%s: %s", name, value) < 0) {
                line = NULL;
                return -ENOMEM;
        }
        headers = curl_slist_append(call->headers, line);
        explicit_bzero(line, strlen(line));
        if (!headers)
                return -ENOMEM;
        call->headers = headers;
        return 0;
}

static int make_headers(struct connector_call *call) {
        sd_id128_t id;
        int r;

        r = sd_id128_randomize(&id);
        if (r < 0)
                return r;
        sd_id128_to_uuid_string(id, call->request_id);

        r = add_header(call, "Content-Type", PROTOCOL_CONTENT_TYPE);
        if (r < 0)
                return r;
        r = add_header(call, "x-request-id", call->request_id);
        if (r < 0)
                return r;
        r = add_header(call, "Expect", "");
        if (r < 0)
                return r;
        return call->asked.token_header ? add_header(call, call->asked.token_header, call->asked.token) : 0;
}

/* libcurl's callback for a TLS context that it has just made, for each new connection: to the proxy, where
 * that has https, and to the Connector. */
static CURLcode on_tls(_unused_ CURL *easy, void *context, void *userdata) {
        struct connector_call *call = userdata;

        if (handshake_limit(context) < 0)
                return CURLE_OUT_OF_MEMORY;
        if (!identity_has_version_limit(context))
                return CURLE_OK; /* the proxy */
        call->has_reached = true;
        if (!call->key)
                return CURLE_OK;
        return identity_use(context, call->key, call->certificate_pem, &call->identity_error) == 0
                       ? CURLE_OK
                       : CURLE_SSL_CERTPROBLEM;
}

static int set_identity(struct connector_call *call, const struct connector_request *request) {
        CURLSH *share = request->share;

        if (!request->key)
                return 0;
        if (!share)
                share = call->own_share = connector_share_new();
        if (!share)
                return -ENOMEM;
        call->key = request->key;
        call->certificate_pem = request->certificate_pem;
        return curl_easy_setopt(call->easy, CURLOPT_SHARE, share) == CURLE_OK ? 0 : -EIO;
}

static int set_options(struct connector_call *call, const struct connector_request *request) {
        CURL *easy = call->easy;
        CURLcode code = CURLE_OK;

#define SET(option, value)    \
        if (code == CURLE_OK) \
        code = curl_easy_setopt(easy, option, value)

        SET(CURLOPT_PROTOCOLS_STR, "https");
        SET(CURLOPT_FOLLOWLOCATION, 0L);
        SET(CURLOPT_SSLVERSION, (long)(CURL_SSLVERSION_TLSv1_2 | CURL_SSLVERSION_MAX_TLSv1_3));
        SET(CURLOPT_PROXY_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2); /* no highest one: on_tls() */
        SET(CURLOPT_SSL_CTX_FUNCTION, on_tls);
        SET(CURLOPT_SSL_CTX_DATA, call);
        SET(CURLOPT_SSL_VERIFYPEER, 1L);
        SET(CURLOPT_SSL_VERIFYHOST, 2L);
        SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
        SET(CURLOPT_CA_CACHE_TIMEOUT, TRUST_CACHE_SEC);
        if (request->trust) {
                SET(CURLOPT_CAINFO, request->trust);
                SET(CURLOPT_CAPATH, NULL);
        }
        /* Without a body libcurl may send a call twice, as on_upload() says; over a new connection it does
         * not. */
        if (request->token && !call->asked.body)
                SET(CURLOPT_FRESH_CONNECT, 1L);
        if (request->fresh) {
                SET(CURLOPT_FRESH_CONNECT, 1L);
                SET(CURLOPT_FORBID_REUSE, 1L);
        }
        if (request->last)
                SET(CURLOPT_FORBID_REUSE, 1L);
        SET(CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
        SET(CURLOPT_USERAGENT, "rekeyd/" REKEYD_VERSION);
        SET(CURLOPT_HTTPHEADER, call->headers);
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_READFUNCTION, on_upload);
        SET(CURLOPT_READDATA, call);
        SET(CURLOPT_WRITEFUNCTION, on_body);
        SET(CURLOPT_WRITEDATA, call);
#undef SET
        if (code == CURLE_OK)
                code = set_body(call);
        return code == CURLE_OK ? set_identity(call, request) : -EIO;
}

/* OpenSSL opens it in the handshake, and would wait for a FIFO without an end. */
int connector_check_trust(const char *path, struct error *error) {
        _cleanup_(fd_closep) int fd = path ? file_open_at(AT_FDCWD, path, FILE_FOLLOW) : -1;

        if (!path || fd >= 0)
                return 0;
        error_set_errno(error, fd, "cannot read `trust`, %s", path);
        error_name_user(error);
        return fd;
}

int connector_call_new(struct curl_glue *glue, struct connector_request *request, connector_done_t done,
                       void *userdata, struct connector_call **ret, struct error *error) {
        _cleanup_(connector_call_freep) struct connector_call *call = NULL;
        _cleanup_(protocol_request_clear) struct protocol_request asked = request->asked;
        int r;

        request->asked = (struct protocol_request) { 0 };
        r = connector_check_trust(request->trust, error);
        if (r < 0)
                return r;
        call = calloc(1, sizeof(*call));
        if (!call)
                return -ENOMEM;
        call->glue = glue;
        call->done = done;
        call->userdata = userdata;
        call->protocol = request->protocol;
        call->asked = asked;
        asked = (struct protocol_request) { 0 };
        call->has_trust = request->trust;
        call->timeout_usec = request->timeout_usec;
        call->url = url_shown(call->asked.url);
        call->easy = curl_easy_init();
        if (!call->url || !call->easy)
                return -ENOMEM;

        r = proxy_find(call->asked.url, &call->proxy, error);
        if (r < 0)
                return r;
        r = make_headers(call);
        if (r < 0)
                return r;
        r = set_options(call, request);
        if (r < 0)
                return r;
        r = start(call);
        if (r < 0)
                return r;

        *ret = take_ptr(call);
        return 0;
}

struct connector_call *connector_call_free(struct connector_call *call) {
        if (!call)
                return NULL;
        if (call->easy) {
                curl_glue_cancel(call->easy);
                curl_easy_cleanup(call->easy);
        }
        connector_share_free(call->own_share);
        error_clear(&call->identity_error);
        for (struct curl_slist *header = call->headers; header; header = header->next)
                explicit_bzero(header->data, strlen(header->data)); /* one of them is the token */
        curl_slist_free_all(call->headers);
        if (call->reply)
                explicit_bzero(call->reply, call->reply_size); /* may hold the next token */
        free(call->reply);
        protocol_request_clear(&call->asked);
        proxy_clear(&call->proxy);
        free(call->url);
        free(call);
        return NULL;
}
