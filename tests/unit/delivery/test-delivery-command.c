/* Ways to tell a dependent: commands and signals, with real processes, in a real loop. */

#include "daemon/delivery/delivery.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/support/process.h"
#include "tests/support/scratch.h"
#include "tests/test.h"
#include "tests/unit/delivery/deliveries.h"

static const struct notice notice = {
        .generation = 42,
        .certificate = "orders",
        .directory = "/somewhere",
        .fingerprint = "abcdef",
};

struct outcome {
        sd_event *event;
        bool done;
        char *error;
};

static void on_delivered(const char *error, void *userdata) {
        struct outcome *outcome = userdata;

        outcome->done = true;
        outcome->error = error ? strdup(error) : NULL;
        sd_event_exit(outcome->event, 0);
}

/* Runs COMMAND with TIMEOUT and returns the error text, NULL for success. */
static char *deliver(const char *const *command, usec_t timeout_usec) {
        _cleanup_(sd_event_unrefp) sd_event *event = new_loop();
        _cleanup_(children_freep) struct children *children = new_children(event);
        _cleanup_(delivery_freep) struct delivery *delivery = NULL;
        const struct config_notify config = {
                .kind = NOTIFY_COMMAND,
                .command = (char **)(uintptr_t)command,
                .timeout_usec = timeout_usec,
        };
        struct outcome outcome = { .event = event };
        struct loop_services services = { .event = event, .children = children };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        int r;

        r = delivery_run_command(&services, &config, &notice, on_delivered, &outcome, &delivery, &error);
        if (r < 0)
                return strdup(error_text(&error));
        ck_assert_int_ge(sd_event_loop(event), 0);
        ck_assert(outcome.done);
        return outcome.error;
}

static char *deliver_shell(const char *script, usec_t timeout_usec) {
        const char *const command[] = { "/bin/sh", "-c", script, NULL };

        return deliver(command, timeout_usec);
}

START_TEST(a_command_that_is_not_there) {
        const char *const command[] = { "/nonexistent/command", NULL };
        _cleanup_(freep) char *error = deliver(command, USEC_PER_SEC);

        /* valgrind makes a fork of posix_spawn()'s vfork, and the child can only tell by its exit status. */
        ck_assert_str_eq(error,
                         getenv("REKEYD_TEST_WRAPPER")
                                 ? "command /nonexistent/command could not be run, or ended with status 127"
                                 : "cannot run command /nonexistent/command: No such file or directory");
}
END_TEST

START_TEST(a_command_that_fails) {
        _cleanup_(freep) char *error = deliver_shell("exit 3", 60 * USEC_PER_SEC);
        _cleanup_(freep) char *killed = deliver_shell("kill -USR1 $$", 60 * USEC_PER_SEC);

        ck_assert_str_eq(error, "command /bin/sh ended with status 3");
        ck_assert_str_eq(killed, "command /bin/sh was killed by signal USR1");
}
END_TEST

/* SCRIPT, which writes the number of a child to $pid, is ended, and so is the child. */
static void assert_ended_with_its_child(const char *script) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *path = scratch_path(scratch, "pid"), *line = NULL, *error = NULL, *pid = NULL;
        _cleanup_(freep) char *process = NULL, *stat = NULL;
        usec_t begin = now_usec(CLOCK_MONOTONIC);

        ck_assert_int_ge(asprintf(&line, "pid=%s; %s", path, script), 0);
        error = deliver_shell(line, 300 * USEC_PER_MSEC);
        ck_assert_str_eq(error, "command /bin/sh timed out after 300ms and was killed");
        ck_assert_uint_lt(now_usec(CLOCK_MONOTONIC) - begin, 60 * USEC_PER_SEC);

        /* The grandchild got the signal too; it is a zombie of init, or gone. */
        pid = scratch_read(scratch, "pid");
        ck_assert_int_ge(asprintf(&process, "/proc/%d", atoi(pid)), 0);
        for (usec_t deadline = now_usec(CLOCK_MONOTONIC) + patience_usec();
             now_usec(CLOCK_MONOTONIC) < deadline;) {
                free(stat);
                stat = scratch_read(process, "stat");
                if (!stat || strstr(stat, ") Z "))
                        break;
                sched_yield();
        }
        (void)kill(atoi(pid), SIGKILL);
        ck_assert_msg(!stat || strstr(stat, ") Z "), "still there: %s", stat);
}

START_TEST(a_command_that_hangs_is_ended_with_its_group) {
        assert_ended_with_its_child("sleep 1000 & echo $! > $pid; wait");
        assert_ended_with_its_child("(trap '' TERM; exec sleep 1000) & echo $! > $pid; wait");
}
END_TEST

START_TEST(a_command_that_ignores_term_is_killed) {
        _cleanup_(freep) char *error =
                deliver_shell("trap '' TERM; while :; do sleep 0.1; done", 100 * USEC_PER_MSEC);

        ck_assert_str_eq(error, "command /bin/sh timed out after 100ms and was killed");
}
END_TEST

