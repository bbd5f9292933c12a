#pragma once

/* Rotations for tests: a CA in memory or in files, and an engine upon it whose world the test makes up. */

#include "ca/place/files.h"
#include "ca/rotation/rotation.h"
#include "tests/support/x509.h"

enum { ROTATION_TRUSTS = 2 };

/* What befalls a write. */
enum mishap {
        MISHAP_NONE,
        MISHAP_KILL_BEFORE, /* nothing is written, and all ends */
        MISHAP_KILL_AFTER,  /* it is written, and all ends */
        MISHAP_LOST,        /* it is written, and an error is returned */
        MISHAP_STRANGER,    /* another writer was there just before */
        MISHAP_FAIL,        /* nothing is written, and an error is returned */
};

/* The world of a rotation: a CA and bundles in files, and ports. */
struct world {
        char *directory; /* scratch: ca.key, ca.crt, trust-0.pem, trust-1.pem, state.json */
        struct x509_cert ca, other, stranger;
        struct backend *places[1 + ROTATION_TRUSTS + 1]; /* signer, bundles, state file */
        struct backend *trusts[ROTATION_TRUSTS];         /* borrows */
        struct rotation_places engine_places;

        /* Writes of all places are counted from 0. */
        unsigned n_writes, mishap_at, n_struck;
        enum mishap mishap;
        bool is_dead;       /* killed: no place does anything until the next world_open() */
        char *displaced;    /* what a stranger has replaced; NULL: nothing was there */
        size_t stranger_at; /* among `places` */

        int verify_result, guard_result; /* of the ports */
        unsigned n_verified, n_guarded, leaf_bits;
        usec_t now;
};

/* One of the bundles has a foreign CA as well, a double, and no newline at its end. */
void world_begin(struct world *world);
void world_end(struct world *world);

extern const struct rotation_ports world_ports;

/* Each with a new engine, as after a start. */
int world_open(struct world *world, struct rotation **ret, struct error *error);
int world_plan(struct world *world, enum reason reason, struct error *error);
int world_apply(struct world *world, enum phase until, struct error *error);
int world_rollback(struct world *world, struct error *error);

/* A file of the directory; owned, NULL for none. */
char *world_read(const struct world *world, const char *name);

/* Undoes what a stranger did. */
void world_restore(struct world *world);

struct world_signer {
        const struct cert *cert;
        const struct key *key;
};

/* NULL, or what is wrong with the site: a signer whose parts do not belong together, a bundle that lacks the
 * CA that signs or a foreign one, leaves in use that are lost without a reason. */
const char *world_find_fault(const struct world *world, enum reason reason, bool is_retired);

/* The name of a file beside the signer that has a private key in it, owned; NULL for none. */
char *world_find_key(const struct world *world);
