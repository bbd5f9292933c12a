/* The renewer: what it asks of an attempt, and in which order. */

#include "tests/test.h"
#include "tests/unit/certificate/renewals.h"

START_TEST(a_set_that_is_not_due_is_waited_for) {
        put_set(1, 90 * USEC_PER_DAY);
        renewer_start(&renewer);
        ck_assert_int_eq(under_way, STEP_INSPECT);
        end_step(FAILURE_NONE);
        ck_assert_uint_eq(n_inspected, 1);
        ck_assert_uint_eq(n_observed, 1);
        ck_assert_uint_eq(n_idle, 1);
        ck_assert(!renewer_is_busy(&renewer));
        ck_assert_int_eq(renewer.renewal.state, RENEWAL_CURRENT);
        ck_assert_int_eq(exact_timer_clock(&renewer.waits.timer), CLOCK_REALTIME);
        ck_assert_uint_eq(n_logged(MESSAGE_CURRENT), 1);
        ck_assert_uint_eq(n_saves(), 0);
        ck_assert_uint_eq(ports.env.slots.n_used, 0);
}
END_TEST

/* Also where the set could be read when the inspection had failed: by then the disk was well again. */
START_TEST(the_end_of_a_failure_is_news) {
        static const enum knowledge rows[] = { SET_UNREADABLE, SET_KNOWN };

        put_set(1, 90 * USEC_PER_DAY);
        renewer_start(&renewer);
        end_step(FAILURE_NONE);
        for (unsigned i = 0; i < ELEMENTSOF(rows); i++) {
                renewer_request(&renewer, RENEWER_REFRESH);
                ck_assert_uint_ne(reporter.logged_due_usec, 0);
                fail_inspection(rows[i]);
                ck_assert_int_eq(renewer.renewal.state, RENEWAL_RETRYING);
                ck_assert_uint_eq(reporter.logged_due_usec, 0);
                renewer_request(&renewer, RENEWER_REFRESH);
                end_step(FAILURE_NONE);
                ck_assert_int_eq(renewer.renewal.state, RENEWAL_CURRENT);
                ck_assert_uint_eq(n_logged(MESSAGE_CURRENT), i + 2);
        }
}
END_TEST

START_TEST(a_due_set_is_renewed_and_inspected_again) {
        put_set(1, 5 * USEC_PER_DAY);
        ports.core.next_key = (struct key_order *)&ports; /* is for whoever needs a key */
        renewer_start(&renewer);
        ck_assert_ptr_eq(attempt.input.next_key, ports.core.next_key);
        walk_to(STEP_COMMIT);
        ck_assert_uint_eq(n_begun, 1);
        ck_assert_uint_eq(n_swaps, 1);
        ck_assert_uint_eq(STATE.n_issuances, 1);
        ck_assert_uint_eq(STATE.failures, 1); /* written ahead */
        end_step(FAILURE_NONE);
        ck_assert_uint_eq(STATE.failures, 0);
        ck_assert_uint_eq(n_logged(MESSAGE_RENEWED), 1);
        ck_assert_uint_eq(ports.metrics.renewals, 1);
        ck_assert(renewer.result.renewed);
        ck_assert_int_eq(under_way, STEP_INSPECT);
        end_step(FAILURE_NONE);
        ck_assert_int_eq(renewer.renewal.state, RENEWAL_CURRENT);
        ck_assert_uint_eq(ports.core.facts.generation, 2);
}
END_TEST

START_TEST(noise_ends_no_back_off_but_news_do) {
        put_set(1, 5 * USEC_PER_DAY);
        renewer_start(&renewer);
        walk_to(STEP_SIGN);
        end_step(FAILURE_TRANSIENT);
        renewer_request(&renewer, RENEWER_REFRESH);
        end_step(FAILURE_NONE);
        ck_assert(!renewer_is_busy(&renewer));
        ck_assert_uint_eq(renewer.renewal.failures, 1);

        put_set(7, 5 * USEC_PER_DAY); /* another set, which is due as well */
        renewer_request(&renewer, RENEWER_REFRESH);
        end_step(FAILURE_NONE);
        ck_assert_int_eq(under_way, STEP_KEY);
}
END_TEST

START_TEST(what_happens_during_an_attempt_is_inspected_after_it) {
        put_set(1, 5 * USEC_PER_DAY);
        renewer_start(&renewer);
        walk_to(STEP_SIGN);
        renewer_request(&renewer, RENEWER_TRY); /* it is at it */
        renewer_request(&renewer, RENEWER_REFRESH);
        end_step(FAILURE_TRANSIENT);
        ck_assert_int_eq(under_way, STEP_INSPECT);
        end_step(FAILURE_NONE);
        ck_assert_int_eq(under_way, STEP_NONE);
        ck_assert_uint_eq(n_attempts, 2);
}
END_TEST

