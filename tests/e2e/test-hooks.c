/* Commands of dependents: how they end when rekeyd does, what they leave behind, and to whom. */

#include <sched.h>
#include <sys/wait.h>

#include "daemon/observe/messages.h"
#include "tests/support/fixture.h"
#include "tests/test.h"

/* Commands of the dependents, scripts in the scratch directory, and for how long each may run. */
#define HOOK(name) "      - {command: [%s/" name "], timeout: 20s}\n"
#define HOOKS(...) "    notify:\n" __VA_ARGS__

#define IN_A_PID_NAMESPACE "unshare -p -f --mount-proc --kill-child"

static void write_hook(struct fixture *fixture, const char *name, const char *script) {
        _cleanup_(freep) char *text = NULL;

        ck_assert_int_ge(asprintf(&text, "#!/bin/sh\ncd \"${0%%/*}\" || exit 1\n%s", script), 0);
        scratch_write(fixture->directory, name, text, 0700);
}

static bool comes_to_be(struct fixture *fixture, const char *name) {
        const usec_t deadline = usec_add(now_usec(CLOCK_MONOTONIC), patience_usec());
        _cleanup_(freep) char *path = scratch_path(fixture->directory, name);

        while (access(path, F_OK) < 0 && now_usec(CLOCK_MONOTONIC) < deadline)
                sched_yield();
        return access(path, F_OK) == 0;
}

static bool may_unshare(void) {
        int status = system(IN_A_PID_NAMESPACE " true 2>/dev/null");

        return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The first one ends at once, and what it has started becomes rekeyd's; the second one sees to the zombies.
 */
START_TEST(process_1_reaps_what_others_leave) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("30d"));

        if (getenv("REKEYD_TEST_WRAPPER") || !may_unshare()) {
                test_skip("process_1_reaps_what_others_leave: no PID namespace can be had here");
                return;
        }
        write_hook(fixture, "leave", "for i in 1 2 3 4 5; do ( (sleep 0.1; touch gone-$i) & ); done\n");
        write_hook(fixture, "count",
                   "for i in 1 2 3 4 5; do until [ -e gone-$i ]; do sleep 0.1; done; done\n"
                   "while grep -q '^State:.Z' /proc/[0-9]*/status; do sleep 0.1; done\n"
                   "ls /proc > processes\n");
        fixture_prepare(fixture, ORDERS HOOKS(HOOK("leave") HOOK("count")));
        setenv("REKEYD_TEST_WRAPPER", IN_A_PID_NAMESPACE, 1);
        fixture_start(fixture, NULL);
        unsetenv("REKEYD_TEST_WRAPPER");
        fixture_expect_member(fixture, MESSAGE_NOTIFIED, "generation", "1");
        fixture_expect_message(fixture, MESSAGE_NOTIFIED, "/count");
}
END_TEST

START_TEST(a_stop_leaves_a_command_time_to_end) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("30d"));

        write_hook(fixture, "tidy",
                   "trap 'echo ending; sleep 0.3; echo ended; touch tidied; exit 1' TERM\n"
                   "if [ -e tidied ]; then exit 0; fi\n"
                   "echo begins; while :; do sleep 0.1; done\n");
        fixture_prepare(fixture, ORDERS HOOKS(HOOK("tidy")));
        fixture_start(fixture, NULL);
        fixture_expect_text(fixture, "begins");
        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert(comes_to_be(fixture, "tidied"));

        /* Nothing was delivered, so it is once more. */
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_NOTIFIED);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

START_TEST(what_a_command_leaves_may_write) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("30d"));

        write_hook(
                fixture, "leave",
                "(until [ -e go ]; do sleep 0.1; done; echo one || exit; echo two || exit; touch lived) &\n");
        fixture_prepare(fixture, ORDERS HOOKS(HOOK("leave")));
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_NOTIFIED);
        scratch_write(fixture->directory, "go", "", 0600);
        ck_assert(comes_to_be(fixture, "lived"));
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

TEST_MAIN("hooks", process_1_reaps_what_others_leave, a_stop_leaves_a_command_time_to_end,
          what_a_command_leaves_may_write)
