#pragma once

/* The right to renew: so many attempts at a time, first come, first served. */

#include "lib/util/macro.h"

/* Embedded by whoever may have to wait. GRANTED is called when the slot is theirs: from slots_return(), or
 * from slots_wait() when one has become free meanwhile. */
struct slot_waiter {
        void (*granted)(struct slot_waiter *waiter);
        struct slot_waiter *next;
        bool is_waiting;
};

struct slots {
        unsigned n_total, n_used; /* n_used is more than n_total for a while when that was lowered */
        struct slot_waiter *first, *last;
};

/* From now on there are N_TOTAL slots. Those who wait get what is new; what is too much is not given out
 * again. */
void slots_resize(struct slots *slots, unsigned n_total);

/* Takes a slot if one is free and nobody is before us. */
bool slots_take(struct slots *slots);

/* Gives a slot back; the first in line gets it. */
void slots_return(struct slots *slots);

/* Gets in line, or out of it; neither does anything a second time. */
void slots_wait(struct slots *slots, struct slot_waiter *waiter);
void slots_leave(struct slots *slots, struct slot_waiter *waiter);
