#pragma once

/* What the files of bench-budgets share: a Connector, fleets that look alike in each run, and rekeyd. Each
 * function measures once and notes its rows. */

#include "tests/support/fixture.h"
#include "tests/support/fleet.h"

struct bench_sizes {
        unsigned many, most; /* certificates */
        unsigned idle_sec, n_reloads;
        unsigned storm, storm_with_keys;
        bool may_drop_page_cache; /* of the whole machine */
};

struct bench {
        const struct bench_sizes *sizes;
        struct fixture *fixture;
        struct fleet_options one, many, most; /* on disk, not due; made once */
};

void bench_begin(struct bench *bench, const struct bench_sizes *sizes);
void bench_end(struct bench *bench);

/* `renew_before`, with certificates in the middle of their life. */
#define BENCH_NOT_DUE   "33%"
#define BENCH_DUE       "80%"
#define BENCH_LEFT_USEC (45 * USEC_PER_DAY)

void bench_configure(const struct bench *bench, const struct fleet_options *fleet, const char *renew_before);

/* Starts rekeyd on FLEET. Returns when, on CLOCK_MONOTONIC. */
usec_t bench_start(struct bench *bench, const struct fleet_options *fleet, const char *renew_before);

/* Awaits N lines with MESSAGE_ID. */
void bench_await(struct bench *bench, const char *message_id, unsigned n);

/* Forgets what survives a restart, as before the first start. */
void bench_forget(struct bench *bench);

void bench_pause(unsigned seconds);

/* memory.c; the second starts `many` as well, and has all that a rekeyd in its place is asked. */
unsigned measure_one(struct bench *bench); /* returns its private memory, in KiB */
void measure_many(struct bench *bench, unsigned one_kib);

/* floors.c */
void measure_floors(const struct bench *bench);

/* start.c */
void measure_start_first(struct bench *bench);
void measure_start_cold(struct bench *bench);
void measure_most(struct bench *bench);

/* renewal.c; RUN is the number of this run, since its fleets are used up. */
void measure_renewal(struct bench *bench, unsigned run);
void measure_fsyncs(struct bench *bench, unsigned run);

/* storms.c */
void measure_storms(const struct bench_sizes *sizes);
