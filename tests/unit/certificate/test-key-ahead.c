/* When the key of the next renewal is ordered, what is staged of it on a real disk, and that nothing of it
 * disturbs the certificate. */

#include "daemon/certificate/key-ahead.h"

#include <sys/stat.h>

#include "daemon/certificate/attempt.h"
#include "daemon/certificate/key-maker.h"
#include "daemon/loop/workers.h"
#include "daemon/observe/messages.h"
#include "tests/support/scratch.h"
#include "tests/support/sets.h"
#include "tests/test.h"
#include "tests/unit/certificate/ports.h"

#define AHEAD  USEC_PER_HOUR
#define SECOND USEC_PER_SEC

/* --- A maker that has the key when the test says so --- */

struct key_order {
        void (*done)(void *userdata);
        void *userdata;
        struct key *key; /* NULL: it failed, or was taken */
        unsigned bits;
};

static struct key_order current;
static bool is_ordered, no_memory;
static unsigned n_orders;

struct key_order *key_order_new(_unused_ struct key_maker *maker, unsigned bits, void (*done)(void *userdata),
                                void *userdata) {
        if (no_memory)
                return NULL;
        ck_assert(!is_ordered);
        is_ordered = true;
        n_orders++;
        current = (struct key_order) { .done = done, .userdata = userdata, .bits = bits };
        return &current;
}

struct key_order *key_order_cancel(struct key_order *order) {
        if (order) {
                ck_assert(is_ordered);
                is_ordered = false;
                order->key = key_free(order->key);
        }
        return NULL;
}

bool key_order_take(struct key_order *order, unsigned bits, struct key **ret) {
        if (!order->key || order->bits < bits)
                return false;
        *ret = take_ptr(order->key);
        return true;
}

usec_t key_order_cpu_usec(_unused_ const struct key_order *order) {
        return 2 * SECOND;
}

/* --- A worker that works when the test says so --- */

static struct job *job;

void workers_submit(_unused_ struct workers *workers, struct job *new) {
        ck_assert_ptr_null(job);
        job = new;
}

static void work(void) {
        struct job *next = take_ptr(job);

        ck_assert_ptr_nonnull(next);
        next->run(next);
        next->done(next);
}

struct store_options attempt_store_options(_unused_ const struct config_certificate *config) {
        return (struct store_options) { .key_access = FILE_ACCESS(0600),
                                        .public_access = FILE_ACCESS(0644),
                                        .keep = 2 };
}

/* --- The timer --- */

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
static struct key_ahead ahead;
static struct test_set sets[2];
static char *scratch;
static bool is_current;
static unsigned n_ended;

/* As the certificate does, where nothing is in the way. */
static void on_due(struct key_ahead *a) {
        key_ahead_begin(a, is_current);
}

static void on_ended(_unused_ struct key_ahead *a) {
        n_ended++;
}

static const struct key_ahead_ops ops = { .is_due = on_due, .ended = on_ended };

/* A set that is ten hours old, and due in DUE_IN. */
static void plan(usec_t due_in) {
        renewal.due_usec = usec_add(now_usec(CLOCK_REALTIME), due_in);
        key_ahead_plan(&ahead, &renewal);
}

static void set_up(void) {
        struct store *store;

        ports_init(&ports);
        scratch = scratch_new();
        ports.config.directory = scratch;
        ports.config.policy.key.ahead_usec = AHEAD;
        store = test_store_open(scratch);
        sets[0] = test_set_make(0);
        sets[1] = test_set_make(1);
        test_set_commit(store, &sets[0]);
        store_close(store);
        is_ordered = no_memory = is_armed = false;
        n_orders = n_ended = 0;
        job = NULL;
        is_current = true;
        ports.env.coarse.slack_usec = USEC_PER_MINUTE;
        ports_set_current(&ports, 1, 90 * USEC_PER_DAY);
        ports.core.facts.not_before = now_usec(CLOCK_REALTIME) - 10 * USEC_PER_HOUR;
        renewal = (struct renewal) { .state = RENEWAL_CURRENT, .backoff_usec = USEC_INFINITY };
        key_ahead_init(&ahead, &ports.core, &ops);
}

static void tear_down(void) {
        key_ahead_clear(&ahead);
        ck_assert(!is_ordered && !is_armed);
        test_set_clear(&sets[0]);
        test_set_clear(&sets[1]);
        scratch_free(scratch);
        ports_clear(&ports);
}

static void fire(void) {
        ck_assert(is_armed);
        coarse_timer_stop(&ahead.timer);
        ahead.timer.came(&ahead.timer);
}

