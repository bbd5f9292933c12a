/*
 * Programs that are started with standard input, output or error closed. The next file that such a program
 * opens would get the number, and what is meant for a person would go into a file or to a Connector.
 *
 * A program is stopped by ptrace() at its very end, when its descriptors are still there.
 */

#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "tests/support/fixture.h"
#include "tests/support/must.h"
#include "tests/test.h"

#define STANDARD 3 /* descriptors */

/* In the child: what is in CLOSED is, and the others are files that nobody takes for /dev/null. */
static void become(const char *const *argv, unsigned closed) {
        for (int fd = 0; fd < STANDARD; fd++) {
                const int file = open("/dev/zero", O_RDWR);

                must(file >= 0);
                must(dup2(file, fd) == fd);
                if (file != fd)
                        must(close(file) == 0);
        }
        for (int fd = 0; fd < STANDARD; fd++)
                if (closed & (1u << fd))
                        must(close(fd) == 0);
        must(close_range(STANDARD, ~0u, 0) == 0);
        must(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
        execv(argv[0], (char *const *)argv);
        _exit(127);
}

/* Awaits the stop that EVENT names; signals are passed on. */
static void await_stop(pid_t child, int event) {
        int status;

        for (;;) {
                ck_assert_int_eq(waitpid(child, &status, 0), child);
                ck_assert_msg(WIFSTOPPED(status), "the program has ended: %x", (unsigned)status);
                if (status >> 8 == (SIGTRAP | event << 8))
                        return;
                ck_assert_int_eq(ptrace(PTRACE_CONT, child, NULL, (void *)(intptr_t)WSTOPSIG(status)), 0);
        }
}

/* Runs ARGV, and checks what its first descriptors are at its end. */
static void check(const char *const *argv, unsigned closed) {
        const pid_t child = fork();
        int status;

        ck_assert_int_ge(child, 0);
        if (child == 0)
                become(argv, closed);
        await_stop(child, 0); /* at execv() */
        ck_assert_int_eq(ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)PTRACE_O_TRACEEXIT), 0);
        ck_assert_int_eq(ptrace(PTRACE_CONT, child, NULL, NULL), 0);
        await_stop(child, PTRACE_EVENT_EXIT);

        for (int fd = 0; fd < STANDARD; fd++) {
                const char *wanted = closed & (1u << fd) ? "/dev/null" : "/dev/zero";
                char link[64], target[64];
                ssize_t n;

                snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)child, fd);
                n = readlink(link, target, sizeof(target) - 1);
                target[n < 0 ? 0 : n] = '\0';
                ck_assert_msg(streq(target, wanted), "%s, closed: %x: descriptor %d is '%s', not %s", argv[0],
                              closed, fd, target, wanted);
        }
        ck_assert_int_eq(ptrace(PTRACE_CONT, child, NULL, NULL), 0);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
}

START_TEST(no_file_takes_the_place_of_a_closed_one) {
        _cleanup_(scratch_freep) char *directory = scratch_new();
        _cleanup_(freep) char *absent = scratch_path(directory, "absent");
        const char *const rekeyd[] = { fixture_program("REKEYD"), "--config", absent, NULL };
        const char *const rekeyctl[] = { fixture_program("REKEYCTL"), "--socket", absent, "status", NULL };
        const char *const devconnector[] = { fixture_program("DEVCONNECTOR"), "--version", NULL };
        const char *const *const programs[] = { rekeyd, rekeyctl, devconnector };

        if (geteuid() != 0) {
                test_skip("no_file_takes_the_place_of_a_closed_one: only root sees them, since no program "
                          "here can be attached to");
                return;
        }
        for (size_t i = 0; i < ELEMENTSOF(programs); i++)
                for (unsigned closed = 0; closed < 1u << STANDARD; closed++)
                        check(programs[i], closed);
}
END_TEST

TEST_MAIN("descriptors", no_file_takes_the_place_of_a_closed_one)
