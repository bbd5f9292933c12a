#pragma once

/* The contents that each place has in the course of a rotation, worked out from the state file. */

#include "ca/rotation/record.h"
#include "lib/x509/cert.h"

/* A signer has no `both`: it is as `before`. Owned. */
struct states {
        struct contents before, both, final;
};
void states_clear(struct states *states);

/* Of the signer, and of a bundle. The record has a new certificate. 0 or -errno. */
int states_of_signer(const struct record *record, struct states *ret, struct error *error);
int states_of_trust(const struct record *record, const struct record_place *place, struct states *ret,
                    struct error *error);

/* What the bundle has once the phase trusted is reached; borrowed from STATES. */
const struct contents *states_trusted(const struct record *record, const struct states *states);

/* The first certificate in PEM. 0 or -errno. */
int states_read_cert(const char *pem, struct cert **ret, struct error *error);

/* In which of its states a place may be; bits. */
enum {
        STATE_BEFORE = 1 << 0,
        STATE_BOTH = 1 << 1,
        STATE_FINAL = 1 << 2,
        STATE_HALF = 1 << 3, /* each text is that of one of them: a kill was between two files */
};

/* Which of STATES have these CONTENTS; a key that was erased is not compared. 0: none. */
unsigned states_find(const struct states *states, const struct contents *contents);

/* Which are right in PHASE, with the step that may follow it under way. */
unsigned states_allowed(enum reason reason, enum phase phase, bool is_signer);
