/*
 * rekeyd with a standard error that nobody reads, and that is full before it starts: it starts, enrols, takes
 * another configuration, renews, answers and ends as if somebody did. What it had to say is there when a
 * reader comes.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>

#include "tests/support/fixture.h"
#include "tests/test.h"

#define SIGNED "\"operation\":\"sign\""

struct stuck {
        struct fixture *fixture;
        int fd; /* reads the FIFO that is rekeyd's standard error */
        size_t filled;
};

static void start(struct stuck *stuck) {
        _cleanup_(freep) char *fifo = scratch_path(stuck->fixture->directory, "stderr"),
                              *config = scratch_path(stuck->fixture->directory, "rekeyd.yaml");
        const char *const argv[] = {
                "/bin/sh", "-c", "exec \"$0\" --config \"$1\" 2>\"$2\"", fixture_program("REKEYD"), config,
                fifo,      NULL
        };
        char block[4096];
        ssize_t n;
        int fd;

        ck_assert_int_eq(mkfifo(fifo, 0600), 0);
        stuck->fd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        fd = open(fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        ck_assert_int_ge(stuck->fd, 0);
        ck_assert_int_ge(fd, 0);
        memset(block, '#', sizeof(block));
        while ((n = write(fd, block, sizeof(block))) > 0)
                stuck->filled += (size_t)n;
        ck_assert_int_eq(errno, EAGAIN);
        ck_assert_int_eq(close(fd), 0);
        stuck->fixture->rekeyd = process_start(argv, false);
}

/* Reads until TEXT comes, behind what was filled in. */
static void expect(struct stuck *stuck, const char *text) {
        static char seen[4 << 20];
        struct pollfd readable = { .fd = stuck->fd, .events = POLLIN };
        size_t size = 0;
        ssize_t n;

        for (;;) {
                ck_assert_msg(poll(&readable, 1, (int)(patience_usec() / USEC_PER_MSEC)) == 1,
                              "'%s' never came", text);
                n = read(stuck->fd, seen + size, sizeof(seen) - 1 - size);
                ck_assert_int_gt(n, 0);
                size += (size_t)n;
                seen[size] = '\0';
                if (size > stuck->filled && strstr(seen + stuck->filled, text)) {
                        stuck->filled = 0;
                        return;
                }
        }
}

START_TEST(nobody_reads_standard_error) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
        struct stuck stuck = { .fixture = fixture };

        fixture_prepare(fixture, ORDERS);
        start(&stuck);
        json_decref(fixture_await_connector(fixture, SIGNED));
        fixture_configure(fixture, ORDERS LARGER_KEY);
        process_signal(fixture->rekeyd, SIGHUP);
        json_decref(fixture_await_connector(fixture, SIGNED));
        ck_assert_int_eq(fixture_stop(fixture), 0);
        close(stuck.fd);
}
END_TEST

START_TEST(a_reader_comes_late) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
        struct stuck stuck = { .fixture = fixture };

        fixture_prepare(fixture, ORDERS);
        start(&stuck);
        json_decref(fixture_await_connector(fixture, SIGNED));
        expect(&stuck, " manages 1 certificate");
        process_signal(fixture->rekeyd, SIGTERM);
        expect(&stuck, "\"message\":\"stopped\"");
        ck_assert_int_eq(process_wait(fixture->rekeyd), 0);
        close(stuck.fd);
}
END_TEST

TEST_MAIN("stuck-log", nobody_reads_standard_error, a_reader_comes_late)
