#pragma once

/* Which leaves a CA and a bundle carry, found out with leaves, and with OpenSSL as the verifier. */

#include "lib/x509/cert.h"

struct carry_ca {
        const struct cert *cert;
        const struct key *key;
};

/* Whether a leaf of CA, as a Connector issues them, verifies to BUNDLE at NOW. LEAF_KEY is any RSA key. 1 or
 * 0, or -errno with a sentence. */
int carry_check(const struct carry_ca *ca, const struct key *leaf_key, const char *bundle_pem, usec_t now,
                struct error *error);
