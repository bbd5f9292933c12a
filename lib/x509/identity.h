#pragma once

/* Who a client is in TLS. */

#include "lib/x509/key.h"

typedef struct ssl_ctx_st SSL_CTX;

/*
 * Makes TLS present the first certificate of CERTIFICATE_PEM, with the others as its chain, and sign with
 * KEY, whose handle it keeps a reference to. 0; -EINVAL, -E2BIG or -ENOMEM where the text cannot be read;
 * -EKEYREJECTED where OpenSSL will not have them: KEY belongs to another certificate, or one of them is too
 * weak for its security level.
 */
int identity_use(SSL_CTX *tls, const struct key *key, const char *certificate_pem, struct error *error);

/* Whether identity_use() would take them, with the security level that this machine has for TLS. As above. */
int identity_check(const struct key *key, const char *certificate_pem, struct error *error);

/* Whether a highest version of TLS was set: how who makes several contexts for one call tells them apart. */
bool identity_has_version_limit(SSL_CTX *tls);