START_TEST(a_command_knows_what_it_is_about) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *script = NULL, *text = NULL;

        setenv("NOTIFY_SOCKET", "/run/secret", 1);
        setenv("CREDENTIALS_DIRECTORY", "/run/secret", 1);
        ck_assert_int_ge(asprintf(&script,
                                  "{ env | grep -E '^(REKEYD_|NOTIFY|CRED)' | sort; pwd; ls /proc/self/fd; "
                                  "cat; } > %s/out",
                                  scratch),
                         0);
        ck_assert_ptr_null(deliver_shell(script, 60 * USEC_PER_SEC));
        text = scratch_read(scratch, "out");
        /* Descriptor 3 is the one by which ls reads the directory. */
        ck_assert_str_eq(text, "REKEYD_CERTIFICATE=orders\n"
                               "REKEYD_DIRECTORY=/somewhere\n"
                               "REKEYD_FINGERPRINT=abcdef\n"
                               "REKEYD_GENERATION=42\n"
                               "/\n0\n1\n2\n3\n");
}
END_TEST

START_TEST(arguments_meet_no_shell) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *path = scratch_path(scratch, "a file; touch $(injected)");
        const char *const command[] = { "/usr/bin/touch", path, NULL };

        ck_assert_ptr_null(deliver(command, 60 * USEC_PER_SEC));
        ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(a_flood_of_output_does_not_block) {
        ck_assert_ptr_null(
                deliver_shell("i=0; while [ $i -lt 3000 ]; do echo line $i of output; i=$((i+1)); done",
                              120 * USEC_PER_SEC));
}
END_TEST

/* --- Signals --- */

static int send_hup(const char *pid_file, struct error *error) {
        const struct config_notify config = {
                .kind = NOTIFY_SIGNAL,
                .signal = SIGUSR1,
                .pid_file = (char *)(uintptr_t)pid_file,
        };

        struct delivery *delivery = NULL;

        return delivery_send_signal(NULL, &config, &notice, NULL, NULL, &delivery, error);
}

START_TEST(pid_files_that_cannot_be_used) {
        static const struct {
                const char *text, *error;
        } cases[] = {
                { "", "does not begin with a process id" },
                { "nginx\n", "does not begin with a process id" },
                { "0\n", "does not begin with a process id" },
                { "-5\n", "does not begin with a process id" },
                { "1\n", "does not begin with a process id" },
                { "4194304999\n", "does not begin with a process id" },
                { "4194303\n", "cannot reach process 4194303" },
        };
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *path = scratch_path(scratch, "pid");
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        ck_assert_int_eq(send_hup(path, &error), -ENOENT);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                scratch_write(scratch, "pid", cases[i].text, 0644);
                ck_assert_int_lt(send_hup(path, &error), 0);
                ck_assert_msg(strstr(error_text(&error), cases[i].error) && strstr(error_text(&error), path),
                              "%s", error_text(&error));
        }
}
END_TEST

START_TEST(a_reused_number_is_a_stranger) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *path = scratch_path(scratch, "pid"), *text = NULL;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        const struct timespec yesterday[2] = { { .tv_sec = time(NULL) - 86400 },
                                               { .tv_sec = time(NULL) - 86400 } };
        pid_t pid = fork();

        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;)
                        pause();
        }
        /* The file is from yesterday, the process is not. */
        ck_assert_int_ge(asprintf(&text, "%d\n", pid), 0);
        scratch_write(scratch, "pid", text, 0644);
        ck_assert_int_eq(utimensat(AT_FDCWD, path, yesterday, 0), 0);
        ck_assert_int_eq(send_hup(path, &error), -ESRCH);
        ck_assert_msg(strstr(error_text(&error), "younger than pid file"), "%s", error_text(&error));
        ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);

        /* Written by the process itself, so to speak. */
        ck_assert_int_eq(utimensat(AT_FDCWD, path, NULL, 0), 0);
        ck_assert_msg(send_hup(path, &error) == 0, "%s", error_text(&error));
        int status;
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("deliveries");

        TEST_CASE(suite, a_command_that_is_not_there);
        TEST_CASE(suite, a_command_that_fails);
        TEST_CASE(suite, a_command_that_hangs_is_ended_with_its_group);
        TEST_CASE(suite, a_command_that_ignores_term_is_killed);
        TEST_CASE(suite, a_command_knows_what_it_is_about);
        TEST_CASE(suite, arguments_meet_no_shell);
        TEST_CASE(suite, a_flood_of_output_does_not_block);
        TEST_CASE(suite, pid_files_that_cannot_be_used);
        if (getenv("REKEYD_TEST_WRAPPER"))
                test_skip("a_reused_number_is_a_stranger: Debian's valgrind does not know pidfd_open()");
        else
                TEST_CASE(suite, a_reused_number_is_a_stranger);
        return test_run(suite);
}
