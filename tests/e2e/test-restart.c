/*
 * What a restart must know. rekeyd is killed, stopped and started again, as fast as it goes, with a Connector
 * that fails, files that are lost and clocks that lie; what counts is how often the Connector was called, how
 * often it had to sign, and who was told of what. devconnector counts.
 */

#include <fcntl.h>
#include <sys/stat.h>

#include "daemon/observe/messages.h"
#include "tests/e2e/restarts.h"
#include "tests/support/fixture.h"
#include "tests/test.h"

/* The next line of rekeyd with A or B in it; true for A. */
static bool await_either(struct fixture *fixture, const char *a, const char *b) {
        for (;;) {
                _cleanup_(freep) char *line = process_await(fixture->rekeyd, PROCESS_STDERR, "");

                ck_assert_msg(line != NULL, "rekeyd said neither '%s' nor '%s'", a, b);
                if (strstr(line, a))
                        return true;
                if (strstr(line, b))
                        return false;
        }
}

/* --- Crash loops --- */

static const struct {
        const char *what;
        bool is_enrolled;
        bool is_token_fresh;     /* a file that was never tried, of no use to a renewal */
        bool is_token_rewritten; /* before each start, as by a service manager that passes credentials */
        bool is_set_lost;        /* the directory was removed */
} loops[] = {
        { .what = "renewing", .is_enrolled = true },
        { .what = "renewing, another token in reserve", .is_enrolled = true, .is_token_fresh = true },
        { .what = "renewing, token file as new at each start",
          .is_enrolled = true,
          .is_token_rewritten = true },
        { .what = "enrolling" },
        { .what = "enrolling, token file as new at each start", .is_token_rewritten = true },
        { .what = "enrolling after the set was removed",
          .is_enrolled = true,
          .is_token_fresh = true,
          .is_set_lost = true },
};

START_TEST(a_crash_loop_is_not_a_request_loop) {
        const unsigned n_starts = is_wrapped() ? 2 : 15;

        /* Under instruments, the two endpoints. */
        for (size_t i = 0; i < ELEMENTSOF(loops); i += is_wrapped() ? 3 : 1) {
                _cleanup_(fixture_freep) struct fixture *fixture =
                        loops[i].is_enrolled ? fixture_due() : fixture_new(FIXTURE_LASTING("30d"));
                _cleanup_(freep) char *token = NULL;
                bool renews = loops[i].is_enrolled && !loops[i].is_set_lost;
                unsigned before = fixture_calls(fixture, "configuration"), calls;
                usec_t begin, span;

                if (!loops[i].is_enrolled)
                        fixture_configure(fixture, ORDERS);
                if (!loops[i].is_enrolled || loops[i].is_token_fresh)
                        fixture_token(fixture, "client-1", "token");
                if (loops[i].is_set_lost)
                        scratch_free(scratch_path(fixture->directory, "orders"));
                token = scratch_read(fixture->directory, "token");
                fixture_fault(fixture, HOLD("configuration"));

                begin = now_usec(CLOCK_MONOTONIC);
                for (unsigned n = 0; n < n_starts; n++) {
                        if (loops[i].is_token_rewritten) {
                                remove_file(fixture, "token");
                                scratch_write(fixture->directory, "token", token, 0600);
                        }
                        fixture_start(fixture, NULL);
                        if (await_either(fixture, MESSAGE_BEGUN, MESSAGE_HELD))
                                fixture_expect_held(fixture);
                        fixture_kill(fixture);
                }
                span = now_usec(CLOCK_MONOTONIC) - begin;
                fixture_lift_faults(fixture);
                calls = fixture_calls(fixture, "configuration") - before;
                test_report("crash loop, %s: %u starts in %.1f s, %u calls", loops[i].what, n_starts,
                            (double)span / USEC_PER_SEC, calls);
                ck_assert_msg(calls >= 1 && calls <= allowed_calls(span), "%s: %u calls in %u starts",
                              loops[i].what, calls, n_starts);

                /* It mends itself, after the back-off; an operator's try comes before it, and a fresh token.
                 */
                if (!renews)
                        fixture_token(fixture, "client-1", "token");
                else if (i > 0) {
                        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
                        continue;
                }
                fixture_start(fixture, NULL);
                fixture_expect(fixture, renews ? MESSAGE_RENEWED : MESSAGE_ENROLLED);
                ck_assert_int_eq(fixture_stop(fixture), 0);
        }
}
END_TEST

