/* The renewer with an attempt that does what the test says: what it asks for, in which order, and what it
 * writes down. */

#include "daemon/certificate/renewer.h"
#include "daemon/loop/path-watch.h"
#include "daemon/loop/set-watch.h"
#include "tests/test.h"
#include "tests/unit/certificate/ports.h"

/* --- Watches: there is nothing to watch --- */

int path_watch_new(_unused_ sd_event *event, _unused_ const char *path, _unused_ watch_function_t function,
                   _unused_ void *userdata, struct path_watch **ret) {
        *ret = NULL;
        return 0;
}

struct path_watch *path_watch_free(_unused_ struct path_watch *watch) {
        return NULL;
}

int set_watch_new(_unused_ sd_event *event, _unused_ const char *directory,
                  _unused_ void (*function)(void *userdata), _unused_ void *userdata,
                  struct set_watch **ret) {
        *ret = NULL;
        return 0;
}

void set_watch_follow(_unused_ struct set_watch *watch) {
}

struct set_watch *set_watch_free(_unused_ struct set_watch *watch) {
        return NULL;
}

/* --- An attempt whose steps end when the test says so --- */

struct attempt {
        struct attempt_input input;
        struct outcome outcome;
        struct findings findings;
        bool is_enrolment, has_committed, set_is_passed_over, token_is_passed_over;
        char *warning;
        void (*done)(void *userdata);
        void *userdata;
};

static struct attempt attempt;
static bool is_open;
static unsigned n_attempts;
static enum renewal_step under_way; /* STEP_NONE: none is */

/* What the next inspection finds. */
static struct {
        bool has_set;
        uint8_t number;
        usec_t left_usec; /* to its expiry, of 90 days */
        uint64_t token;
} disk;
static struct set set;

struct attempt *attempt_new(_unused_ struct loop_services *services,
                            _unused_ const struct config_certificate *config,
                            const struct attempt_input *input, void (*done)(void *userdata), void *userdata) {
        ck_assert(!is_open);
        attempt = (struct attempt) { .input = *input, .done = done, .userdata = userdata };
        is_open = true;
        n_attempts++;
        return &attempt;
}

struct attempt *attempt_free(struct attempt *a) {
        if (a) {
                ck_assert(is_open);
                is_open = false;
                under_way = STEP_NONE;
                error_clear(&a->outcome.error);
                free(a->warning);
        }
        return NULL;
}

bool attempt_step_calls(enum renewal_step step) {
        return step == STEP_CONFIGURATION || step == STEP_SIGN || step == STEP_VERIFY;
}

void attempt_start(struct attempt *a, enum renewal_step step) {
        error_clear(&a->outcome.error);
        a->outcome = (struct outcome) { .step = step };
        under_way = step;
}

void attempt_fail(struct attempt *a, enum renewal_step step, int code, const char *sentence,
                  usec_t retry_after_usec) {
        error_clear(&a->outcome.error);
        a->outcome = (struct outcome) { .step = step,
                                        .failure = FAILURE_LOCAL,
                                        .retry_after_usec = retry_after_usec };
        error_set(&a->outcome.error, code, "%s", sentence);
}

const struct outcome *attempt_outcome(const struct attempt *a) {
        return &a->outcome;
}

const struct findings *attempt_findings(const struct attempt *a) {
        return &a->findings;
}

void attempt_set_enrolment(struct attempt *a, bool is_enrolment) {
        a->is_enrolment = is_enrolment;
}

bool attempt_is_enrolment(const struct attempt *a) {
        return a->is_enrolment;
}

bool attempt_accept_not_longer(struct attempt *a) {
        bool known = a->input.accepts_not_longer;

        a->input.accepts_not_longer = true;
        return known;
}

void attempt_pass_over_set(struct attempt *a) {
        a->set_is_passed_over = true;
        a->findings.observation.has_set = false;
        a->findings.observation.expiry = a->findings.observation.not_before = 0;
}

void attempt_pass_over_token(struct attempt *a) {
        a->token_is_passed_over = true;
        a->findings.observation.has_token = false;
}

bool attempt_has_committed(const struct attempt *a) {
        return a->has_committed;
}

char *attempt_take_warning(struct attempt *a) {
        return take_ptr(a->warning);
}

