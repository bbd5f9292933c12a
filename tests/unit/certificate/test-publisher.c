/* In which order a set is published, and what is written down before: the exports and the notifications are
 * the test's. */

#include "daemon/certificate/publisher.h"

#include "daemon/certificate/exports-run.h"
#include "daemon/observe/messages.h"
#include "tests/test.h"
#include "tests/unit/certificate/ports.h"

/* What was done, in its order: a letter each. */
static char done[64];

static void note(char what) {
        size_t n = strlen(done);

        ck_assert_uint_lt(n, sizeof(done) - 1);
        done[n] = what;
}

/* --- Exports --- */

#define N_EXPORTS 2

struct exports_run {
        struct export_result results[N_EXPORTS];
        void (*done)(void *userdata);
        void *userdata;
};

static struct exports_run run;
static bool writable[N_EXPORTS], stale[N_EXPORTS], fails[N_EXPORTS], unseen[N_EXPORTS];

struct exports_run *exports_run_new(_unused_ struct workers *workers, _unused_ struct kube_client *kube,
                                    const struct config_certificate *config, const struct set *set,
                                    _unused_ const struct state *state, bool closely) {
        if (config->n_exports == 0 || !(set || closely))
                return NULL;
        memset(&run, 0, sizeof(run));
        return &run;
}

struct exports_run *exports_run_free(struct exports_run *r) {
        for (size_t i = 0; r && i < N_EXPORTS; i++)
                error_clear(&r->results[i].error);
        return NULL;
}

void exports_run_check(struct exports_run *r, void (*when_done)(void *userdata), void *userdata) {
        note('c');
        for (size_t i = 0; i < N_EXPORTS; i++) {
                r->results[i].is_seen = !unseen[i];
                r->results[i].is_stale = stale[i];
                r->results[i].is_writable = writable[i];
                if (stale[i] && !writable[i])
                        error_set(&r->results[i].error, -EROFS, "cannot write it");
        }
        when_done(userdata);
}

void exports_run_write(struct exports_run *r, void (*when_done)(void *userdata), void *userdata) {
        note('w');
        for (size_t i = 0; i < N_EXPORTS; i++) {
                r->results[i].is_written = stale[i] && writable[i] && !fails[i];
                if (stale[i] && fails[i])
                        error_set(&r->results[i].error, -EIO, "disk broken");
        }
        when_done(userdata);
}

bool exports_run_has_work(const struct exports_run *r) {
        for (size_t i = 0; i < N_EXPORTS; i++)
                if (r->results[i].is_stale && r->results[i].is_writable)
                        return true;
        return false;
}

static usec_t run_end;

usec_t exports_run_end(_unused_ const struct exports_run *r) {
        return run_end;
}

const struct export_result *exports_run_result(const struct exports_run *r, size_t i) {
        return &r->results[i];
}

/* --- Notifications --- */

struct notifications {
        char unused;
};

static struct notifications notifications;
static unsigned n_pending;

int notifications_new(_unused_ const struct notifications_options *options,
                      _unused_ struct notifications *before, struct notifications **ret) {
        *ret = &notifications;
        return 0;
}

int notifications_schedule(_unused_ struct notifications *n) {
        note('s');
        return 0;
}

int notifications_schedule_again(_unused_ struct notifications *n) {
        note('a');
        return 0;
}

void notifications_cancel(_unused_ struct notifications *n) {
        note('x');
}

void notifications_start(_unused_ struct notifications *n) {
        note('n');
}

bool notifications_is_under_way(_unused_ const struct notifications *n) {
        return false;
}

bool notifications_is_busy(_unused_ const struct notifications *n) {
        return false;
}

unsigned notifications_n_pending(_unused_ const struct notifications *n) {
        return n_pending;
}

struct notifications *notifications_free(_unused_ struct notifications *n) {
        return NULL;
}

/* --- The certificate --- */

static struct ports ports;
static struct publisher publisher;
static struct export exports[N_EXPORTS];
static unsigned n_published, n_retries;

static void on_published(_unused_ struct publisher *p) {
        note('.');
        n_published++;
}

static void on_retry(_unused_ struct publisher *p) {
        n_retries++;
}

static void on_wrote(_unused_ struct publisher *p, _unused_ const struct export *export) {
}

static const struct publisher_ops ops = {
        .wrote = on_wrote, .published = on_published, .retry = on_retry, .idle = on_retry
};

static void set_up(void) {
        ports_init(&ports);
        memset(done, 0, sizeof(done));
        memset(stale, 0, sizeof(stale));
        memset(fails, 0, sizeof(fails));
        memset(unseen, 0, sizeof(unseen));
        writable[0] = writable[1] = true;
        run_end = USEC_INFINITY;
        n_published = n_retries = 0;
        exports[0].path = (char *)"/a.pem";
        exports[1] = (struct export) { .path = (char *)"/b.pem" };
        publisher_init(&publisher, &ports.core, &ops);
}

