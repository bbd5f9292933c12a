/* What a certificate waits for: which timer, which watch, and what is passed on to whom. */

#include "daemon/certificate/waits.h"

#include <fcntl.h>

#include "daemon/loop/path-watch.h"
#include "daemon/loop/set-watch.h"
#include "tests/support/scratch.h"
#include "tests/test.h"
#include "tests/unit/certificate/ports.h"

/* --- Watches that the test calls itself --- */

static struct path_watch {
        void (*function)(void *userdata);
        void *userdata;
} token_watch;
static struct set_watch {
        void (*function)(void *userdata);
        void *userdata;
} set_watch;
static bool has_token_watch, has_set_watch;
static unsigned n_followed;
static int watch_result, problem;

int path_watch_new(_unused_ sd_event *event, _unused_ const char *path, _unused_ enum path_events events,
                   watch_function_t function, void *userdata, struct path_watch **ret) {
        if (watch_result < 0)
                return watch_result;
        token_watch = (struct path_watch) { function, userdata };
        has_token_watch = true;
        *ret = &token_watch;
        return 0;
}

int path_watch_problem(_unused_ const struct path_watch *watch) {
        return problem;
}

struct path_watch *path_watch_free(struct path_watch *watch) {
        if (watch)
                has_token_watch = false;
        return NULL;
}

int set_watch_new(_unused_ sd_event *event, _unused_ const char *directory, void (*function)(void *userdata),
                  void *userdata, struct set_watch **ret) {
        if (watch_result < 0)
                return watch_result;
        set_watch = (struct set_watch) { function, userdata };
        has_set_watch = true;
        *ret = &set_watch;
        return 0;
}

int set_watch_follow(_unused_ struct set_watch *watch) {
        n_followed++;
        return 0;
}

int set_watch_problem(_unused_ const struct set_watch *watch) {
        return problem;
}

struct set_watch *set_watch_free(struct set_watch *watch) {
        if (watch)
                has_set_watch = false;
        return NULL;
}

/* --- The certificate --- */

static struct ports ports;
static struct waits waits;
static unsigned n_times, n_tokens, n_changes, n_warnings;

static void on_time(_unused_ struct waits *w) {
        n_times++;
}

static void on_token(_unused_ struct waits *w) {
        n_tokens++;
}

static void on_change(_unused_ struct waits *w) {
        n_changes++;
}

static void on_warning(_unused_ struct waits *w, _unused_ const char *text) {
        n_warnings++;
}

static const struct waits_ops ops = {
        .time_came = on_time,
        .token_came = on_token,
        .files_changed = on_change,
        .warn = on_warning,
};

static void set_up(void) {
        ports_init(&ports);
        n_times = n_tokens = n_changes = n_warnings = n_followed = 0;
        watch_result = problem = 0;
        waits_init(&waits, &ports.core, &ops);
}

static void tear_down(void) {
        waits_stop(&waits);
        ck_assert(!has_token_watch && !has_set_watch);
        ports_clear(&ports);
}

static const struct renewal is_current = { .state = RENEWAL_CURRENT,
                                           .due_usec = 1234 * USEC_PER_DAY,
                                           .backoff_usec = USEC_INFINITY };
static const struct renewal is_retrying = { .state = RENEWAL_RETRYING,
                                            .due_usec = USEC_INFINITY,
                                            .backoff_usec = 40 * USEC_PER_SEC };
static const struct renewal is_waiting = { .state = RENEWAL_WAITING_FOR_TOKEN,
                                           .due_usec = USEC_INFINITY,
                                           .backoff_usec = USEC_INFINITY };

START_TEST(an_instant_is_on_the_wall_clock) {
        waits_arm(&waits, &is_current);
        ck_assert_int_eq(exact_timer_clock(&waits.timer), CLOCK_REALTIME);
        ck_assert_uint_eq(waits.timer.when, 1234 * USEC_PER_DAY);
        ck_assert_uint_eq(waits_backoff_left(&waits), 0);
        exact_timer_fire(&waits.timer);
        ck_assert_uint_eq(n_times, 1);
}
END_TEST

START_TEST(a_back_off_is_a_span) {
        const usec_t before = now_usec(CLOCK_BOOTTIME);

        waits_arm(&waits, &is_retrying);
        ck_assert_int_eq(exact_timer_clock(&waits.timer), CLOCK_BOOTTIME);
        ck_assert_uint_ge(waits.timer.when, before + 40 * USEC_PER_SEC);
        ck_assert_uint_gt(waits_backoff_left(&waits), 30 * USEC_PER_SEC);
        waits_arm(&waits, &is_waiting);
        ck_assert_int_eq(exact_timer_clock(&waits.timer), -1);
        ck_assert_uint_eq(waits_backoff_left(&waits), 0);
}
END_TEST

START_TEST(a_back_off_of_the_last_run_goes_on) {
        waits_set_backoff(&waits, 90 * USEC_PER_SEC);
        waits_pause(&waits);
        ck_assert_uint_gt(waits_backoff_left(&waits), 80 * USEC_PER_SEC);
}
END_TEST

