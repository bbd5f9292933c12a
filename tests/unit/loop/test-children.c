/* Processes in a real loop: those that are awaited, those that are nobody's, and those that live on. */

#include "daemon/loop/children.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "lib/util/log.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"
#include "tests/test.h"

#define N_CHILDREN 10

struct setup {
        sd_event *event;
        struct children *children;
        char *scratch;
};

struct run {
        struct child *child;
        char output[8192];
        size_t size;
        int status;
        unsigned n_ended;
};

static void setup_start(struct setup *setup) {
        sigset_t mask;

        log_info("a test begins"); /* the log opens a pipe at standard error anew, which counts */
        sigemptyset(&mask);
        sigaddset(&mask, SIGCHLD);
        sigprocmask(SIG_BLOCK, &mask, NULL);
        ck_assert_int_ge(sd_event_new(&setup->event), 0);
        ck_assert_int_eq(children_new(setup->event, &setup->children), 0);
        setup->scratch = scratch_new();
}

static void setup_clear(struct setup *setup) {
        children_free(setup->children);
        sd_event_unref(setup->event);
        scratch_free(setup->scratch);
}

static void on_output(const char *data, size_t size, void *userdata) {
        struct run *run = userdata;

        ck_assert_uint_eq(run->n_ended, 0);
        if (size > sizeof(run->output) - 1 - run->size)
                size = sizeof(run->output) - 1 - run->size;
        memcpy(run->output + run->size, data, size);
        run->size += size;
}

static void on_ended(int status, void *userdata) {
        struct run *run = userdata;

        run->status = status;
        run->n_ended++;
        run->child = child_release(run->child);
}

/* SCRIPT has the scratch directory in $D. */
static void start(struct setup *setup, const char *script, struct run *run) {
        _cleanup_(freep) char *directory = NULL;
        char path[] = "PATH=/usr/bin:/bin";

        ck_assert_int_ge(asprintf(&directory, "D=%s", setup->scratch), 0);
        const char *command[] = { "/bin/sh", "-c", script, NULL };
        char *environment[] = { directory, path, NULL };
        const struct child_options options = {
                .command = (char **)(uintptr_t)command,
                .environment = environment,
                .output = on_output,
                .ended = on_ended,
                .userdata = run,
        };

        *run = (struct run) { 0 };
        ck_assert_int_eq(child_start(setup->children, &options, &run->child), 0);
}

/* Turns the loop until IS_DONE, or patience ends. */
static bool turn_until(struct setup *setup, bool (*is_done)(const void *subject), const void *subject) {
        const usec_t deadline = usec_add(now_usec(CLOCK_MONOTONIC), patience_usec());

        while (!is_done(subject)) {
                if (now_usec(CLOCK_MONOTONIC) >= deadline)
                        return false;
                ck_assert_int_ge(sd_event_run(setup->event, 20 * USEC_PER_MSEC), 0);
        }
        return true;
}

static bool has_ended(const void *subject) {
        return ((const struct run *)subject)->n_ended > 0;
}

static bool is_there(const void *subject) {
        return access(subject, F_OK) == 0;
}

/* Neither running children nor zombies. */
static bool has_no_child(_unused_ const void *subject) {
        siginfo_t info;

        return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD;
}

/* Pipes that this process has open. */
static unsigned count_pipes(void) {
        DIR *directory = opendir("/proc/self/fd");
        const struct dirent *entry;
        unsigned n = 0;
        char target[8];

        ck_assert_ptr_nonnull(directory);
        while ((entry = readdir(directory))) {
                ssize_t size = readlinkat(dirfd(directory), entry->d_name, target, sizeof(target));

                n += size >= 5 && memcmp(target, "pipe:", 5) == 0 ? 1 : 0;
        }
        closedir(directory);
        return n;
}

static bool has_pipes(const void *subject) {
        return count_pipes() == *(const unsigned *)subject;
}

/* --- The end --- */

