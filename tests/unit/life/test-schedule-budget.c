/* The issuance budget: exact values at the edges, and that no hour sees more requests than it has. */

#include "lib/life/schedule.h"

#include "tests/test.h"

START_TEST(test_budget_wait) {
#define HOUR USEC_PER_HOUR
#define T    (1000 * USEC_PER_HOUR)
        static const struct {
                usec_t times[4];
                size_t n;
                unsigned per_hour;
                usec_t expected; /* at T */
        } cases[] = {
                /* nothing is ever allowed, or nothing was used yet */
                { { 0 }, 0, 0, USEC_INFINITY },
                { { T }, 1, 0, USEC_INFINITY },
                { { 0 }, 0, 1, 0 },
                { { T }, 1, 2, 0 },
                /* just now, at both ends of the hour, and long ago */
                { { T }, 1, 1, HOUR },
                { { T - 1 }, 1, 1, HOUR - 1 },
                { { T - HOUR + 1 }, 1, 1, 1 },
                { { T - HOUR }, 1, 1, 0 },
                { { T - HOUR - 1 }, 1, 1, 0 },
                { { 0 }, 1, 1, 0 },
                /* the PER_HOUR-th last decides, not the last and not the oldest */
                { { T - 50 * USEC_PER_MINUTE, T - 40 * USEC_PER_MINUTE, T }, 3, 3, 10 * USEC_PER_MINUTE },
                { { T - 50 * USEC_PER_MINUTE, T - 40 * USEC_PER_MINUTE, T }, 3, 2, 20 * USEC_PER_MINUTE },
                { { T - 50 * USEC_PER_MINUTE, T - 40 * USEC_PER_MINUTE, T }, 3, 1, HOUR },
                { { T - 50 * USEC_PER_MINUTE, T - 40 * USEC_PER_MINUTE, T }, 3, 4, 0 },
                { { T - HOUR, T - 1, T, T }, 4, 4, 0 },
                { { T - HOUR + 1, T - 1, T, T }, 4, 4, 1 },
                /* the same instant twice */
                { { T, T }, 2, 2, HOUR },
                { { T, T }, 2, 3, 0 },
                /* what lies in the future counts as now */
                { { T + 1 }, 1, 1, HOUR },
                { { T + 365 * USEC_PER_DAY }, 1, 1, HOUR },
                { { USEC_INFINITY }, 1, 1, HOUR },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                usec_t wait = schedule_budget_wait(cases[i].times, cases[i].n, cases[i].per_hour, T);

                ck_assert_msg(wait == cases[i].expected, "case %zu: %" PRI_USEC, i, wait);
        }

        /* Right after the boot, when an hour ago was not yet. */
        ck_assert_uint_eq(schedule_budget_wait((usec_t[]) { 0 }, 1, 1, 0), HOUR);
        ck_assert_uint_eq(schedule_budget_wait((usec_t[]) { 0 }, 1, 1, HOUR - 1), 1);
        ck_assert_uint_eq(schedule_budget_wait((usec_t[]) { 0 }, 1, 1, HOUR), 0);
}
END_TEST

/* As many as are left may be asked for at once, and then one has to wait. */
START_TEST(test_budget_left) {
        usec_t times[8];
        uint32_t seed = 1;

        ck_assert_uint_eq(schedule_budget_left(NULL, 0, 6, T), 6);
        ck_assert_uint_eq(schedule_budget_left(NULL, 0, 0, T), 0);
        ck_assert_uint_eq(schedule_budget_left((usec_t[]) { T, T + HOUR }, 2, 1, T), 0);
        for (unsigned i = 0; i < test_rounds(10000); i++) {
                unsigned per_hour = 1 + (seed = seed * 1664525 + 1013904223) % 8;
                usec_t now = T;
                size_t n = 0;

                for (unsigned k = 0; k < 12; k++) {
                        unsigned left = schedule_budget_left(times, n, per_hour, now);

                        ck_assert_int_eq(left > 0, schedule_budget_wait(times, n, per_hour, now) == 0);
                        if (left > 0) {
                                n = schedule_budget_record(times, n, ELEMENTSOF(times), now);
                                ck_assert_uint_eq(schedule_budget_left(times, n, per_hour, now), left - 1);
                        }
                        now += (seed = seed * 1664525 + 1013904223) % (HOUR / 3);
                }
        }
}
END_TEST

START_TEST(test_budget_larger_than_any) {
        usec_t times[SCHEDULE_BUDGET_MAX];
        size_t n = 0;

        /* More is asked for than can be remembered: then what can be remembered is the limit. */
        for (size_t i = 0; i < SCHEDULE_BUDGET_MAX; i++) {
                ck_assert_uint_eq(schedule_budget_wait(times, n, UINT32_MAX, T), 0);
                n = schedule_budget_record(times, n, SCHEDULE_BUDGET_MAX, T);
        }
        ck_assert_uint_eq(schedule_budget_wait(times, n, UINT32_MAX, T), HOUR);
        ck_assert_uint_eq(schedule_budget_wait(times, n, SCHEDULE_BUDGET_MAX, T), HOUR);
}
END_TEST

