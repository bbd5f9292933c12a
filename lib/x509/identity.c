/*
 * libcurl takes a key and its certificates as texts only, and reads them again for each connection with every
 * decoder that OpenSSL has: more than a millisecond, and one more copy of the key. Both are in memory
 * already, so they are handed to OpenSSL as they are.
 */

#include "lib/x509/identity.h"

#include <openssl/ssl.h>

#include "lib/x509/cert.h"
#include "lib/x509/openssl-util.h"

int identity_use(SSL_CTX *tls, const struct key *key, const char *certificate_pem, struct error *error) {
        _cleanup_(cert_list_clear) struct cert_list certs = { 0 };
        bool used;
        int r;

        r = cert_list_parse(certificate_pem, strnlen(certificate_pem, CERT_PEM_MAX + 1), &certs, error);
        if (r < 0) {
                error_prefix(error, "the client certificate cannot be used");
                return r;
        }

        /* The certificate goes first: OpenSSL then holds the key against it. */
        used = SSL_CTX_use_certificate(tls, cert_handle(certs.items[0])) == 1;
        for (size_t i = 1; used && i < certs.n; i++)
                used = SSL_CTX_add1_chain_cert(tls, cert_handle(certs.items[i])) == 1;
        if (!used || SSL_CTX_use_PrivateKey(tls, key_handle(key)) != 1)
                return openssl_error(error, -EKEYREJECTED,
                                     "the client certificate and its key cannot be used");
        return 0;
}

int identity_check(const struct key *key, const char *certificate_pem, struct error *error) {
        SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
        int r;

        if (!tls)
                return openssl_error(error, -ENOMEM, "cannot set up TLS");
        r = identity_use(tls, key, certificate_pem, error);
        SSL_CTX_free(tls);
        return r;
}

bool identity_has_version_limit(SSL_CTX *tls) {
        return SSL_CTX_get_max_proto_version(tls) != 0;
}