START_TEST(a_look_is_an_inspection_from_now_on) {
        put_set(1, 90 * USEC_PER_DAY);
        renewer_start(&renewer);
        ck_assert_uint_eq(renewer_look(&renewer), 2); /* this one may have read the files before */
        end_step(FAILURE_NONE);
        ck_assert_uint_eq(n_inspected, 1);
        ck_assert_int_eq(under_way, STEP_INSPECT);
        end_step(FAILURE_NONE);
        ck_assert_uint_eq(n_inspected, 2);
        ck_assert_int_eq(under_way, STEP_NONE);

        ck_assert_uint_eq(renewer_look(&renewer), 1);
        put_set(2, 90 * USEC_PER_DAY);
        end_step(FAILURE_NONE);
        ck_assert_uint_eq(n_inspected, 3);
        ck_assert_uint_eq(n_unread, 0);
        ck_assert_uint_eq(ports.core.facts.generation, 2);

        ck_assert_uint_eq(renewer_look(&renewer), 1);
        end_step(FAILURE_LOCAL);
        ck_assert_uint_eq(n_inspected, 4);
        ck_assert_uint_eq(n_unread, 1);
}
END_TEST

START_TEST(an_attempt_that_waits_for_its_turn_lets_a_look_pass) {
        struct slot_waiter others[2] = { { .group = renewer.slot.group }, { .group = renewer.slot.group } };

        put_set(1, 5 * USEC_PER_DAY);
        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                ck_assert(slots_take(&ports.env.slots, &others[i]));
        renewer_start(&renewer);
        end_step(FAILURE_NONE);
        ck_assert(renewer_is_queued(&renewer));

        ck_assert_uint_eq(renewer_look(&renewer), 1);
        ck_assert(!renewer_is_queued(&renewer));
        ck_assert_int_eq(under_way, STEP_INSPECT);
        put_set(2, 5 * USEC_PER_DAY);
        end_step(FAILURE_NONE);
        ck_assert_uint_eq(n_inspected, 2);
        ck_assert_uint_eq(ports.core.facts.generation, 2);
        ck_assert(renewer_is_queued(&renewer));
        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                slots_return(&ports.env.slots, &others[i]);
        ck_assert(!renewer_is_queued(&renewer));
        ck_assert(renewer_is_busy(&renewer));
}
END_TEST

START_TEST(an_operation_goes_before_an_attempt) {
        put_set(1, 5 * USEC_PER_DAY);
        renewer_start(&renewer);
        blocked = true;
        end_step(FAILURE_NONE);
        ck_assert_int_eq(under_way, STEP_NONE);
        ck_assert_uint_eq(n_idle, 1);
        ck_assert_int_eq(renewer.pending, RENEWER_REFRESH);
        renewer_request(&renewer, RENEWER_TRY);
        ck_assert_uint_eq(n_attempts, 1);
        blocked = false;
        renewer_request(&renewer, renewer.pending);
        walk_to(STEP_KEY);
}
END_TEST

START_TEST(a_renewal_waits_for_its_turn) {
        struct slot_group *group;

        put_set(1, 5 * USEC_PER_DAY);
        slots_resize(&ports.env.slots, 0);
        renewer_start(&renewer);
        ck_assert(!attempt.input.may_renew);
        end_step(FAILURE_NONE);
        ck_assert(renewer_is_queued(&renewer));
        ck_assert(!renewer_is_busy(&renewer));
        renewer_request(&renewer, RENEWER_TRY);
        renewer_request(&renewer, RENEWER_REFRESH);
        ck_assert_uint_eq(n_attempts, 1);

        ck_assert_int_eq(slots_group(&ports.env.slots, "ucl", &group), 0);
        slots_resize(&ports.env.slots, 1);
        ck_assert_int_eq(under_way, STEP_INSPECT); /* the world may have changed */
        ck_assert(attempt.input.may_renew);
        walk_to(STEP_SIGN);
        ck_assert_uint_eq(ports.env.slots.n_used, 1);
        end_step(FAILURE_TRANSIENT);
        ck_assert_uint_eq(ports.env.slots.n_used, 0);
}
END_TEST

