#pragma once

/* All that one rekeyd keeps on disk for one certificate, with its own devconnector: put back to where a
 * scenario starts, run, and compared with the invariants. */

#include "lib/store/store.h"
#include "tests/crash/tracer.h"
#include "tests/support/fixture.h"

struct scenario {
        const char *name;
        unsigned generation; /* current at its end; 1: there is a token, and nothing before */
        int status;          /* of a run that nobody disturbs */
        bool is_ahead;       /* the run stages a key, and the renewal is that of the next one */
};

/* The third is a renewal that was cut off right after the swap: what is left is to tell everybody. */
extern const struct scenario crash_harness_enrolment, crash_harness_renewal, crash_harness_recovery,
        crash_harness_key_ahead;

struct crash_harness {
        struct fixture *fixture;
        char *path;            /* what rekeyd writes is below it, and nothing else is */
        bool is_silent;        /* violations are wanted: they are counted only */
        unsigned n_violations; /* so far */
        char where[640];       /* for the text of violations: what was done to rekeyd */

        /* The run under way. */
        const struct scenario *scenario;
        struct set old;                       /* what was current before; empty for none */
        usec_t begin;                         /* CLOCK_BOOTTIME */
        size_t n_seen;                        /* of what devconnector had said then, in bytes */
        struct aftermath {                    /* what the first run left behind */
                bool has_key, has_grant;      /* in the stage */
                bool has_reply;               /* in the stage, or as a generation */
                uint8_t spki[SPKI_HASH_SIZE]; /* of the staged key */
                bool has_damaged;             /* a journal that it could not read and set aside */
                char *certificate;            /* the new one, where it was current already */
                unsigned n_configurations, n_signatures;
        } aftermath;
};

/* Starts devconnector and makes what the scenarios start from. Aborts the test when that fails. */
struct crash_harness *crash_harness_new(void);
struct crash_harness *crash_harness_free(struct crash_harness *harness);
DEFINE_CLEANUP(struct crash_harness *, crash_harness_free);

/* Copies the directory FROM beside `world` to TO, in place of what is there. */
void crash_harness_copy(const struct crash_harness *harness, const char *from, const char *to);

/* Puts everything back to where SCENARIO starts. */
void crash_harness_reset(struct crash_harness *harness, const struct scenario *scenario);

/* Runs `rekeyd --once` under the tracer, at a world that was just reset; where a key is to be staged ahead,
 * `rekeyd` until it is. As trace_run(). */
int crash_harness_trace(struct crash_harness *harness, struct trace_plan *plan, struct trace *ret);

/* What must hold at any instant, after a run that gave TRACE. */
void crash_harness_check_instant(struct crash_harness *harness, const struct trace *trace, bool is_killed);

/* Starts rekeyd again, and checks what must hold when it has done its work. */
void crash_harness_check_end(struct crash_harness *harness);

/* The last part of that: checks the files as they are. */
void crash_harness_check_files(struct crash_harness *harness);

/* Where the last line of TEXT begins. */
const char *crash_harness_last_line(const char *text);
