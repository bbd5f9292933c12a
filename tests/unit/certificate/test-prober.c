/* When a certificate is probed, and what comes of each answer. */

#include "daemon/certificate/prober.h"

#include "daemon/certificate/reporter.h"

#include "tests/test.h"
#include "tests/unit/certificate/ports.h"

#define PULSE (6 * USEC_PER_HOUR)

/* --- A probe whose end the test decides, and a timer that it fires --- */

struct probe {
        probe_done_t done;
        void *userdata;
};

static struct probe current;
static bool is_under_way, no_memory, is_reading;
static unsigned n_probes;

int probe_new(_unused_ struct environment *env, _unused_ struct config *owner,
              _unused_ const struct config_certificate *config, probe_done_t done, void *userdata,
              struct probe **ret) {
        if (no_memory)
                return -ENOMEM;
        ck_assert(!is_under_way);
        current = (struct probe) { .done = done, .userdata = userdata };
        is_under_way = true;
        n_probes++;
        *ret = &current;
        return 0;
}

bool probe_is_waiting(_unused_ const struct probe *probe) {
        return !is_reading;
}

struct probe *probe_free(struct probe *probe) {
        if (probe)
                is_under_way = false;
        return NULL;
}

static bool is_armed;
static usec_t wait_usec;

int coarse_timer_set(_unused_ struct coarse_timers *timers, struct coarse_timer *timer, usec_t when) {
        is_armed = true;
        timer->pprev = &timer->next;
        wait_usec = usec_sub(when, now_usec(CLOCK_BOOTTIME));
        return 0;
}

void coarse_timer_stop(struct coarse_timer *timer) {
        is_armed = false;
        timer->pprev = NULL;
}

/* --- The certificate --- */

static struct ports ports;
static struct renewal renewal;
static struct reporter reporter;
static struct prober prober;
static unsigned n_due, n_ended, n_asked_ended;
static enum probe_answer judged;

static void on_due(_unused_ struct prober *p) {
        n_due++;
}

static void on_judged(_unused_ struct prober *p, const struct probe_result *result) {
        judged = result->answer;
}

static void on_ended(_unused_ struct prober *p, bool was_asked) {
        n_ended++;
        n_asked_ended += was_asked;
}

static const struct prober_ops ops = { .is_due = on_due, .judged = on_judged, .ended = on_ended };

static void set_up(void) {
        ports_init(&ports);
        is_under_way = no_memory = is_reading = is_armed = false;
        n_probes = n_due = n_ended = n_asked_ended = 0;
        judged = PROBE_NONE;
        renewal = (struct renewal) { .state = RENEWAL_CURRENT };
        reporter_init(&reporter, &ports.core, &renewal);
        ports.core.reporter = &reporter;
        ports.config.policy.pulse_usec = PULSE;
        ports_set_current(&ports, 4, USEC_PER_DAY);
        prober_init(&prober, &ports.core, &ops);
}

static void tear_down(void) {
        prober_clear(&prober);
        ck_assert(!is_under_way);
        reporter_clear(&reporter);
        ports_clear(&ports);
}

static void fire(void) {
        coarse_timer_stop(&prober.timer);
        prober.timer.came(&prober.timer);
        prober_begin(&prober);
}

static void end_probe(enum probe_answer answer) {
        const struct probe_result result = {
                .answer = answer,
                .error = answer == PROBE_ACCEPTED ? "" : "it says no",
                .url = "https://c/g",
                .fingerprint = ports.core.facts.fingerprint,
        };

        current.done(&result, current.userdata);
}

/* --- When --- */

START_TEST(pulses_spread_over_the_second_half) {
        usec_t shortest = USEC_INFINITY, longest = 0;

        for (unsigned i = 0; i < 200; i++) {
                prober_resume(&prober);
                ck_assert(is_armed && !prober.is_due);
                ck_assert_uint_ge(wait_usec, PULSE / 2 - USEC_PER_SEC);
                ck_assert_uint_le(wait_usec, PULSE);
                shortest = wait_usec < shortest ? wait_usec : shortest;
                longest = wait_usec > longest ? wait_usec : longest;
        }
        ck_assert_uint_lt(shortest, PULSE / 2 + PULSE / 8);
        ck_assert_uint_gt(longest, PULSE - PULSE / 8);
}
END_TEST

