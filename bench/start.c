/*
 * Starts that are not the usual one, which memory.c has: the first of all, with nothing that survived a
 * restart; one whose files are not in the page cache; one with several times as many certificates, and the
 * metrics of those.
 */

#include <check.h>
#include <fcntl.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/rows.h"
#include "daemon/observe/messages.h"
#include "tests/support/probe.h"

static double since(usec_t begin_usec) {
        return (double)(now_usec(CLOCK_MONOTONIC) - begin_usec) / USEC_PER_SEC;
}

static double cpu_sec(const struct bench *bench) {
        return (double)probe_cpu_nsec(process_pid(bench->fixture->rekeyd)) / 1e9;
}

void measure_start_first(struct bench *bench) {
        bench_forget(bench);
        bench_start(bench, &bench->many, BENCH_NOT_DUE);
        bench_await(bench, MESSAGE_READY, 1);
        bench_pause(1);
        rows_note(ROW_START_FIRST, cpu_sec(bench));
        ck_assert_int_eq(fixture_stop(bench->fixture), 0);
}

/* Has the kernel forget the contents of all files; NULL, or why it does not. */
static const char *drop_page_cache(void) {
        int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
        ssize_t n;

        if (fd < 0)
                return "/proc/sys/vm/drop_caches cannot be written here";
        sync();
        n = write(fd, "3", 1);
        close(fd);
        return n == 1 ? NULL : "the kernel does not drop its page cache here";
}

void measure_start_cold(struct bench *bench) {
        const char *why;
        usec_t begin_usec;

        if (!bench->sizes->may_drop_page_cache)
                return;
        bench_configure(bench, &bench->many, BENCH_NOT_DUE);
        why = drop_page_cache();
        if (why) {
                rows_omit(ROW_START_COLD, why);
                return;
        }
        begin_usec = now_usec(CLOCK_MONOTONIC);
        fixture_start(bench->fixture, NULL);
        bench_await(bench, MESSAGE_READY, 1);
        rows_note(ROW_START_COLD, since(begin_usec));
        ck_assert_int_eq(fixture_stop(bench->fixture), 0);
}

static void measure_metrics(struct bench *bench) {
        usec_t begin_usec = now_usec(CLOCK_MONOTONIC);
        _cleanup_(freep) char *page = fixture_get(bench->fixture, "/metrics");

        rows_note(ROW_METRICS_TIME, 1000 * since(begin_usec));
        rows_note(ROW_METRICS_BYTES, (double)strlen(page) / bench->sizes->most);
}

void measure_most(struct bench *bench) {
        usec_t begin_usec;

        if (bench->sizes->most == 0)
                return;
        /* Once before, so that what is measured is a restart in each run. */
        bench_start(bench, &bench->most, BENCH_NOT_DUE);
        bench_await(bench, MESSAGE_READY, 1);
        ck_assert_int_eq(fixture_stop(bench->fixture), 0);

        begin_usec = bench_start(bench, &bench->most, BENCH_NOT_DUE);
        bench_await(bench, MESSAGE_READY, 1);
        rows_note(ROW_MOST, since(begin_usec));
        bench_pause(1);
        rows_note(ROW_MOST_CPU, cpu_sec(bench));
        measure_metrics(bench);
        ck_assert_int_eq(fixture_stop(bench->fixture), 0);
}
