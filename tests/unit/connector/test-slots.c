/* Who gets the slots, in which order, and what a bad Connector may do to the others. */

#include "daemon/connector/slots.h"

#include "tests/test.h"

struct guest {
        struct slot_waiter waiter;
        unsigned turn; /* when it was granted, from 1; 0: never */
};

static unsigned turns;

static void on_granted(struct slot_waiter *waiter) {
        ck_assert(!waiter->is_waiting);
        ((struct guest *)waiter)->turn = ++turns;
}

static struct guest guest_of(struct slot_group *group, usec_t expiry_usec) {
        return (struct guest) {
                .waiter = { .granted = on_granted, .group = group, .expiry_usec = expiry_usec },
        };
}

static struct slot_group *group_of(struct slots *slots, const char *name) {
        struct slot_group *group = NULL;

        ck_assert_int_eq(slots_group(slots, name, &group), 0);
        return group;
}

static bool is_idle(const struct slot_group *group) {
        return group->n_used == 0 && group->n_waiting == 0;
}

static void take(struct slots *slots, struct slot_group *group, unsigned n) {
        struct slot_waiter waiter = { .group = group };

        for (unsigned i = 0; i < n; i++)
                ck_assert(slots_take(slots, &waiter));
}

static void give_back(struct slots *slots, struct slot_group *group, unsigned n) {
        struct slot_waiter waiter = { .group = group };

        for (unsigned i = 0; i < n; i++)
                slots_return(slots, &waiter);
}

static bool can_take(struct slots *slots, struct slot_group *group) {
        struct slot_waiter waiter = { .group = group };

        if (!slots_take(slots, &waiter))
                return false;
        slots_return(slots, &waiter);
        return true;
}

START_TEST(no_more_than_there_are) {
        _cleanup_(slots_clear) struct slots slots = { .n_total = 2 };
        struct slot_group *group = group_of(&slots, "ucl");
        struct guest guests[4];

        turns = 0;
        for (size_t i = 0; i < 4; i++)
                guests[i] = guest_of(group, 0);
        ck_assert(is_idle(group));
        take(&slots, group, 2);
        ck_assert(!can_take(&slots, group));
        for (size_t i = 0; i < 4; i++)
                slots_wait(&slots, &guests[i].waiter);
        slots_wait(&slots, &guests[0].waiter); /* in line already */
        ck_assert_uint_eq(turns, 0);
        ck_assert_uint_eq(group->n_waiting, 4);

        slots_leave(&guests[1].waiter);
        slots_leave(&guests[1].waiter);
        slots_leave(&guests[3].waiter);
        give_back(&slots, group, 2);
        ck_assert_uint_eq(guests[0].turn, 1);
        ck_assert_uint_eq(guests[1].turn, 0);
        ck_assert_uint_eq(guests[2].turn, 2);
        ck_assert_uint_eq(guests[3].turn, 0);
        ck_assert_uint_eq(slots.n_used, 2);
        ck_assert(!is_idle(group));

        give_back(&slots, group, 1);
        ck_assert_uint_eq(slots.n_used, 1);
        slots_wait(&slots, &guests[3].waiter); /* there is one: no need to wait */
        ck_assert_uint_eq(guests[3].turn, 3);
        ck_assert_uint_eq(slots.n_used, 2);
        give_back(&slots, group, 2);
        ck_assert(is_idle(group));
}
END_TEST

START_TEST(who_expires_first_goes_first) {
        static const usec_t expiries[] = { 50, 10, 40, 10, 0, 30, 20 };
        static const unsigned turn_of[] = { 7, 2, 6, 3, 1, 5, 4 }; /* equals: first come, first served */
        _cleanup_(slots_clear) struct slots slots = { .n_total = 1 };
        struct slot_group *group = group_of(&slots, "ucl");
        struct guest guests[ELEMENTSOF(expiries)];

        turns = 0;
        take(&slots, group, 1);
        for (size_t i = 0; i < ELEMENTSOF(expiries); i++) {
                guests[i] = guest_of(group, expiries[i]);
                slots_wait(&slots, &guests[i].waiter);
        }
        give_back(&slots, group, ELEMENTSOF(expiries));
        for (size_t i = 0; i < ELEMENTSOF(expiries); i++)
                ck_assert_uint_eq(guests[i].turn, turn_of[i]);
}
END_TEST