START_TEST(a_connector_that_is_gone_is_called_by_back_off_only) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_due();
        unsigned failures = 0;

        fixture_fault(fixture, "{\"fault\":\"cut-connection\",\"at\":\"any\"}");
        usec_t begin = now_usec(CLOCK_MONOTONIC);
        unsigned before = fixture_calls(fixture, "configuration"), calls;
        for (unsigned n = 0; n < 10; n++) {
                fixture_start(fixture, NULL);
                if (await_either(fixture, MESSAGE_BEGUN, MESSAGE_HELD)) {
                        fixture_expect(fixture, MESSAGE_FAILED);
                        failures++;
                }
                ck_assert_int_eq(fixture_stop(fixture), 0);
        }
        calls = fixture_calls(fixture, "configuration") - before;
        test_report("stopped and started 10 times while the Connector hangs up: %u calls", calls);
        ck_assert_uint_le(calls, 2 * allowed_calls(now_usec(CLOCK_MONOTONIC) - begin)); /* curl tries twice */
        ck_assert_uint_ge(failures, 1);

        /* An operator's try goes before any back-off. */
        fixture_lift_faults(fixture);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
}
END_TEST

START_TEST(retry_after_survives_a_restart) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_due();
        unsigned before;

        fixture_fault(
                fixture,
                "{\"fault\":\"rate-limit-retry-after\",\"retry_after\":\"2h\",\"at\":\"configuration\"}");
        before = fixture_calls(fixture, "configuration");
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_FAILED);
        for (unsigned i = 0; i < 2; i++) {
                json_t *line;
                int hours = 0;

                ck_assert_int_eq(fixture_stop(fixture), 0);
                fixture_start(fixture, NULL);
                line = fixture_await(fixture, MESSAGE_HELD);
                ck_assert_msg(sscanf(strstr(member(line, "message"), "retrying in "), "retrying in %dh",
                                     &hours) == 1 &&
                                      (hours == 2 || hours == 1),
                              "%s", member(line, "message"));
                ck_assert_msg(strstr(member(line, "message"), ", the last one: ") &&
                                      strstr(member(line, "message"), "429"),
                              "%s", member(line, "message"));
                json_decref(line);
        }

        /* A look that fails meanwhile, by another cause, does not make it shorter. */
        _cleanup_(freep) char *directory = scratch_path(fixture->directory, "orders");
        ck_assert_int_eq(chmod(directory, 0777), 0);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        fixture_start(fixture, NULL);
        json_t *line = fixture_await(fixture, MESSAGE_FAILED);
        ck_assert_str_eq(member(line, "failure"), "local");
        ck_assert_msg(strstr(member(line, "message"), "retrying in 1h") ||
                              strstr(member(line, "message"), "retrying in 2h"),
                      "%s", member(line, "message"));
        json_decref(line);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_int_eq(chmod(directory, 0755), 0);
        ck_assert_uint_eq(fixture_calls(fixture, "configuration"), before + 1);

        fixture_lift_faults(fixture);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
}
END_TEST

/* --- Tokens --- */

START_TEST(a_burnt_token_is_not_sent_at_each_start) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("30d"));

        fixture_configure(fixture, ORDERS);
        scratch_write(fixture->directory, "token", "burnt-long-ago\n", 0600);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_FAILED);
        fixture_expect(fixture, MESSAGE_WAITING);
        for (unsigned i = 0; i < 3; i++) {
                if (i % 2)
                        fixture_kill(fixture);
                else
                        ck_assert_int_eq(fixture_stop(fixture), 0);
                fixture_start(fixture, NULL);
                fixture_expect(fixture, MESSAGE_HELD);
        }
        ck_assert_uint_eq(fixture_calls(fixture, "configuration"), 1);

        /* One that comes meanwhile is tried at once, and so is one that came while nobody was looking. */
        scratch_write(fixture->directory, "token", "burnt-as-well-by-now\n", 0600);
        fixture_expect(fixture, MESSAGE_FAILED);
        ck_assert_uint_eq(fixture_calls(fixture, "configuration"), 2);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        fixture_token(fixture, "client-1", "token");
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_ENROLLED);
        ck_assert(!has_said(fixture, MESSAGE_HELD));
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* --- The budget --- */

static void assert_over_budget(struct fixture *fixture) {
        json_t *line = fixture_await(fixture, MESSAGE_BUDGET);

        ck_assert_ptr_nonnull(strstr(member(line, "error"), "limits.issuances_per_hour"));
        json_decref(line);
}

