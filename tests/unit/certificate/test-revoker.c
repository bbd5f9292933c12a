/* Which set is revoked when: the older one after a swap, and the current one for an operator; and what comes
 * of doubts. */

#include "daemon/certificate/revoker.h"

#include "daemon/certificate/revocation.h"
#include "tests/test.h"
#include "tests/unit/certificate/ports.h"

/* --- A revocation whose end the test decides --- */

struct revocation {
        struct revocation_request request;
        revocation_done_t done;
        void *userdata;
        enum failure failure;
        bool is_gone, has_expired, is_in_doubt;
        const char *error;
};

static struct revocation current;
static bool is_under_way, no_memory;
static unsigned n_revocations;

int revocation_new(_unused_ struct loop_services *services, const struct revocation_request *request,
                   revocation_done_t done, void *userdata, struct revocation **ret) {
        if (no_memory)
                return -ENOMEM;
        ck_assert(!is_under_way);
        current = (struct revocation) { .request = *request, .done = done, .userdata = userdata };
        is_under_way = true;
        n_revocations++;
        *ret = &current;
        return 0;
}

uint64_t revocation_generation(const struct revocation *revocation) {
        return revocation->request.generation;
}

enum failure revocation_failure(const struct revocation *revocation) {
        return revocation->failure;
}

bool revocation_has_expired(const struct revocation *revocation) {
        return revocation->has_expired;
}

bool revocation_is_gone(const struct revocation *revocation) {
        return revocation->is_gone;
}

bool revocation_is_in_doubt(const struct revocation *revocation) {
        return revocation->is_in_doubt;
}

const char *revocation_error(const struct revocation *revocation) {
        return revocation->error;
}

struct revocation *revocation_free(struct revocation *revocation) {
        if (revocation)
                is_under_way = false;
        return NULL;
}

static void end_revocation(enum failure failure, bool gone) {
        current.failure = failure;
        current.is_gone = gone;
        current.error = failure != FAILURE_NONE ? "no" : "";
        current.done(failure, gone, current.error, current.userdata);
}

/* --- The certificate --- */

static struct ports ports;
static struct renewal renewal;
static struct reporter reporter;
static struct revoker revoker;
static bool blocked;
static unsigned n_ended[3];

static bool is_blocked(_unused_ struct revoker *r) {
        return blocked;
}

static void on_ended(_unused_ struct revoker *r, enum revoker_end end) {
        n_ended[end]++;
}

static const struct revoker_ops ops = { .is_blocked = is_blocked, .ended = on_ended };

static void set_up(void) {
        ports_init(&ports);
        is_under_way = no_memory = blocked = false;
        n_revocations = 0;
        memset(n_ended, 0, sizeof(n_ended));
        renewal = (struct renewal) { .state = RENEWAL_CURRENT };
        reporter_init(&reporter, &ports.core, &renewal);
        ports.core.reporter = &reporter;
        revoker_init(&revoker, &ports.core, &ops);
        ports.config.policy.revoke_old_usec = USEC_PER_HOUR;
        ports_set_current(&ports, 4, USEC_PER_DAY);
}

static void tear_down(void) {
        revoker_clear(&revoker);
        ck_assert(!is_under_way);
        reporter_clear(&reporter);
        ports_clear(&ports);
}

#define STATE (ports.state_file->state)

/* --- The set before the current one --- */

START_TEST(the_replaced_set_is_revoked_later) {
        const usec_t before = now_usec(CLOCK_REALTIME);

        ck_assert(revoker_schedule(&revoker));
        ck_assert_uint_eq(STATE.revoke_generation, 4);
        ck_assert_uint_ge(STATE.revoke_usec, before + USEC_PER_HOUR);
        ck_assert_int_eq(timer_clock(revoker.old_timer), CLOCK_REALTIME);
        ck_assert_uint_eq(timer_due(revoker.old_timer), STATE.revoke_usec);
        ports_set_current(&ports, 5, USEC_PER_DAY);

        timer_fire(revoker.old_timer);
        ck_assert(revoker_is_busy(&revoker));
        ck_assert_uint_eq(current.request.generation, 4);
        ck_assert(!current.request.is_asked);
        end_revocation(FAILURE_NONE, false);
        ck_assert_uint_eq(STATE.revoke_usec, 0);
        ck_assert_uint_eq(n_ended[REVOKER_OLD], 1);
        ck_assert_uint_eq(n_logged(MESSAGE_REVOKED), 1);
        ck_assert_uint_eq(ports.metrics.revocations, 1);
        ck_assert_uint_eq(n_timers(), 0);
}
END_TEST

