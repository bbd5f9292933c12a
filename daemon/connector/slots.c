/*
 * Who may renew now. Two Connectors share the slots evenly as long as both have work; one that hangs never
 * has all of them, and few when its calls have begun to fail. Within a Connector nothing matters but who
 * expires first.
 *
 * The waiters are a pairing heap for each group, with the waiters as its nodes: when ten thousand
 * certificates fall due together, getting in line costs nothing, and being next costs a few comparisons. The
 * invariant that keeps the rest simple: no slot is free that a waiter may have. Whatever makes a slot free,
 * or a group eligible, therefore calls grant() last.
 */

#include "daemon/connector/slots.h"

#include <errno.h>

/* --- The heap --- */

static bool goes_before(const struct slot_waiter *a, const struct slot_waiter *b) {
        return a->expiry_usec != b->expiry_usec ? a->expiry_usec < b->expiry_usec : a->ticket < b->ticket;
}

/* Both are roots without siblings, or NULL. */
static struct slot_waiter *meld(struct slot_waiter *a, struct slot_waiter *b) {
        struct slot_waiter *first, *second;

        if (!a || !b)
                return a ? a : b;
        first = goes_before(a, b) ? a : b;
        second = first == a ? b : a;

        second->next = first->child;
        if (second->next)
                second->next->pprev = &second->next;
        second->pprev = &first->child;
        first->child = second;
        return first;
}

static struct slot_waiter *shift(struct slot_waiter **list) {
        struct slot_waiter *node = *list;

        if (node) {
                *list = node->next;
                node->next = NULL;
        }
        return node;
}

/* The siblings of LIST as one heap: in pairs from the left, then the pairs from the right. The order is what
 * makes it cheap (Fredman, Sedgewick, Sleator, Tarjan: The pairing heap, 1986). */
static struct slot_waiter *meld_siblings(struct slot_waiter *list) {
        struct slot_waiter *pairs = NULL, *root = NULL, *node;

        while (list) {
                node = shift(&list);
                node = meld(node, shift(&list));
                node->next = pairs;
                pairs = node;
        }
        while ((node = shift(&pairs)))
                root = meld(root, node);
        return root;
}

/* --- Groups --- */

int slots_group(struct slots *slots, const char *name, struct slot_group **ret) {
        struct slot_group *group = slots->groups;

        while (group && !streq(group->name, name))
                group = group->next;
        if (!group) {
                group = calloc(1, sizeof(*group));
                if (!group)
                        return -ENOMEM;
                group->name = strdup(name);
                if (!group->name) {
                        free(group);
                        return -ENOMEM;
                }
                group->next = slots->groups;
                slots->groups = group;
                slots->n_groups++;
        }
        *ret = group;
        return 0;
}

void slots_clear(struct slots *slots) {
        while (slots->groups) {
                struct slot_group *group = slots->groups;

                slots->groups = group->next;
                slots->n_groups--;
                free(group->name);
                free(group);
        }
}

static void set_first(struct slot_group *group, struct slot_waiter *first) {
        group->first = first;
        if (first)
                first->pprev = &group->first;
}

static unsigned most_of(const struct slots *slots, const struct slot_group *group) {
        unsigned quarter = slots->n_total / 4;

        if (!group->is_doubtful)
                return slots->n_groups > 1 ? slots->n_total - quarter : slots->n_total;
        return quarter > 0 ? quarter : 1;
}

static bool may_take(const struct slots *slots, const struct slot_group *group) {
        return slots->n_used < slots->n_total && group->n_used < most_of(slots, group);
}

static void use(struct slots *slots, struct slot_group *group) {
        slots->n_used++;
        group->n_used++;
}

static struct slot_group *next_group(const struct slots *slots) {
        struct slot_group *best = NULL;

        for (struct slot_group *group = slots->groups; group; group = group->next) {
                if (!group->first || !may_take(slots, group))
                        continue;
                if (!best || group->n_used < best->n_used ||
                    (group->n_used == best->n_used && goes_before(group->first, best->first)))
                        best = group;
        }
        return best;
}

/* Gives out what can be given. The waiter may do anything from within its callback: the next group is
 * selected again each time. */
static void grant(struct slots *slots) {
        struct slot_group *group;

        while ((group = next_group(slots))) {
                struct slot_waiter *waiter = group->first;

                slots_leave(waiter);
                use(slots, group);
                waiter->granted(waiter);
        }
}

bool slots_take(struct slots *slots, struct slot_waiter *waiter) {
        if (!may_take(slots, waiter->group))
                return false;
        use(slots, waiter->group);
        return true;
}

void slots_return(struct slots *slots, struct slot_waiter *waiter) {
        slots->n_used--;
        waiter->group->n_used--;
        grant(slots);
}

void slots_wait(struct slots *slots, struct slot_waiter *waiter) {
        struct slot_group *group = waiter->group;

        if (waiter->is_waiting)
                return;
        waiter->is_waiting = true;
        waiter->ticket = slots->next_ticket++;
        waiter->child = waiter->next = NULL;
        group->n_waiting++;
        set_first(group, meld(group->first, waiter));
        grant(slots);
}

void slots_leave(struct slot_waiter *waiter) {
        struct slot_group *group = waiter->group;
        struct slot_waiter *children;

        if (!waiter->is_waiting)
                return;
        waiter->is_waiting = false;
        group->n_waiting--;

        children = meld_siblings(take_ptr(waiter->child));
        if (group->first == waiter) {
                set_first(group, children);
                return;
        }
        *waiter->pprev = waiter->next;
        if (waiter->next)
                waiter->next->pprev = waiter->pprev;
        waiter->next = NULL;
        set_first(group, meld(group->first, children));
}

void slots_resize(struct slots *slots, unsigned n_total) {
        slots->n_total = n_total;
        grant(slots);
}

const struct slot_group *slots_find_group(const struct slots *slots, const char *name) {
        const struct slot_group *group = slots->groups;

        while (group && !streq(group->name, name))
                group = group->next;
        return group;
}

void slots_report_result(struct slots *slots, struct slot_group *group, bool answer) {
        bool was_doubtful = group->is_doubtful;

        group->is_doubtful = !answer;
        *(answer ? &group->answered_usec : &group->silent_usec) = now_usec(CLOCK_REALTIME);
        if (was_doubtful && answer)
                grant(slots);
}
