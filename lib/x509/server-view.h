#pragma once

/* What a TLS server shows of itself, whatever becomes of the handshake. */

#include <stdbool.h>

typedef struct ssl_ctx_st SSL_CTX;

struct server_view {
        char *chain_pem;           /* the certificates that it sends, leaf first; NULL: it came to none */
        bool asks_for_certificate; /* for one of the client, which need not mean that it requires one */
};
void server_view_clear(struct server_view *view);

/* Has TLS, before its handshake, note all that in VIEW, which stays where it is until TLS is gone. The server
 * is verified as before, and no certificate is shown to it. */
void server_view_watch(SSL_CTX *tls, struct server_view *view);
