/*
 * Memory, and the long life of one rekeyd: a usual start, idleness, reloads. Private is what the kernel calls
 * RssAnon; resident includes the pages of programs and libraries, which others share.
 */

#include <check.h>

#include "bench/bench.h"
#include "bench/rows.h"
#include "daemon/observe/messages.h"
#include "tests/support/probe.h"

/* One reload of these changes an option of every certificate. */
#define RELOADS_OF_WHICH_ONE_CHANGES 10u

/* After which rekeyd has given back the memory that a reload leaves behind. */
#define SPARE_SEC 7u

unsigned measure_one(struct bench *bench) {
        unsigned private_kib;
        pid_t pid;

        bench_start(bench, &bench->one, BENCH_NOT_DUE);
        bench_await(bench, MESSAGE_READY, 1);
        pid = process_pid(bench->fixture->rekeyd);
        bench_pause(1);
        private_kib = probe_kib(pid, "RssAnon");
        rows_note(ROW_PRIVATE, private_kib);
        rows_note(ROW_RESIDENT, probe_kib(pid, "VmRSS"));
        ck_assert_int_eq(fixture_stop(bench->fixture), 0);
        return private_kib;
}

static double each_kib(const struct bench *bench, unsigned one_kib) {
        const pid_t pid = process_pid(bench->fixture->rekeyd);

        return ((double)probe_kib(pid, "RssAnon") - one_kib) / (bench->sizes->many - 1);
}

static void reload(struct bench *bench) {
        static const char *const renew_before[] = { BENCH_NOT_DUE, "34%" };

        for (unsigned i = 1; i <= bench->sizes->n_reloads; i++) {
                const bool changes = i % RELOADS_OF_WHICH_ONE_CHANGES == 0;

                if (changes)
                        bench_configure(bench, &bench->many,
                                        renew_before[i / RELOADS_OF_WHICH_ONE_CHANGES % 2]);
                fixture_reload(bench->fixture);
                if (changes) /* all sets are inspected, and their lines are read */
                        bench_await(bench, MESSAGE_CURRENT, bench->sizes->many);
        }
}

void measure_many(struct bench *bench, unsigned one_kib) {
        uint64_t wakeups;
        usec_t begin_usec;
        pid_t pid;

        begin_usec = bench_start(bench, &bench->many, BENCH_NOT_DUE);
        bench_await(bench, MESSAGE_READY, 1);
        rows_note(ROW_START, (double)(now_usec(CLOCK_MONOTONIC) - begin_usec) / USEC_PER_SEC);
        pid = process_pid(bench->fixture->rekeyd);
        bench_pause(1);
        rows_note(ROW_EACH, each_kib(bench, one_kib));
        rows_note(ROW_START_CPU, (double)probe_cpu_nsec(pid) / 1e9);

        wakeups = probe_wakeups(pid);
        bench_pause(bench->sizes->idle_sec);
        rows_note(ROW_WAKEUPS, (double)(probe_wakeups(pid) - wakeups));

        reload(bench);
        bench_pause(SPARE_SEC);
        rows_note(ROW_EACH_RELOADED, each_kib(bench, one_kib));
        ck_assert_int_eq(fixture_stop(bench->fixture), 0);
}