START_TEST(each_end_is_reported_once) {
        static const struct {
                const char *script, *output;
                int status, signal;
        } cases[] = {
                { "exit 0", "", 0, 0 },
                { "exit 3", "", 3, 0 },
                { "echo out; echo err >&2; exit 127", "out\nerr\n", 127, 0 },
                { "echo last words; kill -USR1 $$", "last words\n", 0, SIGUSR1 },
                { "pwd; cat; ls /proc/self/fd", "/\n0\n1\n2\n3\n", 0, 0 },
                { "exec >&- 2>&-; exit 5", "", 5, 0 },
                { "(until [ -e $D/go ]; do sleep 0.05; done) & exit 6", "", 6, 0 }, /* it holds the pipe */
        };
        _cleanup_(setup_clear) struct setup setup = { 0 };
        struct run runs[ELEMENTSOF(cases)];

        setup_start(&setup);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                start(&setup, cases[i].script, &runs[i]);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const int status = runs[i].status;

                ck_assert_msg(turn_until(&setup, has_ended, &runs[i]), "%s: no end", cases[i].script);
                ck_assert_msg(
                        cases[i].signal == 0
                                ? WIFEXITED(runs[i].status) && WEXITSTATUS(runs[i].status) == cases[i].status
                                : WIFSIGNALED(runs[i].status) && WTERMSIG(runs[i].status) == cases[i].signal,
                        "%s: %x", cases[i].script, (unsigned)status);
                ck_assert_str_eq(runs[i].output, cases[i].output);
                ck_assert_uint_eq(runs[i].n_ended, 1);
        }
        scratch_write(setup.scratch, "go", "", 0600);
}
END_TEST

START_TEST(a_program_that_is_not_there) {
        _cleanup_(setup_clear) struct setup setup = { 0 };
        const char *command[] = { "/nonexistent/command", NULL };
        char *environment[] = { NULL };
        const struct child_options options = { .command = (char **)(uintptr_t)command,
                                               .environment = environment,
                                               .ended = on_ended };
        struct child *child = NULL;

        setup_start(&setup);
        unsigned n = count_pipes();
        ck_assert_int_eq(child_start(setup.children, &options, &child), -ENOENT);
        ck_assert_ptr_null(child);
        ck_assert_uint_eq(count_pipes(), n);
}
END_TEST

/* As process 1 of a container has it; between ends that are awaited, each of which is reported all the same.
 */
START_TEST(orphans_are_reaped) {
        static const char script[] = "for i in 1 2 3 4 5; do (sleep 0.$i & (exit 9) & ) & done; wait; exit 4";
        _cleanup_(setup_clear) struct setup setup = { 0 };
        struct run runs[N_CHILDREN];

        ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
        setup_start(&setup);
        for (unsigned i = 0; i < N_CHILDREN; i++)
                start(&setup, script, &runs[i]);
        for (unsigned i = 0; i < N_CHILDREN; i++) {
                ck_assert(turn_until(&setup, has_ended, &runs[i]));
                ck_assert(WIFEXITED(runs[i].status) && WEXITSTATUS(runs[i].status) == 4);
        }
        ck_assert(turn_until(&setup, has_no_child, NULL));
        for (unsigned i = 0; i < N_CHILDREN; i++)
                ck_assert_uint_eq(runs[i].n_ended, 1);
        ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}
END_TEST

/* --- Being stopped --- */

static const struct {
        const char *what, *script;
        bool takes_the_grace; /* all of it: it is killed */
} stops[] = {
        { "one that knows nothing of signals", "touch $D/begun; exec sleep 1000", false },
        { "one that tidies up",
          "trap 'sleep 0.2; echo tidied; touch $D/tidied; exit 7' TERM; touch $D/begun; while :; do sleep "
          "0.1; done",
          false },
        { "one whose worker tidies up after its own end",
          "(trap 'sleep 0.2; echo tidied; touch $D/tidied; exit 7' TERM; touch $D/begun; while :; do sleep "
          "0.1; done) & wait",
          false },
        { "the same without its output",
          "(trap 'sleep 0.2; touch $D/tidied; exit 7' TERM; touch $D/begun; while :; do sleep 0.1; done) >&- "
          "2>&- & wait",
          false },
        { "one that ignores it", "trap '' TERM; touch $D/begun; while :; do sleep 0.1; done", true },
        { "one whose worker ignores it", "(trap '' TERM; touch $D/begun; while :; do sleep 0.1; done) & wait",
          true },
};