START_TEST(test_budget_record) {
        usec_t times[3];
        size_t n = 0;

        n = schedule_budget_record(times, n, 3, T);
        n = schedule_budget_record(times, n, 3, T);
        n = schedule_budget_record(times, n, 3, T + 5);
        ck_assert_uint_eq(n, 3);
        ck_assert_uint_eq(times[2], T + 5);

        /* full: the oldest goes */
        n = schedule_budget_record(times, n, 3, T + HOUR - 1);
        ck_assert_uint_eq(n, 3);
        ck_assert_uint_eq(times[0], T);
        ck_assert_uint_eq(times[1], T + 5);
        ck_assert_uint_eq(times[2], T + HOUR - 1);

        /* those of an hour ago go, and no others */
        n = schedule_budget_record(times, n, 3, T + HOUR + 4);
        ck_assert_uint_eq(n, 3);
        ck_assert_uint_eq(times[0], T + 5);
        n = schedule_budget_record(times, n, 3, T + HOUR + 5);
        ck_assert_uint_eq(n, 3);
        ck_assert_uint_eq(times[0], T + HOUR - 1);
        n = schedule_budget_record(times, n, 3, T + 3 * HOUR);
        ck_assert_uint_eq(n, 1);
        ck_assert_uint_eq(times[0], T + 3 * HOUR);

        /* at the hour itself, with room for both */
        ck_assert_uint_eq(schedule_budget_record(times, 1, 3, T + 4 * HOUR - 1), 2);
        ck_assert_uint_eq(schedule_budget_record(times, 1, 3, T + 4 * HOUR), 1);
        times[0] = T + 3 * HOUR;

        /* always in order */
        n = schedule_budget_record(times, n, 3, T);
        ck_assert_uint_eq(n, 2);
        ck_assert_uint_eq(times[1], T + 3 * HOUR);

        /* room for one is enough for a budget of one */
        ck_assert_uint_eq(schedule_budget_record(times, 0, 1, T), 1);
        ck_assert_uint_eq(schedule_budget_record(times, 1, 1, T + 7), 1);
        ck_assert_uint_eq(times[0], T + 7);
}
END_TEST

/* xorshift64*: the same walk in every run */
static uint64_t draw(uint64_t *state, uint64_t below) {
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        return (*state * UINT64_C(0x2545f4914f6cdd1d) >> 11) % below;
}

/* A span from microseconds to days, each order of magnitude as likely as the others. */
static usec_t draw_span(uint64_t *state) {
        static const usec_t orders[] = { 2,        USEC_PER_SEC, USEC_PER_MINUTE, 10 * USEC_PER_MINUTE,
                                         HOUR + 2, USEC_PER_DAY };

        return draw(state, orders[draw(state, ELEMENTSOF(orders))]);
}

START_TEST(test_budget_holds_in_every_hour) {
        static const unsigned budgets[] = { 1, 2, 6, 99, SCHEDULE_BUDGET_MAX };
        static usec_t issued[100000];
        uint64_t state = 20260509;

        for (size_t b = 0; b < ELEMENTSOF(budgets); b++) {
                unsigned per_hour = budgets[b];
                usec_t times[SCHEDULE_BUDGET_MAX], now = 0;
                size_t n = 0, n_issued = 0, n_refused = 0;

                for (unsigned step = 0; step < ELEMENTSOF(issued) / ELEMENTSOF(budgets); step++) {
                        usec_t wait = schedule_budget_wait(times, n, per_hour, now);

                        if (wait > 0) {
                                ck_assert_uint_le(wait, HOUR);
                                /* neither a microsecond too long nor one too short */
                                ck_assert_uint_eq(schedule_budget_wait(times, n, per_hour, now + wait), 0);
                                ck_assert_uint_eq(schedule_budget_wait(times, n, per_hour, now + wait - 1),
                                                  1);
                                n_refused++;
                                now += draw(&state, 2) ? wait : draw_span(&state);
                                continue;
                        }
                        n = schedule_budget_record(times, n, SCHEDULE_BUDGET_MAX, now);
                        issued[n_issued++] = now;
                        if (n_issued > per_hour)
                                ck_assert_uint_ge(now - issued[n_issued - 1 - per_hour], HOUR);
                        now += draw(&state, 32) ? draw(&state, HOUR / per_hour) : draw_span(&state);
                }
                test_report("budget of %u: %zu requests, %zu refused", per_hour, n_issued, n_refused);
                ck_assert_uint_gt(n_issued, 100);
                ck_assert_uint_gt(n_refused, 100);
        }
}
END_TEST

TEST_MAIN("schedule-budget", test_budget_wait, test_budget_left, test_budget_larger_than_any,
          test_budget_record, test_budget_holds_in_every_hour)