/* The maker has generated it. */
static void make(void) {
        const char *pem;
        size_t size;

        ck_assert(is_ordered);
        key_pem(sets[1].key, &pem, &size);
        ck_assert_int_eq(key_parse(pem, size, &current.key, NULL), 0);
        current.done(current.userdata);
}

static bool is_on_disk(void) {
        _cleanup_(freep) char *path = scratch_path(scratch, "..stage-000002/tls.key");

        return access(path, F_OK) == 0;
}

static enum report_key state(void) {
        usec_t at;
        enum report_key key = key_ahead_state(&ahead, &at);

        ck_assert((at != USEC_INFINITY) == (key == REPORT_KEY_PLANNED));
        return key;
}

START_TEST(a_key_is_staged_before_it_is_due) {
        ck_assert_int_eq(state(), REPORT_KEY_NONE);
        plan(10 * USEC_PER_HOUR);
        ck_assert_uint_ge(wait_usec, 9 * USEC_PER_HOUR - SECOND);
        ck_assert_uint_le(wait_usec, 9 * USEC_PER_HOUR + USEC_PER_HOUR / 2);
        ck_assert_int_eq(state(), REPORT_KEY_PLANNED);
        plan(USEC_PER_HOUR / 4);
        ck_assert_uint_eq(wait_usec, 0);
        fire();
        ck_assert_uint_eq(current.bits, 2048);
        ck_assert_int_eq(state(), REPORT_KEY_GENERATING);
        ck_assert_ptr_eq(ports.core.next_key, &current);
        plan(USEC_PER_HOUR / 4); /* an inspection in between changes nothing */
        ck_assert(is_ordered && !is_armed);
        ck_assert(!key_ahead_is_busy(&ahead));
        make();
        ck_assert_uint_eq(ports.metrics.key_cpu_usec, 2 * SECOND);
        ck_assert(key_ahead_is_busy(&ahead) && !is_ordered);
        ck_assert_int_eq(state(), REPORT_KEY_GENERATING);
        work();
        ck_assert_uint_eq(n_ended, 1);
        ck_assert(!key_ahead_is_busy(&ahead));
        ck_assert_int_eq(state(), REPORT_KEY_READY);
        ck_assert(is_on_disk());

        key_ahead_observe(&ahead, true);
        plan(USEC_PER_HOUR / 4);
        ck_assert(!is_armed);
        ck_assert_int_eq(state(), REPORT_KEY_READY);
        ck_assert_uint_eq(n_orders, 1);
}
END_TEST

START_TEST(who_is_not_renewed_by_itself_needs_none) {
        static const enum renewal_state states[] = { RENEWAL_ABSENT, RENEWAL_WAITING_FOR_TOKEN,
                                                     RENEWAL_RETRYING };

        for (size_t i = 0; i < ELEMENTSOF(states); i++) {
                plan(AHEAD);
                ck_assert(is_armed);
                renewal.state = states[i];
                plan(0);
                ck_assert(!is_armed);
                renewal.state = RENEWAL_CURRENT;
        }
        plan(USEC_INFINITY);
        ck_assert(!is_armed);
        renewal.backoff_usec = USEC_PER_MINUTE; /* the clock is wrong */
        plan(0);
        ck_assert(!is_armed);
        renewal.backoff_usec = USEC_INFINITY;

        ports.env.once = true;
        plan(0);
        ck_assert(!is_armed);
        ports.env.once = false;
        ports.core.replica = (struct replica *)&ports;
        key_ahead_observe(&ahead, true);
        ports.config.policy.key.ahead_usec = 0;
        plan(0);
        key_ahead_retire(&ahead);
        key_ahead_begin(&ahead, true);
        ck_assert(!is_armed && !job); /* what others have staged stays */
        ports.core.replica = NULL;
        ck_assert_int_eq(state(), REPORT_KEY_READY);
}
END_TEST

START_TEST(off_generates_nothing_and_leaves_nothing) {
        plan(0);
        fire();
        make();
        work();
        ports.config.policy.key.ahead_usec = 0;
        key_ahead_reset(&ahead);
        key_ahead_observe(&ahead, true);
        plan(0);
        key_ahead_begin(&ahead, true);
        work();
        ck_assert(!is_on_disk());
        ck_assert_int_eq(state(), REPORT_KEY_NONE);
        key_ahead_observe(&ahead, false);
        plan(0);
        key_ahead_begin(&ahead, true);
        ck_assert(!is_armed && !is_ordered && !job);
}
END_TEST

