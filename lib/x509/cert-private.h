#pragma once

/* What a certificate is, for cert.c, which tells it, and cert-read.c, which finds it out. */

#include "lib/x509/cert.h"

struct cert {
        X509 *handle;
        usec_t not_before;
        usec_t not_after;
        uint8_t fingerprint[FINGERPRINT_SIZE];
        uint8_t spki[SPKI_HASH_SIZE];
        bool ca;
        bool self_signed;
        bool client_auth;
};
