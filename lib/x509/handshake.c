/*
 * A handshake runs on the event loop, and under TLS 1.2 with DHE the server chooses the numbers: a prime of
 * 10,000 bits held the loop for a second. Curves have names and a size, so no server can make them dear. An
 * exchange by RSA goes as well: who gets the server's key later could read what was said.
 *
 * The list of ciphers of this machine is narrowed, never replaced: what its administrator forbids stays
 * forbidden. Its list of groups cannot be read back from OpenSSL 3.0, so that one is replaced.
 */

#include "lib/x509/handshake.h"

#include <errno.h>
#include <openssl/ssl.h>

#include "lib/util/text-stream.h"
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

int handshake_limit(SSL_CTX *tls) {
        _cleanup_(freep) char *names = ecdhe_names(SSL_CTX_get_ciphers(tls));

        if (!names)
                return -ENOMEM;
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