START_TEST(nothing_is_scheduled_without_need) {
        ports.config.policy.revoke_old_usec = 0;
        ck_assert(!revoker_schedule(&revoker));
        ports.config.policy.revoke_old_usec = USEC_PER_HOUR;
        ck_assert_int_eq(state_add_revoked(&STATE, ports.core.facts.fingerprint), 0);
        ck_assert(!revoker_schedule(&revoker)); /* it is revoked */
        facts_observe(&ports.core.facts, NULL, 0, 0);
        ck_assert(!revoker_schedule(&revoker)); /* there is none */
        ck_assert_uint_eq(n_timers(), 0);
}
END_TEST

/* Another machine may use it: neither what is replaced here, nor what came with the copy. */
START_TEST(a_copied_state_revokes_nothing) {
        STATE.is_copied = true;
        ck_assert(!revoker_schedule(&revoker));
        ck_assert_uint_eq(STATE.revoke_usec, 0);
        ck_assert_str_eq(
                logged(MESSAGE_NOT_REVOKED),
                "orders: generation 4 will not be revoked, and stays valid until it expires: another "
                "machine may use it");

        STATE.revoke_usec = 1;
        STATE.revoke_generation = 3;
        revoker_resume(&revoker);
        ck_assert_uint_eq(STATE.revoke_usec, 0);
        ck_assert_uint_eq(n_saves(), 1);
        ck_assert_uint_eq(n_timers(), 0);

        STATE.is_copied = false;
        ck_assert(revoker_schedule(&revoker));
}
END_TEST

START_TEST(a_swap_that_failed_takes_it_back) {
        ck_assert(revoker_schedule(&revoker));
        revoker_cancel(&revoker);
        ck_assert_uint_eq(STATE.revoke_usec, 0);
        ck_assert_uint_eq(n_timers(), 0);
        ck_assert_uint_eq(n_saves(), 1);

        /* what is scheduled of another set stays */
        ck_assert(revoker_schedule(&revoker));
        ports_set_current(&ports, 5, USEC_PER_DAY);
        revoker_cancel(&revoker);
        ck_assert_uint_eq(STATE.revoke_generation, 4);
}
END_TEST

START_TEST(a_failure_is_tried_again_with_back_off) {
        ck_assert(revoker_schedule(&revoker));
        timer_fire(revoker.old_timer);
        for (unsigned i = 1; i <= 3; i++) {
                end_revocation(FAILURE_TRANSIENT, false);
                ck_assert_uint_eq(revoker.n_old_failures, i);
                ck_assert_int_eq(timer_clock(revoker.old_timer), CLOCK_BOOTTIME);
                ck_assert_uint_eq(STATE.revoke_generation, 4);
                timer_fire(revoker.old_timer);
        }
        ck_assert_uint_eq(ports.metrics.revocation_failures, 3);
        end_revocation(FAILURE_LOCAL, true); /* its files are gone */
        ck_assert_uint_eq(STATE.revoke_usec, 0);
        ck_assert_uint_eq(n_timers(), 0);
}
END_TEST

START_TEST(another_swap_meanwhile_gives_the_older_one_up) {
        ck_assert(revoker_schedule(&revoker));
        ports_set_current(&ports, 5, USEC_PER_DAY);
        ck_assert(revoker_schedule(&revoker));
        ck_assert_uint_eq(STATE.revoke_generation, 5);
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_NOT_REVOKED), "generation 4 will not be revoked"));
}
END_TEST

START_TEST(flushing_does_it_at_once) {
        ck_assert(revoker_schedule(&revoker));
        revoker_flush(&revoker);
        ck_assert(revoker_is_busy(&revoker));
        ck_assert_uint_eq(n_timers(), 0);
        end_revocation(FAILURE_NONE, false);

        ck_assert(revoker_schedule(&revoker));
        ports.env.once = true;
        revoker_flush(&revoker); /* with --once there is no time for it */
        ck_assert(!revoker_is_busy(&revoker));
}
END_TEST

START_TEST(an_operation_goes_first) {
        ck_assert(revoker_schedule(&revoker));
        blocked = true;
        timer_fire(revoker.old_timer);
        ck_assert_uint_eq(n_revocations, 0);
        ck_assert_int_eq(timer_clock(revoker.old_timer), CLOCK_BOOTTIME);
        blocked = false;
        timer_fire(revoker.old_timer);
        ck_assert_uint_eq(n_revocations, 1);
}
END_TEST

START_TEST(a_restart_goes_on_with_what_is_scheduled) {
        STATE.revoke_generation = 3;
        STATE.revoke_usec = now_usec(CLOCK_REALTIME) + 100 * USEC_PER_DAY; /* the clock was set back */
        revoker_resume(&revoker);
        ck_assert_uint_le(timer_due(revoker.old_timer), now_usec(CLOCK_REALTIME) + USEC_PER_HOUR);

        ports.config.policy.revoke_old_usec = 0; /* the operator changed their mind */
        revoker.old_timer = sd_event_source_disable_unref(revoker.old_timer);
        revoker_resume(&revoker);
        ck_assert_uint_eq(STATE.revoke_usec, 0);
        ck_assert_uint_eq(n_timers(), 0);
}
END_TEST