START_TEST(the_budget_outlives_everything) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_due();
        unsigned configurations, before;

        fixture_edit(fixture, "issuances_per_hour: 100", "issuances_per_hour: 2");
        remove_file(fixture, "state/orders.json"); /* the enrolment is not part of it */
        before = fixture_calls(fixture, "sign");

        /* The first is asked for by a process that is killed, the second brings nothing usable. */
        fixture_fault(fixture, HOLD("sign"));
        fixture_start(fixture, NULL);
        fixture_expect_held(fixture);
        fixture_kill(fixture);
        fixture_lift_faults(fixture);
        fixture_fault(fixture, "{\"fault\":\"wrong-key\",\"at\":\"sign\"}");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        fixture_expect(fixture, MESSAGE_FAILED_BAD_REPLY);
        ck_assert_uint_eq(fixture_calls(fixture, "sign") - before, 2);

        configurations = fixture_calls(fixture, "configuration");
        for (unsigned i = 0; i < 3; i++) {
                ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
                assert_over_budget(fixture);
        }
        /* The daemon as well, once its back-off is over; and it says how long it waits. */
        remove_file(fixture, "token");
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_HELD);
        fixture_kill(fixture);

        if (access("/usr/bin/faketime", X_OK) < 0 || test_is_instrumented())
                test_skip("the_budget_outlives_everything, with a clock that is set: %s",
                          test_is_instrumented() ? test_is_instrumented() : "faketime is not installed");
        else
                for (unsigned i = 0; i < 2; i++) {
                        setenv("REKEYD_TEST_WRAPPER",
                               i == 0 ? "/usr/bin/faketime --exclude-monotonic -f +3h"
                                      : "/usr/bin/faketime --exclude-monotonic -f +5d",
                               1);
                        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
                        unsetenv("REKEYD_TEST_WRAPPER");
                        assert_over_budget(fixture);
                }
        ck_assert_uint_eq(fixture_calls(fixture, "sign") - before, 2);
        ck_assert_uint_eq(fixture_calls(fixture, "configuration"), configurations);

        /* What ends it is an hour, or a larger one. */
        fixture_lift_faults(fixture);
        fixture_edit(fixture, "issuances_per_hour: 2", "issuances_per_hour: 3");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        ck_assert_uint_eq(fixture_calls(fixture, "sign") - before, 3);
}
END_TEST

/* Faster than its back-off, the daemon asks for one signature after the other, if each reply is refused. */
START_TEST(the_budget_holds_in_one_run) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_due();
        unsigned before;

        fixture_edit(fixture, "issuances_per_hour: 100", "issuances_per_hour: 2");
        remove_file(fixture, "state/orders.json");
        before = fixture_calls(fixture, "sign");
        fixture_fault(fixture, "{\"fault\":\"other-ca\",\"at\":\"sign\"}");
        fixture_start(fixture, NULL);
        assert_over_budget(fixture);
        ck_assert_uint_eq(fixture_calls(fixture, "sign") - before, 2);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* --- The files --- */

enum kind { DAMAGE_TEXT, DAMAGE_TRUNCATED, DAMAGE_LARGE, DAMAGE_DIRECTORY, DAMAGE_LINK, DAMAGE_FIFO };

static const struct {
        const char *what;
        enum kind kind;
        const char *text;
} damages[] = {
        { "garbage", DAMAGE_TEXT, "oops\n" },
        { "empty", DAMAGE_TEXT, "" },
        { "of a newer version", DAMAGE_TEXT, "{\"version\": 99}\n" },
        { "truncated", DAMAGE_TRUNCATED, NULL },
        { "too large", DAMAGE_LARGE, NULL },
        { "a directory", DAMAGE_DIRECTORY, NULL },
        { "a link", DAMAGE_LINK, NULL },
        { "a fifo", DAMAGE_FIFO, NULL },
};

static void damage(struct fixture *fixture, size_t i) {
        _cleanup_(freep) char *path = scratch_path(fixture->directory, "state/orders.json"),
                              *text = scratch_read(fixture->directory, "state/orders.json");

        ck_assert_msg(text != NULL, "no journal to make %s of", damages[i].what);
        switch (damages[i].kind) {
        case DAMAGE_TEXT:
                scratch_write(fixture->directory, "state/orders.json", damages[i].text, 0600);
                return;
        case DAMAGE_TRUNCATED:
                ck_assert_int_eq(truncate(path, (off_t)strlen(text) / 2), 0);
                return;
        case DAMAGE_LARGE:
                ck_assert_int_eq(truncate(path, 300 << 10), 0);
                return;
        case DAMAGE_DIRECTORY:
                ck_assert_int_eq(unlink(path), 0);
                ck_assert_int_eq(mkdir(path, 0700), 0);
                return;
        case DAMAGE_LINK:
                ck_assert_int_eq(unlink(path), 0);
                ck_assert_int_eq(symlink("elsewhere", path), 0);
                return;
        case DAMAGE_FIFO:
                ck_assert_int_eq(unlink(path), 0);
                ck_assert_int_eq(mkfifo(path, 0600), 0);
                return;
        }
}