usec_t attempt_step_usec(_unused_ const struct attempt *a) {
        return 1;
}

usec_t attempt_key_cpu_usec(_unused_ const struct attempt *a) {
        return 0;
}

static const struct set *set_on_disk(void) {
        const usec_t now = now_usec(CLOCK_REALTIME);

        set = (struct set) {
                .generation = disk.number,
                .not_before = now + disk.left_usec - 90 * USEC_PER_DAY - USEC_PER_HOUR,
                .effective_expiry = now + disk.left_usec,
                .fingerprint = { disk.number, 0x42 },
        };
        return disk.has_set ? &set : NULL;
}

/* The step under way ends: well, or with FAILURE. */
static void end_step(enum failure failure) {
        ck_assert_int_ne(under_way, STEP_NONE);
        if (failure == FAILURE_NONE && under_way == STEP_INSPECT) {
                attempt.findings.set = set_on_disk();
                attempt.findings.token = disk.token;
                attempt.findings.observation = (struct renewal_observation) {
                        .has_set = disk.has_set,
                        .not_before = disk.has_set ? set.not_before : 0,
                        .expiry = disk.has_set ? set.effective_expiry : 0,
                        .has_token = disk.token != 0,
                        .has_untried_token = disk.token != 0 && disk.token != attempt.input.tried_token,
                };
        }
        if (failure == FAILURE_NONE && under_way == STEP_COMMIT) {
                disk.has_set = true;
                disk.number++;
                disk.left_usec = 90 * USEC_PER_DAY;
                attempt.findings.set = set_on_disk();
                attempt.has_committed = true;
        }
        attempt.outcome.failure = failure;
        if (failure != FAILURE_NONE)
                error_set(&attempt.outcome.error, -EIO, "no");
        attempt.done(attempt.userdata);
}

/* --- The certificate --- */

static struct ports ports;
static struct reporter reporter;
static struct renewer renewer;
static bool blocked, saves_at_swap;
static unsigned n_inspected, n_observed, n_begun, n_swaps, n_idle;

static bool is_blocked(_unused_ struct renewer *r) {
        return blocked;
}

static void on_inspected(_unused_ struct renewer *r) {
        n_inspected++;
}

static void on_observed(struct renewer *r, _unused_ const struct findings *findings, _unused_ bool closely) {
        n_observed++;
        renewer_continue(r);
}

static void on_begun(_unused_ struct renewer *r) {
        n_begun++;
}

static bool on_swap(_unused_ struct renewer *r) {
        n_swaps++;
        return saves_at_swap;
}

static void on_idle(_unused_ struct renewer *r) {
        n_idle++;
}

static void on_changed(_unused_ struct environment *env) {
}

static const struct environment_ops env_ops = { .changed = on_changed };

static const struct renewer_ops ops = {
        .is_blocked = is_blocked,
        .inspected = on_inspected,
        .observed = on_observed,
        .attempt_begins = on_begun,
        .swap_begins = on_swap,
        .idle = on_idle,
};

#define STATE (ports.state_file->state)

static void begin(void) {
        facts_restore(&ports.core.facts, &STATE);
        reporter_init(&reporter, &ports.core, &renewer.renewal);
        ports.core.reporter = &reporter;
        renewer_init(&renewer, &ports.core, &ops);
        ck_assert_int_eq(renewer_configure(&renewer, true, false), 0);
}

static void set_up(void) {
        ports_init(&ports);
        ports.env.ops = &env_ops;
        ports.env.slots = (struct slots) { .n_total = 2 };
        ports.config.policy.renew_before = (struct share_or_usec) { .usec = 10 * USEC_PER_DAY };
        ports.config.policy.clock_skew_usec = 5 * USEC_PER_MINUTE;
        memset(&disk, 0, sizeof(disk));
        blocked = saves_at_swap = is_open = false;
        n_inspected = n_observed = n_begun = n_swaps = n_idle = n_attempts = 0;
        under_way = STEP_NONE;
        begin();
}

static void tear_down(void) {
        renewer_clear(&renewer);
        ck_assert(!is_open);
        reporter_clear(&reporter);
        slots_clear(&ports.env.slots);
        ports_clear(&ports);
}

static void put_set(uint8_t number, usec_t left_usec) {
        disk.has_set = true;
        disk.number = number;
        disk.left_usec = left_usec;
}

