#pragma once

/* The new key and certificate of a rotation. */

#include "ca/rotation/record.h"
#include "lib/x509/key.h"

struct stage_ports {
        int (*generate)(void *userdata, unsigned bits, struct key **ret, struct error *error);
        void *userdata;
        usec_t now;
};

/*
 * Makes them into RECORD, and checks with OpenSSL as the verifier that the bundles to come carry the leaves
 * that they must. Nothing where they are there already. 0; -EPERM where a bundle does not, or the CA cannot
 * be made again; or another -errno. RECORD is as before then.
 */
int stage_make(struct record *record, const struct stage_ports *ports, struct error *error);
