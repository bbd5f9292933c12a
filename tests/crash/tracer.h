#pragma once

/* Runs a program under ptrace(2), all its threads, and kills it or fails a call of it at a chosen point. */

#include "lib/util/macro.h"

/* Points are counted through all threads in the order in which the calls come. */
enum trace_kind {
        TRACE_ANY,      /* every system call */
        TRACE_CHANGING, /* what may change the world outside of the process: files, sockets, processes */
        TRACE_FAILABLE, /* what may fail for files below the root: open, write, fsync, rename, link, ... */
        TRACE_KIND_MAX,
};

/* One call, before it is executed. Valid inside `seen` only. */
struct trace_call {
        bool is[TRACE_KIND_MAX];
        bool only_reads; /* opens a file without making it */
};

/* Where a run is killed or, with a failure, goes on. */
struct trace_point {
        enum trace_kind kind;
        unsigned at;
        const char *failure; /* NULL: a kill */
        int error;
};

/* The failures that CALL may meet, if it is the AT-th that may: written to RET. Returns how many. */
#define TRACE_FAILURES_MAX 4
size_t trace_failures(const struct trace_call *call, unsigned at, struct trace_point ret[TRACE_FAILURES_MAX]);

struct trace_plan {
        const char *root; /* nothing is counted before the first call that names something below it */
        enum trace_kind kind;
        unsigned at; /* the AT-th call of KIND is the point, from 1; 0: none */
        int error; /* the call fails with this errno and is not executed; 0: SIGKILL, before it is executed */
        void (*seen)(const struct trace_call *call, void *userdata); /* each call that counts; may be NULL */
        void *userdata;
};

struct trace {
        unsigned counts[TRACE_KIND_MAX];
        bool was_reached;
        char *point;  /* the call there, with its paths; NULL where it was not reached */
        char *output; /* standard output and error */
        int status;   /* exit status, or 128 + the signal; 255 when patience ended */
};
void trace_clear(struct trace *trace);

/*
 * Runs ARGV to its end. Children that it makes, as opposed to threads, are left alone; orphans come to the
 * caller, who must have no other children, and are waited for. 0; -ENOTSUP on other machines than x86-64, or
 * -errno where tracing is not allowed. Uses SIGALRM.
 */
int trace_run(const char *const *argv, const struct trace_plan *plan, struct trace *ret);
