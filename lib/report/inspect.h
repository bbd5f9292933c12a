#pragma once

/* The contents of a certificate's directory, read-only: nothing is locked, repaired or written. */

#include "lib/config/config.h"
#include "lib/life/state.h"
#include "lib/protocol/connection.h"
#include "lib/store/store.h"

#define INSPECT_GENERATIONS_MAX 128u /* more than `keep` allows; the newest */

struct inspected_generation {
        uint64_t number;
        bool is_current;
        char fingerprint[FINGERPRINT_HEX]; /* empty where it cannot be read */
        usec_t not_before, not_after;      /* effective */
        struct error problem;
};

struct inspected_export {
        bool is_known; /* whether it is current; false without a set, or without the right to read it */
        bool is_current;
        struct error problem; /* why not, or why it is not known; none where the file has another content */
};

struct inspection {
        bool has_set, is_refused; /* the second: rekeyd does not use this directory, whatever is in it */
        struct set set;           /* without its key and the texts of its files: those are NULL */
        char fingerprint[FINGERPRINT_HEX]; /* of the leaf; empty without a set */
        struct cert_list chain, ca;        /* the intermediates; what ca.crt holds */
        struct connection connection;
        char key[CERT_KEY_TEXT]; /* "rsa-4096"; from the leaf */

        struct inspected_generation *generations; /* newest first */
        size_t n_generations;

        struct {
                bool key, csr, token, certificate;
        } staged; /* for the generation after the current one; all false where this user may not read it */

        struct inspected_export *exports; /* in the order of the configuration */
        size_t n_exports;

        struct error rights; /* what owner, group or mode of its files should be and are not */

        /* Why there is no set, although there is a directory; or what else rekeyd will not like there. None
         * where nothing was ever stored. */
        struct error problem;
};
void inspection_clear(struct inspection *inspection);

/*
 * Reads the directory of CERTIFICATE, and what its exports hold. That a swap happens meanwhile is no problem:
 * then it is read again, and all results belong to one generation. Private keys are read only to see that
 * they belong to their leaves and are in the exports, and cleansed. A file that this user may not read is a
 * problem; a key that this user may not read is none, since operators of the read group may not. Blocks on
 * the disk, and takes milliseconds: not for the loop's thread. 0, also with problems; -ENOMEM.
 */
int inspect_certificate(const struct config_certificate *certificate, const struct state *state,
                        struct inspection *ret);

/* The same for a directory of no configuration, without exports. */
int inspect_directory(const char *directory, struct inspection *ret);
