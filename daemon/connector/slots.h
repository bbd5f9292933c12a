#pragma once

/* The right to renew: so many attempts at a time, shared fairly between Connectors. */

#include "lib/util/macro.h"
#include "lib/util/time.h"

struct slot_waiter;

/* Those who call the same Connector; from slots_group(). */
struct slot_group {
        char *name;
        unsigned n_used, n_waiting;
        bool is_doubtful;                  /* slots_report_result() */
        usec_t answered_usec, silent_usec; /* the last report of either kind, CLOCK_REALTIME; 0: none yet */

        /* Private to slots.c. */
        struct slot_waiter *first; /* the heap's root: who goes next */
        struct slot_group *next;
};

/*
 * Embedded in an object that may have to wait. The owner sets GRANTED and GROUP once, GROUP again only while
 * it neither waits nor holds a slot, and EXPIRY_USEC before it waits. GRANTED is called when the slot is
 * theirs: from slots_return(), slots_resize() or slots_report_result() of any owner, or from slots_wait()
 * itself.
 */
struct slot_waiter {
        void (*granted)(struct slot_waiter *waiter);
        struct slot_group *group;
        usec_t expiry_usec; /* CLOCK_REALTIME, when its certificate expires; 0: it has expired or never was */
        bool is_waiting;

        /* Private to slots.c: a pairing heap. */
        uint64_t ticket;                           /* who came first, among those that expire together */
        struct slot_waiter *child, *next, **pprev; /* leftmost child, next sibling, what points to us */
};

/* {.n_total = N} is ready. n_used is more than n_total for a while when that was lowered. */
struct slots {
        unsigned n_total, n_used;

        /* Private to slots.c. */
        uint64_t next_ticket;
        struct slot_group *groups;
        unsigned n_groups;
};

/* The group called NAME, made at the first call for it; 0 or -ENOMEM. A group stays until slots_clear(), so
 * that neither what it uses nor what is thought of it is lost when a configuration is replaced. */
int slots_group(struct slots *slots, const char *name, struct slot_group **ret);

/* The group called NAME, or NULL. */
const struct slot_group *slots_find_group(const struct slots *slots, const char *name);

/* Frees the groups, last of all: waiters are not called. */
void slots_clear(struct slots *slots);

/*
 * A slot that becomes free goes to the group that uses the fewest of those with waiters, and in it to the
 * certificate that expires first. Groups that use the same number are compared by that, too.
 *
 * No group gets the last quarter of all slots, where there is another one: it may hang before anything is
 * known of it, for as long as its time-out, and others may fall due meanwhile. A doubtful group gets a
 * quarter, at least one slot: what it holds beyond that when it becomes doubtful it keeps, until it is
 * returned.
 *
 * Each call is O(log n) in the number of those who wait, amortised, and linear in the number of groups.
 */

/* Takes a slot if one is free and WAITER's group may have it. */
bool slots_take(struct slots *slots, struct slot_waiter *waiter);

/* Gives WAITER's slot back; who goes next gets it. */
void slots_return(struct slots *slots, struct slot_waiter *waiter);

/* Gets in line, or out of it; neither does anything a second time. */
void slots_wait(struct slots *slots, struct slot_waiter *waiter);
void slots_leave(struct slot_waiter *waiter);

/* From now on there are N_TOTAL slots. Those who wait get what is new; what is too much is not given out
 * again. */
void slots_resize(struct slots *slots, unsigned n_total);

/* A call to GROUP's Connector has ended: by ANSWER (true), whatever its contents, or without one: no
 * connection, a time-out, a 5xx. The latter makes the group doubtful until the next answer. */
void slots_report_result(struct slots *slots, struct slot_group *group, bool answer);