static void tear_down(void) {
        publisher_clear(&publisher);
        ports_clear(&ports);
}

static void configure(bool with_exports, bool with_dependents) {
        ports.config.exports = exports;
        ports.config.n_exports = with_exports ? N_EXPORTS : 0;
        ports.config.n_notify = with_dependents ? 1 : 0;
        ck_assert_int_eq(publisher_configure(&publisher), 0);
}

static void publish(void) {
        static const struct set set;

        memset(done, 0, sizeof(done));
        publisher_publish(&publisher, facts_has_set(&ports.core.facts) ? &set : NULL, false);
}

START_TEST(a_new_set_is_written_down_exported_and_notified_of) {
        configure(true, true);
        ports_set_current(&ports, 1, USEC_PER_DAY);
        stale[0] = stale[1] = true;
        saves_hold(true);
        publish();
        ck_assert_str_eq(done, "cs"); /* nothing more before it is on disk */
        saves_answer(0, NULL);
        ck_assert_str_eq(done, "cswn.");
        ck_assert_uint_eq(n_logged(MESSAGE_EXPORTED), 2);
        ck_assert_str_eq(ports.state_file->state.fingerprint, ports.core.facts.fingerprint);
        ck_assert_uint_eq(publisher.notes.n_failed, 0);

        /* the next inspection finds nothing to do */
        stale[0] = stale[1] = false;
        publish();
        ck_assert_str_eq(done, "cn.");
}
END_TEST

START_TEST(what_cannot_be_saved_is_published_all_the_same) {
        configure(true, true);
        ports_set_current(&ports, 1, USEC_PER_DAY);
        saves_hold(true);
        publish();
        saves_answer(-ENOSPC, "full");
        ck_assert_str_eq(done, "csn.");
}
END_TEST

/* What is known of the second export, which is a Secret now. */
static const struct report_export *secret(void) {
        const struct report_export *found = report_exports_find(&publisher.notes.secrets, &exports[1]);

        ck_assert_ptr_nonnull(found);
        return found;
}

START_TEST(where_a_secret_stands) {
        usec_t written;

        exports[1] = (struct export) { .secret = (char *)"a/b", .layout = EXPORT_TLS };
        configure(true, false);
        ck_assert_ptr_null(report_exports_find(&publisher.notes.secrets, &exports[1]));
        ports_set_current(&ports, 1, USEC_PER_DAY);

        unseen[1] = stale[1] = true;
        writable[1] = false;
        publish();
        ck_assert(!secret()->is_known && !secret()->is_current);
        ck_assert_str_eq(secret()->error, "cannot write it");
        ck_assert_str_eq(publisher.notes.error, "cannot write it");
        ck_assert_uint_gt(secret()->next_attempt, now_usec(CLOCK_REALTIME) - USEC_PER_SEC);

        unseen[1] = false;
        publish();
        ck_assert(secret()->is_known && !secret()->is_current);

        writable[1] = true;
        publish();
        ck_assert(secret()->is_known && secret()->is_current);
        ck_assert_uint_eq(secret()->generation, 1);
        ck_assert_uint_eq(secret()->next_attempt, 0);
        ck_assert(!secret()->error && !publisher.notes.error);
        written = secret()->written_at;
        ck_assert_uint_gt(written, 0);

        /* It stays so; what the Secret has of the next generation rekeyd has not written. */
        stale[1] = false;
        publish();
        ck_assert_uint_eq(secret()->written_at, written);
        ports_set_current(&ports, 2, USEC_PER_DAY);
        publish();
        ck_assert_uint_eq(secret()->generation, 2);
        ck_assert_uint_eq(secret()->written_at, 0);

        /* Another layout is another export. */
        exports[1].layout = EXPORT_KYMA;
        ck_assert_ptr_null(report_exports_find(&publisher.notes.secrets, &exports[1]));
}
END_TEST

START_TEST(a_repaired_export_notifies_again) {
        configure(true, true);
        ports_set_current(&ports, 1, USEC_PER_DAY);
        publish();
        stale[0] = true;
        publish();
        ck_assert_str_eq(done, "cswan.");

        fails[0] = true; /* nothing was written: nothing is new to the dependents */
        publish();
        ck_assert_str_eq(done, "cswxn.");
        ck_assert_uint_eq(publisher.notes.n_failed, 1);
}
END_TEST

