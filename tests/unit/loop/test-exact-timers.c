/* Many instants on one timer of a real loop: in which order they come, and what a callback may do. */

#include "daemon/loop/exact-timers.h"

#include "tests/support/process.h"
#include "tests/test.h"

#define N 400u

static sd_event *event;
static struct exact_timers timers;
static struct exact_timer many[N];
static unsigned came[N], n_came;
static usec_t last;
static void (*then)(unsigned i);

static void on_time(struct exact_timer *timer) {
        const unsigned i = (unsigned)(timer - many);

        ck_assert_msg(timer->when >= last || then, "%u comes after one that is due later", i);
        ck_assert_msg(timer->when <= now_usec(CLOCK_BOOTTIME), "%u is early", i);
        last = timer->when;
        came[i]++;
        n_came++;
        if (then)
                then(i);
}

static void set_up(void) {
        ck_assert_int_ge(sd_event_new(&event), 0);
        timers = (struct exact_timers) { .event = event, .clock = CLOCK_BOOTTIME };
        for (unsigned i = 0; i < N; i++)
                many[i] = (struct exact_timer) { .came = on_time };
        memset(came, 0, sizeof(came));
        n_came = 0;
        last = 0;
        then = NULL;
}

static void tear_down(void) {
        for (unsigned i = 0; i < N; i++)
                exact_timer_stop(&many[i]);
        ck_assert_ptr_null(timers.first);
        exact_timers_clear(&timers);
        sd_event_unref(event);
}

static void set(unsigned i, usec_t when) {
        ck_assert_int_eq(exact_timer_set(&timers, &many[i], when), 0);
        ck_assert(exact_timer_is_waiting(&many[i]));
}

/* The loop runs until COUNT have come; then it has nothing to do. */
static void await(unsigned count) {
        const usec_t deadline = usec_add(now_usec(CLOCK_MONOTONIC), patience_usec());

        while (n_came < count) {
                ck_assert_msg(now_usec(CLOCK_MONOTONIC) < deadline, "only %u came", n_came);
                ck_assert_int_ge(sd_event_run(event, USEC_PER_SEC), 0);
        }
        while (sd_event_run(event, 0) > 0)
                ;
        ck_assert_uint_eq(n_came, count);
}

/* Set, set again and stopped as SEED has it. Each that waits comes once, in its turn. */
static void try_order(unsigned seed) {
        unsigned n = 0;

        for (unsigned i = 0; i < 5 * N; i++) {
                const unsigned k = (unsigned)rand_r(&seed) % N;

                if (rand_r(&seed) % 4 == 0)
                        exact_timer_stop(&many[k]);
                else
                        set(k, 1 + (unsigned)rand_r(&seed) % N);
        }
        for (unsigned i = 0; i < N; i++)
                n += exact_timer_is_waiting(&many[i]) ? 1 : 0;
        ck_assert_uint_gt(n, N / 2);
        await(n);
        for (unsigned i = 0; i < N; i++)
                ck_assert(came[i] <= 1 && !exact_timer_is_waiting(&many[i]));
}

START_TEST(each_comes_once_and_in_order) {
        for (unsigned seed = 0; seed < 20; seed++) {
                memset(came, 0, sizeof(came));
                n_came = 0;
                last = 0;
                try_order(seed);
        }
}
END_TEST

START_TEST(what_is_later_waits_and_what_is_sooner_goes_first) {
        const usec_t now = now_usec(CLOCK_BOOTTIME);

        set(0, now + 100 * USEC_PER_SEC);
        set(1, USEC_INFINITY);
        set(2, now + 30 * USEC_PER_MSEC);
        set(3, now + 10 * USEC_PER_MSEC);
        await(2);
        ck_assert(came[2] == 1 && came[3] == 1);
        ck_assert(exact_timer_is_waiting(&many[0]) && exact_timer_is_waiting(&many[1]));
}
END_TEST

/* The first that comes stops another that is due as well, sets itself again, and one that is new. */
static void meddle(unsigned i) {
        if (n_came > 1)
                return;
        exact_timer_stop(&many[i == 0 ? 1 : 0]);
        set(i, 1);
        set(4, 1);
}

START_TEST(a_callback_may_do_anything) {
        then = meddle;
        for (unsigned i = 0; i < 3; i++)
                set(i, 1);
        await(4); /* two of three, one of them again, and the new one */
        ck_assert_uint_eq(came[4], 1);
        ck_assert_uint_eq(came[0] + came[1] + came[2], 3);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("exact-timers");

        TEST_CASE_IN(suite, each_comes_once_and_in_order, set_up, tear_down);
        TEST_CASE_IN(suite, what_is_later_waits_and_what_is_sooner_goes_first, set_up, tear_down);
        TEST_CASE_IN(suite, a_callback_may_do_anything, set_up, tear_down);
        return test_run(suite);
}
