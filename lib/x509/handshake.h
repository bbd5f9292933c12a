#pragma once

/* What a server may have a client compute in a TLS handshake. */

typedef struct ssl_ctx_st SSL_CTX;

/* Of the ciphers that TLS has for version 1.2, only those remain that exchange keys by ECDHE; those of 1.3
 * stay as they are. Where none remains, 1.3 becomes the lowest version. Of the groups only curves remain. 0,
 * or -ENOMEM. */
int handshake_limit(SSL_CTX *tls);
