/*
 * Memory runs out: at one allocation of a renewal after the other, and at many of one run by chance. Whatever
 * fails then, rekeyd ends by itself and not by a signal; what readers see meanwhile, and what everybody has
 * after the next run, is what the harness asks after a system call that failed.
 *
 * REKEYD_TEST_MEMORY="FIRST RATE SEED" takes one point (tests/support/memory-faults), REKEYD_TEST_SHARE=N
 * every N-th.
 */

#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "tests/crash/crash-harness.h"
#include "tests/support/parallel.h"
#include "tests/test.h"

#define POINT      "REKEYD_TEST_MEMORY"
#define REPORT     "REKEYD_TEST_MEMORY_REPORT"
#define N_SINGLE   400u /* allocations that fail alone, evenly over the run */
#define N_CHANCE   400u /* runs where one in so many fails */
#define FRAMES_MAX 12u

static const unsigned rates[] = { 3, 10, 40, 200, 1000, 5000 };

/*
 * Where libraries end a process that has no memory left: they do not check some allocation of their own. A
 * crash counts as theirs when one of these is among its innermost frames.
 */
static const struct {
        const char *frame;
        const char *why;
} known_crashes[] = {
        { "\n", "" }, /* in no frame */
};

/* Shared by the workers. */
struct tally {
        atomic_uint n_runs, n_hit, n_done, n_known, n_crashes, n_violations;
        unsigned long n_allocations; /* of a run that lacks nothing */
};

struct work {
        struct crash_harness *harness;
        struct tally *tally;
        unsigned first, step;
};

/* --- One run --- */

static void preload(const char *point, const char *report) {
        _cleanup_(freep) char *wrapper = NULL;

        ck_assert_int_ge(asprintf(&wrapper, "env LD_PRELOAD=%s", getenv("REKEYD_TEST_MEMORY_FAULTS")), 0);
        setenv("REKEYD_TEST_WRAPPER", wrapper, 1);
        setenv(POINT, point, 1);
        setenv(REPORT, report, 1);
}

static void unload(void) {
        unsetenv("REKEYD_TEST_WRAPPER");
        unsetenv(POINT);
        unsetenv(REPORT);
}

/* `allocations N failed N`, at the end of REPORT. */
static bool read_counts(const char *report, unsigned long *ret_allocations, unsigned long *ret_failed) {
        const char *line = report ? strstr(report, "allocations ") : NULL;

        return line && sscanf(line, "allocations %lu failed %lu", ret_allocations, ret_failed) == 2;
}

/* Why a library is known to crash where REPORT says; NULL: it is not known. */
static const char *explain(const char *report) {
        const char *end = strstr(report, "signal ");

        for (unsigned i = 0; end && i < FRAMES_MAX; i++)
                end = strchr(end + 1, '\n');
        for (size_t i = 0; i < ELEMENTSOF(known_crashes); i++) {
                const char *at = strstr(report, known_crashes[i].frame);

                if (at && (!end || at < end) && known_crashes[i].why[0])
                        return known_crashes[i].why;
        }
        return NULL;
}

/* A run of rekeyd where memory runs out at POINT, on a fresh copy of the files. The report is owned by the
 * caller. */
static char *run_once(struct crash_harness *harness, const char *point, struct trace *ret) {
        _cleanup_(freep) char *path = scratch_path(harness->fixture->directory, "memory-report");

        (void)unlink(path);
        crash_harness_reset(harness, &crash_harness_renewal);
        preload(point, path);
        ret->status = fixture_run(harness->fixture, "--once");
        unload();
        ret->output = strdup(process_output(harness->fixture->rekeyd, PROCESS_STDERR));
        return scratch_read(harness->fixture->directory, "memory-report");
}

static void judge(struct work *work, const char *point, const char *report, const struct trace *trace) {
        struct tally *tally = work->tally;
        const bool is_crash = trace->status > 128 && trace->status < 128 + 65;
        const char *why = is_crash ? explain(report ? report : "") : NULL;
        unsigned before = work->harness->n_violations;

        snprintf(work->harness->where, sizeof(work->harness->where), POINT "=\"%s\"", point);
        if (is_crash && why)
                atomic_fetch_add(&tally->n_known, 1);
        else if (is_crash) {
                atomic_fetch_add(&tally->n_crashes, 1);
                fprintf(stderr, "ended by signal %d with " POINT "=\"%s\":\n%s\n%s\n", trace->status - 128,
                        point, report ? report : "no report", crash_harness_last_line(trace->output));
        } else
                crash_harness_check_instant(work->harness, trace, false);
        if (!is_crash && trace->status != 1)
                atomic_fetch_add(&tally->n_done, 1);
        crash_harness_check_end(work->harness);
        atomic_fetch_add(&tally->n_violations, work->harness->n_violations - before);
}

