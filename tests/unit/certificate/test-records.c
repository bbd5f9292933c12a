/* What attempts leave in the state file, and when. */

#include "tests/test.h"
#include "tests/unit/certificate/renewals.h"

START_TEST(no_call_leaves_before_the_state_file_knows) {
        put_set(1, 5 * USEC_PER_DAY);
        renewer_start(&renewer);
        saves_hold(true);
        walk_to(STEP_KEY);
        end_step(FAILURE_NONE);
        ck_assert_int_eq(under_way, STEP_KEY); /* the call waits */
        saves_answer(0, NULL);
        ck_assert_int_eq(under_way, STEP_CONFIGURATION);
        ck_assert_uint_eq(STATE.n_issuances, 1);
        end_step(FAILURE_NONE);
        end_step(FAILURE_NONE);                 /* the CSR */
        ck_assert_int_eq(under_way, STEP_SIGN); /* of which it knew before the first call */
        ck_assert_uint_eq(STATE.n_issuances, 1);
        end_step(FAILURE_TRANSIENT);
        ck_assert_uint_eq(STATE.n_issuances, 1); /* it may have been signed */

        renewer_request(&renewer, RENEWER_TRY);
        walk_to(STEP_KEY);
        end_step(FAILURE_NONE);
        ck_assert_int_eq(under_way, STEP_KEY);
        ck_assert_uint_eq(STATE.n_issuances, 2);
        saves_hold(false);
        saves_answer(-ENOSPC, "the disk is full");
        ck_assert_int_eq(under_way, STEP_NONE); /* it must not leave */
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_FAILED_LOCAL),
                                     "could not be recorded for a restart: the disk is full"));
        ck_assert_int_eq(renewer.renewal.state, RENEWAL_RETRYING);
}
END_TEST

START_TEST(a_signature_that_is_not_requested_does_not_count) {
        put_set(1, 5 * USEC_PER_DAY);
        renewer_start(&renewer);
        walk_to(STEP_CONFIGURATION);
        ck_assert_uint_eq(STATE.n_issuances, 1);
        end_step(FAILURE_TRANSIENT);
        ck_assert_uint_eq(STATE.n_issuances, 0);
        ck_assert_uint_eq(ports.metrics.signatures, 0);

        renewer_request(&renewer, RENEWER_TRY);
        walk_to(STEP_CSR);
        ck_assert_uint_eq(STATE.n_issuances, 1);
        renewer_clear(&renewer); /* a stop */
        ck_assert_uint_eq(STATE.n_issuances, 0);

        begin();
        put_set(1, 5 * USEC_PER_DAY);
        renewer_start(&renewer);
        walk_to(STEP_COMMIT);
        end_step(FAILURE_NONE);
        ck_assert_uint_eq(STATE.n_issuances, 1);
        ck_assert_uint_eq(ports.metrics.signatures, 1);
}
END_TEST

START_TEST(a_swap_waits_for_what_is_to_be_saved_before_it) {
        put_set(1, 5 * USEC_PER_DAY);
        saves_at_swap = true;
        renewer_start(&renewer);
        walk_to(STEP_VERIFY);
        saves_hold(true);
        end_step(FAILURE_NONE);
        ck_assert_int_eq(under_way, STEP_VERIFY);
        saves_hold(false);
        saves_answer(-ENOSPC, "full"); /* no reason to do without the new set */
        ck_assert_int_eq(under_way, STEP_COMMIT);
}
END_TEST

START_TEST(each_failure_backs_off_and_is_remembered) {
        static const enum failure failures[] = { FAILURE_TRANSIENT, FAILURE_REFUSED, FAILURE_BAD_REPLY,
                                                 FAILURE_LOCAL };

        for (size_t i = 0; i < ELEMENTSOF(failures); i++) {
                put_set(1, 5 * USEC_PER_DAY);
                renewer_request(&renewer, RENEWER_TRY);
                walk_to(STEP_SIGN);
                end_step(failures[i]);
                ck_assert_uint_eq(STATE.failures, i + 1);
                ck_assert_int_eq(STATE.failure, failures[i]);
                ck_assert_str_eq(STATE.error, "no");
                ck_assert_uint_eq(ports.metrics.failures[failures[i]], 1);
                ck_assert_int_eq(exact_timer_clock(&renewer.waits.timer), CLOCK_BOOTTIME);
                ck_assert_uint_lt(renewer_next_attempt(&renewer), USEC_INFINITY);
        }
        ck_assert(renewer.result.failed);
}
END_TEST

