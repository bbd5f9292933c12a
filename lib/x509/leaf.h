#pragma once

/* Client certificates that a CA's own key signs: short-lived ones, to ask a gateway what it has loaded. */

#include "lib/x509/cert.h"

/* By what a leaf says which certificate of its CA it belongs to. */
enum leaf_mark {
        LEAF_BY_KEY,         /* the key identifier, as Connectors issue them */
        LEAF_BY_CERTIFICATE, /* issuer and serial number as well: only this certificate of the CA will do */
};

struct leaf_terms {
        const struct cert *issuer;
        const struct key *issuer_key;
        const struct key *key;
        const struct subject *subject;
        enum leaf_mark mark;
        usec_t not_before, not_after; /* CLOCK_REALTIME; whole seconds count */
};

/* digitalSignature and clientAuth, a random serial number, SHA-256. All of TERMS is borrowed. PEM, owned by
 * the caller. A few milliseconds of RSA. 0, -EINVAL for a subject that X.509 cannot hold, -EIO, -ENOMEM. */
int leaf_make(const struct leaf_terms *terms, char **ret_pem, struct error *error);
