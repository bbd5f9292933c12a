#include "tests/support/parallel.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/test.h"

unsigned parallel_size(void) {
        long n = 2 * sysconf(_SC_NPROCESSORS_ONLN);

        return n < 1 ? 1 : n > (long)PARALLEL_MAX ? PARALLEL_MAX : (unsigned)n;
}

unsigned parallel_stride(void) {
        const char *share = getenv("REKEYD_TEST_SHARE"), *protocol = getenv("REKEYD_TEST_PROTOCOL");
        const int first = !protocol || streq(protocol, "compass") ? 1 : 4;
        int n = share ? atoi(share) : test_is_instrumented() ? 8 * first : first;

        ck_assert_msg(n > 0, "REKEYD_TEST_SHARE=%s is not a number above zero", share);
        return (unsigned)n;
}

void parallel_report_share(const char *suite, unsigned n_taken, size_t n_points) {
        unsigned stride = parallel_stride();

        test_report("%s: %u of %zu points were taken%s", suite, n_taken, n_points,
                    stride == 1 ? "" : ": a sample; scripts/test all takes more");
        ck_assert_uint_gt(n_taken, 0);
        ck_assert_uint_ge(n_taken, (unsigned)(n_points / stride));
}

void parallel_run(unsigned n, void (*work)(unsigned i, void *userdata), void *userdata) {
        pid_t parallel[PARALLEL_MAX];

        ck_assert_uint_le(n, PARALLEL_MAX);
        for (unsigned i = 0; i < n; i++) {
                parallel[i] = fork();
                ck_assert_int_ge(parallel[i], 0);
                if (parallel[i] == 0) {
                        work(i, userdata);
                        _exit(EXIT_SUCCESS);
                }
        }
        for (unsigned i = 0; i < n; i++) {
                int status;

                ck_assert_int_eq(waitpid(parallel[i], &status, 0), parallel[i]);
                ck_assert_int_eq(status, 0);
        }
}

void *parallel_share(size_t size) {
        void *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        if (shared == MAP_FAILED)
                abort();
        return shared;
}

void parallel_prepare_tracing(void) {
        const char *sanitizer = getenv("ASAN_OPTIONS");
        _cleanup_(freep) char *options = NULL;

        if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0)
                setenv("TMPDIR", "/dev/shm", 1);
        if (asprintf(&options, "%s:detect_leaks=0", sanitizer ? sanitizer : "") < 0)
                abort();
        setenv("ASAN_OPTIONS", options, 1);
        (void)setpriority(PRIO_PROCESS, 0, 10);
}