START_TEST(a_restart_goes_on_waiting) {
        put_set(1, 5 * USEC_PER_DAY);
        STATE.failures = 2;
        STATE.failure = FAILURE_TRANSIENT;
        STATE.next_attempt_usec = now_usec(CLOCK_REALTIME) + 50 * USEC_PER_SEC;
        ports_fingerprint(1, STATE.fingerprint);
        begin();
        renewer_start(&renewer);
        end_step(FAILURE_NONE);
        ck_assert(!renewer_is_busy(&renewer));
        ck_assert_uint_eq(n_logged(MESSAGE_HELD), 1);
        ck_assert_uint_eq(renewer.renewal.failures, 2);
}
END_TEST

START_TEST(a_stop_is_no_failure) {
        put_set(1, 5 * USEC_PER_DAY);
        renewer_start(&renewer);
        walk_to(STEP_SIGN);
        ck_assert_uint_eq(STATE.failures, 1);
        renewer_clear(&renewer);
        ck_assert_uint_eq(STATE.failures, 0);
        ck_assert_uint_eq(STATE.next_attempt_usec, 0);
}
END_TEST

static const char usual[] = "O=Org,CN=client-1", other[] = "O=Org,CN=client-2";

static void put_subject(const char *next) {
        put_set(1, 5 * USEC_PER_DAY);
        disk.subject = usual;
        disk.next_subject = next;
}

START_TEST(the_subject_is_remembered) {
        put_subject(usual);
        renewer_start(&renewer);
        walk_to(STEP_KEY);
        ck_assert_str_eq(STATE.subject, usual);
        walk_to(STEP_SIGN);
        ck_assert_ptr_null(STATE.other_subject);
        walk_to(STEP_COMMIT);
        end_step(FAILURE_NONE);
        ck_assert_uint_eq(n_logged(MESSAGE_SUBJECT), 0);

        /* And when there is no set any more. */
        disk.has_set = false;
        disk.subject = NULL;
        walk_to(STEP_NONE);
        ck_assert_str_eq(STATE.subject, usual);
        renewer_request(&renewer, RENEWER_TRY);
        ck_assert_str_eq(attempt.input.subject, usual);
        walk_to(STEP_NONE);
}
END_TEST

/* The first set of its own ends that the state is another machine's. */
START_TEST(a_copied_state_becomes_this_machines) {
        put_subject(usual);
        STATE.is_copied = true;
        renewer_start(&renewer);
        ck_assert(attempt.input.is_copied);
        walk_to(STEP_COMMIT);
        ck_assert(STATE.is_copied);
        end_step(FAILURE_NONE);
        ck_assert(!STATE.is_copied);
}
END_TEST

START_TEST(another_subject_waits_for_an_operator) {
        put_subject(other);
        renewer_start(&renewer);
        walk_to(STEP_CSR);
        end_step(FAILURE_REFUSED);
        ck_assert_str_eq(state_refused_subject(&STATE), other);
        ck_assert_ptr_null(state_accepted_subject(&STATE));
        ck_assert_uint_eq(STATE.n_issuances, 0);
        ck_assert_int_eq(renewer.renewal.state, RENEWAL_RETRYING);
        ck_assert_int_eq(exact_timer_clock(&renewer.waits.timer),
                         CLOCK_BOOTTIME); /* it may be the usual one again */

        /* A restart knows. */
        renewer_clear(&renewer);
        begin();
        renewer_request(&renewer, RENEWER_TRY);
        ck_assert_ptr_null(attempt.input.accepted_subject);
        end_step(FAILURE_NONE);
        ck_assert_str_eq(state_refused_subject(&STATE), other);
        walk_to(STEP_CSR);
        end_step(FAILURE_REFUSED);

        STATE.is_accepted = true;
        renewer_request(&renewer, RENEWER_TRY);
        ck_assert_str_eq(attempt.input.accepted_subject, other);
        walk_to(STEP_COMMIT);
        end_step(FAILURE_NONE);
        ck_assert_str_eq(STATE.subject, other);
        ck_assert_ptr_null(STATE.other_subject);
        ck_assert_str_eq(logged(MESSAGE_SUBJECT),
                         "orders: the subject of the certificate is 'O=Org,CN=client-2' "
                         "now, instead of 'O=Org,CN=client-1', as an operator wants");
}
END_TEST

