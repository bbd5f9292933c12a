#pragma once

/* One timer of the loop for many instants that are kept to, one clock each, so that thousands of them cost
 * 40 bytes apiece, and none a wake-up before it is due. */

#include <systemd/sd-event.h>

#include "lib/util/macro.h"
#include "lib/util/time.h"

struct exact_timer;

struct exact_timers {
        sd_event *event;
        clockid_t clock; /* CLOCK_REALTIME or CLOCK_BOOTTIME */

        /* Private to exact-timers.c. */
        sd_event_source *source;
        struct exact_timer *first;
};

/* Embedded in its owner, who sets CAME once; zero otherwise. It stays where it is while it waits. */
struct exact_timer {
        void (*came)(struct exact_timer *timer); /* it waits no longer; it may be set again, or freed */
        usec_t when;                             /* on the clock of its timers */

        /* Private to exact-timers.c. */
        struct exact_timer *child, *next, **pprev; /* PPREV is NULL while it does not wait */
};

/* {.event = ..., .clock = ...} is ready. Nothing may wait any more. */
void exact_timers_clear(struct exact_timers *timers);

/* TIMER comes at WHEN, and not at the instant that was set before, of whichever clock. One comes in each turn
 * of the loop. 0, or -errno: then it does not wait. */
int exact_timer_set(struct exact_timers *timers, struct exact_timer *timer, usec_t when);

/* It does not come. Does nothing where it does not wait. */
void exact_timer_stop(struct exact_timer *timer);

static inline bool exact_timer_is_waiting(const struct exact_timer *timer) {
        return timer->pprev;
}
