/*
 * A whole enrolment and a whole renewal, with one directory, two exports and one dependent, by the real
 * rekeyd against the real devconnector; killed, and failed, at every system call. The same for the run after
 * a kill in the middle of that. One run under the tracer tells the calls, from the first that touches what
 * rekeyd keeps: what comes before is the loading of libraries and the configuration. Then each point has a
 * run of its own, on a fresh copy of the same files, and rekeyd is started again, as a service manager would.
 * What readers see in between, and what everybody has in the end, is for world.c to judge.
 *
 * A kill comes before a call, so the one before the next call is the one after it. A call that changes
 * nothing outside of the process leaves the world as it is: to be killed at it is to be killed at the next
 * one that does. So all calls that do are points, and of all calls each SAMPLE-th; with REKEYD_TEST_CRASH=all
 * each call is one, and with REKEYD_TEST_SHARE=N every N-th of the points. Threads and random numbers make
 * runs differ a little: a point that a run does not come to is tried again, and counted as missed when that
 * does not help.
 *
 * The last scenario is no attempt: a rekeyd that goes on running stages the key of its next renewal, which
 * then takes place.
 *
 * The control is a finished renewal that is damaged by hand; the same checks must object to it.
 */

#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tests/crash/crash-harness.h"
#include "tests/support/parallel.h"
#include "tests/test.h"

#define POINTS_MAX 32768u
#define SAMPLE     16u
#define TRIES      3u

struct points {
        struct trace_point items[POINTS_MAX];
        size_t n;
        unsigned n_calls, n_changing, n_failable; /* in the run that told them */
        bool takes_all;
        int result; /* of tracing it: 0 or -errno */
};

struct tally {
        atomic_uint kills, errors, missed, violations;
};

/* --- Points --- */

static void add_point(struct points *points, struct trace_point point) {
        if (points->n == POINTS_MAX)
                abort();
        points->items[points->n++] = point;
}

static void add_failures(struct points *points, const struct trace_call *call) {
        struct trace_point failures[TRACE_FAILURES_MAX];
        size_t n = trace_failures(call, ++points->n_failable, failures);

        for (size_t i = 0; i < n; i++)
                add_point(points, failures[i]);
}

static void take_call(const struct trace_call *call, void *userdata) {
        struct points *points = userdata;
        unsigned at = ++points->n_calls;

        if (call->is[TRACE_CHANGING])
                add_point(points,
                          (struct trace_point) { .kind = TRACE_CHANGING, .at = ++points->n_changing });
        if (points->takes_all || at % SAMPLE == 0)
                add_point(points, (struct trace_point) { .kind = TRACE_ANY, .at = at });
        if (call->is[TRACE_FAILABLE])
                add_failures(points, call);
}

/* --- Runs --- */

static void run_point(struct crash_harness *harness, const struct scenario *scenario,
                      const struct trace_point *point, struct tally *tally) {
        struct trace_plan plan = { .kind = point->kind, .at = point->at, .error = point->error };
        unsigned before = harness->n_violations;

        for (unsigned try = 0; try < TRIES; try++) {
                _cleanup_(trace_clear) struct trace trace = { 0 };

                crash_harness_reset(harness, scenario);
                ck_assert_int_eq(crash_harness_trace(harness, &plan, &trace), 0);
                if (!trace.was_reached)
                        continue;
                snprintf(harness->where, sizeof(harness->where), "%s %s",
                         point->failure ? point->failure : "killed at", trace.point);
                crash_harness_check_instant(harness, &trace, !point->failure);
                crash_harness_check_end(harness);
                if (harness->n_violations > before && point->failure)
                        test_report("crash: and rekeyd said: %s", crash_harness_last_line(trace.output));
                atomic_fetch_add(point->failure ? &tally->errors : &tally->kills, 1);
                atomic_fetch_add(&tally->violations, harness->n_violations - before);
                return;
        }
        atomic_fetch_add(&tally->missed, 1);
}

/* --- Workers --- */

/* Whoever traces waits for all children, so it is a process without any others. Shared with the test: POINTS
 * and TALLY. */
struct work {
        struct crash_harness *harness;
        const struct scenario *scenario;
        struct points *points;
        struct tally *tally;
        size_t first, step;
        void (*run)(struct work *work);
};

static void run_work(unsigned i, void *userdata) {
        struct work *works = userdata;

        works[i].run(&works[i]);
}

static void run_points(struct work *work) {
        for (size_t i = work->first; i < work->points->n; i += work->step)
                run_point(work->harness, work->scenario, &work->points->items[i], work->tally);
}

