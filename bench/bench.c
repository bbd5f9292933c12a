/*
 * A Connector and fleets for all runs: thousands of leaves take longer to sign than rekeyd takes to read
 * them. What survives a restart is forgotten before each first start, so that every run is like the first
 * one.
 */

#include "bench/bench.h"

#include <check.h>
#include <stdio.h>

static struct fleet_options make(const struct fixture *fixture, const char *name, unsigned n) {
        const struct fleet_options fleet = fleet_of(fixture, name, n, BENCH_LEFT_USEC);

        fleet_make(&fleet);
        return fleet;
}

void bench_begin(struct bench *bench, const struct bench_sizes *sizes) {
        *bench = (struct bench) { .sizes = sizes, .fixture = fixture_new(NULL) };
        bench->one = make(bench->fixture, "one", 1);
        bench->many = make(bench->fixture, "many", sizes->many);
        if (sizes->most > 0)
                bench->most = make(bench->fixture, "most", sizes->most);
}

void bench_end(struct bench *bench) {
        fixture_free(bench->fixture);
}

void bench_configure(const struct bench *bench, const struct fleet_options *fleet, const char *renew_before) {
        char defaults[64];

        snprintf(defaults, sizeof(defaults), "key: {bits: 2048}, renew_before: %s", renew_before);
        fleet_run_by(fleet, bench->fixture, defaults, "");
}

usec_t bench_start(struct bench *bench, const struct fleet_options *fleet, const char *renew_before) {
        usec_t begin;

        bench_configure(bench, fleet, renew_before);
        begin = now_usec(CLOCK_MONOTONIC);
        fixture_start(bench->fixture, NULL);
        return begin;
}

void bench_await(struct bench *bench, const char *message_id, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                char *line = process_await(bench->fixture->rekeyd, PROCESS_STDERR, message_id);

                ck_assert_msg(line != NULL, "%u of %u lines %s", i, n, message_id);
                free(line);
        }
}

void bench_forget(struct bench *bench) {
        scratch_free(scratch_path(bench->fixture->directory, "state"));
}

void bench_pause(unsigned seconds) {
        struct timespec span = { .tv_sec = (time_t)seconds };

        while (nanosleep(&span, &span) < 0)
                ;
}
