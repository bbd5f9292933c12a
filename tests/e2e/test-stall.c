/* How long the loop is busy with one thing, at most. Runs alone, since it measures. */

#include "daemon/observe/messages.h"
#include "tests/support/fixture.h"
#include "tests/test.h"

/* The budget: whoever asks the daemon something waits no longer than this. */
#define STALL_MAX_MS 20.0

/* On a machine that is shared, somebody else's work may take the processor away in the middle of a turn. What
 * our own code does to the loop, it does each time: the best of so many runs counts. */
#define RUNS_MAX 3

static double longest_turn(void) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
        double longest;

        fixture_prepare(fixture, ORDERS "    key: {bits: 4096}\n");
        fixture_add_control(fixture);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_ENROLLED);
        longest = 1000 * fixture_metric(fixture, "rekeyd_loop_longest_turn_seconds");
        ck_assert_int_eq(fixture_stop(fixture), 0);
        return longest;
}

START_TEST(a_large_key_does_not_stall_the_loop) {
        double longest = STALL_MAX_MS;

        test_report("loop: needs a quiet machine, and runs alone");
        for (unsigned i = 0; i < RUNS_MAX && longest >= STALL_MAX_MS; i++) {
                longest = longest_turn();
                test_report("loop: longest turn %.3f ms while a 4096-bit key was made and signed", longest);
        }
        ck_assert_double_lt(longest, STALL_MAX_MS);
        ck_assert_double_gt(longest, 0);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("stall");

        if (test_is_instrumented())
                test_skip("a_large_key_does_not_stall_the_loop: %s, and times say nothing",
                          test_is_instrumented());
        else
                TEST_CASE(suite, a_large_key_does_not_stall_the_loop);
        return test_run(suite);
}