START_TEST(retired_revokes_nothing_more) {
        ck_assert(revoker_schedule(&revoker));
        ports.core.is_retired = true;
        revoker_retire(&revoker);
        ck_assert_uint_eq(n_timers(), 0);
        revoker_flush(&revoker);
        ck_assert(!revoker_is_busy(&revoker));
}
END_TEST

/* --- What an operator asks for --- */

START_TEST(the_current_set_is_revoked_when_asked) {
        revoker_revoke_current(&revoker);
        ck_assert_uint_eq(current.request.generation, 4);
        ck_assert(current.request.is_asked);
        saves_hold(true);
        end_revocation(FAILURE_NONE, false);
        ck_assert_uint_eq(n_ended[REVOKER_ASKED], 0); /* before it is on disk the operator hears nothing */
        saves_answer(0, NULL);
        ck_assert_uint_eq(n_ended[REVOKER_ASKED], 1);
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_REVOKED), "revoked, generation 4"));
}
END_TEST

START_TEST(what_was_surely_not_done_ends_it) {
        revoker_revoke_current(&revoker);
        end_revocation(FAILURE_REFUSED, false);
        ck_assert_uint_eq(n_ended[REVOKER_ASKED], 1);
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_NOT_REVOKED), "which stays in use: no"));
        ck_assert_uint_eq(n_timers(), 0);
}
END_TEST

START_TEST(a_doubt_is_asked_about_until_it_is_known) {
        revoker_revoke_current(&revoker);
        STATE.is_revoking = true; /* as the revocation leaves it */
        STATE.revoking_generation = 4;
        end_revocation(FAILURE_TRANSIENT, false);
        ck_assert_uint_eq(n_ended[REVOKER_ASKED], 1);
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_NOT_REVOKED), "counts as revoked, asking again in"));

        timer_fire(revoker.asked_timer);
        ck_assert(current.request.is_asked && !current.request.fingerprint);
        end_revocation(FAILURE_TRANSIENT, false);
        ck_assert_uint_eq(n_ended[REVOKER_OLD], 1);

        timer_fire(revoker.asked_timer);
        STATE.is_revoking = false;
        end_revocation(FAILURE_NONE, false);
        ck_assert_uint_eq(n_ended[REVOKER_LATE_NEWS], 1);
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_REVOKED), "as requested earlier"));
        ck_assert_uint_eq(n_timers(), 0);
}
END_TEST

START_TEST(a_restart_asks_about_a_doubt_at_once) {
        STATE.is_revoking = true;
        STATE.revoking_generation = 4;
        revoker_resume(&revoker);
        ck_assert_uint_le(timer_due(revoker.asked_timer), now_usec(CLOCK_BOOTTIME));
        timer_fire(revoker.asked_timer);
        STATE.is_revoking = false;
        end_revocation(FAILURE_REFUSED, false);
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_NOT_REVOKED), "can be used"));
        ck_assert_uint_eq(n_ended[REVOKER_LATE_NEWS], 1);
}
END_TEST

START_TEST(without_memory_the_operator_hears_of_it) {
        no_memory = true;
        revoker_revoke_current(&revoker);
        ck_assert_uint_eq(n_ended[REVOKER_ASKED], 1);
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_NOT_REVOKED), "out of memory"));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("revoker");

        TEST_CASE_IN(suite, the_replaced_set_is_revoked_later, set_up, tear_down);
        TEST_CASE_IN(suite, nothing_is_scheduled_without_need, set_up, tear_down);
        TEST_CASE_IN(suite, a_copied_state_revokes_nothing, set_up, tear_down);
        TEST_CASE_IN(suite, a_swap_that_failed_takes_it_back, set_up, tear_down);
        TEST_CASE_IN(suite, a_failure_is_tried_again_with_back_off, set_up, tear_down);
        TEST_CASE_IN(suite, another_swap_meanwhile_gives_the_older_one_up, set_up, tear_down);
        TEST_CASE_IN(suite, flushing_does_it_at_once, set_up, tear_down);
        TEST_CASE_IN(suite, an_operation_goes_first, set_up, tear_down);
        TEST_CASE_IN(suite, a_restart_goes_on_with_what_is_scheduled, set_up, tear_down);
        TEST_CASE_IN(suite, retired_revokes_nothing_more, set_up, tear_down);
        TEST_CASE_IN(suite, the_current_set_is_revoked_when_asked, set_up, tear_down);
        TEST_CASE_IN(suite, what_was_surely_not_done_ends_it, set_up, tear_down);
        TEST_CASE_IN(suite, a_doubt_is_asked_about_until_it_is_known, set_up, tear_down);
        TEST_CASE_IN(suite, a_restart_asks_about_a_doubt_at_once, set_up, tear_down);
        TEST_CASE_IN(suite, without_memory_the_operator_hears_of_it, set_up, tear_down);
        return test_run(suite);
}
