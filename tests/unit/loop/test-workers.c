/* The pool of threads, in a real loop. */

#include "daemon/loop/workers.h"

#include <pthread.h>
#include <sys/resource.h>

#include "lib/util/time.h"
#include "tests/test.h"

#define N_JOBS 500

struct sum {
        struct job job;
        sd_event *event;
        unsigned value, square;
        int nice;
        pthread_t ran_on;
        unsigned *n_done;
        unsigned last; /* how many make the test complete */
};

static void run(struct job *job) {
        struct sum *sum = (struct sum *)job;

        sum->square = sum->value * sum->value;
        sum->ran_on = pthread_self();
        sum->nice = getpriority(PRIO_PROCESS, 0);
}

static void done(struct job *job) {
        struct sum *sum = (struct sum *)job;

        if (++*sum->n_done == sum->last)
                sd_event_exit(sum->event, 0);
}

START_TEST(every_job_is_done_once_and_off_the_loop) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(workers_freep) struct workers *workers = NULL;
        static struct sum sums[N_JOBS];
        const int loop_nice = getpriority(PRIO_PROCESS, 0);
        unsigned n_done = 0;

        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(workers_new(event, 3, &workers), 0);
        for (unsigned i = 0; i < N_JOBS; i++) {
                sums[i] = (struct sum) {
                        .job = { .run = run, .done = done },
                        .event = event,
                        .value = i,
                        .n_done = &n_done,
                        .last = N_JOBS,
                };
                workers_submit(workers, &sums[i].job);
        }
        ck_assert_int_ge(sd_event_loop(event), 0);
        ck_assert_uint_eq(n_done, N_JOBS);
        for (unsigned i = 0; i < N_JOBS; i++) {
                ck_assert_uint_eq(sums[i].square, i * i);
                ck_assert(!pthread_equal(sums[i].ran_on, pthread_self()));
                ck_assert_int_eq(sums[i].nice, 10);
        }
        ck_assert_int_eq(getpriority(PRIO_PROCESS, 0), loop_nice);
}
END_TEST

START_TEST(freeing_waits_for_what_runs_and_drops_the_rest) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        struct workers *workers;
        static struct sum sums[N_JOBS];
        unsigned n_done = 0;

        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(workers_new(event, 2, &workers), 0);
        for (unsigned i = 0; i < N_JOBS; i++) {
                sums[i] = (struct sum) { .job = { .run = run, .done = done }, .n_done = &n_done };
                workers_submit(workers, &sums[i].job);
        }
        ck_assert_ptr_null(workers_free(workers));
        ck_assert_uint_eq(n_done, 0);
        ck_assert_int_eq(sd_event_run(event, 0), 0);
}
END_TEST

TEST_MAIN("workers", every_job_is_done_once_and_off_the_loop, freeing_waits_for_what_runs_and_drops_the_rest)
