/*
 * A pairing heap: each timer is due no later than its children, so the first is the next to come. To set one
 * costs a comparison, to take one out a few for each of its children. sd_event has heaps of its own, but asks
 * 300 bytes for each timer, and memory for it at the time when it is armed, between things that are freed
 * soon after.
 *
 * What is stopped leaves the timer of the loop as it is: that may wake up for nothing, once.
 */

#include "daemon/loop/exact-timers.h"

#include "daemon/loop/alarm.h"

static struct exact_timer *merge(struct exact_timer *a, struct exact_timer *b) {
        struct exact_timer *parent, *child;

        if (!a || !b)
                return a ? a : b;
        parent = a->when <= b->when ? a : b;
        child = parent == a ? b : a;
        child->next = parent->child;
        child->pprev = &parent->child;
        if (child->next)
                child->next->pprev = &child->next;
        parent->child = child;
        parent->next = NULL;
        return parent;
}

/* Siblings in pairs, then the pairs from the last to the first, which keeps the heap shallow. */
static struct exact_timer *merge_all(struct exact_timer *siblings) {
        struct exact_timer *pairs = NULL, *whole = NULL;

        while (siblings) {
                struct exact_timer *a = siblings, *b = a->next;

                siblings = b ? b->next : NULL;
                a->next = NULL;
                if (b)
                        b->next = NULL;
                a = merge(a, b);
                a->next = pairs;
                pairs = a;
        }
        while (pairs) {
                struct exact_timer *pair = pairs;

                pairs = pair->next;
                pair->next = NULL;
                whole = merge(whole, pair);
        }
        return whole;
}

static void put(struct exact_timer **place, struct exact_timer *timer) {
        *place = timer;
        if (timer)
                timer->pprev = place;
}

/* Its children are due no earlier than what is above it: the first of them takes its place. */
void exact_timer_stop(struct exact_timer *timer) {
        struct exact_timer *heir;

        if (!timer->pprev)
                return;
        heir = merge_all(timer->child);
        if (heir) {
                put(&heir->next, timer->next);
                put(timer->pprev, heir);
        } else
                put(timer->pprev, timer->next);
        timer->child = timer->next = NULL;
        timer->pprev = NULL;
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata);

/* The loop wakes up for the first of TIMERS, if not before. */
static int arm(struct exact_timers *timers) {
        return alarm_no_later(timers->event, &timers->source, timers->clock, timers->first->when, on_time,
                              timers);
}

static int on_time(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        struct exact_timers *timers = userdata;
        struct exact_timer *timer = timers->first;

        if (timer && timer->when <= now_usec(timers->clock)) {
                exact_timer_stop(timer);
                timer->came(timer);
        }
        return timers->first ? arm(timers) : 0;
}

int exact_timer_set(struct exact_timers *timers, struct exact_timer *timer, usec_t when) {
        int r;

        exact_timer_stop(timer);
        timer->when = when;
        put(&timers->first, merge(timers->first, timer));
        r = arm(timers);
        if (r >= 0)
                return 0;
        exact_timer_stop(timer);
        return r;
}

void exact_timers_clear(struct exact_timers *timers) {
        timers->source = sd_event_source_disable_unref(timers->source);
}