START_TEST(groups_share_evenly) {
        _cleanup_(slots_clear) struct slots slots = { .n_total = 8 };
        struct slot_group *large = group_of(&slots, "large"), *small = group_of(&slots, "small");
        struct guest many[40], few[5];

        /* All of the large group expire earlier, and came first. */
        turns = 0;
        for (size_t i = 0; i < ELEMENTSOF(many); i++) {
                many[i] = guest_of(large, 10);
                slots_wait(&slots, &many[i].waiter);
        }
        for (size_t i = 0; i < ELEMENTSOF(few); i++) {
                few[i] = guest_of(small, 1000);
                slots_wait(&slots, &few[i].waiter);
        }
        ck_assert_uint_eq(large->n_used, 6);
        ck_assert_uint_eq(small->n_used, 2);

        /* Whoever gives it back, it goes to the one with fewer. */
        give_back(&slots, large, 2);
        ck_assert_uint_eq(large->n_used, 4);
        ck_assert_uint_eq(small->n_used, 4);
        ck_assert_uint_eq(few[3].turn, 10);
        give_back(&slots, small, 1);
        ck_assert_uint_eq(few[4].turn, 11);
        give_back(&slots, large, 1);
        ck_assert_uint_eq(large->n_used, 4);

        /* Nobody waits in the small group any more. */
        give_back(&slots, small, 4);
        ck_assert_uint_eq(large->n_used, 6);
        ck_assert_uint_eq(slots.n_used, 6);
}
END_TEST

START_TEST(between_equals_the_more_urgent) {
        _cleanup_(slots_clear) struct slots slots = { .n_total = 1 };
        struct slot_group *other = group_of(&slots, "other");
        struct guest a = guest_of(group_of(&slots, "a"), 20), b = guest_of(group_of(&slots, "b"), 10);

        turns = 0;
        take(&slots, other, 1);
        slots_wait(&slots, &a.waiter);
        slots_wait(&slots, &b.waiter);
        give_back(&slots, other, 1);
        ck_assert_uint_eq(b.turn, 1);
        ck_assert_uint_eq(a.turn, 0);
}
END_TEST

START_TEST(the_last_quarter_is_for_the_others) {
        static const struct {
                unsigned n_total, most;
        } cases[] = { { 16, 12 }, { 7, 6 }, { 4, 3 }, { 3, 3 }, { 1, 1 }, { 1000, 750 } };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(slots_clear) struct slots slots = { .n_total = cases[i].n_total };
                struct slot_group *first = group_of(&slots, "first"), *second;

                take(&slots, first, cases[i].n_total); /* as long as there is no other */
                give_back(&slots, first, cases[i].n_total);
                second = group_of(&slots, "second");
                take(&slots, first, cases[i].most);
                ck_assert(!can_take(&slots, first));
                take(&slots, second, cases[i].n_total - cases[i].most);
        }
}
END_TEST

START_TEST(a_doubtful_group_gets_a_quarter) {
        static const struct {
                unsigned n_total, most;
        } cases[] = { { 16, 4 }, { 7, 1 }, { 4, 1 }, { 3, 1 }, { 1, 1 }, { 1000, 250 } };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(slots_clear) struct slots slots = { .n_total = cases[i].n_total };
                struct slot_group *bad = group_of(&slots, "bad"), *good = group_of(&slots, "good");

                slots_report_result(&slots, bad, false);
                take(&slots, bad, cases[i].most);
                ck_assert(!can_take(&slots, bad));
                take(&slots, good, cases[i].n_total - cases[i].most);
                ck_assert(!can_take(&slots, good));
        }
}
END_TEST

START_TEST(what_fails_does_not_starve_the_others) {
        _cleanup_(slots_clear) struct slots slots = { .n_total = 8 };
        struct slot_group *bad = group_of(&slots, "bad"), *good = group_of(&slots, "good");
        struct guest ill[20], well[20];

        turns = 0;
        for (size_t i = 0; i < 20; i++) {
                ill[i] = guest_of(bad, 1);
                well[i] = guest_of(good, 1000);
                slots_wait(&slots, &ill[i].waiter);
        }
        ck_assert_uint_eq(bad->n_used, 6);

        /* Time-outs: what the bad group gives back it does not get again, although nobody else wants it. */
        slots_report_result(&slots, bad, false);
        give_back(&slots, bad, 1);
        ck_assert_uint_eq(bad->n_used, 5);
        give_back(&slots, bad, 3);
        ck_assert_uint_eq(bad->n_used, 2);
        ck_assert_uint_eq(slots.n_used, 2);

        for (size_t i = 0; i < 20; i++)
                slots_wait(&slots, &well[i].waiter);
        ck_assert_uint_eq(good->n_used, 6);
        ck_assert_uint_eq(bad->n_used, 2);
        give_back(&slots, good, 6);
        ck_assert_uint_eq(good->n_used, 6);

        /* It answers again: the first that becomes free goes to it, which uses fewer. */
        slots_report_result(&slots, bad, true);
        ck_assert_uint_eq(bad->n_used, 2);
        give_back(&slots, good, 2);
        ck_assert_uint_eq(bad->n_used, 4);
        ck_assert_uint_eq(good->n_used, 4);
}
END_TEST

