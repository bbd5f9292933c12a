/*
 * Restarts and those who are to be told: what is owed outlives a kill, with its back-off; and what a stop in
 * good order leaves to do.
 */

#include <signal.h>

#include "daemon/observe/messages.h"
#include "tests/e2e/restarts.h"
#include "tests/support/fixture.h"
#include "tests/test.h"

/* --- Notifications --- */

START_TEST(a_kill_during_a_delivery_loses_none) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_with_dependents();

        /* The first one is slow, and rekeyd is killed over it. */
        scratch_write(fixture->directory, "slow", "", 0600);
        fixture_start(fixture, NULL);
        fixture_expect_text(fixture, "first begins");
        fixture_kill(fixture);
        remove_file(fixture, "slow");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 0);
        assert_file(fixture, "told", "first 1\nsecond 1\n");

        if (is_wrapped()) {
                test_skip("a_kill_during_a_delivery_loses_none, and a renewal after it: a key of 4096 bits "
                          "takes "
                          "minutes under valgrind");
                return;
        }

        /* Owed generation 2, it renews once more: the newest is what they learn of, in order. */
        fixture_edit(fixture, "token_file:", "key: {bits: 3072}\n    token_file:");
        scratch_write(fixture->directory, "deadly", "", 0600);
        fixture_start(fixture, NULL);
        ck_assert_int_eq(process_wait(fixture->rekeyd), 128 + SIGKILL);
        fixture_edit(fixture, "bits: 3072", "bits: 4096");
        remove_file(fixture, "told");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        _cleanup_(freep) char *told = scratch_read(fixture->directory, "told");
        const char *end = "first 3\nsecond 3\n";
        ck_assert_msg(told && strlen(told) >= strlen(end) && streq(told + strlen(told) - strlen(end), end),
                      "%s", told);
        ck_assert_uint_eq(fixture_calls(fixture, "sign"), 3);

        /* Nothing is owed any more. */
        remove_file(fixture, "told");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 0);
        ck_assert_ptr_null(scratch_read(fixture->directory, "told"));
}
END_TEST

START_TEST(a_dependent_that_kills_each_time_is_told_each_time) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_with_dependents();

        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        remove_file(fixture, "told");
        fixture_edit(fixture, "token_file:", "key: {bits: 3072}\n    token_file:");
        for (unsigned i = 0; i < 4; i++) {
                scratch_write(fixture->directory, "deadly", "", 0600);
                fixture_start(fixture, NULL);
                ck_assert_int_eq(process_wait(fixture->rekeyd), 128 + SIGKILL);
        }
        ck_assert_int_eq(fixture_run(fixture, "--once"), 0);
        assert_file(fixture, "told", "first 2\nsecond 2\n");
        ck_assert_uint_eq(fixture_count(fixture, "runs", "run first 2"), 5);
        ck_assert_uint_eq(fixture_calls(fixture, "sign"), 2);
}
END_TEST

/* A kill right after the swap: the journal knows of the old set only. */
START_TEST(a_kill_between_swap_and_journal_loses_none) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_with_dependents();
        _cleanup_(freep) char *old = NULL;

        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        old = scratch_read(fixture->directory, "state/orders.json");
        fixture_edit(fixture, "token_file:", "key: {bits: 3072}\n    token_file:");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        assert_file(fixture, "told", "first 1\nsecond 1\nfirst 2\nsecond 2\n");
        remove_file(fixture, "told");
        scratch_write(fixture->directory, "state/orders.json", old, 0600);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 0);
        assert_file(fixture, "told", "first 2\nsecond 2\n");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 0);
        assert_file(fixture, "told", "first 2\nsecond 2\n");
        ck_assert_uint_eq(fixture_calls(fixture, "sign"), 2);
}
END_TEST

/* Runs of the first dependent under this rekeyd, of which SEEN are older, that have not been logged as
 * failed. */
static unsigned open_runs(struct fixture *fixture, unsigned seen) {
        unsigned runs = fixture_count(fixture, "runs", "run first") - seen;

        return runs - count(process_output(fixture->rekeyd, PROCESS_STDERR), MESSAGE_NOT_NOTIFIED);
}

