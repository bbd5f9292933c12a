#pragma once

/* What lies in a certificate's directory, for somebody who only looks: nothing is locked, repaired or
 * written. */

#include "lib/connection.h"
#include "lib/store.h"

struct inspected_generation {
        uint64_t number;
        bool is_current;
        char fingerprint[FINGERPRINT_HEX]; /* empty where it cannot be read */
        usec_t not_before, not_after;      /* effective */
        struct error problem;
};

struct inspection {
        bool has_set;
        struct set set;             /* without its key: `set.key` is NULL */
        struct cert_list chain, ca; /* the intermediates; what ca.crt holds */
        struct connection connection;
        char key[16]; /* "rsa-4096"; from the leaf */

        struct inspected_generation *generations; /* newest first */
        size_t n_generations;

        struct {
                bool key, csr, token, certificate;
        } staged; /* for the generation after the current one */

        struct error problem; /* why there is no set, although there is a directory */
};
void inspection_clear(struct inspection *inspection);

/*
 * Reads DIRECTORY. That a swap happens meanwhile is no problem: then it is read again. The private key is
 * read only to see that it belongs to the leaf, and cleansed. What cannot be read for want of rights is a
 * problem that says so; a key that this user may not read is none, since operators of the read group may not.
 * 0, also with problems; -ENOMEM.
 */
int inspect_directory(const char *directory, struct inspection *ret);