START_TEST(without_its_timer_the_loop_ends) {
        timers_fail(true);
        waits_arm(&waits, &is_current);
        ck_assert(loop_was_ended());
}
END_TEST

START_TEST(an_attempt_stops_the_timer) {
        waits_arm(&waits, &is_current);
        waits_pause(&waits);
        ck_assert_uint_eq(n_timers(), 0);
}
END_TEST

START_TEST(only_another_token_counts) {
        struct file_identity identity;
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *path = scratch_path(scratch, "token");

        ports.config.token_file = path;
        waits_arm(&waits, &is_waiting);
        ck_assert(has_token_watch);
        ck_assert_uint_eq(n_tokens, 0); /* there is none */

        scratch_write(scratch, "token", "abc", 0600);
        token_watch.function(token_watch.userdata);
        ck_assert_uint_eq(n_tokens, 1);

        /* the last inspection has seen it */
        ck_assert_int_eq(file_identify(AT_FDCWD, path, &identity), 0);
        ports.core.facts.token_file = file_identity_hash(&identity);
        token_watch.function(token_watch.userdata);
        ck_assert_uint_eq(n_tokens, 1);
        waits_stop(&waits);
}
END_TEST

START_TEST(a_token_during_an_attempt_is_found_after_it) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *path = scratch_path(scratch, "token");

        ports.config.token_file = path;
        waits_arm(&waits, &is_waiting);
        waits_pause(&waits);
        scratch_write(scratch, "token", "abc", 0600);
        token_watch.function(token_watch.userdata);
        ck_assert_uint_eq(n_tokens, 0);
        waits_arm(&waits, &is_waiting);
        ck_assert_uint_eq(n_tokens, 1);
        waits_arm(&waits, &is_waiting);
        ck_assert_uint_eq(n_tokens, 1);
        waits_stop(&waits);
}
END_TEST

START_TEST(a_good_certificate_watches_no_token) {
        ports.config.token_file = (char *)"/nowhere/token";
        waits_arm(&waits, &is_retrying);
        ck_assert(has_token_watch);
        waits_arm(&waits, &is_current);
        ck_assert(!has_token_watch);
}
END_TEST

START_TEST(files_are_watched_once_and_followed) {
        waits_watch_set(&waits);
        ck_assert(has_set_watch);
        set_watch.function(set_watch.userdata);
        ck_assert_uint_eq(n_changes, 1);
        waits_watch_set(&waits);
        ck_assert_uint_eq(n_followed, 2);
}
END_TEST

START_TEST(what_cannot_be_watched_is_said) {
        watch_result = -ENOMEM;
        waits_watch_set(&waits);
        ck_assert_uint_eq(n_warnings, 1);
        ports.config.token_file = (char *)"/nowhere/token";
        waits_arm(&waits, &is_waiting);
        ck_assert_uint_eq(n_warnings, 2);
}
END_TEST

START_TEST(what_is_not_watched_is_said_once) {
        problem = -ENOSPC;
        ports.config.token_file = (char *)"/nowhere/token";
        for (unsigned i = 0; i < 2; i++) {
                waits_watch_set(&waits);
                ck_assert(waits.is_unwatched);
                waits_arm(&waits, &is_waiting);
                ck_assert_uint_eq(n_warnings, 2);
        }
        problem = 0; /* the limit was raised */
        waits_watch_set(&waits);
        ck_assert(!waits.is_unwatched);
        problem = -ENOSPC;
        waits_watch_set(&waits);
        ck_assert_uint_eq(n_warnings, 3);
}
END_TEST

START_TEST(once_watches_nothing) {
        ports.env.once = true;
        waits_watch_set(&waits);
        ck_assert(!has_set_watch);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("waits");

        TEST_CASE_IN(suite, an_instant_is_on_the_wall_clock, set_up, tear_down);
        TEST_CASE_IN(suite, a_back_off_is_a_span, set_up, tear_down);
        TEST_CASE_IN(suite, a_back_off_of_the_last_run_goes_on, set_up, tear_down);
        TEST_CASE_IN(suite, without_its_timer_the_loop_ends, set_up, tear_down);
        TEST_CASE_IN(suite, an_attempt_stops_the_timer, set_up, tear_down);
        TEST_CASE_IN(suite, only_another_token_counts, set_up, tear_down);
        TEST_CASE_IN(suite, a_token_during_an_attempt_is_found_after_it, set_up, tear_down);
        TEST_CASE_IN(suite, a_good_certificate_watches_no_token, set_up, tear_down);
        TEST_CASE_IN(suite, files_are_watched_once_and_followed, set_up, tear_down);
        TEST_CASE_IN(suite, what_cannot_be_watched_is_said, set_up, tear_down);
        TEST_CASE_IN(suite, what_is_not_watched_is_said_once, set_up, tear_down);
        TEST_CASE_IN(suite, once_watches_nothing, set_up, tear_down);
        return test_run(suite);
}
