#pragma once

/* Work that processes share, each of them doing a part of it. */

#include "lib/util/macro.h"

#define PARALLEL_MAX 8u

/* Two for each processor, since a run waits for half of its time; at most PARALLEL_MAX. */
unsigned parallel_size(void);

/* Suites of thousands of runs take every N-th point only, when REKEYD_TEST_SHARE=N says so. Returns N; 1
 * without it, or 4 where the program is instrumented, since that is there to find faults of memory and takes
 * four times as long; of another protocol than compass a fourth of that, since nearly all of the code is the
 * same.
 */
unsigned parallel_stride(void);

/* Prints what was taken: at most every N-th of the N_POINTS, never nothing. */
void parallel_report_share(const char *suite, unsigned n_taken, size_t n_points);

/* Calls WORK for 0 to N - 1, each in a process of its own, and awaits all of them; a failed assertion in one
 * fails the test. */
void parallel_run(unsigned n, void (*work)(unsigned i, void *userdata), void *userdata);

/* Memory, zero, that is shared with the processes that are made afterwards. munmap(2) frees it. */
void *parallel_share(size_t size);

/* For runs by the thousand with dozens of fsyncs each: their files go to memory where that can be, since no
 * power is cut. LeakSanitizer cannot work in programs that are traced, and is told so. They leave the
 * processors to others that want them. */
void parallel_prepare_tracing(void);
