/* Dependents: commands and signals, with real processes, in a real loop. */

#include "daemon/delivery/notifications.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "daemon/delivery/delivery.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"
#include "tests/test.h"

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

static sd_event *new_loop(void) {
        sd_event *event;
        sigset_t mask;

        sigemptyset(&mask);
        sigaddset(&mask, SIGCHLD);
        sigprocmask(SIG_BLOCK, &mask, NULL);
        ck_assert_int_ge(sd_event_new(&event), 0);
        return event;
}

static struct children *new_children(sd_event *event) {
        struct children *children;

        ck_assert_int_eq(children_new(event, &children), 0);
        return children;
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

/* --- The queue --- */

static struct config_notify shell_notify(const char **command) {
        return (struct config_notify) {
                .kind = NOTIFY_COMMAND,
                .command = (char **)(uintptr_t)command,
                .timeout_usec = 60 * USEC_PER_SEC,
        };
}

/* What dependents hang on in the daemon: a loop, a state directory, and the journal of "orders". */
struct setup {
        struct loop_services services;
        struct observers observers;
        struct state_directory directory;
        char *scratch;
        struct state_file *state_file;
        struct notifications *notifications;
        unsigned n_settled;
        bool stays; /* in the loop until nothing is owed */
};

static void on_settled(void *userdata) {
        struct setup *setup = userdata;

        setup->n_settled++;
        if (notifications_n_pending(setup->notifications) == 0 || !setup->stays)
                sd_event_exit(setup->services.event, 0);
}

static void setup_start(struct setup *setup, const struct config_certificate *certificate, bool retry) {
        struct loop_services *services = &setup->services;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(freep) char *warning = NULL;

        *services = (struct loop_services) { .event = new_loop() };
        if (!setup->scratch)
                setup->scratch = scratch_new();
        ck_assert_int_eq(workers_new(services->event, 1, &services->disk_workers), 0);
        services->children = new_children(services->event);
        setup->directory = (struct state_directory) {
                .fd = open(setup->scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                .workers = services->disk_workers,
                .stopping = &services->stopping,
        };
        ck_assert_int_ge(setup->directory.fd, 0);
        ck_assert_int_eq(state_file_new(&setup->directory, "orders", &setup->state_file, &warning, &error),
                         0);
        ck_assert_ptr_null(warning);

        const struct notifications_options options = {
                .services = services,
                .observers = &setup->observers,
                .certificate = certificate,
                .state_file = setup->state_file,
                .retry = retry,
                .idle = on_settled,
                .userdata = setup,
        };
        ck_assert_int_eq(notifications_new(&options, &setup->notifications), 0);
        setup->n_settled = 0;
}

/* As the daemon ends: what it knows is on disk afterwards. */
static void setup_stop(struct setup *setup) {
        struct loop_services *services = &setup->services;

        atomic_store(&services->stopping, true);
        services->disk_workers = workers_free(services->disk_workers);
        setup->notifications = notifications_free(setup->notifications);
        services->children = children_free(services->children);
        setup->state_file = state_file_free(setup->state_file);
        fd_close(setup->directory.fd);
        services->event = sd_event_unref(services->event);
}

static void setup_owe(struct setup *setup, uint64_t generation) {
        struct state *state = &setup->state_file->state;

        state->generation = generation;
        memset(state->fingerprint, 'a', FINGERPRINT_HEX - 1);
        ck_assert_int_eq(notifications_schedule(setup->notifications), 0);
        state_file_save(setup->state_file);
}

static void run_until_settled(struct setup *setup) {
        ck_assert_int_ge(sd_event_loop(setup->services.event), 0);
        ck_assert_uint_eq(setup->n_settled, 1);
}

static void setup_clear(struct setup *setup) {
        if (setup->services.event)
                setup_stop(setup);
        scratch_free(setup->scratch);
}

START_TEST(one_failure_does_not_hold_up_the_next) {
        _cleanup_(setup_clear) struct setup setup = { .scratch = scratch_new() };
        _cleanup_(freep) char *script = NULL, *text = NULL;

        ck_assert_int_ge(asprintf(&script, "echo $REKEYD_GENERATION > %s/out", setup.scratch), 0);
        const char *bad[] = { "/bin/false", NULL }, *good[] = { "/bin/sh", "-c", script, NULL };
        struct config_notify notify[] = { shell_notify(bad), shell_notify(good) };
        char name[] = "orders";
        const struct config_certificate certificate = { .name = name, .notify = notify, .n_notify = 2 };

        setup_start(&setup, &certificate, false);
        ck_assert_uint_eq(notifications_n_pending(setup.notifications), 0);
        setup_owe(&setup, 42);
        ck_assert_uint_eq(notifications_n_pending(setup.notifications), 2);
        notifications_start(setup.notifications);
        run_until_settled(&setup);
        ck_assert_uint_eq(notifications_n_pending(setup.notifications), 1);
        text = scratch_read(setup.scratch, "out");
        ck_assert_str_eq(text, "42\n");
}
END_TEST

START_TEST(a_failed_delivery_is_tried_again) {
        _cleanup_(setup_clear) struct setup setup = { .scratch = scratch_new(), .stays = true };
        _cleanup_(freep) char *script = NULL;

        /* Fails the first time, and succeeds after the back-off of five seconds. */
        ck_assert_int_ge(asprintf(&script, "[ -e %s/seen ] || { touch %s/seen; exit 1; }", setup.scratch,
                                  setup.scratch),
                         0);
        const char *command[] = { "/bin/sh", "-c", script, NULL };
        struct config_notify notify[] = { shell_notify(command) };
        char name[] = "orders";
        const struct config_certificate certificate = { .name = name, .notify = notify, .n_notify = 1 };

        setup_start(&setup, &certificate, true);
        setup_owe(&setup, 42);
        notifications_start(setup.notifications);
        ck_assert_int_ge(sd_event_loop(setup.services.event), 0);
        ck_assert_uint_eq(setup.n_settled, 2); /* after the failure, and in the end */
        ck_assert_uint_eq(setup.state_file->state.n_pending, 0);
}
END_TEST

START_TEST(what_is_owed_outlives_a_restart) {
        _cleanup_(setup_clear) struct setup setup = { .scratch = scratch_new() };
        _cleanup_(freep) char *script = NULL, *first = NULL, *second = NULL;

        ck_assert_int_ge(asprintf(&script, "echo $REKEYD_GENERATION >> %s/out", setup.scratch), 0);
        const char *command[] = { "/bin/sh", "-c", script, NULL }, *other[] = { "/bin/true", NULL };
        struct config_notify notify[] = { shell_notify(command), shell_notify(command), shell_notify(other) };
        char name[] = "orders";
        const struct config_certificate three = { .name = name, .notify = notify, .n_notify = 3 };
        const struct config_certificate two = { .name = name, .notify = notify, .n_notify = 2 };

        /* Nothing is delivered while it is held, whatever the loop does. */
        setup_start(&setup, &three, true);
        setup_owe(&setup, 7);
        ck_assert_int_eq(sd_event_run(setup.services.event, 0), 0);
        ck_assert(!notifications_is_busy(setup.notifications));
        setup_stop(&setup);
        first = scratch_read(setup.scratch, "out");
        ck_assert_ptr_null(first);

        /* The same entry twice is two dependents; the third is no longer configured. */
        setup_start(&setup, &two, true);
        ck_assert_uint_eq(notifications_n_pending(setup.notifications), 2);
        ck_assert_uint_eq(setup.state_file->state.n_pending, 2);
        notifications_start(setup.notifications);
        ck_assert(notifications_is_busy(setup.notifications));
        run_until_settled(&setup);
        ck_assert_uint_eq(notifications_n_pending(setup.notifications), 0);
        second = scratch_read(setup.scratch, "out");
        ck_assert_str_eq(second, "7\n7\n");
        setup_stop(&setup);

        setup_start(&setup, &two, true);
        ck_assert_uint_eq(notifications_n_pending(setup.notifications), 0);
}
END_TEST

START_TEST(a_back_off_outlives_a_restart) {
        _cleanup_(setup_clear) struct setup setup = { .scratch = scratch_new() };
        const char *command[] = { "/bin/false", NULL };
        struct config_notify notify[] = { shell_notify(command) };
        char name[] = "orders";
        const struct config_certificate certificate = { .name = name, .notify = notify, .n_notify = 1 };

        setup_start(&setup, &certificate, true);
        setup_owe(&setup, 7);
        notifications_start(setup.notifications);
        run_until_settled(&setup);
        setup_stop(&setup);

        setup_start(&setup, &certificate, true);
        ck_assert_uint_eq(notifications_n_pending(setup.notifications), 1);
        ck_assert_uint_eq(setup.state_file->state.pending[0].failures, 1);
        ck_assert_str_eq(setup.state_file->state.pending[0].error, "command /bin/false ended with status 1");
        notifications_start(setup.notifications);
        ck_assert(!notifications_is_busy(setup.notifications));
        setup_stop(&setup);

        /* Without retries each start tries once. */
        setup_start(&setup, &certificate, false);
        notifications_start(setup.notifications);
        ck_assert(notifications_is_busy(setup.notifications));
        run_until_settled(&setup);
        ck_assert_uint_eq(setup.state_file->state.pending[0].failures, 2);
}
END_TEST

START_TEST(owed_anew_during_the_delivery) {
        _cleanup_(setup_clear) struct setup setup = { .scratch = scratch_new() };
        _cleanup_(freep) char *script = NULL, *text = NULL;

        ck_assert_int_ge(asprintf(&script, "echo $REKEYD_GENERATION >> %s/out", setup.scratch), 0);
        const char *command[] = { "/bin/sh", "-c", script, NULL };
        struct config_notify notify[] = { shell_notify(command) };
        char name[] = "orders";
        const struct config_certificate certificate = { .name = name, .notify = notify, .n_notify = 1 };

        setup_start(&setup, &certificate, true);
        setup_owe(&setup, 1);
        notifications_start(setup.notifications);
        while (sd_event_run(setup.services.event, 0) > 0)
                if (access(setup.scratch, F_OK) == 0 && notifications_is_busy(setup.notifications))
                        break;
        setup_owe(&setup, 2);
        notifications_start(setup.notifications);
        run_until_settled(&setup);
        ck_assert_uint_eq(notifications_n_pending(setup.notifications), 0);
        text = scratch_read(setup.scratch, "out");
        ck_assert_str_eq(text + strlen(text) - 2, "2\n");
}
END_TEST

START_TEST(what_is_withdrawn_is_not_delivered) {
        _cleanup_(setup_clear) struct setup setup = { .scratch = scratch_new() };
        const char *bad[] = { "/bin/false", NULL }, *good[] = { "/bin/true", NULL };
        struct config_notify notify[] = { shell_notify(bad), shell_notify(good) };
        char name[] = "orders";
        const struct config_certificate certificate = { .name = name, .notify = notify, .n_notify = 2 };

        setup_start(&setup, &certificate, false);
        setup_owe(&setup, 1);
        notifications_start(setup.notifications);
        run_until_settled(&setup);
        ck_assert_uint_eq(notifications_n_pending(setup.notifications), 1);

        setup_owe(&setup, 1);
        ck_assert_uint_eq(notifications_n_pending(setup.notifications), 2);
        notifications_cancel(setup.notifications);
        ck_assert_uint_eq(notifications_n_pending(setup.notifications), 1); /* what was owed before stays */
}
END_TEST

int main(void) {
        Suite *suite = suite_create("dependents");

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
        TEST_CASE(suite, one_failure_does_not_hold_up_the_next);
        TEST_CASE(suite, a_failed_delivery_is_tried_again);
        TEST_CASE(suite, what_is_owed_outlives_a_restart);
        TEST_CASE(suite, a_back_off_outlives_a_restart);
        TEST_CASE(suite, owed_anew_during_the_delivery);
        TEST_CASE(suite, what_is_withdrawn_is_not_delivered);
        return test_run(suite);
}