static void run_point(struct work *work, const char *point) {
        _cleanup_(trace_clear) struct trace trace = { 0 };
        _cleanup_(freep) char *report = run_once(work->harness, point, &trace);
        unsigned long n_allocations = 0, n_failed = 0;

        atomic_fetch_add(&work->tally->n_runs, 1);
        if (read_counts(report, &n_allocations, &n_failed) && n_failed > 0)
                atomic_fetch_add(&work->tally->n_hit, 1);
        if (getenv("REKEYD_TEST_VERBOSE"))
                fprintf(stderr, "%s\n", trace.output);
        judge(work, point, report, &trace);
}

/* --- All of them --- */

static void name_point(const struct tally *tally, unsigned i, char ret[64]) {
        unsigned seed = i - N_SINGLE;

        if (i < N_SINGLE)
                snprintf(ret, 64, "%lu 0 0", 1 + i * tally->n_allocations / N_SINGLE);
        else
                snprintf(ret, 64, "%lu %u %u", 1 + seed * 7919ul % tally->n_allocations,
                         rates[seed % ELEMENTSOF(rates)], seed);
}

static void run_points(unsigned i, void *userdata) {
        struct work *work = &((struct work *)userdata)[i];
        char point[64];

        for (unsigned number = work->first; number < N_SINGLE + N_CHANCE; number += work->step) {
                name_point(work->tally, number, point);
                run_point(work, point);
        }
}

static unsigned long count_allocations(struct crash_harness *harness) {
        _cleanup_(trace_clear) struct trace trace = { 0 };
        _cleanup_(freep) char *report = run_once(harness, "0 0 0", &trace);
        unsigned long n_allocations = 0, n_failed = 0;

        ck_assert_msg(trace.status == 2, "rekeyd ends with %d: %s", trace.status, trace.output);
        ck_assert_msg(read_counts(report, &n_allocations, &n_failed), "there is no report, but: %s", report);
        ck_assert_uint_gt(n_allocations, N_SINGLE);
        ck_assert_uint_eq(n_failed, 0);
        return n_allocations;
}

START_TEST(memory_may_run_out_anywhere) {
        struct tally *tally = parallel_share(sizeof(*tally));
        struct work works[PARALLEL_MAX];
        const unsigned n = parallel_size(), stride = parallel_stride();
        _cleanup_(freep) char *only = getenv(POINT) ? strdup(getenv(POINT)) : NULL;

        if (test_is_instrumented()) {
                test_skip("memory_may_run_out_anywhere: %s", test_is_instrumented());
                return;
        }
        unload();
        for (unsigned i = 0; i < n; i++)
                works[i] = (struct work) { crash_harness_new(), tally, stride * i, stride * n };
        tally->n_allocations = count_allocations(works[0].harness);
        if (only)
                run_point(works, only);
        else
                parallel_run(n, run_points, works);
        for (unsigned i = 0; i < n; i++)
                crash_harness_free(works[i].harness);

        test_report("memory: %lu allocations; %u runs, in %u of them some failed: %u renewed all the same, "
                    "%u ended in a "
                    "library that is known for it, %u crashed, %u violations",
                    tally->n_allocations, tally->n_runs, tally->n_hit, tally->n_done, tally->n_known,
                    tally->n_crashes, tally->n_violations);
        if (!only)
                parallel_report_share("memory", tally->n_runs, N_SINGLE + N_CHANCE);
        ck_assert_uint_eq(tally->n_crashes, 0);
        ck_assert_uint_eq(tally->n_violations, 0);
        munmap(tally, sizeof(*tally));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("crash-memory");

        parallel_prepare_tracing();
        TEST_CASE(suite, memory_may_run_out_anywhere);
        return test_run(suite);
}
