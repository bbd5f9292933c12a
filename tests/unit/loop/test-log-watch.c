/* A log whose reader comes back, in a real loop: without another line, and without a wake-up when idle. */

#include "daemon/loop/log-watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "lib/util/log.h"
#include "tests/support/process.h"
#include "tests/test.h"

#define MANY 32000u

START_TEST(a_reader_that_comes_back_gets_it_all) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(log_watch_freep) struct log_watch *watch = NULL;
        static char text[8 << 20];
        unsigned n_dropped;
        size_t size = 0;
        const char *report = NULL;
        usec_t deadline;
        int fds[2];
        ssize_t n;

        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(log_watch_new(event, &watch), 0);
        ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        ck_assert_int_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
        log_configure(LOG_FORMAT_TEXT, LOG_INFO);
        for (unsigned i = 0; i < MANY; i++)
                log_info("line %u of many, to fill what there is", i);
        ck_assert_uint_gt(log_dropped(), 0);
        ck_assert_int_eq(sd_event_run(event, 0), 0); /* nothing to do while nobody reads */

        deadline = usec_add(now_usec(CLOCK_MONOTONIC), patience_usec());
        while (!report) {
                ck_assert_msg(now_usec(CLOCK_MONOTONIC) < deadline, "the report never came");
                while ((n = read(fds[0], text + size, sizeof(text) - 1 - size)) > 0)
                        size += (size_t)n;
                text[size] = '\0';
                report = strstr(text, "warning: log: ");
                if (!report)
                        ck_assert_int_ge(sd_event_run(event, USEC_PER_SEC), 0);
        }
        ck_assert_int_eq(sscanf(report, "warning: log: %u lines were dropped: standard error was not read\n",
                                &n_dropped),
                         1);
        ck_assert_uint_eq(n_dropped, log_dropped());
        ck_assert_str_eq(strchr(report, '\n'), "\n");
        ck_assert_int_eq(sd_event_run(event, 0), 0);
}
END_TEST

/* The loop may end, and what is logged then may wait. */
START_TEST(nothing_is_watched_any_more) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        struct log_watch *watch;
        char byte;
        int fds[2];

        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(log_watch_new(event, &watch), 0);
        ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        ck_assert_int_eq(fcntl(fds[1], F_SETPIPE_SZ, 4096), 4096);
        ck_assert_int_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
        log_configure(LOG_FORMAT_TEXT, LOG_INFO);
        for (unsigned i = 0; i < 1000; i++)
                log_info("line %u", i);
        ck_assert_ptr_null(log_watch_free(watch));
        log_info("after the end");
        while (read(fds[0], &byte, 1) == 1)
                ;
        ck_assert_int_eq(sd_event_run(event, 0), 0);
}
END_TEST

TEST_MAIN("log-watch", a_reader_that_comes_back_gets_it_all, nothing_is_watched_any_more)
