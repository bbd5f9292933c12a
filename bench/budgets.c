/*
 * The budgets of the design, measured in one run and printed as a table: memory, start, idleness and the
 * price of a renewal. What N renewals at once cost is measured by the tests of the suite `scale`, which fail
 * when it is too much; here nothing fails, the reader judges.
 *
 * Everything is measured from outside, at the real program.
 */

#include <check.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>

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

#define CLIENT "/O=Org/OU=OrgUnit/L=locality/ST=province/C=DE/CN=client-hand-00000"

static unsigned n_certificates = 10000, idle_sec = 20;

/* --- The table --- */

static void print_row(const char *what, const char *budget, bool within, const char *format, ...)
        _printf_(4, 5);

static void print_row(const char *what, const char *budget, bool within, const char *format, ...) {
        char measured[64];
        va_list args;

        va_start(args, format);
        vsnprintf(measured, sizeof(measured), format, args);
        va_end(args);
        printf("%-58s | %-18s | %-10s | %s\n", what, measured, budget, within ? "yes" : "NO");
        fflush(stdout);
}

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
        print_row("memory with one certificate, private (RssAnon)", "4096 KiB", anon_kib <= 4096, "%u KiB",
                  anon_kib);
        print_row("memory with one certificate, resident (VmRSS)", "14336 KiB", resident_kib <= 14336,
                  "%u KiB", resident_kib);
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
        print_row(what, "2 KiB", each_kib <= 2, "%.2f KiB", each_kib);
        snprintf(what, sizeof(what), "start to READY with %u certificates", n);
        print_row(what, "1 s", start_usec <= USEC_PER_SEC, "%.2f s", (double)start_usec / USEC_PER_SEC);
        snprintf(what, sizeof(what), "CPU time of that start");
        print_row(what, "-", true, "%.2f s", (double)probe_cpu_nsec(pid) / 1e9);

        wakeups = probe_wakeups(pid);
        pause_sec(idle_sec);
        wakeups = probe_wakeups(pid) - wakeups;
        snprintf(what, sizeof(what), "wake-ups when idle, in %u s", idle_sec);
        print_row(what, "none", wakeups == 0, "%" PRIu64, wakeups);
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

        print_row("CPU time of one renewal without its key generation", "-", true, "%.2f ms", ours);
        print_row("the same by hand, openssl and curl of the tutorial", "-", true, "%.2f ms", by_hand);
        print_row("the first as a part of the second", "1/5", ours * 5 <= by_hand, "1/%.1f", by_hand / ours);
}

START_TEST(budgets) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);

        printf("%-58s | %-18s | %-10s | %s\n", "what", "measured", "budget", "within");
        measure_size(fixture);
        measure_renewal(fixture);
}
END_TEST

static unsigned parse_number(const char *text) {
        uint64_t n;

        if (parse_unsigned(text, 1, 1000000, &n) < 0) {
                fprintf(stderr, "'%s' is not a number from 1 to 1000000\n", text);
                exit(EXIT_FAILURE);
        }
        return (unsigned)n;
}

int main(int argc, char *argv[]) {
        static const struct option options[] = {
                { "certificates", required_argument, NULL, 'n' },
                { "idle", required_argument, NULL, 'i' },
                { 0 },
        };
        Suite *suite = suite_create("budgets");

        for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;)
                switch (c) {
                case 'n':
                        n_certificates = parse_number(optarg);
                        break;
                case 'i':
                        idle_sec = parse_number(optarg);
                        break;
                default:
                        fputs("Usage: bench-budgets [--certificates N] [--idle SECONDS]\n", stderr);
                        return EXIT_FAILURE;
                }

        TEST_CASE(suite, budgets); /* the stand wants to be in a test */
        return test_run(suite);
}
