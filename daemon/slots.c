/* A counter and a line of those who wait for it. */

#include "daemon/slots.h"

bool slots_take(struct slots *slots) {
        if (slots->n_free == 0 || slots->first)
                return false;
        slots->n_free--;
        return true;
}

void slots_return(struct slots *slots) {
        struct slot_waiter *waiter = slots->first;

        slots->n_free++;
        if (!waiter)
                return;
        slots_leave(slots, waiter);
        slots->n_free--;
        waiter->granted(waiter);
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
