/*
 * The price of one renewal: its processor time, beside that of openssl and curl for the same work, and how
 * often it waits for the disk.
 */

#include <check.h>

#include "bench/bench.h"
#include "bench/rows.h"
#include "bench/tutorial.h"
#include "daemon/observe/messages.h"
#include "tests/support/probe.h"

/* Renewals whose cost is averaged, and times that the tutorial is gone through. */
#define N_RENEWALS  60u
#define N_TUTORIALS 10u
#define N_TRACED    10u

#define CLIENT "/O=Org/OU=OrgUnit/L=locality/ST=province/C=DE/CN=client-%s-00000"

/* A fleet of its own for run RUN. Its name is borrowed until the next call. */
static struct fleet_options make(const struct bench *bench, const char *name, unsigned run, unsigned n,
                                 bool with_staged_key) {
        static char buffer[32];
        struct fleet_options fleet;

        snprintf(buffer, sizeof(buffer), "%s%u", name, run);
        fleet = fleet_of(bench->fixture, buffer, n, BENCH_LEFT_USEC);
        fleet.with_staged_key = with_staged_key;
        fleet_make(&fleet);
        return fleet;
}

static double renewal_cpu_msec(struct bench *bench, unsigned run) {
        /* Keys are staged, so none is made. */
        const struct fleet_options fleet = make(bench, "renewal", run, N_RENEWALS, true);
        uint64_t before, after;

        /* The same start without and with what is due: the difference is the renewals'. */
        bench_start(bench, &fleet, BENCH_NOT_DUE);
        bench_await(bench, MESSAGE_READY, 1);
        bench_pause(1);
        before = probe_cpu_nsec(process_pid(bench->fixture->rekeyd));
        ck_assert_int_eq(fixture_stop(bench->fixture), 0);

        bench_start(bench, &fleet, BENCH_DUE);
        bench_await(bench, MESSAGE_RENEWED, N_RENEWALS);
        bench_pause(1);
        after = probe_cpu_nsec(process_pid(bench->fixture->rekeyd));
        ck_assert_int_eq(fixture_stop(bench->fixture), 0);
        return (double)(after - before) / 1e6 / N_RENEWALS;
}

static double tutorial_cpu_msec(struct bench *bench, unsigned run) {
        const struct fleet_options fleet = make(bench, "hand", run, 1, true);
        _cleanup_(freep) char *key = fleet_path(&fleet, 0, "tls.key"),
                              *certificate = fleet_path(&fleet, 0, "tls.crt"),
                              *next_key = fleet_path(&fleet, 0, "..stage-000002/tls.key"), *subject = NULL;
        uint64_t nsec = 0;

        ck_assert_int_ge(asprintf(&subject, CLIENT, fleet.name), 0);
        for (unsigned i = 0; i < N_TUTORIALS; i++)
                nsec += tutorial_renew(&(struct tutorial) {
                        .directory = bench->fixture->directory,
                        .url = bench->fixture->certificate_url,
                        .trust = bench->fixture->trust,
                        .key = key,
                        .certificate = certificate,
                        .next_key = next_key,
                        .subject = subject,
                });
        return (double)nsec / 1e6 / N_TUTORIALS;
}

void measure_renewal(struct bench *bench, unsigned run) {
        const double ours = renewal_cpu_msec(bench, run), by_hand = tutorial_cpu_msec(bench, run);

        rows_note(ROW_RENEWAL, ours);
        rows_note(ROW_TUTORIAL, by_hand);
        rows_note(ROW_SHARE, ours / by_hand);
}

/* --- The disk --- */

/* How many calls rekeyd has made that wait for the disk. It has ended; strace, which nobody can wait for,
 * ends after it. */
static unsigned count_calls(const struct bench *bench) {
        const usec_t deadline = now_usec(CLOCK_MONOTONIC) + patience_usec();
        unsigned n = 0;

        for (;;) {
                _cleanup_(freep) char *text = scratch_read(bench->fixture->directory, "calls");

                if (text && strstr(text, "exit_group(")) {
                        for (const char *line = text; (line = strchr(line, '\n')); line++)
                                n++;
                        return n - 1;
                }
                ck_assert_msg(now_usec(CLOCK_MONOTONIC) < deadline, "strace never ends");
                usleep(10 * USEC_PER_MSEC);
        }
}

/* The same of a run of rekeyd on FLEET, up to a line of each with MESSAGE_ID. NULL, or why nothing was
 * counted. */
static const char *count_fsyncs(struct bench *bench, const struct fleet_options *fleet,
                                const char *renew_before, const char *message_id, unsigned *ret) {
        _cleanup_(freep) char *path = scratch_path(bench->fixture->directory, "calls");
        const char *why;

        bench_configure(bench, fleet, renew_before);
        why = fixture_start_traced(bench->fixture, "fsync,fdatasync,syncfs,sync,sync_file_range,exit_group",
                                   path);
        if (why)
                return why;
        bench_await(bench, message_id, fleet->n);
        ck_assert_int_eq(fixture_stop(bench->fixture), 0);
        *ret = count_calls(bench);
        return NULL;
}

void measure_fsyncs(struct bench *bench, unsigned run) {
        const struct fleet_options fleet = make(bench, "traced", run, N_TRACED, false);
        unsigned before, after;
        const char *why = count_fsyncs(bench, &fleet, BENCH_NOT_DUE, MESSAGE_CURRENT, &before);

        why = why ? why : count_fsyncs(bench, &fleet, BENCH_DUE, MESSAGE_RENEWED, &after);
        if (why)
                rows_omit(ROW_FSYNCS, why);
        else
                rows_note(ROW_FSYNCS, ((double)after - before) / N_TRACED);
}