START_TEST(the_budget_holds) {
        put_set(1, 5 * USEC_PER_DAY);
        ports.env.issuances_per_hour = 1;
        ck_assert_int_eq(state_record_issuance(&STATE, now_usec(CLOCK_BOOTTIME)), 0);
        renewer_start(&renewer);
        end_step(FAILURE_NONE);
        ck_assert_int_eq(under_way, STEP_NONE);
        ck_assert_uint_eq(n_begun, 0);
        ck_assert_ptr_nonnull(
                strstr(logged(MESSAGE_BUDGET), "unexpected renewal loop; see rekeyctl history orders"));

        /* what fails next is another thing */
        renewer_request(&renewer, RENEWER_TRY);
        end_step(FAILURE_LOCAL);
        ck_assert_uint_eq(n_logged(MESSAGE_BUDGET), 1);
        ck_assert_uint_eq(n_logged(MESSAGE_FAILED_LOCAL), 1);

        ports.env.issuances_per_hour = 2;
        renewer_raise_budget(&renewer);
        walk_to(STEP_KEY);
}
END_TEST

START_TEST(a_token_enrols_and_is_burnt) {
        disk.token = 77;
        renewer_start(&renewer);
        walk_to(STEP_CONFIGURATION);
        ck_assert_uint_eq(ports.core.facts.tried_token, 77);
        ck_assert_uint_eq(STATE.token, 77);
        walk_to(STEP_COMMIT);
        end_step(FAILURE_NONE);
        ck_assert_uint_eq(n_logged(MESSAGE_ENROLLED), 1);
        ck_assert_uint_eq(ports.core.facts.burnt_token, 77);
        end_step(FAILURE_NONE);
        ck_assert(attempt.token_is_passed_over || !is_open);
        ck_assert_int_eq(renewer.renewal.state, RENEWAL_CURRENT);
}
END_TEST

START_TEST(a_refused_token_is_burnt_and_waited_for_another) {
        disk.token = 77;
        renewer_start(&renewer);
        walk_to(STEP_CONFIGURATION);
        end_step(FAILURE_REFUSED);
        ck_assert_uint_eq(ports.core.facts.burnt_token, 77);
        ck_assert_int_eq(renewer.renewal.state, RENEWAL_WAITING_FOR_TOKEN);
        ck_assert_uint_eq(n_logged(MESSAGE_WAITING), 1);
        ck_assert(renewer_is_rejected(&renewer));

        renewer_request(&renewer, RENEWER_TRY);
        end_step(FAILURE_NONE);
        ck_assert(!renewer_is_busy(&renewer)); /* the same token begins nothing */
        disk.token = 78;
        renewer_request(&renewer, RENEWER_TRY);
        walk_to(STEP_KEY);
}
END_TEST

START_TEST(what_was_revoked_counts_as_none) {
        char fingerprint[FINGERPRINT_HEX];

        put_set(1, 90 * USEC_PER_DAY);
        ck_assert_int_eq(state_add_revoked(&STATE, ports_fingerprint(1, fingerprint)), 0);
        renewer_start(&renewer);
        end_step(FAILURE_NONE);
        ck_assert_int_eq(renewer.renewal.state, RENEWAL_WAITING_FOR_TOKEN);
        ck_assert_uint_eq(renewer.renewal.expiry, 0);
        ck_assert_uint_gt(ports.core.facts.expiry, 0); /* it is known all the same */
}
END_TEST

START_TEST(an_operator_forces_an_attempt) {
        put_set(1, 90 * USEC_PER_DAY);
        renewer_start(&renewer);
        end_step(FAILURE_NONE);
        reporter_accept(&reporter, OPERATION_RENEW, "uid 0");
        reporter_begin(&reporter);
        renewer_force(&renewer, true);
        ck_assert(attempt.input.accepts_not_longer);
        walk_to(STEP_SIGN);
        end_step(FAILURE_TRANSIENT);
        ck_assert_int_eq(reporter.operation, OPERATION_NONE); /* the operator heard of the one attempt */
        ck_assert_int_eq(under_way, STEP_INSPECT);
        end_step(FAILURE_NONE);
        ck_assert_int_eq(renewer.renewal.state, RENEWAL_CURRENT); /* it was not due */
        ck_assert(!renewer.renewal.forced && !renewer.wish.not_longer);
}
END_TEST

