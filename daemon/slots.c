/* A counter and a line of those who wait for it. */

#include "daemon/slots.h"

bool slots_take(struct slots *slots) {
        if (slots->n_used >= slots->n_total || slots->first)
                return false;
        slots->n_used++;
        return true;
}

static void grant_next(struct slots *slots) {
        struct slot_waiter *waiter = slots->first;

        if (!waiter || slots->n_used >= slots->n_total)
                return;
        slots_leave(slots, waiter);
        slots->n_used++;
        waiter->granted(waiter);
}

void slots_return(struct slots *slots) {
        slots->n_used--;
        grant_next(slots);
}

void slots_resize(struct slots *slots, unsigned n_total) {
        unsigned n_more = n_total > slots->n_total ? n_total - slots->n_total : 0;

        slots->n_total = n_total;
        while (n_more-- > 0)
                grant_next(slots);
}

void slots_wait(struct slots *slots, struct slot_waiter *waiter) {
        if (waiter->is_waiting)
                return;
        if (slots_take(slots)) {
                waiter->granted(waiter);
                return;
        }
        waiter->is_waiting = true;
        waiter->next = NULL;
        if (slots->last)
                slots->last->next = waiter;
        else
                slots->first = waiter;
        slots->last = waiter;
}

void slots_leave(struct slots *slots, struct slot_waiter *waiter) {
        struct slot_waiter **link = &slots->first, *previous = NULL;

        if (!waiter->is_waiting)
                return;
        while (*link != waiter) {
                previous = *link;
                link = &previous->next;
        }
        *link = waiter->next;
        if (slots->last == waiter)
                slots->last = previous;
        waiter->is_waiting = false;
}
