#pragma once

/* All addresses of all gateways, probed once with a leaf of each CA. */

#include "ca/live/live.h"

/* The leaves that are sent; NULL for a CA that is not there. */
struct round_leaves {
        struct key *key;
        char *of_old, *of_new;
        char *in_use; /* of the old CA, as its Connector issues them */
};
void round_leaves_clear(struct round_leaves *leaves);
int round_leaves_make(const struct live *live, const struct live_cas *cas, struct round_leaves *ret,
                      struct error *error);

/* What one address answers; GATEWAY_ANSWER_MAX where there was no leaf. All is borrowed. */
struct round_answer {
        const struct site_gateway *gateway;
        const char *address;
        enum gateway_answer old, new, in_use;
        const char *why_old, *why_new, *why_in_use;
};

/* Calls FUNCTION for each address, until it returns another value than 0, which is returned. */
int round_run(const struct live *live, const struct round_leaves *leaves,
              int (*function)(const struct round_answer *answer, void *userdata, struct error *error),
              void *userdata, struct error *error);
