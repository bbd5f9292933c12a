/*
 * The budgets of the design, measured in several runs and printed as a table: memory, start, idleness and the
 * price of a renewal. With --check, a median past its budget is a failure. What N renewals at once cost is
 * measured by the tests of the suite `scale`, which fail when it is too much.
 *
 * Everything is measured from outside, at the real program.
 */

#include <check.h>
#include <getopt.h>
#include <signal.h>

#include "bench/table.h"
#include "bench/tutorial.h"
#include "daemon/observe/messages.h"
#include "lib/util/parse.h"
#include "lib/util/text-stream.h"
#include "tests/support/fixture.h"
#include "tests/support/fleet.h"
#include "tests/support/probe.h"
#include "tests/test.h"

/* Renewals whose cost is averaged, and times that the tutorial is gone through. */
#define N_RENEWALS  60u
#define N_TUTORIALS 10u

#define NUMBER_MAX 1000000u

#define CLIENT "/O=Org/OU=OrgUnit/L=locality/ST=province/C=DE/CN=client-hand-00000"

static unsigned n_certificates = 10000, idle_sec = 20, n_runs = 1;
static bool is_check;

/* --- A fleet and a rekeyd that looks after it --- */

/* In the middle of their life: `renew_before` says whether they are due. */
#define LEFT_USEC (45 * USEC_PER_DAY)

#define NOT_DUE "33%"
#define DUE     "80%"

/* Starts rekeyd on FLEET. Returns when, on CLOCK_MONOTONIC. */
static usec_t start(struct fixture *fixture, const struct fleet_options *fleet, const char *renew_before) {
        char *yaml = NULL;
        usec_t begin;
        size_t size;
        FILE *out = text_stream_open(&yaml, &size);

        ck_assert_ptr_nonnull(out);
        fprintf(out,
                "state_directory: %s/state\n"
                "log: {format: json}\n"
                "connectors:\n"
                "  dev: {url: '%s', trust: %s}\n"
                "defaults: {key: {bits: 2048}, jitter: 0%%, renew_before: %s}\n"
                "certificates:\n",
                fixture->directory, fixture->certificate_url, fixture->trust, renew_before);
        fleet_configure(fleet, out, "dev", "");
        fclose(out);
        scratch_write(fixture->directory, "rekeyd.yaml", yaml, 0600);
        free(yaml);

        begin = now_usec(CLOCK_MONOTONIC);
        fixture_start(fixture, NULL);
        return begin;
}

static void await(struct fixture *fixture, const char *message_id, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                char *line = process_await(fixture->rekeyd, PROCESS_STDERR, message_id);

                ck_assert_msg(line != NULL, "%u of %u lines %s", i, n, message_id);
                free(line);
        }
}

static void pause_sec(unsigned seconds) {
        struct timespec span = { .tv_sec = (time_t)seconds };

        while (nanosleep(&span, &span) < 0)
                ;
}

/* --- What is measured --- */

static void measure_size(struct fixture *fixture) {
        unsigned n = n_certificates;
        const struct fleet_options one = fleet_of(fixture, "one", 1, LEFT_USEC),
                                   many = fleet_of(fixture, "many", n, LEFT_USEC);
        unsigned anon_kib, resident_kib, many_kib;
        uint64_t wakeups;
        usec_t begin_usec, start_usec;
        double each_kib;
        char what[80];
        pid_t pid;

        fleet_make(&one);
        start(fixture, &one, NOT_DUE);
        await(fixture, MESSAGE_READY, 1);
        pid = process_pid(fixture->rekeyd);
        pause_sec(1);
        anon_kib = probe_kib(pid, "RssAnon");
        resident_kib = probe_kib(pid, "VmRSS");
        table_add(&(struct row) { "memory with one certificate, private (RssAnon)", "KiB", 4096, 0 },
                  anon_kib);
        table_add(&(struct row) { "memory with one certificate, resident (VmRSS)", "KiB", 14336, 0 },
                  resident_kib);
        ck_assert_int_eq(fixture_stop(fixture), 0);

        fleet_make(&many);
        begin_usec = start(fixture, &many, NOT_DUE);
        await(fixture, MESSAGE_READY, 1);
        start_usec = now_usec(CLOCK_MONOTONIC) - begin_usec;
        pid = process_pid(fixture->rekeyd);
        pause_sec(1);
        many_kib = probe_kib(pid, "RssAnon");
        each_kib = n > 1 ? ((double)many_kib - anon_kib) / (n - 1) : 0;
        snprintf(what, sizeof(what), "memory for each further certificate (of %u, RssAnon)", n);
        table_add(&(struct row) { what, "KiB", 2, 2 }, each_kib);
        snprintf(what, sizeof(what), "start to READY with %u certificates", n);
        table_add(&(struct row) { what, "s", 1, 2 }, (double)start_usec / USEC_PER_SEC);
        table_add(&(struct row) { "CPU time of that start", "s", ROW_NO_BUDGET, 2 },
                  (double)probe_cpu_nsec(pid) / 1e9);

        wakeups = probe_wakeups(pid);
        pause_sec(idle_sec);
        wakeups = probe_wakeups(pid) - wakeups;
        snprintf(what, sizeof(what), "wake-ups when idle, in %u s", idle_sec);
        table_add(&(struct row) { what, "", 0, 0 }, (double)wakeups);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}

