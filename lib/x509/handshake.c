/*
 * A handshake holds up all other calls on its thread, and with an API server the event loop. So nothing in it
 * may be as dear as the server likes. Under TLS 1.2 with DHE the server chooses the numbers: a prime of
 * 10,000 bits took a second. Curves have names and a size, so no server can make them dear. An exchange by
 * RSA goes as well: who gets the server's key later could read what was said.
 *
 * The chain is the server's choice too. Who holds a CA that this machine trusts can put ten certificates
 * under it, each of which takes a second to verify; or thousands of names, each of which is held against
 * thousands of name constraints. So it is judged before the first signature is.
 *
 * The list of ciphers of this machine is narrowed, never replaced: what its administrator forbids stays
 * forbidden. Its list of groups cannot be read back from OpenSSL 3.0, so that one is replaced.
 */

#include "lib/x509/handshake.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "lib/util/text-stream.h"
#include "lib/x509/key-cost.h"
#include "lib/x509/openssl-util.h"

/* Under TLS 1.3 there are groups of up to 8192 bits for DHE. */
#define CURVES "X25519:P-256:X448:P-384:P-521"

/* Names with colons between them; empty for none. Ciphers of TLS 1.3 have a list of their own. */
static char *ecdhe_names(const STACK_OF(SSL_CIPHER) * ciphers) {
        char *names = NULL;
        size_t size;
        FILE *out = text_stream_open(&names, &size);

        if (!out)
                return NULL;
        for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
                const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(ciphers, i);

                if (SSL_CIPHER_get_kx_nid(cipher) == NID_kx_ecdhe)
                        fprintf(out, "%s:", SSL_CIPHER_get_name(cipher));
        }
        fclose(out);
        return names;
}

/* All that name constraints are about. */
static size_t count_names(const X509 *cert) {
        GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
        const int n =
                (names ? sk_GENERAL_NAME_num(names) : 0) + X509_NAME_entry_count(X509_get_subject_name(cert));

        GENERAL_NAMES_free(names);
        return (size_t)n;
}

static size_t count_constraints(const X509 *cert) {
        NAME_CONSTRAINTS *constraints = X509_get_ext_d2i(cert, NID_name_constraints, NULL, NULL);
        size_t n = 0;

        if (constraints && constraints->permittedSubtrees)
                n += (size_t)sk_GENERAL_SUBTREE_num(constraints->permittedSubtrees);
        if (constraints && constraints->excludedSubtrees)
                n += (size_t)sk_GENERAL_SUBTREE_num(constraints->excludedSubtrees);
        NAME_CONSTRAINTS_free(constraints);
        return n;
}

/* Whether names are held against constraints more often than any real chain has it. */
static bool has_too_many_names(const STACK_OF(X509) * sent) {
        size_t n_names = 0, n_constraints = 0;

        for (int i = 0; i < sk_X509_num(sent); i++) {
                n_names += count_names(sk_X509_value(sent, i));
                n_constraints += count_constraints(sk_X509_value(sent, i));
        }
        ERR_clear_error(); /* what cannot be read is not compared either */
        return n_names * n_constraints > HANDSHAKE_COMPARISONS_MAX;
}

/* What is wrong with the chain that was sent, as an X509_V_ERR_; X509_V_OK. */
static int find_problem(const STACK_OF(X509) * sent, int *ret_depth) {
        for (int i = 0; i < sk_X509_num(sent); i++) {
                const EVP_PKEY *key = X509_get0_pubkey(sk_X509_value(sent, i));

                *ret_depth = i;
                if (i == HANDSHAKE_CHAIN_MAX)
                        return X509_V_ERR_CERT_CHAIN_TOO_LONG;
                if (!key)
                        ERR_clear_error(); /* nothing is computed with it */
                else if (key_cost_check(key, NULL) < 0)
                        return X509_V_ERR_CERT_REJECTED;
        }
        *ret_depth = 0;
        return has_too_many_names(sent) ? X509_V_ERR_CERT_REJECTED : X509_V_OK;
}

int handshake_verify(X509_STORE_CTX *verification, _unused_ void *unused) {
        const STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(verification);
        int depth = 0, problem = find_problem(sent, &depth);

        if (problem == X509_V_OK)
                return X509_verify_cert(verification);
        X509_STORE_CTX_set_error(verification, problem);
        X509_STORE_CTX_set_error_depth(verification, depth);
        X509_STORE_CTX_set_current_cert(verification, sk_X509_value(sent, depth));
        return 0;
}

int handshake_limit(SSL_CTX *tls) {
        _cleanup_(freep) char *names = ecdhe_names(SSL_CTX_get_ciphers(tls));

        if (!names)
                return -ENOMEM;
        SSL_CTX_set_max_cert_list(tls, (long)HANDSHAKE_CHAIN_SIZE_MAX);
        SSL_CTX_set_cert_verify_callback(tls, handshake_verify, NULL);
        if (SSL_CTX_set1_groups_list(tls, CURVES) != 1) {
                ERR_clear_error();
                return -ENOMEM;
        }
        if (names[0] == '\0')
                return SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION) == 1 ? 0 : -ENOMEM;
        if (SSL_CTX_set_cipher_list(tls, names) != 1) {
                ERR_clear_error();
                return -ENOMEM; /* the names are OpenSSL's own */
        }
        return 0;
}
