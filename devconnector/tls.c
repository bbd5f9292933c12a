/*
 * An unacceptable client certificate is refused inside TLS, with the alerts that real edges send: 48 for an
 * unknown CA, 45 for an expired one, 40 (TLS 1.2) or 116 (TLS 1.3) for none at all. OpenSSL maps verification
 * errors to these by itself; what is added here is the reason for the log.
 *
 * Every connection is verified against the bundle as it is on disk at that moment: sessions are never
 * resumed, and a changed file makes a new SSL_CTX. A bundle that cannot be read leaves the old one in use.
 */

#include "devconnector/tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "lib/util/log.h"

struct tls_endpoint {
        struct tls_config config;
        SSL_CTX *context;
        struct stat trust; /* the bundle that CONTEXT was made from */
};

static int peer_index = -1; /* of struct tls_peer among the extra data of an SSL */

struct tls_peer *tls_peer(const SSL *ssl) {
        return SSL_get_ex_data(ssl, peer_index);
}

static void free_peer(_unused_ void *parent, void *data, _unused_ CRYPTO_EX_DATA *ex_data, _unused_ int index,
                      _unused_ long argl, _unused_ void *argp) {
        struct tls_peer *peer = data;

        if (!peer)
                return;
        fault_unref(peer->fault);
        free(peer->client);
        free(peer);
}

static void refused(const struct tls_peer *peer, const char *reason, unsigned alert) {
        const struct tls_config *config = &peer->tls_endpoint->config;

        config->refused(config->userdata, peer, reason, alert);
}

static void remember_certificate(struct tls_peer *peer, const X509 *certificate) {
        pki_fingerprint(certificate, peer->fingerprint);
        free(peer->client);
        peer->client = pki_attribute(X509_get_subject_name(certificate), NID_commonName);
}

