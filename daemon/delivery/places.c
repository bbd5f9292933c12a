/*
 * Thousands of certificates may owe something at the same time, as after an outage: each delivery is a
 * process or a connection, and those that hang keep theirs until a time-out. The invariant: no place is free
 * that a waiter may have.
 */

#include "daemon/delivery/places.h"

static bool may_take(const struct places *places, enum place kind) {
        return places->n_used < PLACES_MAX && (kind == PLACE_FIRST || places->n_retries < PLACES_RETRIES_MAX);
}

static void use(struct places *places, enum place kind) {
        places->n_used++;
        places->n_retries += kind == PLACE_RETRY ? 1 : 0;
}

bool places_take(struct places *places, enum place kind) {
        if (!may_take(places, kind))
                return false;
        use(places, kind);
        return true;
}

void places_return(struct places *places, enum place kind) {
        places->n_used--;
        places->n_retries -= kind == PLACE_RETRY ? 1 : 0;
        for (enum place next = 0; next < PLACE_MAX; next++)
                while (places->lines[next].first && may_take(places, next)) {
                        struct place_waiter *waiter = places->lines[next].first;

                        places_leave(places, waiter);
                        use(places, next);
                        waiter->granted(waiter);
                }
}

void places_wait(struct places *places, struct place_waiter *waiter, enum place kind) {
        if (waiter->is_waiting && waiter->kind == kind)
                return;
        places_leave(places, waiter);
        waiter->is_waiting = true;
        waiter->kind = kind;
        waiter->next = NULL;
        waiter->pprev = places->lines[kind].end ? places->lines[kind].end : &places->lines[kind].first;
        *waiter->pprev = waiter;
        places->lines[kind].end = &waiter->next;
}

void places_leave(struct places *places, struct place_waiter *waiter) {
        if (!waiter->is_waiting)
                return;
        waiter->is_waiting = false;
        *waiter->pprev = waiter->next;
        if (waiter->next)
                waiter->next->pprev = waiter->pprev;
        else
                places->lines[waiter->kind].end = waiter->pprev;
}
