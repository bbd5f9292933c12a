/*
 * rekeyd beside certmonger and beside a script for cron, on the same machine with the same certificates and
 * the same Connector, printed as a table. Nobody generates a key: rekeyd and the script find theirs, and
 * certmonger keeps the one that it has, as it does unless told otherwise.
 *
 * Each program has a time of its own; nothing is measured while another one runs. What a program takes for a
 * renewal is the difference of two runs, one with all certificates due and one with none.
 */

#include <check.h>
#include <getopt.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "bench/peers.h"
#include "lib/util/parse.h"
#include "tests/support/probe.h"
#include "tests/test.h"

#define POLL_USEC (5 * USEC_PER_MSEC)

/* How long all renewals may take together. */
#define PATIENCE_USEC (600 * USEC_PER_SEC)

static unsigned n_many = 1000, n_due = 50, n_traced = 10;

static const struct peer *const peers[] = { &peer_rekeyd, &peer_certmonger, &peer_script };

enum { N_PEERS = ELEMENTSOF(peers) };

/* --- The table --- */

enum row { ROW_PRIVATE, ROW_EACH, ROW_START, ROW_LIST, ROW_DUE, ROW_RENEWAL, ROW_FSYNCS, ROW_MAX };

/* %u is N. `why` is for a row in which rekeyd takes more than another one. */
static const struct {
        const char *what, *unit;
        const unsigned *n;
        const char *why;
} rows[] = {
        [ROW_PRIVATE] = { "private memory with one certificate", "KiB", NULL,
                          "rekeyd calls the Connector itself, so it has libcurl and OpenSSL in its own "
                          "memory" },
        [ROW_EACH] = { "private memory for each further one of %u", "KiB", &n_many, "" },
        [ROW_START] = { "start with %u, until a list of all is answered", "s", &n_many,
                        "rekeyd reads and verifies every set again before it is ready" },
        [ROW_LIST] = { "list of %u", "s", &n_many, "" },
        [ROW_DUE] = { "%u due at once, until all files are new", "s", &n_due,
                      "rekeyd also fetches the configuration, calls the Connector with each new pair, and "
                      "waits for "
                      "the disk" },
        [ROW_RENEWAL] = { "CPU time of a renewal, all processes", "ms", NULL,
                          "rekeyd also verifies each new pair by a call" },
        [ROW_FSYNCS] = { "fsyncs of a renewal", "", NULL,
                         "after a loss of power, files that were not synced may be empty" },
};
static_assert(ELEMENTSOF(rows) == ROW_MAX, "every row is described");

#define NOTHING (-1.0)

static double measured[ROW_MAX][N_PEERS];

static char *name_of(enum row row) {
        const char *mark = strstr(rows[row].what, "%u");
        char *name;

        if (mark)
                ck_assert_int_gt(asprintf(&name, "%.*s%u%s", (int)(mark - rows[row].what), rows[row].what,
                                          *rows[row].n, mark + strlen("%u")),
                                 0);
        else
                ck_assert_ptr_nonnull(name = strdup(rows[row].what));
        return name;
}

static void note(enum row row, size_t peer, double value) {
        _cleanup_(freep) char *name = name_of(row);

        measured[row][peer] = value;
        test_report("%s: %s: %.2f %s", peers[peer]->name, name, value, rows[row].unit);
}

static void print_ratio(double ours, double theirs) {
        if (theirs < 0 || ours < 0)
                printf(" - |");
        else if (ours == 0)
                printf(theirs == 0 ? " 1.0 |" : " more |");
        else
                printf(" %.1f |", theirs / ours);
}

static void print_row(enum row row) {
        _cleanup_(freep) char *name = name_of(row);
        const double *values = measured[row];
        bool is_behind = false;

        printf("| %s | %s |", name, rows[row].unit);
        for (size_t i = 0; i < N_PEERS; i++)
                if (values[i] < 0)
                        printf(" - |");
                else
                        printf(" %.2f |", values[i]);
        for (size_t i = 1; i < N_PEERS; i++) {
                print_ratio(values[0], values[i]);
                is_behind = is_behind || (values[i] >= 0 && values[i] < values[0]);
        }
        printf(" %s |\n", is_behind ? rows[row].why : "");
}