/* Called for every certificate of the chain, and for every error. */
static int on_verify(int ok, X509_STORE_CTX *store) {
        const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
        struct tls_peer *peer = tls_peer(ssl);
        const X509 *leaf = X509_STORE_CTX_get0_cert(store);

        if (leaf)
                remember_certificate(peer, leaf);
        if (ok && fault_is(peer->fault, FAULT_REFUSE_CERTIFICATE)) {
                X509_STORE_CTX_set_error(store, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
                return 0;
        }
        return ok;
}

static const char *reason_of(const SSL *ssl, int alert) {
        static const struct {
                long result;
                const char *reason;
        } reasons[] = {
                { X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "unknown ca" },
                { X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, "unknown ca" },
                { X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, "unknown ca" },
                { X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "unknown ca" },
                { X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, "unknown ca" },
                { X509_V_ERR_CERT_HAS_EXPIRED, "expired" },
                { X509_V_ERR_CERT_NOT_YET_VALID, "not yet valid" },
                { X509_V_ERR_INVALID_PURPOSE, "not for client authentication" },
        };
        long result = SSL_get_verify_result(ssl);

        if (ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
                return "no certificate";
        for (size_t i = 0; i < ELEMENTSOF(reasons); i++)
                if (reasons[i].result == result)
                        return reasons[i].reason;
        return result == X509_V_OK ? SSL_alert_desc_string_long(alert)
                                   : X509_verify_cert_error_string(result);
}

static void on_info(const SSL *ssl, int where, int value) {
        struct tls_peer *peer = tls_peer(ssl);

        if ((where & SSL_CB_WRITE_ALERT) == SSL_CB_WRITE_ALERT && value >> 8 == SSL3_AL_FATAL && !peer->cut)
                refused(peer, reason_of(ssl, value), (unsigned)value & 0xff);

        if ((where & SSL_CB_HANDSHAKE_DONE) && fault_is(peer->fault, FAULT_TLS_CLOSE) && !peer->cut) {
                peer->cut = true;
                refused(peer, "closed after the handshake", 0);
                shutdown(SSL_get_fd(ssl), SHUT_RDWR);
        }
}

/* The earliest moment at which a server may give up: the client has spoken, the answer is due. */
static int on_client_hello(SSL *ssl, _unused_ int *alert, _unused_ void *userdata) {
        struct tls_peer *peer = tls_peer(ssl);

        if (!fault_is(peer->fault, FAULT_TLS_CLOSE) || !streq(fault_text(peer->fault, "when"), "during"))
                return SSL_CLIENT_HELLO_SUCCESS;
        peer->cut = true;
        refused(peer, "closed during the handshake", 0);
        shutdown(SSL_get_fd(ssl), SHUT_RDWR); /* the alert that OpenSSL sends next goes nowhere */
        return SSL_CLIENT_HELLO_ERROR;
}

static int set_trust(SSL_CTX *context, const pki_list *trust) {
        X509_STORE *store = SSL_CTX_get_cert_store(context);

        for (int i = 0; i < sk_X509_num(trust); i++)
                if (X509_STORE_add_cert(store, sk_X509_value(trust, i)) != 1 ||
                    SSL_CTX_add_client_CA(context, sk_X509_value(trust, i)) != 1)
                        return -ENOMEM;
        if (SSL_CTX_set_purpose(context, X509_PURPOSE_SSL_CLIENT) != 1)
                return -EINVAL;
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, on_verify);
        return 0;
}

/* TRUST is NULL at the token endpoint. */
static int make_context(const struct tls_config *config, const pki_list *trust, SSL_CTX **ret,
                        struct error *error) {
        SSL_CTX *context = SSL_CTX_new(TLS_server_method());

        if (!context || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
            SSL_CTX_set_max_proto_version(context, streq(config->tls_max, "1.2") ? TLS1_2_VERSION
                                                                                 : TLS1_3_VERSION) != 1 ||
            SSL_CTX_use_certificate(context, config->server->certificate) != 1 ||
            SSL_CTX_use_PrivateKey(context, config->server->key) != 1 ||
            (trust && set_trust(context, trust) < 0)) {
                SSL_CTX_free(context);
                return pki_error(error, "cannot set up TLS");
        }
        SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
        SSL_CTX_set_num_tickets(context, 0);
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_info_callback(context, on_info);
        SSL_CTX_set_client_hello_cb(context, on_client_hello, NULL);
        *ret = context;
        return 0;
}

static bool same_file(const struct stat *a, const struct stat *b) {
        return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
               a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
               a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int follow_trust(struct tls_endpoint *endpoint, struct error *error) {
        _cleanup_(pki_list_freep) pki_list *trust = NULL;
        struct stat st;
        SSL_CTX *context;
        int r;

        if (endpoint->config.endpoint != ENDPOINT_CERTIFICATE)
                return endpoint->context ? 0
                                         : make_context(&endpoint->config, NULL, &endpoint->context, error);
        if (fstatat(endpoint->config.dir_fd, CA_CLIENT_TRUST, &st, 0) < 0)
                return error_set_errno(error, -errno, "cannot read " CA_CLIENT_TRUST);
        if (endpoint->context && same_file(&endpoint->trust, &st))
                return 0;

        r = pki_read_list(endpoint->config.dir_fd, CA_CLIENT_TRUST, &trust, error);
        if (r < 0)
                return r;
        r = make_context(&endpoint->config, trust, &context, error);
        if (r < 0)
                return r;
        SSL_CTX_free(endpoint->context);
        endpoint->context = context;
        endpoint->trust = st;
        return 0;
}

int tls_endpoint_new(const struct tls_config *config, struct tls_endpoint **ret, struct error *error) {
        _cleanup_(tls_endpoint_freep) struct tls_endpoint *endpoint = calloc(1, sizeof(*endpoint));
        int r;

        if (peer_index < 0)
                peer_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_peer);
        if (!endpoint || peer_index < 0)
                return error_set_errno(error, -ENOMEM, "cannot set up TLS");
        endpoint->config = *config;
        r = follow_trust(endpoint, error);
        if (r < 0)
                return r;
        *ret = take_ptr(endpoint);
        return 0;
}

struct tls_endpoint *tls_endpoint_free(struct tls_endpoint *endpoint) {
        if (!endpoint)
                return NULL;
        SSL_CTX_free(endpoint->context);
        free(endpoint);
        return NULL;
}

SSL *tls_accept(struct tls_endpoint *endpoint, struct fault *fault) {
        _cleanup_(fault_unrefp) struct fault *owned = fault;
        struct error error = ERROR_INIT;
        struct tls_peer *peer;
        SSL *ssl;

        if (follow_trust(endpoint, &error) < 0)
                log_warning("%s, trusting what was read before", error_text(&error));
        error_clear(&error);

        peer = calloc(1, sizeof(*peer));
        ssl = SSL_new(endpoint->context);
        if (!peer || !ssl || SSL_set_ex_data(ssl, peer_index, peer) != 1) {
                SSL_free(ssl);
                free(peer);
                return NULL;
        }
        peer->endpoint = endpoint->config.endpoint;
        peer->tls_endpoint = endpoint;
        peer->fault = take_ptr(owned);
        return ssl;
}