/* What was accepted is that subject, and no other. */
START_TEST(a_third_subject_waits_again) {
        put_subject("O=Org,CN=client-3");
        ck_assert_int_eq(state_name_other_subject(&STATE, other, true), 0);
        renewer_start(&renewer);
        walk_to(STEP_CSR);
        end_step(FAILURE_REFUSED);
        ck_assert_str_eq(state_refused_subject(&STATE), "O=Org,CN=client-3");
        ck_assert_ptr_null(state_accepted_subject(&STATE));
}
END_TEST

START_TEST(the_usual_subject_ends_a_change) {
        put_subject(usual);
        ck_assert_int_eq(state_name_other_subject(&STATE, other, false), 0);
        renewer_start(&renewer);
        walk_to(STEP_COMMIT);
        end_step(FAILURE_NONE);
        ck_assert_ptr_null(STATE.other_subject);
}
END_TEST

/* A hand's force is for one token; what comes of it goes on after a restart. */
START_TEST(a_forced_token_may_be_anybodys) {
        put_subject(other);
        put_set(1, 90 * USEC_PER_DAY);
        for (int force = 0; force <= 1; force++) {
                renewer_offer_token(&renewer, strdup("abc"), true, force);
                renewer.renewal.forced = true;
                renewer_request(&renewer, RENEWER_TRY);
                ck_assert_int_eq(attempt.input.takes_any_subject, force);
                walk_to(STEP_CSR);
                end_step(force ? FAILURE_NONE : FAILURE_REFUSED);
                ck_assert_str_eq(force ? state_accepted_subject(&STATE) : state_refused_subject(&STATE),
                                 other);
        }
        end_step(FAILURE_TRANSIENT);
        renewer_forget_token(&renewer);
        ck_assert_str_eq(state_accepted_subject(&STATE), other);
}
END_TEST

START_TEST(replaced_files_may_be_anothers_and_are_on_record) {
        put_set(1, 90 * USEC_PER_DAY);
        disk.subject = usual;
        ck_assert_int_eq(state_settle_subject(&STATE, usual), 0);
        renewer_start(&renewer);
        end_step(FAILURE_NONE);
        ck_assert_uint_eq(n_logged(MESSAGE_SUBJECT), 0);
        ck_assert_uint_eq(n_saves(), 0);

        put_set(2, 90 * USEC_PER_DAY);
        disk.subject = other;
        renewer_request(&renewer, RENEWER_REFRESH);
        end_step(FAILURE_NONE);
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_SUBJECT), "its files were replaced"));
        ck_assert_str_eq(STATE.subject, other);
        ck_assert_uint_eq(n_saves(), 1);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("records");

        TEST_CASE_IN(suite, no_call_leaves_before_the_state_file_knows, set_up, tear_down);
        TEST_CASE_IN(suite, a_signature_that_is_not_requested_does_not_count, set_up, tear_down);
        TEST_CASE_IN(suite, a_swap_waits_for_what_is_to_be_saved_before_it, set_up, tear_down);
        TEST_CASE_IN(suite, each_failure_backs_off_and_is_remembered, set_up, tear_down);
        TEST_CASE_IN(suite, a_restart_goes_on_waiting, set_up, tear_down);
        TEST_CASE_IN(suite, a_stop_is_no_failure, set_up, tear_down);
        TEST_CASE_IN(suite, the_subject_is_remembered, set_up, tear_down);
        TEST_CASE_IN(suite, a_copied_state_becomes_this_machines, set_up, tear_down);
        TEST_CASE_IN(suite, another_subject_waits_for_an_operator, set_up, tear_down);
        TEST_CASE_IN(suite, a_third_subject_waits_again, set_up, tear_down);
        TEST_CASE_IN(suite, the_usual_subject_ends_a_change, set_up, tear_down);
        TEST_CASE_IN(suite, a_forced_token_may_be_anybodys, set_up, tear_down);
        TEST_CASE_IN(suite, replaced_files_may_be_anothers_and_are_on_record, set_up, tear_down);
        return test_run(suite);
}