static void print_table(void) {
        printf("| what | unit | rekeyd | certmonger | script | certmonger / rekeyd | script / rekeyd | where "
               "rekeyd is "
               "not ahead |\n"
               "|---|---|---|---|---|---|---|---|\n");
        for (enum row row = 0; row < ROW_MAX; row++)
                print_row(row);
        fflush(stdout);
}

/* --- One program --- */

static double seconds_since(usec_t begin) {
        return (double)(now_usec(CLOCK_MONOTONIC) - begin) / USEC_PER_SEC;
}

/* Of all children that have ended, and theirs. */
static double children_cpu_sec(void) {
        struct rusage usage;

        getrusage(RUSAGE_CHILDREN, &usage);
        return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / USEC_PER_SEC;
}

static struct peer_site make(struct fixture *fixture, const struct peer *peer, const char *what, unsigned n) {
        static char name[64];
        struct peer_site site = { .fixture = fixture };

        snprintf(name, sizeof(name), "%s%s", peer->name, what);
        site.fleet = fleet_of(fixture, name, n, 45 * USEC_PER_DAY);
        site.fleet.with_staged_key = true;
        fleet_make(&site.fleet);
        peer->prepare(&site);
        return site;
}

static void await_list(const struct peer *peer, struct peer_site *site) {
        const usec_t begin = now_usec(CLOCK_MONOTONIC);

        while (!peer->list(site)) {
                ck_assert_msg(now_usec(CLOCK_MONOTONIC) - begin < PATIENCE_USEC,
                              "%s never lists all certificates", peer->name);
                usleep(POLL_USEC);
        }
}

/* Private memory, in KiB, once it is quiet. */
static double settled_kib(struct peer_site *site) {
        usleep(2 * USEC_PER_SEC);
        return probe_kib(process_pid(site->process), "RssAnon");
}

static double measure_one(struct fixture *fixture, size_t peer) {
        struct peer_site site = make(fixture, peers[peer], "-one", 1);
        double kib;

        peers[peer]->start(&site, false);
        await_list(peers[peer], &site);
        kib = settled_kib(&site);
        peers[peer]->stop(&site);
        note(ROW_PRIVATE, peer, kib);
        return kib;
}

static void measure_list(const struct peer *peer, struct peer_site *site, size_t number) {
        double best = 0;

        for (unsigned i = 0; i < 3; i++) {
                const usec_t begin = now_usec(CLOCK_MONOTONIC);
                double took;

                ck_assert(peer->list(site));
                took = seconds_since(begin);
                if (i == 0 || took < best)
                        best = took;
        }
        note(ROW_LIST, number, best);
}

static void measure_many(struct fixture *fixture, size_t peer, double one_kib) {
        struct peer_site site = make(fixture, peers[peer], "-many", n_many);
        const usec_t begin = now_usec(CLOCK_MONOTONIC);

        if (peers[peer]->is_daemon) {
                peers[peer]->start(&site, false);
                await_list(peers[peer], &site);
                note(ROW_START, peer, seconds_since(begin));
                note(ROW_EACH, peer, (settled_kib(&site) - one_kib) / (n_many - 1));
        }
        measure_list(peers[peer], &site, peer);
        peers[peer]->stop(&site);
}

/* --- Renewals --- */

/* Which file is at the path of each certificate now: it is another one, or was written again, after a
 * renewal. */
static struct stat *look(const struct peer *peer, const struct peer_site *site) {
        struct stat *files = calloc(site->fleet.n, sizeof(*files));

        ck_assert_ptr_nonnull(files);
        for (unsigned i = 0; i < site->fleet.n; i++) {
                _cleanup_(freep) char *path = peer->certificate(site, i);

                (void)stat(path, &files[i]); /* of one that is being replaced, by whoever does it so */
        }
        return files;
}

static bool is_new(const struct stat *before, const struct stat *now) {
        return now->st_size > 0 &&
               (before->st_ino != now->st_ino || before->st_mtim.tv_sec != now->st_mtim.tv_sec ||
                before->st_mtim.tv_nsec != now->st_mtim.tv_nsec);
}

