#pragma once

/* One timer of the loop for many instants that may be a little early, so that thousands of them cost neither
 * memory nor wake-ups of their own. */

#include <systemd/sd-event.h>

#include "lib/util/macro.h"
#include "lib/util/time.h"

struct coarse_timer;

struct coarse_timers {
        sd_event *event;
        usec_t slack_usec; /* by how much one may be early */

        /* Private to coarse-timers.c. */
        sd_event_source *source;
        struct coarse_timer *first;
};

/* Embedded in its owner, who sets CAME once; zero otherwise. */
struct coarse_timer {
        void (*came)(struct coarse_timer *timer); /* it waits no longer; it may be set again, or freed */
        usec_t when;                              /* CLOCK_BOOTTIME */

        /* Private to coarse-timers.c. */
        struct coarse_timer *next, **pprev; /* PPREV is NULL while it does not wait */
};

/* {.event = ..., .slack_usec = ...} is ready. Nothing may wait any more. */
void coarse_timers_clear(struct coarse_timers *timers);

/* TIMER comes at WHEN, and not at the instant that was set before. 0, or -errno: then it waits all the same,
 * and comes with the next one that can be set. */
int coarse_timer_set(struct coarse_timers *timers, struct coarse_timer *timer, usec_t when);

/* It does not come. Does nothing where it does not wait. */
void coarse_timer_stop(struct coarse_timer *timer);

static inline bool coarse_timer_is_waiting(const struct coarse_timer *timer) {
        return timer->pprev;
}
