/*
 * The budgets of the design, measured in several runs and printed as a table: memory, start, idleness and the
 * price of a renewal. What N renewals at once cost is measured by the tests of the suite `scale`, which fail
 * when it is too much. Here the median is judged, and with --check a missed budget fails.
 *
 * Everything is measured from outside, at the real program.
 */

#include <check.h>
#include <getopt.h>
#include <signal.h>

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

/* One reload of these changes an option of every certificate. */
#define RELOADS_OF_WHICH_ONE_CHANGES 10u

#define RUNS_MAX 25u

/* After which rekeyd has given back the memory that a reload leaves behind. */
#define SPARE_SEC 7u

static unsigned n_certificates = 10000, idle_sec = 20, n_reloads = 100, n_runs = 1;
static bool is_check;

/* --- The table --- */

enum row {
        ROW_PRIVATE,
        ROW_RESIDENT,
        ROW_EACH,
        ROW_EACH_RELOADED,
        ROW_START,
        ROW_START_CPU,
        ROW_WAKEUPS,
        ROW_RENEWAL,
        ROW_TUTORIAL,
        ROW_SHARE,
        ROW_MAX,
};

static const struct {
        const char *what, *unit;
        double budget; /* of the median; below 0: there is none */
} rows[] = {
        [ROW_PRIVATE] = { "memory with one certificate, private", "KiB", 4096 },
        [ROW_RESIDENT] = { "memory with one certificate, resident", "KiB", 14336 },
        [ROW_EACH] = { "memory for each further certificate", "KiB", 2 },
        [ROW_EACH_RELOADED] = { "the same after the reloads", "KiB", 2 },
        [ROW_START] = { "start to READY", "s", 1 },
        [ROW_START_CPU] = { "CPU time of that start", "s", -1 },
        [ROW_WAKEUPS] = { "wake-ups when idle", "", 0 },
        [ROW_RENEWAL] = { "CPU time of a renewal without its key", "ms", -1 },
        [ROW_TUTORIAL] = { "the same by hand, as in the tutorial", "ms", -1 },
        [ROW_SHARE] = { "the first as a part of the second", "", 0.2 },
};
static_assert(ELEMENTSOF(rows) == ROW_MAX, "every row is described");

static double measured[ROW_MAX][RUNS_MAX]; /* sorted, smallest first */
static unsigned n_measured[ROW_MAX];

static void note(enum row row, double value) {
        unsigned i = n_measured[row]++;

        for (; i > 0 && measured[row][i - 1] > value; i--)
                measured[row][i] = measured[row][i - 1];
        measured[row][i] = value;
        test_report("%s: %.2f %s", rows[row].what, value, rows[row].unit);
}

/* Of an even number, the upper one of the two in the middle. */
static double median(enum row row) {
        return measured[row][n_measured[row] / 2];
}

static bool is_within(enum row row) {
        return rows[row].budget < 0 || median(row) <= rows[row].budget;
}

/* Returns how many budgets are missed. */
static unsigned print_table(void) {
        unsigned n_missed = 0;

        printf("%u certificates, %u reloads, %u s idle; %u run%s\n\n"
               "| what | minimum | median | maximum | unit | budget | within |\n"
               "|---|---|---|---|---|---|---|\n",
               n_certificates, n_reloads, idle_sec, n_runs, n_runs == 1 ? "" : "s");
        for (enum row row = 0; row < ROW_MAX; row++) {
                char budget[24] = "-";

                if (rows[row].budget >= 0)
                        snprintf(budget, sizeof(budget), "%g", rows[row].budget);
                printf("| %s | %.2f | %.2f | %.2f | %s | %s | %s |\n", rows[row].what, measured[row][0],
                       median(row), measured[row][n_measured[row] - 1], rows[row].unit, budget,
                       is_within(row) ? "yes" : "NO");
                n_missed += is_within(row) ? 0 : 1;
        }
        fflush(stdout);
        return n_missed;
}

/* --- A fleet and a rekeyd that looks after it --- */

/* In the middle of their life: `renew_before` says whether they are due. */
#define LEFT_USEC (45 * USEC_PER_DAY)

#define NOT_DUE "33%"
#define DUE     "80%"

static void configure(const struct fixture *fixture, const struct fleet_options *fleet,
                      const char *renew_before) {
        char *yaml = NULL;
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
}

