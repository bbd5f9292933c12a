#pragma once

/* The state file of a rotation: all that is needed to take it up again, or to go back. */

#include <jansson.h>

#include "ca/rotation/backend.h"
#include "ca/rotation/phase.h"
#include "lib/util/time.h"

#define RECORD_SIZE_MAX (4u * 1024 * 1024)

/* A signer or a bundle. */
struct record_place {
        char *name;                /* of its back-end */
        struct contents before;    /* the bytes that were there; a key is NULL once it was erased */
        char version[VERSION_MAX]; /* what the last write of ours has left; at first what was read */
};

struct record {
        enum reason reason;
        enum phase phase;
        usec_t entered[PHASE_MAX]; /* when, CLOCK_REALTIME; 0: not yet */
        struct record_place signer;
        struct record_place *trusts;
        size_t n_trusts;
        char *new_key;                /* PEM; NULL before it is staged, and once it was erased */
        char *new_certificate;        /* PEM; NULL before it is staged */
        usec_t not_before, not_after; /* of the new certificate; whole seconds */
        unsigned key_bits;            /* of a new key */
        usec_t leaf_lifetime;         /* the longest that the Connector issues */
        char *forced;                 /* the names that an operator has given up; NULL: none */
        char version[VERSION_MAX];    /* of the state file itself; not in it */
};

struct record *record_free(struct record *record);
DEFINE_CLEANUP(struct record *, record_free);

/* JSON, one object, with keys in it: the caller cleanses. 0 or -ENOMEM. */
int record_write(const struct record *record, char **ret_text);

/* What record_write() wrote. 0, -EINVAL or -ENOMEM. */
int record_read(const char *text, struct record **ret, struct error *error);

/* Every private key goes: the new one, and that of before. */
void record_erase_keys(struct record *record);

/* For people and --json: without any key. NULL: no memory. */
json_t *record_describe(const struct record *record);