START_TEST(without_a_pulse_nothing_waits) {
        prober_resume(&prober);
        ck_assert(is_armed);
        ports.config.policy.pulse_usec = 0;
        prober_resume(&prober);
        ck_assert(!is_armed);
        prober_restart(&prober, true); /* but what was adopted is proven once */
        ck_assert(!is_armed);
        prober_begin(&prober);
        ck_assert_uint_eq(n_probes, 1);
        end_probe(PROBE_ACCEPTED);
        ck_assert(!is_armed);
}
END_TEST

START_TEST(with_once_there_is_no_probe) {
        ports.env.once = true;
        prober_restart(&prober, true);
        prober_begin(&prober);
        ck_assert(!is_armed);
        ck_assert_uint_eq(n_probes, 0);
}
END_TEST

/* The state file only has the class of the failure: one call finds out whether it still holds. */
START_TEST(a_rejection_of_the_last_run_is_looked_into_at_once) {
        ports.state_file->state.failure = FAILURE_TRANSIENT;
        prober_resume(&prober);
        ck_assert(!prober.is_due);
        ports.state_file->state.failure = FAILURE_REJECTED;
        prober_resume(&prober);
        prober_begin(&prober);
        ck_assert_uint_eq(n_probes, 1);
}
END_TEST

START_TEST(nothing_is_probed_that_is_not_in_use) {
        ck_assert_int_eq(state_add_revoked(&ports.state_file->state, ports.core.facts.fingerprint), 0);
        fire();
        ck_assert_uint_eq(n_probes, 0);
        state_drop_revoked(&ports.state_file->state, ports.core.facts.fingerprint);
        facts_observe(&ports.core.facts, NULL, 0, 0);
        prober_begin(&prober);
        ck_assert_uint_eq(n_probes, 0);
        ports_set_current(&ports, 5, USEC_PER_DAY);
        prober_begin(&prober); /* it is still due */
        ck_assert_uint_eq(n_probes, 1);
        prober_begin(&prober);
        ck_assert_uint_eq(n_probes, 1);
}
END_TEST

/* --- What comes of it --- */

START_TEST(what_is_accepted_is_no_news) {
        fire();
        ck_assert_uint_eq(n_due, 1);
        end_probe(PROBE_ACCEPTED);
        ck_assert(is_armed);
        ck_assert_uint_eq(n_logged(MESSAGE_PROBED), 0);
        ck_assert_int_eq(judged, PROBE_ACCEPTED);
        ck_assert_int_eq(prober.last_answer, PROBE_ACCEPTED);
        ck_assert_uint_gt(prober.probed_usec, 0);
        ck_assert_uint_eq(ports.metrics.probes[PROBE_ACCEPTED], 1);
        ck_assert(n_ended == 1 && n_asked_ended == 0);
}
END_TEST

START_TEST(what_was_adopted_and_is_accepted_is_news_once) {
        prober_restart(&prober, true);
        for (unsigned i = 0; i < 2; i++) {
                prober.is_due = true;
                prober_begin(&prober);
                end_probe(PROBE_ACCEPTED);
        }
        ck_assert_uint_eq(n_logged(MESSAGE_PROBED), 1);
        ck_assert_str_eq(logged(MESSAGE_PROBED), "orders: https://c/g accepts the certificate");
}
END_TEST

START_TEST(a_rejection_is_told_and_so_is_its_end) {
        fire();
        end_probe(PROBE_REJECTED);
        ck_assert_int_eq(judged, PROBE_REJECTED);
        ck_assert_uint_eq(n_logged(MESSAGE_NOT_PROBED), 1);
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_NOT_PROBED), "it says no"));
        fire();
        end_probe(PROBE_ACCEPTED);
        ck_assert_str_eq(logged(MESSAGE_PROBED), "orders: https://c/g accepts the certificate again");
}
END_TEST

