/*
 * Restarts and those who are to be told: what is owed outlives a kill, with its back-off; and what a stop in
 * good order leaves to do.
 */

#include <signal.h>

#include "daemon/messages.h"
#include "tests/support/restarts.h"
#include "tests/support/stand.h"
#include "tests/test.h"

static void await_text(struct stand *stand, const char *text) {
        _cleanup_(freep) char *line = process_await(stand->rekeyd, PROCESS_STDERR, text);

        ck_assert_msg(line != NULL, "rekeyd never said '%s'", text);
}

/* --- Notifications --- */

START_TEST(a_kill_during_a_delivery_loses_none) {
        _cleanup_(stand_freep) struct stand *stand = stand_with_dependents();

        /* The first one is slow, and rekeyd is killed over it. */
        scratch_write(stand->directory, "slow", "", 0600);
        stand_start(stand, NULL);
        await_text(stand, "first begins");
        stand_kill(stand);
        remove_file(stand, "slow");
        ck_assert_int_eq(stand_run(stand, "--once"), 0);
        assert_file(stand, "told", "first 1\nsecond 1\n");

        if (is_wrapped()) {
                test_skip("a_kill_during_a_delivery_loses_none, and a renewal after it: a key of 4096 bits "
                          "takes "
                          "minutes under valgrind");
                return;
        }

        /* Owed generation 2, it renews once more: the newest is what they learn of, in order. */
        stand_edit(stand, "token_file:", "key: {bits: 3072}\n    token_file:");
        scratch_write(stand->directory, "deadly", "", 0600);
        stand_start(stand, NULL);
        ck_assert_int_eq(process_wait(stand->rekeyd), 128 + SIGKILL);
        stand_edit(stand, "bits: 3072", "bits: 4096");
        remove_file(stand, "told");
        ck_assert_int_eq(stand_run(stand, "--once"), 2);
        _cleanup_(freep) char *told = scratch_read(stand->directory, "told");
        const char *end = "first 3\nsecond 3\n";
        ck_assert_msg(told && strlen(told) >= strlen(end) && streq(told + strlen(told) - strlen(end), end),
                      "%s", told);
        ck_assert_uint_eq(stand_calls(stand, "sign"), 3);

        /* Nothing is owed any more. */
        remove_file(stand, "told");
        ck_assert_int_eq(stand_run(stand, "--once"), 0);
        ck_assert_ptr_null(scratch_read(stand->directory, "told"));
}
END_TEST

START_TEST(a_dependent_that_kills_each_time_is_told_each_time) {
        _cleanup_(stand_freep) struct stand *stand = stand_with_dependents();

        ck_assert_int_eq(stand_run(stand, "--once"), 2);
        remove_file(stand, "told");
        stand_edit(stand, "token_file:", "key: {bits: 3072}\n    token_file:");
        for (unsigned i = 0; i < 4; i++) {
                scratch_write(stand->directory, "deadly", "", 0600);
                stand_start(stand, NULL);
                ck_assert_int_eq(process_wait(stand->rekeyd), 128 + SIGKILL);
        }
        ck_assert_int_eq(stand_run(stand, "--once"), 0);
        assert_file(stand, "told", "first 2\nsecond 2\n");
        ck_assert_uint_eq(stand_count(stand, "runs", "run first 2"), 5);
        ck_assert_uint_eq(stand_calls(stand, "sign"), 2);
}
END_TEST

/* A kill right after the swap: the journal knows of the old set only. */
START_TEST(a_kill_between_swap_and_journal_loses_none) {
        _cleanup_(stand_freep) struct stand *stand = stand_with_dependents();
        _cleanup_(freep) char *old = NULL;

        ck_assert_int_eq(stand_run(stand, "--once"), 2);
        old = scratch_read(stand->directory, "state/orders.json");
        stand_edit(stand, "token_file:", "key: {bits: 3072}\n    token_file:");
        ck_assert_int_eq(stand_run(stand, "--once"), 2);
        assert_file(stand, "told", "first 1\nsecond 1\nfirst 2\nsecond 2\n");
        remove_file(stand, "told");
        scratch_write(stand->directory, "state/orders.json", old, 0600);
        ck_assert_int_eq(stand_run(stand, "--once"), 0);
        assert_file(stand, "told", "first 2\nsecond 2\n");
        ck_assert_int_eq(stand_run(stand, "--once"), 0);
        assert_file(stand, "told", "first 2\nsecond 2\n");
        ck_assert_uint_eq(stand_calls(stand, "sign"), 2);
}
END_TEST

START_TEST(a_failing_dependent_is_backed_off_over_restarts) {
        _cleanup_(stand_freep) struct stand *stand = stand_with_dependents();
        const unsigned n_starts = is_wrapped() ? 4 : 20;
        usec_t begin = now_usec(CLOCK_MONOTONIC), span;
        unsigned runs;

        scratch_write(stand->directory, "failing-first", "", 0600);
        stand_start(stand, NULL);
        json_decref(stand_await(stand, MESSAGE_NOT_NOTIFIED));
        json_decref(stand_await(stand, MESSAGE_NOTIFIED));
        for (unsigned i = 0; i < n_starts; i++) {
                if (i % 2 == 0)
                        ck_assert_int_eq(stand_stop(stand), 0);
                else
                        stand_kill(stand);
                stand_start(stand, NULL);
                json_decref(stand_await(stand, MESSAGE_CURRENT));
        }
        ck_assert_int_eq(stand_stop(stand), 0);
        span = now_usec(CLOCK_MONOTONIC) - begin;
        runs = stand_count(stand, "runs", "run first");
        test_report("a failing dependent: %u starts in %.1f s, %u runs", n_starts,
                    (double)span / USEC_PER_SEC, runs);
        ck_assert_uint_le(runs, allowed_calls(span));
        ck_assert_uint_eq(stand_count(stand, "told", "second 1"), 1);
        ck_assert_uint_eq(stand_calls(stand, "sign"), 1);

        /* It mends itself. */
        remove_file(stand, "failing-first");
        stand_start(stand, NULL);
        json_decref(stand_await(stand, MESSAGE_NOTIFIED));
        ck_assert_int_eq(stand_stop(stand), 0);
        ck_assert_uint_eq(stand_count(stand, "told", "first 1"), 1);
        ck_assert_uint_eq(stand_count(stand, "told", "second 1"), 1);
}
END_TEST