START_TEST(an_answer_gives_back_what_was_withheld) {
        _cleanup_(slots_clear) struct slots slots = { .n_total = 8 };
        struct slot_group *group = group_of(&slots, "ucl");
        struct guest guests[8];

        turns = 0;
        slots_report_result(&slots, group, false);
        for (size_t i = 0; i < 8; i++) {
                guests[i] = guest_of(group, i);
                slots_wait(&slots, &guests[i].waiter);
        }
        ck_assert_uint_eq(turns, 2);
        slots_report_result(&slots, group, false);
        ck_assert_uint_eq(turns, 2);
        slots_report_result(&slots, group, true);
        ck_assert_uint_eq(turns, 8);
        ck_assert_uint_eq(group->n_waiting, 0);
        ck_assert_ptr_eq(group_of(&slots, "ucl"), group);
}
END_TEST

START_TEST(the_number_may_change) {
        _cleanup_(slots_clear) struct slots slots = { .n_total = 4 };
        struct slot_group *group = group_of(&slots, "ucl");
        struct guest guests[8];

        turns = 0;
        for (size_t i = 0; i < 8; i++) {
                guests[i] = guest_of(group, 0);
                slots_wait(&slots, &guests[i].waiter);
        }
        ck_assert_uint_eq(turns, 4);
        slots_resize(&slots, 6);
        ck_assert_uint_eq(turns, 6);
        slots_resize(&slots, 2);
        give_back(&slots, group, 4);
        ck_assert_uint_eq(turns, 6);
        ck_assert_uint_eq(slots.n_used, 2);
        give_back(&slots, group, 1);
        ck_assert_uint_eq(turns, 7);
}
END_TEST

/* A waiter may return its slot, and get in line again, from within its callback. */
static struct slots *reentrant_slots;

static void on_granted_briefly(struct slot_waiter *waiter) {
        struct guest *guest = (struct guest *)waiter;

        if (++guest->turn < 3) {
                slots_wait(reentrant_slots, waiter);
                slots_return(reentrant_slots, waiter);
        }
}

START_TEST(a_callback_may_call_back) {
        _cleanup_(slots_clear) struct slots slots = { .n_total = 2 };
        struct slot_group *groups[] = { group_of(&slots, "a"), group_of(&slots, "b") };
        struct guest guests[10];

        reentrant_slots = &slots;
        take(&slots, groups[0], 2);
        for (size_t i = 0; i < 10; i++) {
                guests[i] = guest_of(groups[i % 2], i);
                guests[i].waiter.granted = on_granted_briefly;
                slots_wait(&slots, &guests[i].waiter);
        }
        give_back(&slots, groups[0], 2);
        while (slots.n_used > 0)
                give_back(&slots, groups[0]->n_used > 0 ? groups[0] : groups[1], 1);
        for (size_t i = 0; i < 10; i++)
                ck_assert_uint_eq(guests[i].turn, 3);
        ck_assert(is_idle(groups[0]) && is_idle(groups[1]));
}
END_TEST

/* All fall due together, leave at random, and go in their order. Quadratic behaviour would take minutes. */
START_TEST(a_hundred_thousand_in_line) {
        enum { N = 100000 };
        _cleanup_(slots_clear) struct slots slots = { .n_total = 1 };
        struct slot_group *group = group_of(&slots, "ucl");
        struct guest *guests = calloc(N, sizeof(*guests)), **order = calloc(N, sizeof(struct guest *));
        usec_t begin = now_usec(CLOCK_MONOTONIC);
        unsigned n_left = 0, seed = 1;

        ck_assert_ptr_nonnull(guests);
        ck_assert_ptr_nonnull(order);
        turns = 0;
        take(&slots, group, 1);
        for (size_t i = 0; i < N; i++) {
                seed = seed * 1664525u + 1013904223u;
                guests[i] = guest_of(group, seed >> 12);
                slots_wait(&slots, &guests[i].waiter);
        }
        for (size_t i = 0; i < N; i += 3, n_left++)
                slots_leave(&guests[i].waiter);
        for (size_t i = 0; i < N - n_left; i++)
                give_back(&slots, group, 1);
        test_report("slots: %d in line in %.1f ms", N,
                    (double)(now_usec(CLOCK_MONOTONIC) - begin) / USEC_PER_MSEC);

        ck_assert_uint_eq(turns, N - n_left);
        ck_assert_uint_eq(group->n_waiting, 0);
        for (size_t i = 0; i < N; i++) {
                ck_assert((guests[i].turn == 0) == (i % 3 == 0));
                if (guests[i].turn > 0)
                        order[guests[i].turn - 1] = &guests[i];
        }
        for (size_t i = 1; i < N - n_left; i++)
                ck_assert_uint_le(order[i - 1]->waiter.expiry_usec, order[i]->waiter.expiry_usec);
        free(order);
        free(guests);
}
END_TEST

TEST_MAIN("slots", no_more_than_there_are, who_expires_first_goes_first, groups_share_evenly,
          between_equals_the_more_urgent, the_last_quarter_is_for_the_others, a_doubtful_group_gets_a_quarter,
          what_fails_does_not_starve_the_others, an_answer_gives_back_what_was_withheld,
          the_number_may_change, a_callback_may_call_back, a_hundred_thousand_in_line)