START_TEST(a_damaged_state_file_costs_nothing_but_history) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_with_dependents();
        _cleanup_(freep) char *damaged = scratch_path(fixture->directory, "state/orders.json.damaged");

        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        ck_assert_uint_eq(fixture_count(fixture, "told", "first 1"), 1);
        for (unsigned i = 0; i < ELEMENTSOF(damages); i++) {
                struct stat st;
                json_t *line;
                int status;

                damage(fixture, i);
                status = fixture_run(fixture, "--once");
                ck_assert_msg(status == 0, "%s: status %d: %s", damages[i].what, status,
                              process_last_words(fixture->rekeyd, PROCESS_STDERR));
                line = fixture_await(fixture, MESSAGE_HISTORY);
                ck_assert_ptr_nonnull(strstr(member(line, "message"), "orders.json.damaged"));
                json_decref(line);
                ck_assert_msg(lstat(damaged, &st) == 0, "%s is not set aside", damages[i].what);
                ck_assert_msg(fixture_count(fixture, "told", "second 1") == i + 2,
                              "%s: dependents were told %u times", damages[i].what,
                              fixture_count(fixture, "told", "second 1"));
                if (S_ISDIR(st.st_mode))
                        ck_assert_int_eq(rmdir(damaged), 0);
        }
        ck_assert_uint_eq(fixture_calls(fixture, "sign"), 1);
        /* And once more, with an undamaged one: nobody is told of anything. */
        ck_assert_int_eq(fixture_run(fixture, "--once"), 0);
        ck_assert_uint_eq(fixture_count(fixture, "told", "first 1"), ELEMENTSOF(damages) + 1);
}
END_TEST

static void assert_refused(struct fixture *fixture, const char *text) {
        const char *log;

        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        log = process_output(fixture->rekeyd, PROCESS_STDERR);
        ck_assert_msg(strstr(log, text) && strstr(log, "state"), "%s", log);
        test_report("state directory: %.*s", (int)strcspn(log, "\n"), log);
}

