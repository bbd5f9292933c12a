#pragma once

/* Which generation takes the place of a damaged one. Pure. */

#include "lib/store/store.h"

/* What can be known of one generation. */
struct known_generation {
        uint64_t number;
        bool is_complete;
        bool is_copy; /* of generation `source`: an operator rolled back to it, or rekeyd repaired with it */
        uint64_t source;
        char fingerprint[FINGERPRINT_HEX]; /* empty: unknown */
        bool has_spki;
        uint8_t spki[SPKI_HASH_SIZE];
        char *subject;             /* owned, canonical; NULL: unknown */
        usec_t not_before, expiry; /* 0: unknown */
        bool is_revoked;
};

/* Of the N GENERATIONS, oldest first, the one that takes the place of DAMAGED, which may be among them:
 * *RET_INDEX, or *RET_WHY, a clause for each that cannot, owned by the caller; NULL when memory is out. */
enum store_choice store_choose(const struct known_generation *damaged,
                               const struct known_generation *generations, size_t n, usec_t now,
                               size_t *ret_index, char **ret_why);