/* Starts rekeyd on FLEET. Returns when, on CLOCK_MONOTONIC. */
static usec_t start(struct fixture *fixture, const struct fleet_options *fleet, const char *renew_before) {
        usec_t begin;

        configure(fixture, fleet, renew_before);
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

/* Returns its private memory, in KiB. */
static unsigned measure_one(struct fixture *fixture) {
        const struct fleet_options one = fleet_of(fixture, "one", 1, LEFT_USEC);
        unsigned private_kib;
        pid_t pid;

        fleet_make(&one);
        start(fixture, &one, NOT_DUE);
        await(fixture, MESSAGE_READY, 1);
        pid = process_pid(fixture->rekeyd);
        pause_sec(1);
        private_kib = probe_kib(pid, "RssAnon");
        note(ROW_PRIVATE, private_kib);
        note(ROW_RESIDENT, probe_kib(pid, "VmRSS"));
        ck_assert_int_eq(fixture_stop(fixture), 0);
        return private_kib;
}

static double each_kib(pid_t pid, unsigned one_kib) {
        return ((double)probe_kib(pid, "RssAnon") - one_kib) / (n_certificates - 1);
}

static void reload(struct fixture *fixture, const struct fleet_options *fleet) {
        static const char *const renew_before[] = { NOT_DUE, "34%" };

        for (unsigned i = 1; i <= n_reloads; i++) {
                const bool changes = i % RELOADS_OF_WHICH_ONE_CHANGES == 0;

                if (changes)
                        configure(fixture, fleet, renew_before[i / RELOADS_OF_WHICH_ONE_CHANGES % 2]);
                fixture_reload(fixture);
                if (changes) /* all sets are inspected, and their lines are read */
                        await(fixture, MESSAGE_CURRENT, n_certificates);
        }
}

static void measure_many(struct fixture *fixture, unsigned one_kib) {
        const struct fleet_options many = fleet_of(fixture, "many", n_certificates, LEFT_USEC);
        uint64_t wakeups;
        usec_t begin_usec;
        pid_t pid;

        fleet_make(&many);
        begin_usec = start(fixture, &many, NOT_DUE);
        await(fixture, MESSAGE_READY, 1);
        note(ROW_START, (double)(now_usec(CLOCK_MONOTONIC) - begin_usec) / USEC_PER_SEC);
        pid = process_pid(fixture->rekeyd);
        pause_sec(1);
        note(ROW_EACH, each_kib(pid, one_kib));
        note(ROW_START_CPU, (double)probe_cpu_nsec(pid) / 1e9);

        wakeups = probe_wakeups(pid);
        pause_sec(idle_sec);
        note(ROW_WAKEUPS, (double)(probe_wakeups(pid) - wakeups));

        reload(fixture, &many);
        pause_sec(SPARE_SEC);
        note(ROW_EACH_RELOADED, each_kib(pid, one_kib));
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

START_TEST(budgets) {
        unsigned n_missed;

        for (unsigned i = 0; i < n_runs; i++) {
                _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
                double ours, by_hand;

                measure_many(fixture, measure_one(fixture));
                ours = renewal_cpu_msec(fixture);
                by_hand = tutorial_cpu_msec(fixture);
                note(ROW_RENEWAL, ours);
                note(ROW_TUTORIAL, by_hand);
                note(ROW_SHARE, ours / by_hand);
        }
        n_missed = print_table();
        ck_assert_msg(!is_check || n_missed == 0, "%u of the budgets missed", n_missed);
}
END_TEST

static unsigned parse_number(const char *text, unsigned min, unsigned max) {
        uint64_t n;

        if (parse_unsigned(text, min, max, &n) < 0) {
                fprintf(stderr, "'%s' is not a number from %u to %u\n", text, min, max);
                exit(EXIT_FAILURE);
        }
        return (unsigned)n;
}

int main(int argc, char *argv[]) {
        static const struct option options[] = {
                { "certificates", required_argument, NULL, 'n' },
                { "idle", required_argument, NULL, 'i' },
                { "reloads", required_argument, NULL, 'l' },
                { "runs", required_argument, NULL, 'r' },
                { "check", no_argument, NULL, 'c' },
                { 0 },
        };
        Suite *suite = suite_create("budgets");

        for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;)
                switch (c) {
                case 'n':
                        n_certificates = parse_number(optarg, 2, 1000000);
                        break;
                case 'i':
                        idle_sec = parse_number(optarg, 1, 1000000);
                        break;
                case 'l':
                        n_reloads = parse_number(optarg, 0, 1000000);
                        break;
                case 'r':
                        n_runs = parse_number(optarg, 1, RUNS_MAX);
                        break;
                case 'c':
                        is_check = true;
                        break;
                default:
                        fputs("Usage: bench-budgets [--certificates N] [--idle SECONDS] [--reloads N] "
                              "[--runs N] [--check]\n",
                              stderr);
                        return EXIT_FAILURE;
                }

        TEST_CASE(suite, budgets); /* the stand wants to be in a test */
        return test_run(suite);
}
