#pragma once

/* For cert-read.c: the certificates that were parsed last. */

#include <stdint.h>

#include "lib/x509/cert.h"

/* A new reference to the certificate that was kept under FINGERPRINT, or NULL. */
struct cert *cert_cache_find(const uint8_t fingerprint[FINGERPRINT_SIZE]);

/* Keeps a reference to CERT, in place of the one that was not requested for longest. */
void cert_cache_keep(const struct cert *cert);