/* HOW 0: by its owner, who awaits it; 1: left to the loop; 2: to the end of the daemon. */
static void stop(size_t i, unsigned how) {
        _cleanup_(setup_clear) struct setup setup = { 0 };
        _cleanup_(freep) char *begun = NULL, *tidied = NULL, *number = NULL;
        struct run run;
        usec_t begin;
        pid_t group;

        setup_start(&setup);
        begun = scratch_path(setup.scratch, "begun");
        tidied = scratch_path(setup.scratch, "tidied");
        ck_assert_int_ge(asprintf(&number, "echo $$ > $D/group; %s", stops[i].script), 0);
        start(&setup, number, &run);
        ck_assert(turn_until(&setup, is_there, begun));
        _cleanup_(freep) char *text = scratch_read(setup.scratch, "group");
        group = (pid_t)atoi(text);
        ck_assert_int_gt(group, 1);

        begin = now_usec(CLOCK_MONOTONIC);
        if (how == 0) {
                child_stop(run.child);
                child_stop(run.child);
                ck_assert(turn_until(&setup, has_ended, &run));
                ck_assert_uint_eq(run.n_ended, 1);
        } else {
                if (how == 2) {
                        ck_assert_int_ge(sd_event_exit(setup.event, 0), 0);
                        ck_assert_int_ge(sd_event_loop(setup.event), 0);
                }
                run.child = child_release(run.child);
                if (how == 1)
                        ck_assert(turn_until(&setup, has_no_child, NULL));
                else
                        setup.children = children_free(setup.children);
                ck_assert_uint_eq(run.n_ended, 0);
        }
        if (stops[i].takes_the_grace && how != 1)
                ck_assert_uint_ge(now_usec(CLOCK_MONOTONIC) - begin, CHILD_GRACE_USEC);
        if (strstr(stops[i].script, "tidied"))
                ck_assert_msg(is_there(tidied), "%s, %u: had no time", stops[i].what, how);

        /* Nothing of the group is left but what the test, or init, has not reaped yet. */
        ck_assert(how == 2 || turn_until(&setup, has_no_child, NULL));
        while (kill(-group, 0) == 0 && waitpid(-1, NULL, 0) > 0)
                ;
        ck_assert_msg(kill(-group, 0) < 0 && errno == ESRCH, "%s, %u: is still there", stops[i].what, how);
}

START_TEST(a_group_has_time_to_end) {
        ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
        for (size_t i = 0; i < ELEMENTSOF(stops); i++)
                for (unsigned how = 0; how < 3; how++)
                        if (!stops[i].takes_the_grace || how == (strstr(stops[i].script, "wait") ? 2 : 0))
                                stop(i, how);
        ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}
END_TEST

/* --- What is left behind --- */

START_TEST(what_is_in_the_background_may_write) {
        static const char *const scripts[] = {
                "(until [ -e $D/go ]; do sleep 0.05; done; echo one || exit; echo two || exit; touch "
                "$D/lived) &",
                /* More than a pipe holds. */
                "(until [ -e $D/go ]; do sleep 0.05; done; dd if=/dev/zero bs=1024 count=300 2>&1 && touch "
                "$D/lived) &",
                "setsid sh -c 'until [ -e $D/go ]; do sleep 0.05; done; echo one && echo two && touch "
                "$D/lived' &",
        };

        for (size_t i = 0; i < ELEMENTSOF(scripts); i++) {
                _cleanup_(setup_clear) struct setup setup = { 0 };
                _cleanup_(freep) char *lived = NULL;
                struct run run;
                unsigned n;

                setup_start(&setup);
                lived = scratch_path(setup.scratch, "lived");
                n = count_pipes();
                start(&setup, scripts[i], &run);
                ck_assert(turn_until(&setup, has_ended, &run));
                ck_assert_int_eq(run.status, 0);
                scratch_write(setup.scratch, "go", "", 0600);
                ck_assert_msg(turn_until(&setup, is_there, lived), "%s", scripts[i]);
                ck_assert(turn_until(&setup, has_pipes, &n));
                ck_assert_uint_eq(run.size, 0);
        }
}
END_TEST

START_TEST(only_so_many_pipes_are_kept) {
        _cleanup_(setup_clear) struct setup setup = { 0 };
        struct run run;
        unsigned n;

        setup_start(&setup);
        n = count_pipes();
        for (unsigned i = 0; i < CHILDREN_LEFT_MAX + 6; i++) {
                start(&setup, "(until [ -e $D/go ]; do sleep 0.2; done) &", &run);
                ck_assert(turn_until(&setup, has_ended, &run));
                ck_assert_uint_le(count_pipes(), n + CHILDREN_LEFT_MAX);
        }
        ck_assert_uint_eq(count_pipes(), n + CHILDREN_LEFT_MAX);
        scratch_write(setup.scratch, "go", "", 0600);
        ck_assert(turn_until(&setup, has_pipes, &n));
}
END_TEST

TEST_MAIN("children", each_end_is_reported_once, a_program_that_is_not_there, orphans_are_reaped,
          a_group_has_time_to_end, what_is_in_the_background_may_write, only_so_many_pipes_are_kept)
