#pragma once

/* SHA-256 of texts, as hexadecimal. */

#include "lib/x509/cert.h"

/* 0, or -EIO where OpenSSL does not provide it. */
int digest_text(const char *text, char ret[FINGERPRINT_HEX]);
