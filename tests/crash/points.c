/* Reads a trace by strace. */

#include "tests/crash/points.h"

#include <check.h>

#include "lib/store/store.h"

static const char *const failing_calls[] = {
        "open",      "openat", "creat",  "write",   "fsync",     "fdatasync", "rename",  "renameat",
        "renameat2", "link",   "linkat", "symlink", "symlinkat", "mkdir",     "mkdirat", "unlink",
        "unlinkat",  "rmdir",  "chmod",  "fchmod",  "fchmodat",  "chown",     "fchown",  "fchownat",
};

static bool contains(const char *const *list, size_t n, const char *wanted) {
        for (size_t i = 0; i < n; i++)
                if (streq(list[i], wanted))
                        return true;
        return false;
}

/* Calls that have nothing to do with files make no state of their own on the disk. */
static bool is_about_memory(const char *call) {
        static const char *const calls[] = { "brk",           "mmap",        "munmap",        "mremap",
                                             "mprotect",      "madvise",     "futex",         "getrandom",
                                             "clock_gettime", "sched_yield", "rt_sigprocmask" };

        return contains(calls, ELEMENTSOF(calls), call);
}

/* Lines are "PID name(arguments) = result", with or without the PID. */
static bool parse_call(const char *line, char ret[24]) {
        size_t n;

        line += strspn(line, "0123456789 ");
        n = strspn(line, "abcdefghijklmnopqrstuvwxyz0123456789_");
        if (n == 0 || n >= 24 || line[n] != '(')
                return false;
        memcpy(ret, line, n);
        ret[n] = '\0';
        return true;
}

void points_parse(char *text, struct points *ret) {
        struct {
                char call[24];
                unsigned n;
        } counts[128] = { 0 };
        bool inside = false, done = false;
        unsigned promises = 0;
        char *saved;

        ret->n = 0;
        for (char *line = strtok_r(text, "\n", &saved); line && !done; line = strtok_r(NULL, "\n", &saved)) {
                char call[24];
                size_t i = 0;

                if (!parse_call(line, call))
                        continue;
                while (counts[i].n > 0 && !streq(counts[i].call, call))
                        ck_assert_uint_lt(++i, ELEMENTSOF(counts));
                strcpy(counts[i].call, call);
                counts[i].n++;

                if (strstr(line, "\"/marker-begin\"")) {
                        inside = true;
                        continue;
                }
                done = strstr(line, "\"/marker-end\"");
                if (inside && !is_about_memory(call)) {
                        struct point *point = &ret->items[ret->n];

                        ck_assert_uint_lt(ret->n++, POINTS_MAX);
                        *point = (struct point) {
                                .when = counts[i].n,
                                .promises = promises,
                                .can_fail = contains(failing_calls, ELEMENTSOF(failing_calls), call),
                                .only_reads = strstr(call, "open") && !strstr(line, "O_CREAT"),
                        };
                        strcpy(point->call, call);
                }
                if (strstr(line, "\"/marker-key\""))
                        promises |= PROMISE_KEY;
                if (strstr(line, "\"/marker-certificate\""))
                        promises |= PROMISE_CERTIFICATE;
                if (has_prefix(call, "rename") && strstr(line, "\"" STORE_CURRENT "\""))
                        promises |= PROMISE_SWAP;
        }
        ck_assert_msg(done, "the trace has no end marker");
}
