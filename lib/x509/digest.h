#pragma once

/* SHA-256: of texts, as hexadecimal; of many parts. */

#include "lib/x509/cert.h"

/* 0, or -EIO where OpenSSL does not provide it. */
int digest_text(const char *text, char ret[FINGERPRINT_HEX]);

/* One SHA-256 of several parts, each with its size, so that no two lists of parts are alike. */
struct digest;
struct digest *digest_new(void); /* NULL: memory is out, or OpenSSL does not provide it */
void digest_add(struct digest *digest, const void *data, size_t size);
int digest_end(struct digest *digest, uint8_t ret[FINGERPRINT_SIZE]); /* 0 or -EIO */
struct digest *digest_free(struct digest *digest);
DEFINE_CLEANUP(struct digest *, digest_free);

/* The version of OpenSSL that is in use, which may decide otherwise than another one. */
const char *digest_library(void);