START_TEST(a_force_counts_for_a_gate_that_has_just_run) {
        put_set(1, 5 * USEC_PER_DAY);
        renewer_start(&renewer);
        walk_to(STEP_GATE);
        renewer_force(&renewer, true);
        attempt.outcome.not_longer = true;
        end_step(FAILURE_BAD_REPLY);
        ck_assert_int_eq(under_way, STEP_GATE); /* once more, and it accepts */
        ck_assert(attempt.input.accepts_not_longer);
        attempt.outcome.not_longer = true;
        end_step(FAILURE_BAD_REPLY);
        ck_assert_int_ne(under_way, STEP_GATE); /* not for ever */
}
END_TEST

START_TEST(an_attempt_that_is_not_made_is_given_up) {
        put_set(1, 90 * USEC_PER_DAY);
        reporter_accept(&reporter, OPERATION_ENROL, "uid 0");
        reporter_begin(&reporter);
        renewer_offer_token(&renewer, strdup("abc"), false, false);
        renewer_request(&renewer, RENEWER_TRY);
        ck_assert_str_eq(attempt.input.offered_token, "abc");
        end_step(FAILURE_NONE); /* the inspection found no use for it */
        ck_assert_str_eq(logged(MESSAGE_OPERATION_FAILED),
                         "orders: enrol request dropped: certificate is current");
        ck_assert_ptr_null(renewer.offered_token);
}
END_TEST

START_TEST(once_waits_for_nothing) {
        ports.env.once = true;
        put_set(1, 90 * USEC_PER_DAY);
        STATE.next_attempt_usec = now_usec(CLOCK_REALTIME) + USEC_PER_HOUR;
        renewer_start(&renewer);
        ck_assert_int_eq(renewer.current, RENEWER_TRY);
        end_step(FAILURE_NONE);
        ck_assert_uint_eq(n_timers(), 0);
}
END_TEST

START_TEST(retired_begins_nothing_more) {
        put_set(1, 5 * USEC_PER_DAY);
        renewer_start(&renewer);
        ports.core.is_retired = true;
        end_step(FAILURE_NONE);
        ck_assert(!renewer_is_busy(&renewer));
        ck_assert_uint_eq(n_timers(), 0);
        ck_assert_uint_eq(n_begun, 0);
}
END_TEST

/* --- A rotation --- */

static void inspect_again(void) {
        renewer_request(&renewer, RENEWER_REFRESH);
        end_step(FAILURE_NONE);
        ck_assert(!renewer_is_busy(&renewer));
}

/* Its part of the time is counted from the first inspection that finds it so, whatever comes between. */
START_TEST(an_outdated_set_is_replaced_in_its_turn) {
        usec_t since, due;

        ports.connector.renew_within_usec = 10 * USEC_PER_DAY;
        put_set(1, 80 * USEC_PER_DAY);
        disk.is_outdated = true;
        renewer_start(&renewer);
        end_step(FAILURE_NONE);
        since = STATE.rotation.since;
        due = renewer.renewal.due_usec;
        ck_assert_uint_gt(since, 0);
        ck_assert_uint_gt(due, since);
        ck_assert_uint_lt(due, since + 10 * USEC_PER_DAY);
        ck_assert_uint_eq(n_saves(), 1);

        inspect_again();
        renewer_clear(&renewer);
        begin(); /* after a restart */
        renewer_start(&renewer);
        end_step(FAILURE_NONE);
        ck_assert_uint_eq(STATE.rotation.since, since);
        ck_assert_uint_eq(renewer.renewal.due_usec, due);
        ck_assert_uint_eq(n_saves(), 1);

        ports.connector.renew_within_usec = 0;
        renewer_request(&renewer, RENEWER_TRY);
        walk_to(STEP_COMMIT);
        ck_assert_ptr_nonnull(logged(MESSAGE_BEGUN));
        disk.is_outdated = false;
        end_step(FAILURE_NONE);
        end_step(FAILURE_NONE);
        ck_assert_uint_eq(STATE.rotation.since, 0);
        ck_assert_int_eq(renewer.renewal.state, RENEWAL_CURRENT);
        ck_assert_uint_eq(STATE.n_issuances, 1);
}
END_TEST

START_TEST(what_is_trusted_again_is_not_replaced) {
        ports.connector.renew_within_usec = 10 * USEC_PER_DAY;
        put_set(1, 80 * USEC_PER_DAY);
        disk.is_outdated = true;
        renewer_start(&renewer);
        end_step(FAILURE_NONE);
        ck_assert_uint_gt(STATE.rotation.since, 0);
        disk.is_outdated = false;
        inspect_again();
        ck_assert_uint_eq(STATE.rotation.since, 0);
        ck_assert_uint_gt(renewer.renewal.due_usec, now_usec(CLOCK_REALTIME) + 60 * USEC_PER_DAY);
}
END_TEST