START_TEST(the_key_of_what_retires_is_removed) {
        plan(0);
        fire();
        key_ahead_retire(&ahead);
        ck_assert(!is_ordered);
        key_ahead_begin(&ahead, true);
        ck_assert_ptr_null(job);

        plan(0);
        fire();
        make();
        key_ahead_retire(&ahead); /* the worker is at it */
        work();
        ports.core.is_retired = true;
        key_ahead_retire(&ahead);
        key_ahead_observe(&ahead, true); /* an inspection was under way */
        plan(0);
        key_ahead_begin(&ahead, false);
        work();
        ck_assert(!is_on_disk());
}
END_TEST

START_TEST(what_is_no_longer_needed_is_given_up) {
        plan(0);
        fire();
        plan(10 * USEC_PER_HOUR); /* another set */
        ck_assert(!is_ordered && is_armed);
        plan(0);
        fire();
        renewal.state = RENEWAL_RETRYING;
        plan(USEC_INFINITY);
        ck_assert(!is_ordered && !is_armed);

        renewal.state = RENEWAL_CURRENT;
        plan(0);
        fire();
        is_current = false; /* a probe was rejected */
        make();
        ck_assert(!is_ordered && !job);
        is_current = true;
        plan(0);
        is_current = false;
        fire();
        ck_assert(!is_ordered);
        ck_assert_int_eq(state(), REPORT_KEY_NONE);
}
END_TEST

/* An attempt has taken it from the maker, whatever became of that. */
START_TEST(what_was_taken_is_not_staged) {
        plan(0);
        fire();
        current.done(current.userdata);
        ck_assert(!is_ordered && !job);
        ck_assert(!is_on_disk());
        ck_assert_uint_ge(wait_usec, 5 * USEC_PER_MINUTE);
}
END_TEST

static void fail_once(void) {
        fire();
        make();
        work();
        ck_assert_int_eq(state(), REPORT_KEY_PLANNED);
        ck_assert_uint_ge(wait_usec, 5 * USEC_PER_MINUTE);
        ck_assert_uint_le(wait_usec, 2 * USEC_PER_HOUR);
}

/* Inspections, which a failure itself may cause, do not bring the next attempt forward. */
START_TEST(a_failure_is_told_nobody_and_tried_again_later) {
        _cleanup_(freep) char *stage = scratch_path(scratch, "..stage-000002");
        usec_t first;

        plan(0);
        scratch_write(scratch, "..stage-000002", "in the way", 0600);
        fail_once();
        first = wait_usec;
        plan(0);
        ck_assert_uint_ge(wait_usec, 5 * USEC_PER_MINUTE - SECOND);
        for (unsigned i = 0; i < 12; i++)
                fail_once();
        ck_assert_uint_gt(wait_usec, 2 * first);
        ck_assert_ptr_null(logged(MESSAGE_WARNING));

        no_memory = true;
        fire();
        ck_assert(is_armed && !is_ordered);
        no_memory = false;

        /* An operator has repaired it, and reloads. */
        ck_assert_int_eq(unlink(stage), 0);
        key_ahead_reset(&ahead);
        plan(0);
        ck_assert_uint_eq(wait_usec, 0);
        fire();
        make();
        work();
        ck_assert(is_on_disk());
}
END_TEST

/* Opening a store creates its directory; this must not. */
START_TEST(a_directory_that_is_gone_stays_gone) {
        _cleanup_(freep) char *gone = scratch_path(scratch, "gone");

        ports.config.directory = gone;
        plan(0);
        fire();
        make();
        work();
        ck_assert_int_eq(access(gone, F_OK), -1);
        ck_assert_int_eq(state(), REPORT_KEY_NONE);
}
END_TEST

START_TEST(memory_is_bounded) {
        test_report("%zu bytes for each certificate", sizeof(struct key_ahead) + sizeof(struct key_order *));
        ck_assert_uint_le(sizeof(struct key_ahead) + sizeof(struct key_order *), 100);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("key-ahead");

        x509_key(1);
        x509_key(7);
        TEST_CASE_IN(suite, a_key_is_staged_before_it_is_due, set_up, tear_down);
        TEST_CASE_IN(suite, who_is_not_renewed_by_itself_needs_none, set_up, tear_down);
        TEST_CASE_IN(suite, off_generates_nothing_and_leaves_nothing, set_up, tear_down);
        TEST_CASE_IN(suite, the_key_of_what_retires_is_removed, set_up, tear_down);
        TEST_CASE_IN(suite, what_is_no_longer_needed_is_given_up, set_up, tear_down);
        TEST_CASE_IN(suite, what_was_taken_is_not_staged, set_up, tear_down);
        TEST_CASE_IN(suite, a_failure_is_told_nobody_and_tried_again_later, set_up, tear_down);
        TEST_CASE_IN(suite, a_directory_that_is_gone_stays_gone, set_up, tear_down);
        TEST_CASE(suite, memory_is_bounded);
        return test_run(suite);
}