/* An empty 400 is a warning and settles nothing; no answer is not even a warning. */
START_TEST(what_is_not_certain_changes_nothing_and_is_asked_again) {
        fire();
        end_probe(PROBE_DOUBTFUL);
        ck_assert_int_eq(judged, PROBE_NONE);
        ck_assert_uint_eq(n_logged(MESSAGE_NOT_PROBED), 1);
        ck_assert(is_armed);
        ck_assert_uint_lt(wait_usec, 5 * USEC_PER_MINUTE);

        for (unsigned i = 0; i < 300; i++) {
                fire();
                end_probe(PROBE_UNKNOWN);
                ck_assert_uint_ge(wait_usec, USEC_PER_MINUTE - USEC_PER_SEC);
                ck_assert_uint_le(wait_usec, PULSE);
        }
        ck_assert_uint_gt(wait_usec, USEC_PER_MINUTE * 30);
        ck_assert_uint_eq(n_logged(MESSAGE_NOT_PROBED), 1);
        ck_assert_int_eq(judged, PROBE_NONE);
}
END_TEST

START_TEST(what_is_said_of_another_set_is_dropped) {
        fire();
        const struct probe_result result = { .answer = PROBE_REJECTED, .error = "no", .fingerprint = "00" };

        current.done(&result, current.userdata);
        ck_assert_int_eq(judged, PROBE_NONE);
        ck_assert_uint_eq(n_logged(MESSAGE_NOT_PROBED), 0);
        ck_assert_int_eq(prober.last_answer, PROBE_NONE);
        ck_assert_uint_eq(n_ended, 1);
}
END_TEST

/* --- An operator --- */

START_TEST(an_operator_hears_of_every_end) {
        static const enum probe_answer verdicts[] = { PROBE_ACCEPTED, PROBE_REJECTED, PROBE_DOUBTFUL,
                                                      PROBE_UNKNOWN };

        for (size_t i = 0; i < ELEMENTSOF(verdicts); i++) {
                prober_ask(&prober);
                end_probe(verdicts[i]);
                ck_assert_uint_eq(n_asked_ended, i + 1);
                ck_assert_uint_eq(n_logged(MESSAGE_PROBED) + n_logged(MESSAGE_NOT_PROBED), i + 1);
        }
        no_memory = true;
        prober_ask(&prober);
        ck_assert_uint_eq(n_asked_ended, ELEMENTSOF(verdicts) + 1);
        ck_assert_str_eq(logged(MESSAGE_NOT_PROBED), "orders: not probed: out of memory");
}
END_TEST

START_TEST(an_operator_joins_the_probe_that_is_under_way) {
        fire();
        prober_ask(&prober);
        ck_assert_uint_eq(n_probes, 1);
        end_probe(PROBE_ACCEPTED);
        ck_assert_uint_eq(n_asked_ended, 1);
        ck_assert_uint_eq(n_logged(MESSAGE_PROBED), 1);
}
END_TEST

START_TEST(what_retires_waits_for_its_worker_only) {
        fire();
        is_reading = true;
        prober_retire(&prober);
        ck_assert(prober_is_busy(&prober));
        is_reading = false;
        prober_retire(&prober);
        ck_assert(!prober_is_busy(&prober));
        ck_assert(!is_armed);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("prober");

        TEST_CASE_IN(suite, pulses_spread_over_the_second_half, set_up, tear_down);
        TEST_CASE_IN(suite, without_a_pulse_nothing_waits, set_up, tear_down);
        TEST_CASE_IN(suite, with_once_there_is_no_probe, set_up, tear_down);
        TEST_CASE_IN(suite, a_rejection_of_the_last_run_is_looked_into_at_once, set_up, tear_down);
        TEST_CASE_IN(suite, nothing_is_probed_that_is_not_in_use, set_up, tear_down);
        TEST_CASE_IN(suite, what_is_accepted_is_no_news, set_up, tear_down);
        TEST_CASE_IN(suite, what_was_adopted_and_is_accepted_is_news_once, set_up, tear_down);
        TEST_CASE_IN(suite, a_rejection_is_told_and_so_is_its_end, set_up, tear_down);
        TEST_CASE_IN(suite, what_is_not_certain_changes_nothing_and_is_asked_again, set_up, tear_down);
        TEST_CASE_IN(suite, what_is_said_of_another_set_is_dropped, set_up, tear_down);
        TEST_CASE_IN(suite, an_operator_hears_of_every_end, set_up, tear_down);
        TEST_CASE_IN(suite, an_operator_joins_the_probe_that_is_under_way, set_up, tear_down);
        TEST_CASE_IN(suite, what_retires_waits_for_its_worker_only, set_up, tear_down);
        return test_run(suite);
}
