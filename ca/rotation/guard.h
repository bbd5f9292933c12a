#pragma once

/* Whether a CA may leave the bundles: not while a leaf in use would be lost by it. Pure. */

#include "lib/util/macro.h"
#include "lib/util/time.h"

struct guard_facts {
        bool is_carried;      /* the leaves verify to what stays: same key, name and key identifier */
        bool is_rejected;     /* the gateways do not accept them any more as it is */
        bool is_counted;      /* the fleet was counted */
        unsigned n_left;      /* how many sets are left under it; where counted */
        const char *unnamed;  /* one of them that `forced` does not name; NULL: none */
        usec_t last_issued;   /* when the last of its leaves may have been issued; CLOCK_REALTIME */
        usec_t leaf_lifetime; /* the longest */
        const char *forced;   /* names that an operator gives up; NULL: none */
        usec_t now;
};

enum guard_answer {
        GUARD_REFUSED,
        GUARD_CARRIED,  /* nothing is lost, by the key */
        GUARD_REJECTED, /* nothing is left to be lost */
        GUARD_NONE_LEFT,
        GUARD_EXPIRED, /* the last leaf has expired */
        GUARD_FORCED,
        GUARD_MAX,
};
extern const char *const guard_texts[GUARD_MAX]; /* clauses; that of GUARD_REFUSED is for plans */

enum guard_answer guard_find(const struct guard_facts *facts);

/* Whether LIST, names with commas between them, has NAME. LIST may be NULL. */
bool guard_has_name(const char *list, const char *name);
