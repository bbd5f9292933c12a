/* OpenSSL hands out the chain of a server after a handshake, and only then. A server that requires a client
 * certificate, or whose own cannot be trusted, never gets that far; but it is verified in either case. */

#include "lib/x509/server-view.h"

#include <openssl/ssl.h>

#include "lib/x509/handshake.h"
#include "lib/x509/openssl-util.h"

static void keep_chain(X509_STORE_CTX *verification, struct server_view *view) {
        STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(verification);
        _cleanup_(BIO_freep) BIO *bio = BIO_new(BIO_s_mem());
        char *text;

        for (int i = 0; bio && i < sk_X509_num(sent); i++)
                if (PEM_write_bio_X509(bio, sk_X509_value(sent, i)) != 1)
                        return;
        if (!bio || bio_take_text(bio, &text) < 0)
                return;
        free(view->chain_pem);
        view->chain_pem = text;
}

static int verify(X509_STORE_CTX *verification, void *userdata) {
        keep_chain(verification, userdata);
        return handshake_verify(verification, NULL);
}

/* Called when a certificate is asked for: there is none. */
static int offer_nothing(_unused_ SSL *ssl, void *userdata) {
        struct server_view *view = userdata;

        view->asks_for_certificate = true;
        return 1;
}

void server_view_watch(SSL_CTX *tls, struct server_view *view) {
        SSL_CTX_set_cert_verify_callback(tls, verify, view);
        SSL_CTX_set_cert_cb(tls, offer_nothing, view);
}

void server_view_clear(struct server_view *view) {
        free(view->chain_pem);
        *view = (struct server_view) { 0 };
}
