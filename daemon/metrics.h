#pragma once

/* Numbers for those who watch: what rekeyd counts, and the Prometheus text of it. */

#include "lib/report.h"

struct histogram {
        uint64_t counts[16]; /* by bucket, not cumulated; the last one in use is +Inf */
        uint64_t n;
        usec_t sum_usec;
};

/* Plain numbers, all since the start; {0} is the beginning. Used from the loop's thread only. */
struct metrics {
        usec_t started_usec;            /* CLOCK_REALTIME */
        uint64_t enrolments, renewals;  /* that succeeded */
        uint64_t attempts;              /* that began */
        uint64_t failures[FAILURE_MAX]; /* of attempts, by class */
        uint64_t signatures;            /* that were asked for */
        uint64_t notifications, notification_failures;
        uint64_t revocations, revocation_failures;
        uint64_t reloads, reload_failures;
        usec_t last_reload_usec; /* CLOCK_REALTIME, of the last good one; 0: none yet */
        struct histogram steps[STEP_MAX];
        struct histogram turns; /* of the loop: how long each took */
        usec_t longest_turn_usec;
        usec_t key_cpu_usec; /* processor time that went into making keys */
};

void metrics_count_step(struct metrics *metrics, enum renewal_step step, usec_t took_usec);
void metrics_count_turn(struct metrics *metrics, usec_t took_usec);

/*
 * Writes the text in pieces, so that ten thousand certificates neither hold up the loop nor fill its memory.
 * STATUS gives the I-th of N certificates. SERIAL tells whether the array is still the same: when it changes
 * in the middle, metrics_read() returns -ESTALE, since a page with holes would be believed.
 */
struct metrics_source {
        size_t n;
        void (*status)(void *userdata, size_t i, struct report_status *ret);
        uint64_t (*serial)(void *userdata);
        void *userdata;
        unsigned connections; /* of the control API at present */
};

struct metrics_reader;

/* METRICS is borrowed until the reader is freed. 0 or -ENOMEM. */
int metrics_reader_new(const struct metrics *metrics, const struct metrics_source *source,
                       struct metrics_reader **ret);
struct metrics_reader *metrics_reader_free(struct metrics_reader *reader);
DEFINE_CLEANUP(struct metrics_reader *, metrics_reader_free);

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Up to MAX (512 at least) bytes into BUFFER, whole lines. How many; 0 at the end; -ESTALE, -ENOMEM. */
ssize_t metrics_read(struct metrics_reader *reader, char *buffer, size_t max);