/* The whole run, which must be without fault. */
static void find_points(struct work *work) {
        struct trace_plan plan = { .seen = take_call, .userdata = work->points };
        struct crash_harness *harness = work->harness;
        _cleanup_(trace_clear) struct trace trace = { 0 };

        crash_harness_reset(harness, work->scenario);
        work->points->result = crash_harness_trace(harness, &plan, &trace);
        if (work->points->result < 0)
                return;
        snprintf(harness->where, sizeof(harness->where), "undisturbed");
        crash_harness_check_instant(harness, &trace, false);
        if (work->scenario->is_ahead) {
                ck_assert_msg(harness->aftermath.has_key, "no key is staged: %s", trace.output);
                crash_harness_check_end(harness); /* with that key */
        } else
                crash_harness_check_files(harness);
        ck_assert_msg(trace.status == work->scenario->status && harness->n_violations == 0,
                      "rekeyd ends with %d: %s", trace.status, trace.output);
}

/* --- Tests --- */

/* Of all scenarios; shared, since each test is a process of its own. */
static struct tally *total;

static void run_scenario(const struct scenario *scenario) {
        struct tally *tally = parallel_share(sizeof(*tally));
        struct points *points = parallel_share(sizeof(*points));
        struct crash_harness *harnesses[PARALLEL_MAX];
        struct work works[PARALLEL_MAX];
        const unsigned n = parallel_size(), stride = parallel_stride();
        usec_t begin = now_usec(CLOCK_MONOTONIC);

        points->takes_all = streq_null(getenv("REKEYD_TEST_CRASH"), "all");
        for (unsigned i = 0; i < n; i++) {
                harnesses[i] = crash_harness_new();
                works[i] = (struct work) {
                        harnesses[i], scenario, points, tally, stride * i, stride * n, find_points,
                };
        }
        parallel_run(1, run_work, works);
        for (unsigned i = 0; i < n; i++)
                works[i].run = run_points;
        if (points->result == 0)
                parallel_run(n, run_work, works);
        for (unsigned i = 0; i < n; i++)
                crash_harness_free(harnesses[i]);
        if (points->result < 0) {
                test_skip("nothing can be traced here: %s", strerrordesc_np(-points->result));
                return;
        }

        test_report("crash: %s: %u system calls, of which %u can change the world and %u can fail on files; "
                    "%u kill points, %u error points, %u missed, %u violations in %.0f s",
                    scenario->name, points->n_calls, points->n_changing, points->n_failable, tally->kills,
                    tally->errors, tally->missed, tally->violations,
                    (double)(now_usec(CLOCK_MONOTONIC) - begin) / USEC_PER_SEC);
        parallel_report_share("crash", tally->kills + tally->errors + tally->missed, points->n);
        atomic_fetch_add(&total->kills, tally->kills);
        atomic_fetch_add(&total->errors, tally->errors);
        atomic_fetch_add(&total->violations, tally->violations);
        ck_assert_uint_gt(tally->kills, 0);
        ck_assert_uint_gt(tally->errors, 0);
        ck_assert_uint_eq(tally->violations, 0);
        /* More than a few would mean that the runs are not the same run. */
        ck_assert_uint_le(tally->missed, (tally->kills + tally->errors) / 20);
        munmap(points, sizeof(*points));
        munmap(tally, sizeof(*tally));
}

START_TEST(an_enrolment_may_be_cut_anywhere) {
        run_scenario(&crash_harness_enrolment);
}
END_TEST

START_TEST(a_renewal_may_be_cut_anywhere) {
        run_scenario(&crash_harness_renewal);
}
END_TEST

START_TEST(a_recovery_may_be_cut_anywhere) {
        run_scenario(&crash_harness_recovery);
}
END_TEST

/* No renewal is due: what is cut is the inspection of a daemon, and the staging of a key for its next
 * renewal. */
START_TEST(a_key_ahead_may_be_cut_anywhere) {
        run_scenario(&crash_harness_key_ahead);
}
END_TEST

START_TEST(nothing_was_violated) {
        if (total->kills == 0) {
                test_skip("no scenario was run");
                return;
        }
        test_report("crash: %u kill points, %u error points, %u violations", total->kills, total->errors,
                    total->violations);
        ck_assert_uint_eq(total->violations, 0);
}
END_TEST

