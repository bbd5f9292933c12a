#pragma once

/* Trust bundles: the CAs whose leaves a gateway accepts, as one PEM text. */

#include "lib/x509/cert.h"

/* Each returns a text that holds certificates and nothing else, each of them once, in their order; owned by
 * the caller. The CAs of others stay. 0, or as cert_bundle_parse(). */

/* NEW, then what PEM has. */
int bundle_add(const char *pem, const struct cert *new, char **ret_pem, struct error *error);

/* NEW, then what PEM has without OLD and without any other certificate of OLD's key. */
int bundle_replace(const char *pem, const struct cert *old, const struct cert *new, char **ret_pem,
                   struct error *error);

/* How many certificates OpenSSL's own reader, and nginx with it, finds in PEM; 0 where it stops at an error,
 * as at two that are glued together in one line. */
size_t bundle_count_strict(const char *pem);