START_TEST(a_planned_renewal_survives_a_restart_and_ends_with_another_set) {
        const usec_t now = now_usec(CLOCK_REALTIME);
        usec_t when;

        put_set(1, 80 * USEC_PER_DAY);
        renewer_start(&renewer);
        end_step(FAILURE_NONE);
        when = renewer_plan(&renewer, 10 * USEC_PER_DAY);
        ck_assert_uint_ge(when, now);
        ck_assert_uint_le(when, now_usec(CLOCK_REALTIME) + 10 * USEC_PER_DAY);
        end_step(FAILURE_NONE);
        ck_assert_uint_eq(renewer.renewal.due_usec, when);
        renewer_clear(&renewer);
        begin();
        renewer_start(&renewer);
        end_step(FAILURE_NONE);
        ck_assert_uint_eq(renewer.renewal.due_usec, when);

        put_set(7, 80 * USEC_PER_DAY);
        inspect_again();
        ck_assert_uint_eq(STATE.rotation.asked, 0);
        ck_assert_uint_ne(renewer.renewal.due_usec, when);
}
END_TEST

START_TEST(a_planned_renewal_is_made_and_over) {
        put_set(1, 80 * USEC_PER_DAY);
        renewer_start(&renewer);
        end_step(FAILURE_NONE);
        renewer_plan(&renewer, 1);
        walk_to(STEP_COMMIT);
        end_step(FAILURE_NONE);
        end_step(FAILURE_NONE);
        ck_assert_uint_eq(STATE.rotation.asked, 0);
        ck_assert_uint_eq(STATE.n_issuances, 1);
        ck_assert_int_eq(renewer.renewal.state, RENEWAL_CURRENT);

        /* nothing that lasts longer is to be had */
        renewer_plan(&renewer, 1);
        walk_to(STEP_GATE);
        attempt.outcome.not_longer = true;
        end_step(FAILURE_BAD_REPLY);
        ck_assert_uint_eq(STATE.rotation.asked, 0);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("renewer");

        TEST_CASE_IN(suite, a_set_that_is_not_due_is_waited_for, set_up, tear_down);
        TEST_CASE_IN(suite, the_end_of_a_failure_is_news, set_up, tear_down);
        TEST_CASE_IN(suite, a_due_set_is_renewed_and_inspected_again, set_up, tear_down);
        TEST_CASE_IN(suite, noise_ends_no_back_off_but_news_do, set_up, tear_down);
        TEST_CASE_IN(suite, what_happens_during_an_attempt_is_inspected_after_it, set_up, tear_down);
        TEST_CASE_IN(suite, a_look_is_an_inspection_from_now_on, set_up, tear_down);
        TEST_CASE_IN(suite, an_attempt_that_waits_for_its_turn_lets_a_look_pass, set_up, tear_down);
        TEST_CASE_IN(suite, an_operation_goes_before_an_attempt, set_up, tear_down);
        TEST_CASE_IN(suite, a_renewal_waits_for_its_turn, set_up, tear_down);
        TEST_CASE_IN(suite, the_budget_holds, set_up, tear_down);
        TEST_CASE_IN(suite, a_token_enrols_and_is_burnt, set_up, tear_down);
        TEST_CASE_IN(suite, a_refused_token_is_burnt_and_waited_for_another, set_up, tear_down);
        TEST_CASE_IN(suite, what_was_revoked_counts_as_none, set_up, tear_down);
        TEST_CASE_IN(suite, an_operator_forces_an_attempt, set_up, tear_down);
        TEST_CASE_IN(suite, a_force_counts_for_a_gate_that_has_just_run, set_up, tear_down);
        TEST_CASE_IN(suite, an_attempt_that_is_not_made_is_given_up, set_up, tear_down);
        TEST_CASE_IN(suite, once_waits_for_nothing, set_up, tear_down);
        TEST_CASE_IN(suite, retired_begins_nothing_more, set_up, tear_down);
        TEST_CASE_IN(suite, an_outdated_set_is_replaced_in_its_turn, set_up, tear_down);
        TEST_CASE_IN(suite, what_is_trusted_again_is_not_replaced, set_up, tear_down);
        TEST_CASE_IN(suite, a_planned_renewal_survives_a_restart_and_ends_with_another_set, set_up,
                     tear_down);
        TEST_CASE_IN(suite, a_planned_renewal_is_made_and_over, set_up, tear_down);
        return test_run(suite);
}
