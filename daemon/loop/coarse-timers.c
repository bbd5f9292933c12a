/*
 * A list without an order: it is walked when a timer comes, which is once in `slack_usec` at most, and what
 * comes within that time comes together. To set and to stop a timer costs no walk. One that was stopped may
 * leave the loop to wake up for nothing, once.
 */

#include "daemon/loop/coarse-timers.h"

#include "daemon/loop/alarm.h"

static void link_into(struct coarse_timer **list, struct coarse_timer *timer) {
        timer->next = *list;
        timer->pprev = list;
        if (timer->next)
                timer->next->pprev = &timer->next;
        *list = timer;
}

void coarse_timer_stop(struct coarse_timer *timer) {
        if (!timer->pprev)
                return;
        *timer->pprev = timer->next;
        if (timer->next)
                timer->next->pprev = timer->pprev;
        timer->next = NULL;
        timer->pprev = NULL;
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata);

/* The loop wakes up at WHEN, if not before. */
static int arm(struct coarse_timers *timers, usec_t when) {
        return alarm_no_later(timers->event, &timers->source, CLOCK_BOOTTIME, when, on_time, timers);
}

/* Those that come are taken out first: each may set, stop or free any of them. */
static int on_time(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        struct coarse_timers *timers = userdata;
        const usec_t until = usec_add(now_usec(CLOCK_BOOTTIME), timers->slack_usec);
        struct coarse_timer *coming = NULL, *next;
        usec_t earliest = USEC_INFINITY;

        for (struct coarse_timer *timer = timers->first; timer; timer = next) {
                next = timer->next;
                if (timer->when <= until) {
                        coarse_timer_stop(timer);
                        link_into(&coming, timer);
                } else if (timer->when < earliest)
                        earliest = timer->when;
        }
        while (coming) {
                struct coarse_timer *timer = coming;

                coarse_timer_stop(timer);
                timer->came(timer);
        }
        return earliest == USEC_INFINITY ? 0 : arm(timers, earliest);
}

int coarse_timer_set(struct coarse_timers *timers, struct coarse_timer *timer, usec_t when) {
        int r;

        coarse_timer_stop(timer);
        timer->when = when;
        link_into(&timers->first, timer);
        r = arm(timers, when);
        return r < 0 ? r : 0;
}

void coarse_timers_clear(struct coarse_timers *timers) {
        timers->source = sd_event_source_disable_unref(timers->source);
}
