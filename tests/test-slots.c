#include "daemon/slots.h"

#include "tests/test.h"

struct guest {
        struct slot_waiter waiter;
        unsigned turn; /* when it was granted, from 1; 0: never */
};

static unsigned turns;

static void on_granted(struct slot_waiter *waiter) {
        ((struct guest *)waiter)->turn = ++turns;
}

#define GUEST                                      \
        {                                          \
                .waiter = {.granted = on_granted } \
        }

START_TEST(first_come_first_served) {
        struct slots slots = { .n_total = 2 };
        struct guest guests[4] = { GUEST, GUEST, GUEST, GUEST };

        turns = 0;
        ck_assert(slots_take(&slots));
        ck_assert(slots_take(&slots));
        ck_assert(!slots_take(&slots));
        for (size_t i = 0; i < 4; i++)
                slots_wait(&slots, &guests[i].waiter);
        slots_wait(&slots, &guests[0].waiter); /* in line already */
        ck_assert_uint_eq(turns, 0);

        slots_leave(&slots, &guests[1].waiter);
        slots_leave(&slots, &guests[1].waiter);
        slots_leave(&slots, &guests[3].waiter);
        slots_return(&slots);
        slots_return(&slots);
        ck_assert_uint_eq(guests[0].turn, 1);
        ck_assert_uint_eq(guests[1].turn, 0);
        ck_assert_uint_eq(guests[2].turn, 2);
        ck_assert_uint_eq(guests[3].turn, 0);
        ck_assert_uint_eq(slots.n_total - slots.n_used, 0);

        slots_return(&slots);
        ck_assert_uint_eq(slots.n_total - slots.n_used, 1);
        slots_wait(&slots, &guests[3].waiter); /* there is one: no need to wait */
        ck_assert_uint_eq(guests[3].turn, 3);
        ck_assert_uint_eq(slots.n_total - slots.n_used, 0);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("slots");

        TEST_CASE(suite, first_come_first_served);
        return test_run(suite);
}