START_TEST(a_failing_export_is_tried_again) {
        configure(true, false);
        ports_set_current(&ports, 1, USEC_PER_DAY);
        stale[1] = true;
        writable[1] = false;
        for (unsigned i = 1; i <= 3; i++) {
                publish();
                ck_assert_str_eq(done, "c.");
                ck_assert_uint_eq(publisher.n_failures, i);
                ck_assert_int_eq(timer_clock(publisher.export_timer), CLOCK_BOOTTIME);
        }
        ck_assert(publisher_is_waiting(&publisher));
        ck_assert(publisher.has_failed);
        ck_assert_uint_eq(n_logged(MESSAGE_NOT_EXPORTED), 3);
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_NOT_EXPORTED), "cannot write it; retrying in"));
        timer_fire(publisher.export_timer);
        ck_assert_uint_eq(n_retries, 1);

        stale[1] = false;
        publish();
        ck_assert_uint_eq(publisher.n_failures, 0);
        ck_assert(!publisher_is_waiting(&publisher));
}
END_TEST

START_TEST(once_and_retired_try_nothing_again) {
        configure(true, false);
        ports_set_current(&ports, 1, USEC_PER_DAY);
        stale[0] = fails[0] = true;
        ports.env.once = true;
        publish();
        ports.env.once = false;
        ports.core.is_retired = true;
        publish();
        ck_assert_uint_eq(n_timers(), 0);
        ck_assert(publisher.has_failed);
}
END_TEST

START_TEST(no_set_is_exported_to_nowhere) {
        configure(true, true);
        publish();
        ck_assert_str_eq(done, ".");
        ck_assert_uint_eq(n_saves(), 0);
        publisher_publish(&publisher, NULL, true); /* what would not work is said in time */
        ck_assert_str_eq(done, ".c.");
}
END_TEST

START_TEST(without_dependents_a_set_alone_is_not_worth_a_file) {
        configure(false, false);
        ports_set_current(&ports, 1, USEC_PER_DAY);
        publish();
        ck_assert_str_eq(done, ".");
        ck_assert_uint_eq(n_saves(), 0);
        ports.state_file->has_file = true; /* one that is there must not become outdated */
        ports_set_current(&ports, 2, USEC_PER_DAY);
        publish();
        ck_assert_uint_eq(n_saves(), 1);
        ck_assert(!publisher_has_dependents(&publisher));
        ck_assert_uint_eq(publisher_n_pending(&publisher), 0);
}
END_TEST

START_TEST(an_operator_notifies_again) {
        configure(false, true);
        ports_set_current(&ports, 1, USEC_PER_DAY);
        publish();
        memset(done, 0, sizeof(done));
        ck_assert_int_eq(publisher_notify_again(&publisher), 0);
        publisher_start(&publisher);
        ck_assert_str_eq(done, "an");
        n_pending = 1;
        ck_assert_uint_eq(publisher_n_pending(&publisher), 1);
        n_pending = 0;
}
END_TEST

START_TEST(an_old_ca_leaves_an_export_in_time) {
        configure(true, false);
        ports_set_current(&ports, 1, USEC_PER_DAY);
        run_end = now_usec(CLOCK_REALTIME) + USEC_PER_HOUR;
        publish();
        ck_assert_int_eq(timer_clock(publisher.export_timer), CLOCK_REALTIME);
        ck_assert_uint_eq(timer_due(publisher.export_timer), run_end);
        timer_fire(publisher.export_timer);
        ck_assert_uint_eq(n_retries, 1);

        /* what cannot be written is tried again before that */
        stale[0] = fails[0] = true;
        publish();
        ck_assert_int_eq(timer_clock(publisher.export_timer), CLOCK_BOOTTIME);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("publisher");

        TEST_CASE_IN(suite, a_new_set_is_written_down_exported_and_notified_of, set_up, tear_down);
        TEST_CASE_IN(suite, what_cannot_be_saved_is_published_all_the_same, set_up, tear_down);
        TEST_CASE_IN(suite, where_a_secret_stands, set_up, tear_down);
        TEST_CASE_IN(suite, a_repaired_export_notifies_again, set_up, tear_down);
        TEST_CASE_IN(suite, a_failing_export_is_tried_again, set_up, tear_down);
        TEST_CASE_IN(suite, once_and_retired_try_nothing_again, set_up, tear_down);
        TEST_CASE_IN(suite, no_set_is_exported_to_nowhere, set_up, tear_down);
        TEST_CASE_IN(suite, without_dependents_a_set_alone_is_not_worth_a_file, set_up, tear_down);
        TEST_CASE_IN(suite, an_operator_notifies_again, set_up, tear_down);
        TEST_CASE_IN(suite, an_old_ca_leaves_an_export_in_time, set_up, tear_down);
        return test_run(suite);
}
