#pragma once

/* Numbers for those who watch: what rekeyd counts, and the Prometheus text of it. */

#include "lib/report/report.h"

#define HISTOGRAM_BUCKETS 16

struct histogram {
        uint64_t counts[HISTOGRAM_BUCKETS]; /* by bucket, not cumulated; the last one in use is +Inf */
        uint64_t n;
        usec_t sum_usec;
};

/* The buckets' upper bounds, which belong to them, ascending; one more bucket follows for what is beyond. */
struct histogram_bounds {
        size_t n;
        usec_t usec[HISTOGRAM_BUCKETS - 1];
};
extern const struct histogram_bounds metrics_step_bounds, metrics_turn_bounds;

/* Plain numbers, all since the start; {0} is the beginning. Used from the loop's thread only. */
struct metrics {
        usec_t started_usec;                           /* CLOCK_REALTIME */
        uint64_t enrolments, renewals;                 /* that succeeded */
        uint64_t attempts;                             /* that began */
        uint64_t failures[FAILURE_MAX];                /* of attempts, by class */
        uint64_t signatures;                           /* that were requested */
        uint64_t notifications, notification_failures; /* that were delivered; that failed */
        uint64_t revocations, revocation_failures;     /* those that succeeded; those that did not */
        uint64_t probes[PROBE_MAX];                    /* by what they said */
        uint64_t reloads, reload_failures;             /* the same */
        usec_t last_reload_usec;                       /* CLOCK_REALTIME, of the last good one; 0: none yet */
        bool reload_has_failed;                        /* the last one */
        struct histogram steps[STEP_MAX];
        struct histogram turns; /* of the loop: how long each took */
        usec_t longest_turn_usec;
        usec_t key_cpu_usec; /* processor time that went into making keys */
};

void metrics_count_step(struct metrics *metrics, enum renewal_step step, usec_t took_usec);
void metrics_count_turn(struct metrics *metrics, usec_t took_usec);
void metrics_count_reload(struct metrics *metrics, bool is_good, usec_t now); /* CLOCK_REALTIME */

/*
 * Writes the text in pieces, so that ten thousand certificates neither hold up the loop nor fill its memory.
 * STATUS gives the I-th of N certificates. SERIAL shows whether the array is still the same: when it changes
 * in the middle, metrics_read() returns -ESTALE, since a page with holes would be believed.
 */
struct metrics_source {
        size_t n;
        void (*status)(void *userdata, size_t i, struct report_status *ret);
        uint64_t (*serial)(void *userdata);
        void *userdata;
        bool is_ready;        /* every certificate has been inspected */
        unsigned connections; /* of the control API at present */

        /* For a file that is read long after it was written, and by a program that has metrics of its own
         * process: without process_..., and without what changes while nothing happens. */
        bool for_file;
};

struct metrics_reader;

/* METRICS is borrowed until the reader is freed. 0 or -ENOMEM. */
int metrics_reader_new(const struct metrics *metrics, const struct metrics_source *source,
                       struct metrics_reader **ret);
struct metrics_reader *metrics_reader_free(struct metrics_reader *reader);
DEFINE_CLEANUP(struct metrics_reader *, metrics_reader_free);

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Enough for any one line, as long as names are what the configuration allows. */
#define METRICS_READ_MIN 1024u

/* Up to MAX (METRICS_READ_MIN at least) bytes into BUFFER, whole lines. How many; 0 at the end; -ESTALE,
 * -ENOBUFS for a line that is longer than MAX. */
ssize_t metrics_read(struct metrics_reader *reader, char *buffer, size_t max);