/* Ends each step well, from the one under way to STEP. */
static void walk_to(enum renewal_step step) {
        while (under_way != step)
                end_step(FAILURE_NONE);
}

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
        ck_assert_int_eq(timer_clock(renewer.waits.timer), CLOCK_REALTIME);
        ck_assert_uint_eq(n_logged(MESSAGE_CURRENT), 1);
        ck_assert_uint_eq(n_saves(), 0);
        ck_assert_uint_eq(ports.env.slots.n_used, 0);
}
END_TEST

START_TEST(a_due_set_is_renewed_and_inspected_again) {
        put_set(1, 5 * USEC_PER_DAY);
        renewer_start(&renewer);
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

START_TEST(no_call_leaves_before_the_state_file_knows) {
        put_set(1, 5 * USEC_PER_DAY);
        renewer_start(&renewer);
        saves_hold(true);
        walk_to(STEP_KEY);
        end_step(FAILURE_NONE);
        ck_assert_int_eq(under_way, STEP_KEY); /* the call waits */
        saves_answer(0, NULL);
        ck_assert_int_eq(under_way, STEP_CONFIGURATION);
        end_step(FAILURE_NONE);
        end_step(FAILURE_NONE); /* the CSR */
        ck_assert_int_eq(under_way, STEP_CSR);
        ck_assert_uint_eq(STATE.n_issuances, 1);
        saves_hold(false);
        saves_answer(-ENOSPC, "the disk is full");
        ck_assert_int_eq(under_way, STEP_NONE); /* it must not leave */
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_FAILED_LOCAL),
                                     "could not be recorded for a restart: the disk is full"));
        ck_assert_int_eq(renewer.renewal.state, RENEWAL_RETRYING);
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
                ck_assert_int_eq(timer_clock(renewer.waits.timer), CLOCK_BOOTTIME);
                ck_assert_uint_lt(renewer_next_attempt(&renewer), USEC_INFINITY);
        }
        ck_assert(renewer.result.failed);
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
        renewer_offer_token(&renewer, strdup("abc"), false);
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

int main(void) {
        Suite *suite = suite_create("renewer");

        TEST_CASE_IN(suite, a_set_that_is_not_due_is_waited_for, set_up, tear_down);
        TEST_CASE_IN(suite, a_due_set_is_renewed_and_inspected_again, set_up, tear_down);
        TEST_CASE_IN(suite, no_call_leaves_before_the_state_file_knows, set_up, tear_down);
        TEST_CASE_IN(suite, a_swap_waits_for_what_is_to_be_saved_before_it, set_up, tear_down);
        TEST_CASE_IN(suite, each_failure_backs_off_and_is_remembered, set_up, tear_down);
        TEST_CASE_IN(suite, noise_ends_no_back_off_but_news_do, set_up, tear_down);
        TEST_CASE_IN(suite, what_happens_during_an_attempt_is_inspected_after_it, set_up, tear_down);
        TEST_CASE_IN(suite, an_operation_goes_before_an_attempt, set_up, tear_down);
        TEST_CASE_IN(suite, a_renewal_waits_for_its_turn, set_up, tear_down);
        TEST_CASE_IN(suite, the_budget_holds, set_up, tear_down);
        TEST_CASE_IN(suite, a_restart_goes_on_waiting, set_up, tear_down);
        TEST_CASE_IN(suite, a_stop_is_no_failure, set_up, tear_down);
        TEST_CASE_IN(suite, a_token_enrols_and_is_burnt, set_up, tear_down);
        TEST_CASE_IN(suite, a_refused_token_is_burnt_and_waited_for_another, set_up, tear_down);
        TEST_CASE_IN(suite, what_was_revoked_counts_as_none, set_up, tear_down);
        TEST_CASE_IN(suite, an_operator_forces_an_attempt, set_up, tear_down);
        TEST_CASE_IN(suite, a_force_counts_for_a_gate_that_has_just_run, set_up, tear_down);
        TEST_CASE_IN(suite, an_attempt_that_is_not_made_is_given_up, set_up, tear_down);
        TEST_CASE_IN(suite, once_waits_for_nothing, set_up, tear_down);
        TEST_CASE_IN(suite, retired_begins_nothing_more, set_up, tear_down);
        return test_run(suite);
}