START_TEST(a_failing_dependent_is_backed_off_over_restarts) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_with_dependents();
        const unsigned n_starts = is_wrapped() ? 4 : 20;
        usec_t begin = now_usec(CLOCK_MONOTONIC), span;
        unsigned runs = 0, cut_off = 0;

        scratch_write(fixture->directory, "failing-first", "", 0600);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_NOT_NOTIFIED);
        fixture_expect(fixture, MESSAGE_NOTIFIED);
        for (unsigned i = 0; i < n_starts; i++) {
                /* A run that is cut off is made again at once: those that are seen to have begun are awaited.
                 */
                while (open_runs(fixture, runs) > 0)
                        fixture_expect(fixture, MESSAGE_NOT_NOTIFIED);
                if (i % 2 == 0)
                        ck_assert_int_eq(fixture_stop(fixture), 0);
                else
                        fixture_kill(fixture);
                cut_off += open_runs(fixture, runs);
                runs = fixture_count(fixture, "runs", "run first");
                fixture_start(fixture, NULL);
                fixture_expect(fixture, MESSAGE_CURRENT);
        }
        ck_assert_int_eq(fixture_stop(fixture), 0);
        span = now_usec(CLOCK_MONOTONIC) - begin;
        cut_off += open_runs(fixture, runs);
        runs = fixture_count(fixture, "runs", "run first");
        test_report("a failing dependent: %u starts in %.1f s, %u runs, %u of them cut off", n_starts,
                    (double)span / USEC_PER_SEC, runs, cut_off);
        ck_assert_uint_le(runs - cut_off, allowed_calls(span));
        ck_assert_uint_eq(fixture_count(fixture, "told", "second 1"), 1);
        ck_assert_uint_eq(fixture_calls(fixture, "sign"), 1);

        /* It mends itself. */
        remove_file(fixture, "failing-first");
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_NOTIFIED);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_uint_eq(fixture_count(fixture, "told", "first 1"), 1);
        ck_assert_uint_eq(fixture_count(fixture, "told", "second 1"), 1);
}
END_TEST

/* --- Stopped in good order --- */

START_TEST(ready_says_what_can_be_used) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_enrolled(ORDERS);

        /* Nothing is due; then it is. */
        for (unsigned i = 0; i < 2; i++) {
                fixture_configure(fixture, i == 0 ? ORDERS : ORDERS LARGER_KEY);
                fixture_fault(fixture, HOLD("configuration"));
                fixture_start(fixture, NULL);
                fixture_expect_member(fixture, MESSAGE_READY, "message", "ready: 1 of 1 certificate usable");
                ck_assert_int_eq(fixture_stop(fixture), 0);
        }
}
END_TEST

START_TEST(a_stop_during_an_attempt_is_no_failure) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_due();
        _cleanup_(freep) char *staged = NULL, *key = NULL;
        unsigned before = fixture_calls(fixture, "sign");
        usec_t begin;

        fixture_fault(fixture, HOLD("sign"));
        fixture_start(fixture, NULL);
        fixture_expect_held(fixture);
        staged = scratch_read(fixture->directory, "orders/..stage-000002/tls.key");
        ck_assert_ptr_nonnull(staged);
        begin = now_usec(CLOCK_MONOTONIC);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        if (!is_wrapped())
                ck_assert_uint_lt(now_usec(CLOCK_MONOTONIC) - begin, 5 * USEC_PER_SEC);
        fixture_lift_faults(fixture);

        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_RENEWED);
        ck_assert(!has_said(fixture, MESSAGE_HELD) && !has_said(fixture, MESSAGE_FAILED_TRANSIENT));
        ck_assert_int_eq(fixture_stop(fixture), 0);
        key = scratch_read(fixture->directory, "orders/tls.key");
        ck_assert_str_eq(key, staged);
        /* The reply to the first went to nobody. */
        test_report("stopped at sign: %u signatures for one renewal",
                    fixture_calls(fixture, "sign") - before);
        ck_assert_uint_le(fixture_calls(fixture, "sign") - before, 2);
}
END_TEST

START_TEST(a_stop_before_the_proof_costs_no_second_signature) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_due();
        unsigned before = fixture_calls(fixture, "sign");

        fixture_fault(fixture, HOLD("probe"));
        fixture_start(fixture, NULL);
        fixture_expect_held(fixture);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        fixture_lift_faults(fixture);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_RENEWED);
        ck_assert(!has_said(fixture, MESSAGE_HELD));
        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_uint_eq(fixture_calls(fixture, "sign"), before + 1);
}
END_TEST

/* The failures before an attempt that was stopped are not forgotten by the stop. */
START_TEST(once_ignores_a_back_off) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_due();
        unsigned before = fixture_calls(fixture, "configuration");

        fixture_fault(fixture, "{\"fault\":\"rate-limit\",\"at\":\"configuration\"}");
        for (unsigned i = 1; i <= 4; i++) {
                json_t *line;

                ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
                line = fixture_await(fixture, MESSAGE_FAILED);
                ck_assert_int_eq(atoi(member(line, "attempt")), (int)i);
                json_decref(line);
        }
        ck_assert_uint_eq(fixture_calls(fixture, "configuration"), before + 4);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_HELD);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        fixture_lift_faults(fixture);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        /* And nothing is left of it. */
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_CURRENT);
        ck_assert(!has_said(fixture, MESSAGE_HELD));
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

TEST_MAIN("restart-notices", a_kill_during_a_delivery_loses_none,
          a_dependent_that_kills_each_time_is_told_each_time, a_kill_between_swap_and_journal_loses_none,
          a_failing_dependent_is_backed_off_over_restarts, ready_says_what_can_be_used,
          a_stop_during_an_attempt_is_no_failure, a_stop_before_the_proof_costs_no_second_signature,
          once_ignores_a_back_off)