static double renewal_cpu_msec(struct fixture *fixture) {
        struct fleet_options fleet = fleet_of(fixture, "storm", N_RENEWALS, LEFT_USEC);
        uint64_t before, after;

        /* The same start without and with what is due: the difference is the renewals'. Keys are staged, so
         * none is made. */
        fleet.with_staged_key = true;
        fleet_make(&fleet);
        start(fixture, &fleet, NOT_DUE);
        await(fixture, MESSAGE_READY, 1);
        before = probe_cpu_nsec(process_pid(fixture->rekeyd));
        ck_assert_int_eq(fixture_stop(fixture), 0);

        start(fixture, &fleet, DUE);
        await(fixture, MESSAGE_RENEWED, N_RENEWALS);
        pause_sec(1);
        after = probe_cpu_nsec(process_pid(fixture->rekeyd));
        ck_assert_int_eq(fixture_stop(fixture), 0);
        return (double)(after - before) / 1e6 / N_RENEWALS;
}

static double tutorial_cpu_msec(struct fixture *fixture) {
        struct fleet_options fleet = fleet_of(fixture, "hand", 1, LEFT_USEC);
        _cleanup_(freep) char *key = scratch_path(fixture->directory, "hand/hand-00000/tls.key"),
                              *certificate = scratch_path(fixture->directory, "hand/hand-00000/tls.crt"),
                              *next_key = scratch_path(fixture->directory,
                                                       "hand/hand-00000/..stage-000002/tls.key");
        uint64_t nsec = 0;

        fleet.with_staged_key = true;
        fleet_make(&fleet);
        for (unsigned i = 0; i < N_TUTORIALS; i++)
                nsec += tutorial_renew(&(struct tutorial) {
                        .directory = fixture->directory,
                        .url = fixture->certificate_url,
                        .trust = fixture->trust,
                        .key = key,
                        .certificate = certificate,
                        .next_key = next_key,
                        .subject = CLIENT,
                });
        return (double)nsec / 1e6 / N_TUTORIALS;
}

static void measure_renewal(struct fixture *fixture) {
        double ours = renewal_cpu_msec(fixture), by_hand = tutorial_cpu_msec(fixture);

        table_add(&(struct row) { "CPU time of one renewal without its key generation", "ms", ROW_NO_BUDGET,
                                  2 },
                  ours);
        table_add(&(struct row) { "the same by hand, openssl and curl of the tutorial", "ms", ROW_NO_BUDGET,
                                  2 },
                  by_hand);
        table_add(&(struct row) { "the first as a part of the second", "", 0.2, 3 }, ours / by_hand);
}

START_TEST(budgets) {
        unsigned n_missed;

        for (unsigned i = 0; i < n_runs; i++) {
                _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);

                measure_size(fixture);
                measure_renewal(fixture);
                test_report("run %u of %u is done", i + 1, n_runs);
        }
        n_missed = table_print();
        ck_assert_msg(!is_check || n_missed == 0, "%u budgets are missed", n_missed);
}
END_TEST

static unsigned parse_number(const char *text, unsigned max) {
        uint64_t n;

        if (parse_unsigned(text, 1, max, &n) < 0) {
                fprintf(stderr, "'%s' is not a number from 1 to %u\n", text, max);
                exit(EXIT_FAILURE);
        }
        return (unsigned)n;
}

int main(int argc, char *argv[]) {
        static const struct option options[] = {
                { "certificates", required_argument, NULL, 'n' },
                { "idle", required_argument, NULL, 'i' },
                { "runs", required_argument, NULL, 'r' },
                { "check", no_argument, NULL, 'c' },
                { 0 },
        };
        Suite *suite = suite_create("budgets");

        for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;)
                switch (c) {
                case 'n':
                        n_certificates = parse_number(optarg, NUMBER_MAX);
                        break;
                case 'i':
                        idle_sec = parse_number(optarg, NUMBER_MAX);
                        break;
                case 'r':
                        n_runs = parse_number(optarg, TABLE_RUNS_MAX);
                        break;
                case 'c':
                        is_check = true;
                        break;
                default:
                        fputs("Usage: bench-budgets [--certificates N] [--idle SECONDS] [--runs N] "
                              "[--check]\n",
                              stderr);
                        return EXIT_FAILURE;
                }

        TEST_CASE(suite, budgets); /* the stand wants to be in a test */
        return test_run(suite);
}
