#pragma once

/* The right to deliver: so many notifications at a time, for all certificates. */

#include "lib/util/macro.h"

#define PLACES_MAX         32u
#define PLACES_RETRIES_MAX 16u /* of those, for what has failed before */

enum place {
        PLACE_FIRST, /* for a dependent that was not tried yet */
        PLACE_RETRY, /* for one that could not be notified */
        PLACE_MAX,
};

/* Embedded in an object that may have to wait. The owner sets GRANTED once; KIND is as what it waits. GRANTED
 * is called when the place is theirs: from places_return() of any owner. */
struct place_waiter {
        void (*granted)(struct place_waiter *waiter);
        enum place kind;
        bool is_waiting;

        /* Private to places.c. */
        struct place_waiter *next, **pprev;
};

/* {0} is ready. */
struct places {
        unsigned n_used, n_retries;

        /* Private to places.c. */
        struct {
                struct place_waiter *first, **end; /* no END: it is empty */
        } lines[PLACE_MAX];
};

/*
 * Who was not tried yet goes first, and who came first among these. What has failed before never has more
 * than half of the places: should all of it hang, a first notification finds a place all the same.
 */

/* Takes a place if there is one. */
bool places_take(struct places *places, enum place kind);

/* Gives one back; who is next gets it. */
void places_return(struct places *places, enum place kind);

/* Gets in line for KIND, in place of another line; or out of it. Neither does anything a second time. */
void places_wait(struct places *places, struct place_waiter *waiter, enum place kind);
void places_leave(struct places *places, struct place_waiter *waiter);
