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

START_TEST(a_reload_does_not_wait_for_a_command) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("30d"));

        /* The first one has an hour, and is still there in the end; the other one is corrected. */
        write_hook(fixture, "slow", "echo begins; until [ -e go ]; do sleep 0.1; done; echo ends\n");
        write_hook(fixture, "tell", "echo $REKEYD_GENERATION >> told\n");
        fixture_prepare(fixture, ORDERS HOOKS("      - {command: [%s/slow], timeout: 1h}\n" HOOK("wrong")));
        fixture_start(fixture, NULL);
        fixture_expect_text(fixture, "begins");
        fixture_expect(fixture, MESSAGE_NOT_NOTIFIED); /* beside the first one */
        fixture_edit(fixture, "/wrong", "/tell");
        fixture_edit(fixture, "token_file:", "key: {bits: 3072}\n    token_file:");
        fixture_reload(fixture);
        fixture_expect(fixture, MESSAGE_RENEWED);
        fixture_expect_message(fixture, MESSAGE_NOTIFIED, "/tell");
        ck_assert_ptr_null(strstr(process_output(fixture->rekeyd, PROCESS_STDERR), "slow: ends"));

        /* It was told of the first generation, and is told of the second. */
        scratch_write(fixture->directory, "go", "", 0600);
        fixture_expect_member(fixture, MESSAGE_NOTIFIED, "generation", "1");
        fixture_expect_member(fixture, MESSAGE_NOTIFIED, "generation", "2");
        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 0);
}
END_TEST

/* Two that hang for as long as the test takes. */
START_TEST(one_that_hangs_does_not_hold_up_the_others) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("30d"));
        usec_t begin;

        write_hook(fixture, "hang", "echo hangs; exec sleep 1000\n");
        write_hook(fixture, "tell", "touch told\n");
        fixture_prepare(fixture, ORDERS HOOKS("      - {command: [%s/hang, a], timeout: 1h}\n"
                                              "      - {command: [%s/hang, b], timeout: 1h}\n" HOOK("tell")));
        fixture_start(fixture, NULL);
        fixture_expect_text(fixture, "hangs");
        begin = now_usec(CLOCK_MONOTONIC);
        fixture_expect_message(fixture, MESSAGE_NOTIFIED, "/tell");
        test_report("told %.1f s after the first one has begun to hang",
                    (double)(now_usec(CLOCK_MONOTONIC) - begin) / USEC_PER_SEC);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

TEST_MAIN("hooks", process_1_reaps_what_others_leave, a_stop_leaves_a_command_time_to_end,
          what_a_command_leaves_may_write, a_reload_does_not_wait_for_a_command,
          one_that_hangs_does_not_hold_up_the_others)
