#pragma once

/* What a server may have a client compute in a TLS handshake. */

#include <stddef.h>

typedef struct ssl_ctx_st SSL_CTX;
typedef struct x509_store_ctx_st X509_STORE_CTX;

/* What a server may send of certificates: bytes as they come, and how many. */
#define HANDSHAKE_CHAIN_SIZE_MAX ((size_t)32 * 1024)
#define HANDSHAKE_CHAIN_MAX      10

/* All names of a chain times all name constraints in it. OpenSSL takes 20 ns for each, and has a limit of a
 * million for each certificate under each CA. */
#define HANDSHAKE_COMPARISONS_MAX ((size_t)100000)

/* Of the ciphers that TLS has for version 1.2, only those remain that exchange keys by ECDHE; those of 1.3
 * stay as they are. Where none remains, 1.3 becomes the lowest version. Of the groups only curves remain. The
 * chain of the server has the limits above, and handshake_verify() verifies it. 0, or -ENOMEM. */
int handshake_limit(SSL_CTX *tls);

/* X509_verify_cert(), for SSL_CTX_set_cert_verify_callback(), unless the chain is longer than any is, has a
 * key that key-cost.h does not accept, or more names and constraints than the limit above: then nothing is
 * verified. */
int handshake_verify(X509_STORE_CTX *verification, void *unused);
