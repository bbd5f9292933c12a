/* Many instants on one timer of a real loop: what comes together, and what a callback may do. */

#include "daemon/loop/coarse-timers.h"

#include "tests/support/process.h"
#include "tests/test.h"

#define N 5u

static sd_event *event;
static struct coarse_timers timers;
static struct coarse_timer many[N];
static unsigned came[N], n_came;
static void (*then)(unsigned i);

static void on_time(struct coarse_timer *timer) {
        const unsigned i = (unsigned)(timer - many);

        came[i]++;
        n_came++;
        if (then)
                then(i);
}

static void set_up(void) {
        ck_assert_int_ge(sd_event_new(&event), 0);
        timers = (struct coarse_timers) { .event = event, .slack_usec = 20 * USEC_PER_SEC };
        for (unsigned i = 0; i < N; i++)
                many[i] = (struct coarse_timer) { .came = on_time };
        memset(came, 0, sizeof(came));
        n_came = 0;
        then = NULL;
}

static void tear_down(void) {
        for (unsigned i = 0; i < N; i++)
                coarse_timer_stop(&many[i]);
        coarse_timers_clear(&timers);
        sd_event_unref(event);
}

static void set(unsigned i, usec_t span) {
        ck_assert_int_eq(coarse_timer_set(&timers, &many[i], usec_add(now_usec(CLOCK_BOOTTIME), span)), 0);
}

/* The loop runs until COUNT have come; then it has nothing to do. */
static void await(unsigned count) {
        const usec_t deadline = usec_add(now_usec(CLOCK_MONOTONIC), patience_usec());

        while (n_came < count) {
                ck_assert_msg(now_usec(CLOCK_MONOTONIC) < deadline, "only %u came", n_came);
                ck_assert_int_ge(sd_event_run(event, USEC_PER_SEC), 0);
        }
        ck_assert_uint_eq(n_came, count);
        ck_assert_int_eq(sd_event_run(event, 0), 0);
}

START_TEST(what_is_near_comes_together_and_what_is_far_waits) {
        set(0, 100 * USEC_PER_SEC);
        set(1, 15 * USEC_PER_SEC);
        set(2, 10 * USEC_PER_MSEC); /* sooner than those before it */
        set(3, USEC_INFINITY);
        await(2);
        ck_assert(came[1] == 1 && came[2] == 1);
        ck_assert(coarse_timer_is_waiting(&many[0]) && coarse_timer_is_waiting(&many[3]));
        ck_assert(!coarse_timer_is_waiting(&many[1]));
}
END_TEST

START_TEST(the_last_instant_counts_and_what_is_stopped_does_not_come) {
        set(0, 0);
        set(0, 100 * USEC_PER_SEC);
        set(1, 0);
        coarse_timer_stop(&many[1]);
        coarse_timer_stop(&many[1]);
        set(2, 0);
        await(1);
        ck_assert_uint_eq(came[2], 1);
        set(0, 0);
        await(2);
        ck_assert_uint_eq(came[0], 1);
}
END_TEST

/* The first that comes stops another that was to come with it, sets one again, and sets one that is new. */
static void meddle(unsigned i) {
        if (n_came > 1)
                return;
        for (unsigned k = 0; k < 3; k++)
                if (k != i) {
                        coarse_timer_stop(&many[k]);
                        break;
                }
        set(i, 0);
        set(4, 0);
}

START_TEST(a_callback_may_do_anything) {
        then = meddle;
        for (unsigned i = 0; i < 3; i++)
                set(i, 0);
        await(4); /* two of three, one of them again, and the new one */
        ck_assert_uint_eq(came[4], 1);
        ck_assert_uint_eq(came[0] + came[1] + came[2], 3);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("coarse-timers");

        TEST_CASE_IN(suite, what_is_near_comes_together_and_what_is_far_waits, set_up, tear_down);
        TEST_CASE_IN(suite, the_last_instant_counts_and_what_is_stopped_does_not_come, set_up, tear_down);
        TEST_CASE_IN(suite, a_callback_may_do_anything, set_up, tear_down);
        return test_run(suite);
}