/* --- Stopped in good order --- */

START_TEST(ready_says_what_can_be_used) {
        _cleanup_(stand_freep) struct stand *stand = stand_enrolled(ORDERS);

        /* Nothing is due; then it is. */
        for (unsigned i = 0; i < 2; i++) {
                json_t *line;

                stand_configure(stand, i == 0 ? ORDERS : ORDERS LARGER_KEY);
                stand_fault(stand, HOLD("configuration"));
                stand_start(stand, NULL);
                line = stand_await(stand, MESSAGE_READY);
                ck_assert_str_eq(member(line, "message"), "ready: 1 of 1 certificate can be used");
                json_decref(line);
                ck_assert_int_eq(stand_stop(stand), 0);
        }
}
END_TEST

START_TEST(a_stop_during_an_attempt_is_no_failure) {
        _cleanup_(stand_freep) struct stand *stand = stand_due();
        _cleanup_(freep) char *staged = NULL, *key = NULL;
        unsigned before = stand_calls(stand, "sign");
        usec_t begin;

        stand_fault(stand, HOLD("sign"));
        stand_start(stand, NULL);
        json_decref(stand_await_connector(stand, "\"held\""));
        staged = scratch_read(stand->directory, "orders/..stage-000002/tls.key");
        ck_assert_ptr_nonnull(staged);
        begin = now_usec(CLOCK_MONOTONIC);
        ck_assert_int_eq(stand_stop(stand), 0);
        if (!is_wrapped())
                ck_assert_uint_lt(now_usec(CLOCK_MONOTONIC) - begin, 5 * USEC_PER_SEC);
        stand_lift_faults(stand);

        stand_start(stand, NULL);
        json_decref(stand_await(stand, MESSAGE_RENEWED));
        ck_assert(!has_said(stand, MESSAGE_HELD) && !has_said(stand, MESSAGE_FAILED_TRANSIENT));
        ck_assert_int_eq(stand_stop(stand), 0);
        key = scratch_read(stand->directory, "orders/tls.key");
        ck_assert_str_eq(key, staged);
        /* The reply to the first went to nobody. */
        test_report("stopped at sign: %u signatures for one renewal", stand_calls(stand, "sign") - before);
        ck_assert_uint_le(stand_calls(stand, "sign") - before, 2);
}
END_TEST

START_TEST(a_stop_before_the_proof_costs_no_second_signature) {
        _cleanup_(stand_freep) struct stand *stand = stand_due();
        unsigned before = stand_calls(stand, "sign");

        stand_fault(stand, HOLD("probe"));
        stand_start(stand, NULL);
        json_decref(stand_await_connector(stand, "\"held\""));
        ck_assert_int_eq(stand_stop(stand), 0);
        stand_lift_faults(stand);
        stand_start(stand, NULL);
        json_decref(stand_await(stand, MESSAGE_RENEWED));
        ck_assert(!has_said(stand, MESSAGE_HELD));
        ck_assert_int_eq(stand_stop(stand), 0);
        ck_assert_uint_eq(stand_calls(stand, "sign"), before + 1);
}
END_TEST

/* The failures before an attempt that was stopped are not forgotten by the stop. */
START_TEST(once_ignores_a_back_off) {
        _cleanup_(stand_freep) struct stand *stand = stand_due();
        unsigned before = stand_calls(stand, "configuration");

        stand_fault(stand, "{\"fault\":\"rate-limit\",\"at\":\"configuration\"}");
        for (unsigned i = 1; i <= 4; i++) {
                json_t *line;

                ck_assert_int_eq(stand_run(stand, "--once"), 1);
                line = stand_await(stand, MESSAGE_FAILED);
                ck_assert_int_eq(atoi(member(line, "attempt")), (int)i);
                json_decref(line);
        }
        ck_assert_uint_eq(stand_calls(stand, "configuration"), before + 4);
        stand_start(stand, NULL);
        json_decref(stand_await(stand, MESSAGE_HELD));
        ck_assert_int_eq(stand_stop(stand), 0);
        stand_lift_faults(stand);
        ck_assert_int_eq(stand_run(stand, "--once"), 2);
        /* And nothing is left of it. */
        stand_start(stand, NULL);
        json_decref(stand_await(stand, MESSAGE_CURRENT));
        ck_assert(!has_said(stand, MESSAGE_HELD));
        ck_assert_int_eq(stand_stop(stand), 0);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("restart-notices");

        TEST_CASE(suite, a_kill_during_a_delivery_loses_none);
        TEST_CASE(suite, a_dependent_that_kills_each_time_is_told_each_time);
        TEST_CASE(suite, a_kill_between_swap_and_journal_loses_none);
        TEST_CASE(suite, a_failing_dependent_is_backed_off_over_restarts);
        TEST_CASE(suite, ready_says_what_can_be_used);
        TEST_CASE(suite, a_stop_during_an_attempt_is_no_failure);
        TEST_CASE(suite, a_stop_before_the_proof_costs_no_second_signature);
        TEST_CASE(suite, once_ignores_a_back_off);
        return test_run(suite);
}