static void await_renewals(const struct peer *peer, const struct peer_site *site, const struct stat *before) {
        const usec_t begin = now_usec(CLOCK_MONOTONIC);

        for (unsigned n = 0; n < site->fleet.n;) {
                _cleanup_(freep) struct stat *now = look(peer, site);

                for (n = 0; n < site->fleet.n && is_new(&before[n], &now[n]);)
                        n++;
                if (now_usec(CLOCK_MONOTONIC) - begin > PATIENCE_USEC)
                        peer_give_up(site, "not all are renewed");
                if (n < site->fleet.n)
                        usleep(POLL_USEC);
        }
}

/* A start after which all are renewed, or none. Returns how long that took. */
static double renew(const struct peer *peer, struct peer_site *site, bool is_due) {
        _cleanup_(freep) struct stat *before = look(peer, site);
        const usec_t begin = now_usec(CLOCK_MONOTONIC);
        double took = 0;

        peer->start(site, is_due);
        if (is_due) {
                await_renewals(peer, site, before);
                took = seconds_since(begin);
        }
        if (peer->is_daemon) {
                usleep(2 * USEC_PER_SEC); /* what comes after the last file */
                await_list(peer, site);
        }
        peer->stop(site);
        return took;
}

static void measure_due(struct fixture *fixture, size_t peer) {
        struct peer_site site = make(fixture, peers[peer], "-due", n_due);
        double begin, idle, all;

        begin = children_cpu_sec();
        renew(peers[peer], &site, false);
        idle = children_cpu_sec() - begin;
        begin = children_cpu_sec();
        note(ROW_DUE, peer, renew(peers[peer], &site, true));
        all = children_cpu_sec() - begin;
        note(ROW_RENEWAL, peer, 1000 * (all - idle) / n_due);
}

/* Lines of PATH, when strace, which nobody can wait for, has written nothing for a while. */
static unsigned count_calls(const char *path) {
        unsigned n = 0, before;

        do {
                _cleanup_(freep) char *text = NULL;

                usleep(USEC_PER_SEC / 2);
                text = scratch_read("/", path + 1);
                before = n;
                n = 0;
                for (const char *line = text; line && (line = strchr(line, '\n')); line++)
                        n++;
        } while (n != before);
        return n;
}

static void measure_fsyncs(struct fixture *fixture, size_t peer) {
        struct peer_site site = make(fixture, peers[peer], "-traced", n_traced);
        _cleanup_(freep) char *path = scratch_path(fixture->directory, "calls");
        unsigned idle;

        site.trace = path;
        renew(peers[peer], &site, false);
        idle = count_calls(path);
        renew(peers[peer], &site, true);
        note(ROW_FSYNCS, peer, ((double)count_calls(path) - idle) / n_traced);
}

START_TEST(all_peers) {
        const bool may_trace = !test_is_instrumented() && system("strace -D -f -qq -o /dev/null true") == 0;

        for (enum row row = 0; row < ROW_MAX; row++)
                for (size_t i = 0; i < N_PEERS; i++)
                        measured[row][i] = NOTHING;
        for (size_t i = 0; i < N_PEERS; i++) {
                _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);

                measure_many(fixture, i, peers[i]->is_daemon ? measure_one(fixture, i) : 0);
                measure_due(fixture, i);
                if (may_trace)
                        measure_fsyncs(fixture, i);
        }
        print_table();
}
END_TEST

static unsigned take(const char *text) {
        uint64_t n;

        if (parse_unsigned(text, 2, 100000, &n) < 0) {
                fprintf(stderr, "'%s' is not a number from 2 to 100000\n", text);
                exit(EXIT_FAILURE);
        }
        return (unsigned)n;
}

int main(int argc, char *argv[]) {
        static const struct option options[] = {
                { "certificates", required_argument, NULL, 'n' },
                { "due", required_argument, NULL, 'd' },
                { "traced", required_argument, NULL, 't' },
                { 0 },
        };
        Suite *suite = suite_create("peers");

        for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;)
                switch (c) {
                case 'n':
                        n_many = take(optarg);
                        break;
                case 'd':
                        n_due = take(optarg);
                        break;
                case 't':
                        n_traced = take(optarg);
                        break;
                default:
                        fputs("Usage: bench-peers [--certificates N] [--due N] [--traced N]\n", stderr);
                        return EXIT_FAILURE;
                }

        if (system("command -v certmonger getcert openssl curl base64 >/dev/null") != 0)
                test_skip("all_peers: certmonger, openssl or curl is missing");
        else
                TEST_CASE(suite, all_peers);
        return test_run(suite);
}