/* A renewal that is over, and one damage to it by the shell: $1 is the world, $2 what it was before. */
static void find_damage(struct work *work) {
        static const char *const damages[] = {
                "cp $2/orders/tls.key $1/orders/..data/",
                "cp $2/orders/tls.crt $1/orders/..data/",
                "rm $1/orders/..data/ca.crt",
                "rm $1/orders/connection.json",
                "ln -sfn ..gen-000001 $1/orders/..data",
                "cp -p $2/exports/orders.pem $1/exports/",
                "cp -p $2/exports/orders.p12 $1/exports/",
                "chmod 0644 $1/exports/orders.pem",
                "rm $1/told",
                "cp $2/told $1/",
                "touch $1/orders/.tls.crt.rekeyd",
                "touch $1/orders/..data/tls.csr",
                "mkdir $1/orders/..stage-000003",
                "touch $1/exports/.orders.pem.rekeyd",
                "touch $1/state/.orders.json.rekeyd",
                "cp $2/state/orders.json $1/state/",
        };
        struct crash_harness *harness = work->harness;
        _cleanup_(freep) char *before = scratch_path(harness->fixture->directory, crash_harness_renewal.name);

        find_points(work);
        ck_assert_int_eq(work->points->result, 0);
        harness->is_silent = true;
        for (size_t i = 0; i < ELEMENTSOF(damages); i++) {
                const char *argv[] = { "/bin/sh", "-c", damages[i], "sh", harness->path, before, NULL };
                _cleanup_(process_freep) struct process *shell = NULL;
                unsigned n = harness->n_violations;

                crash_harness_copy(harness, "world", "saved");
                shell = process_start(argv, false);
                ck_assert_int_eq(process_wait(shell), 0);
                crash_harness_check_files(harness);
                ck_assert_msg(harness->n_violations > n, "nobody objects to: %s", damages[i]);
                crash_harness_copy(harness, "saved", "world");
        }
        atomic_store(&work->tally->violations, harness->n_violations);
}

START_TEST(the_same_checks_catch_damage) {
        struct tally *tally = parallel_share(sizeof(*tally));
        struct points *points = parallel_share(sizeof(*points));
        struct crash_harness *harness = crash_harness_new();
        struct work work = { harness, &crash_harness_renewal, points, tally, 0, 1, find_damage };

        parallel_run(1, run_work, &work);
        if (points->result < 0)
                test_skip("nothing can be traced here: %s", strerrordesc_np(-points->result));
        else {
                test_report("crash: the same checks find %u violations in a renewal that is damaged by hand",
                            tally->violations);
                ck_assert_uint_gt(tally->violations, 0);
        }
        crash_harness_free(harness);
        munmap(points, sizeof(*points));
        munmap(tally, sizeof(*tally));
}
END_TEST

static void trace_mkdir(struct work *work) {
        static const struct {
                unsigned at;
                int error, status;
        } cases[] = { { 0, 0, 0 }, { 1, 0, 128 + SIGKILL }, { 1, ENOSPC, 1 }, { 2, 0, 0 } };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(scratch_freep) char *scratch = scratch_new();
                _cleanup_(freep) char *path = scratch_path(scratch, "new");
                _cleanup_(trace_clear) struct trace trace = { 0 };
                const char *argv[] = { "/bin/mkdir", path, NULL };
                const struct trace_plan plan = {
                        .root = scratch,
                        .kind = TRACE_FAILABLE,
                        .at = cases[i].at,
                        .error = cases[i].error,
                };

                work->points->result = trace_run(argv, &plan, &trace);
                if (work->points->result < 0)
                        return;
                ck_assert_int_eq(trace.status, cases[i].status);
                ck_assert_uint_eq(trace.counts[TRACE_FAILABLE], 1);
                ck_assert_int_eq(trace.was_reached, cases[i].at == 1);
                ck_assert_int_eq(access(path, F_OK), cases[i].at == 1 ? -1 : 0);
                if (trace.was_reached)
                        ck_assert(has_prefix(trace.point, "mkdir") && strstr(trace.point, path));
                if (cases[i].error == ENOSPC)
                        ck_assert_ptr_nonnull(strstr(trace.output, strerror(ENOSPC)));
        }
}

START_TEST(a_point_comes_before_its_call) {
        struct points *points = parallel_share(sizeof(*points));
        struct work work = { NULL, NULL, points, NULL, 0, 1, trace_mkdir };

        parallel_run(1, run_work, &work);
        if (points->result < 0)
                test_skip("nothing can be traced here: %s", strerrordesc_np(-points->result));
        munmap(points, sizeof(*points));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("crash-rekeyd");

        parallel_prepare_tracing();
        total = parallel_share(sizeof(*total));
        TEST_CASE(suite, a_point_comes_before_its_call);
        TEST_CASE(suite, the_same_checks_catch_damage);
        TEST_CASE(suite, an_enrolment_may_be_cut_anywhere);
        TEST_CASE(suite, a_renewal_may_be_cut_anywhere);
        TEST_CASE(suite, a_recovery_may_be_cut_anywhere);
        TEST_CASE(suite, a_key_ahead_may_be_cut_anywhere);
        TEST_CASE(suite, nothing_was_violated);
        return test_run(suite);
}