START_TEST(the_state_directory_is_its_own) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("30d"));
        _cleanup_(freep) char *path = scratch_path(fixture->directory, "state"),
                              *config = scratch_path(fixture->directory, "rekeyd.yaml");
        const char *argv[] = { fixture_program("REKEYD"), "--config", config, NULL };
        struct stat st;

        fixture_configure(fixture, ORDERS);
        scratch_write(fixture->directory, "state", "", 0600);
        assert_refused(fixture, "not a directory");
        ck_assert_int_eq(unlink(path), 0);

        ck_assert_int_eq(mkdir(path, 0700), 0);
        ck_assert_int_eq(chmod(path, 0757), 0);
        assert_refused(fixture, "lets other users write to it");
        if (chown(path, (uid_t)-1, 4711) == 0) { /* only root gives away */
                ck_assert_int_eq(chmod(path, 02770), 0);
                assert_refused(fixture, "group 4711 is not one of rekeyd's");
        }
        ck_assert_int_eq(rmdir(path), 0);

        ck_assert_int_eq(symlink("orders", path), 0);
        assert_refused(fixture, "a symbolic link");
        ck_assert_int_eq(unlink(path), 0);

        if (geteuid() == 0) {
                ck_assert_int_eq(mkdir(path, 0700), 0);
                ck_assert_int_eq(chown(path, 1, 1), 0);
                assert_refused(fixture, "is owned by user");
                ck_assert_int_eq(rmdir(path), 0);
        }

        /* Missing, with those above it: made. */
        fixture_edit(fixture, "/state\n", "/deep/er/state\n");
        fixture_token(fixture, "client-1", "token");
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_ENROLLED);
        free(path);
        path = scratch_path(fixture->directory, "deep/er/state");
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777u, 0755);
        _cleanup_(freep) char *file = scratch_path(fixture->directory, "deep/er/state/orders.json");
        ck_assert_int_eq(stat(file, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777u, 0600);

        /* A second one, beside the first, which does not notice. */
        _cleanup_(process_freep) struct process *second = process_start(argv, true);
        ck_assert_int_eq(process_wait(second), 1);
        ck_assert_msg(strstr(process_output(second, PROCESS_STDERR), "another rekeyd uses state directory"),
                      "%s", process_last_words(second, PROCESS_STDERR));
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* Runs rekeyd --once with a file system made by COMMANDS, a shell's, where the state directory is. */
static int run_with_mount(struct fixture *fixture, const char *commands) {
        const char *wrapper = getenv("REKEYD_TEST_WRAPPER");
        _cleanup_(freep) char *before = wrapper ? strdup(wrapper) : NULL, *now = NULL, *script = NULL;
        int status;

        ck_assert_int_ge(asprintf(&script, "#!/bin/sh\nset -e\ncd %s\n%s\nexec \"$@\"\n", fixture->directory,
                                  commands),
                         0);
        scratch_write(fixture->directory, "mount.sh", script, 0700);
        ck_assert_int_ge(
                asprintf(&now, "unshare -m %s/mount.sh %s", fixture->directory, before ? before : ""), 0);
        setenv("REKEYD_TEST_WRAPPER", now, 1);
        status = fixture_run(fixture, "--once");
        if (before)
                setenv("REKEYD_TEST_WRAPPER", before, 1);
        else
                unsetenv("REKEYD_TEST_WRAPPER");
        return status;
}

START_TEST(a_state_directory_that_cannot_be_written) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_due();
        unsigned before = fixture_calls(fixture, "configuration");
        const char *log;
        json_t *line;

        if (system("unshare -m true 2>/dev/null") != 0) {
                test_skip("a_state_directory_that_cannot_be_written: no mount namespaces here");
                return;
        }
        ck_assert_int_eq(run_with_mount(fixture, "mount -t tmpfs -o ro,mode=700 none state"), 1);
        log = process_output(fixture->rekeyd, PROCESS_STDERR);
        ck_assert_msg(strstr(log, "cannot write to state directory") && strstr(log, "Read-only"), "%s", log);
        test_report("state directory: %.*s", (int)strcspn(log, "\n"), log);

        /* Full: what cannot be remembered is not asked for. */
        ck_assert_int_eq(run_with_mount(fixture, "mount -t tmpfs -o size=4k,mode=700 none state\n"
                                                 "head -c 4096 /dev/zero > state/fill"),
                         1);
        line = fixture_await(fixture, MESSAGE_FAILED);
        ck_assert_str_eq(member(line, "failure"), "local");
        ck_assert_msg(strstr(member(line, "error"), "was not called") &&
                              strstr(member(line, "error"), "space"),
                      "%s", member(line, "error"));
        test_report("state directory: %s", member(line, "message"));
        json_decref(line);
        ck_assert_uint_eq(fixture_calls(fixture, "configuration"), before);

        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
}
END_TEST

static void age(struct fixture *fixture, const char *name, time_t age_sec) {
        _cleanup_(freep) char *path = scratch_path(fixture->directory, name);
        const struct timespec when = { .tv_sec = time(NULL) - age_sec };

        ck_assert_int_eq(utimensat(AT_FDCWD, path, (const struct timespec[]) { when, when }, 0), 0);
}

START_TEST(journals_of_strangers_are_swept_in_the_end) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_enrolled(ORDERS);
        static const struct {
                const char *name;
                time_t age_sec;
        } files[] = {
                { "state/old.json", 401 * 86400 },
                { "state/old.json.damaged", 401 * 86400 },
                { "state/old.history", 401 * 86400 },
                { "state/young.history", 399 * 86400 },
                { "state/young.json", 399 * 86400 },
                { "state/lone.json.damaged", 401 * 86400 },
                { "state/notes.txt", 401 * 86400 },
                { "state/quiet.json", 0 }, /* nothing has happened to it for long */
                { "state/quiet.history", 401 * 86400 },
                { "state/fresh.json", 0 },
                { "state/tomorrow.json", -86400 },
        };

        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                scratch_write(fixture->directory, files[i].name, "{}", 0600);
                age(fixture, files[i].name, files[i].age_sec);
        }
        age(fixture, "state/orders.json", 401 * 86400);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 0);
        _cleanup_(freep) char *state = scratch_path(fixture->directory, "state"), *list = scratch_list(state);
        ck_assert_str_eq(list,
                         "fresh.json notes.txt orders.history orders.json quiet.json seals tomorrow.json "
                         "young.history young.json");
}
END_TEST

TEST_MAIN("restart", a_crash_loop_is_not_a_request_loop, a_connector_that_is_gone_is_called_by_back_off_only,
          retry_after_survives_a_restart, a_burnt_token_is_not_sent_at_each_start,
          the_budget_outlives_everything, the_budget_holds_in_one_run,
          a_damaged_state_file_costs_nothing_but_history, the_state_directory_is_its_own,
          a_state_directory_that_cannot_be_written, journals_of_strangers_are_swept_in_the_end)
