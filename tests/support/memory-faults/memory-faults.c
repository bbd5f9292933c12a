/*
 * A library to preload: memory runs out. REKEYD_TEST_MEMORY is `FIRST RATE SEED`: from allocation FIRST on,
 * one in RATE fails by chance, or with RATE 0 that one alone; FIRST 0 lets none fail.
 * REKEYD_TEST_MEMORY_REPORT is a file: at the end it has `allocations N failed N`, and where a signal ended
 * the process, that and who called whom.
 */

#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FRAMES_MAX 64

/* glibc's own, by the names that it exports for replacements like this one. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

#define EXPORTED __attribute__((visibility("default")))

static atomic_ulong n_allocations, n_failed;
static unsigned long first, rate, seed;
static int report_fd = -1;
static atomic_bool is_over;

/* For code of the tests that checks no allocation; it is not counted either. */
static _Thread_local int is_paused;
EXPORTED void memory_faults_pause(int pause);
EXPORTED void memory_faults_pause(int pause) {
        is_paused = pause;
}

static int fails(void) {
        uint64_t n, z;

        if (is_paused)
                return 0;
        n = atomic_fetch_add(&n_allocations, 1) + 1;
        if (first == 0 || n < first || (rate == 0 && n != first) || atomic_load(&is_over))
                return 0;
        if (rate > 0) {
                z = (n + seed) * 0x9e3779b97f4a7c15u;
                z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
                z = (z ^ z >> 27) * 0x94d049bb133111ebu;
                if ((z ^ z >> 31) % rate != 0)
                        return 0;
        }
        atomic_fetch_add(&n_failed, 1);
        errno = ENOMEM;
        return 1;
}

EXPORTED void *malloc(size_t size) {
        return fails() ? NULL : __libc_malloc(size);
}

EXPORTED void *calloc(size_t n, size_t size) {
        return fails() ? NULL : __libc_calloc(n, size);
}

EXPORTED void *realloc(void *memory, size_t size) {
        return size > 0 && fails() ? NULL : __libc_realloc(memory, size);
}

EXPORTED void *memalign(size_t alignment, size_t size) {
        return fails() ? NULL : __libc_memalign(alignment, size);
}

EXPORTED void *aligned_alloc(size_t alignment, size_t size) {
        return fails() ? NULL : __libc_memalign(alignment, size);
}

EXPORTED int posix_memalign(void **memory, size_t alignment, size_t size) {
        *memory = fails() ? NULL : __libc_memalign(alignment, size);
        return *memory ? 0 : ENOMEM;
}

static void report_counts(void) {
        char line[80];
        int n = snprintf(line, sizeof(line), "allocations %lu failed %lu\n", atomic_load(&n_allocations),
                         atomic_load(&n_failed));

        if (report_fd >= 0 && n > 0)
                (void)!write(report_fd, line, (size_t)n);
}

static void on_crash(int number) {
        void *frames[FRAMES_MAX];
        char line[40];
        int n;

        atomic_store(&is_over, 1);
        n = snprintf(line, sizeof(line), "signal %d\n", number);
        if (report_fd >= 0) {
                (void)!write(report_fd, line, (size_t)n);
                backtrace_symbols_fd(frames, backtrace(frames, FRAMES_MAX), report_fd);
        }
        report_counts();
        signal(number, SIG_DFL);
        raise(number);
}

__attribute__((constructor)) static void begin(void) {
        static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
        static char stack[1 << 16];
        const char *text = getenv("REKEYD_TEST_MEMORY"), *report = getenv("REKEYD_TEST_MEMORY_REPORT");
        stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
        void *frame;

        if (report)
                report_fd = open(report, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        (void)backtrace(&frame, 1); /* it loads a library the first time */
        sigaltstack(&alternate, NULL);
        for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
                sigaction(signals[i],
                          &(struct sigaction) { .sa_handler = on_crash,
                                                .sa_flags = SA_ONSTACK | (int)SA_RESETHAND },
                          NULL);
        if (text && sscanf(text, "%lu %lu %lu", &first, &rate, &seed) != 3)
                first = 0;
        unsetenv("LD_PRELOAD"); /* what rekeyd starts has memory */
        atomic_store(&n_allocations, 0);
}

__attribute__((destructor)) static void end(void) {
        atomic_store(&is_over, 1);
        report_counts();
}
