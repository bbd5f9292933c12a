/*
 * A storm in a fixture of its own. rekeyd logs as it does in production, and what it says of its loop and its
 * keys is read from its metrics before it ends. A sentry, a thread that only sleeps, tells whether the
 * machine was quiet.
 */

#include "tests/support/storm.h"

#include <check.h>
#include <pthread.h>
#include <sys/resource.h>

#include "lib/x509/key.h"
#include "tests/support/flight.h"
#include "tests/support/probe.h"
#include "tests/test.h"

/* All of them due for days. */
#define LEFT_USEC (20 * USEC_PER_DAY)

void storm_configure(struct fixture *fixture, const struct fleet_options *fleets,
                     const struct fixture *const *connectors, size_t n, unsigned key_bits,
                     const char *timeout) {
        char *yaml = NULL;
        size_t size;
        FILE *out = open_memstream(&yaml, &size);

        ck_assert_ptr_nonnull(out);
        fprintf(out,
                "state_directory: %s/state\n"
                "control: {socket: %s/control.sock}\n"
                "log: {format: json}\n"
                "defaults: {key: {bits: %u}, jitter: 0%%}\n"
                "connectors:\n",
                fixture->directory, fixture->directory, key_bits);
        for (size_t i = 0; i < n; i++)
                fprintf(out, "  %s: {url: '%s', trust: %s, timeout: %s}\n", fleets[i].name,
                        connectors[i]->certificate_url, connectors[i]->trust, timeout);
        fprintf(out, "certificates:\n");
        for (size_t i = 0; i < n; i++)
                fleet_configure(&fleets[i], out, fleets[i].name, "");
        fclose(out);
        scratch_write(fixture->directory, "rekeyd.yaml", yaml, 0600);
        free(yaml);
}

/* --- Bare key generation --- */

static unsigned processors(void) {
        return (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
}

struct bare {
        atomic_int left;
        unsigned bits;
};

static void *make_keys(void *userdata) {
        struct bare *bare = userdata;

        /* As rekeyd's workers are, so that what else runs on this machine takes as much from these as from
         * those. */
        (void)setpriority(PRIO_PROCESS, 0, 10);

        while (atomic_fetch_sub(&bare->left, 1) > 0) {
                struct key *key = NULL;

                if (key_generate(bare->bits, NULL, &key, NULL) < 0)
                        abort();
                key_free(key);
        }
        return NULL;
}

static usec_t bare_keys(unsigned n, unsigned bits) {
        usec_t begin = now_usec(CLOCK_MONOTONIC);
        pthread_t *threads = calloc(processors(), sizeof(*threads));
        struct bare bare = { .left = (int)n, .bits = bits };

        ck_assert_ptr_nonnull(threads);
        for (unsigned i = 0; i < processors(); i++)
                ck_assert_int_eq(pthread_create(&threads[i], NULL, make_keys, &bare), 0);
        for (unsigned i = 0; i < processors(); i++)
                pthread_join(threads[i], NULL);
        free(threads);
        return now_usec(CLOCK_MONOTONIC) - begin;
}

/* --- Is anybody else here? --- */

/* How late a thread is that sleeps for a millisecond at a time, and runs at the loop's priority. */
struct sentry {
        pthread_t thread;
        atomic_bool stop;
        usec_t latest_usec;
};

static void *keep_watch(void *userdata) {
        struct sentry *sentry = userdata;

        while (!atomic_load(&sentry->stop)) {
                usec_t wanted = now_usec(CLOCK_MONOTONIC) + USEC_PER_MSEC, late;

                clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec) { .tv_nsec = 1000000 }, NULL);
                late = usec_sub(now_usec(CLOCK_MONOTONIC), wanted);
                if (late > sentry->latest_usec)
                        sentry->latest_usec = late;
        }
        return NULL;
}

/* --- The storm --- */

static double seconds(usec_t usec) {
        return (double)usec / USEC_PER_SEC;
}

static double cpu_sec(const struct process *process) {
        return (double)probe_cpu_nsec(process_pid(process)) / 1e9;
}

/* Starts rekeyd and awaits all renewals. */
static struct storm raise(struct fixture *fixture, const char *fleet, unsigned n) {
        struct sentry sentry = { 0 };
        struct storm storm = { .connector_cpu_sec = cpu_sec(fixture->connector) };
        double busy_sec = probe_busy_sec();
        usec_t begin = now_usec(CLOCK_MONOTONIC);
        struct flight flight;

        ck_assert_int_eq(pthread_create(&sentry.thread, NULL, keep_watch, &sentry), 0);
        fixture_start(fixture, NULL);
        storm.sec = seconds(flight_await(fixture, fleet, n));
        busy_sec = probe_busy_sec() - busy_sec;
        storm.cpu_sec = cpu_sec(fixture->rekeyd);
        storm.connector_cpu_sec = cpu_sec(fixture->connector) - storm.connector_cpu_sec;
        storm.foreign = (busy_sec - storm.cpu_sec - storm.connector_cpu_sec) /
                        (seconds(now_usec(CLOCK_MONOTONIC) - begin) * processors());
        atomic_store(&sentry.stop, true);
        pthread_join(sentry.thread, NULL);
        storm.late_ms = (double)sentry.latest_usec / USEC_PER_MSEC;

        flight = flight_of(fixture, fleet);
        ck_assert_uint_eq(flight.renewed, n);
        storm.failed = flight.failed;
        storm.most = flight.most;
        return storm;
}

/* The bare keys are made half before and half after the storm, so that what else the machine does at the time
 * counts for both. */
struct storm storm_run(const struct storm_options *options) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
        struct fleet_options fleet = fleet_of(fixture, "storm", options->n, LEFT_USEC);
        const unsigned n_before = options->n / 2;
        double bare_sec = 0;
        struct storm storm;

        fleet.with_staged_key = options->with_keys;
        fleet.key_bits = options->with_keys ? options->key_bits : 0;
        fleet_make(&fleet);
        storm_configure(fixture, &fleet, (const struct fixture *const[]) { fixture }, 1, options->key_bits,
                        "120s");

        if (!options->with_keys)
                bare_sec = seconds(bare_keys(n_before, options->key_bits));
        storm = raise(fixture, fleet.name, fleet.n);
        storm.longest_ms = 1000 * fixture_metric(fixture, "rekeyd_loop_longest_turn_seconds");
        storm.keys_cpu_sec = fixture_metric(fixture, "rekeyd_key_generation_cpu_seconds_total");
        ck_assert_int_eq(fixture_stop(fixture), 0);
        if (options->with_keys)
                return storm;

        storm.bare_sec = bare_sec + seconds(bare_keys(options->n - n_before, options->key_bits));
        storm.wall_ratio = (storm.sec * processors() - storm.connector_cpu_sec) / storm.keys_cpu_sec;
        storm.cpu_ratio = storm.cpu_sec / storm.keys_cpu_sec;
        return storm;
}

void storm_report(const struct storm *storm, const struct storm_options *options, const char *name) {
        if (options->with_keys)
                test_report("%s: %u renewals with staged keys of %u bits in %.2f s, %.1f in a second; "
                            "longest turn of the "
                            "loop %.1f ms",
                            name, options->n, options->key_bits, storm->sec, options->n / storm->sec,
                            storm->longest_ms);
        else
                test_report("%s: %u renewals in %.2f s; %u key generations alone on %u processors in %.2f s: "
                            "ratio "
                            "%.3f; to its own keys, and without devconnector's share of the processors: "
                            "%.3f; longest "
                            "turn of the loop %.1f ms",
                            name, options->n, storm->sec, options->n, processors(), storm->bare_sec,
                            storm->sec / storm->bare_sec, storm->wall_ratio, storm->longest_ms);
        test_report("%s: CPU time: rekeyd %.2f s, its keys %.2f s of that; devconnector, which a real "
                    "Connector would "
                    "not take here, %.2f s; others %.0f%% of the machine, a thread that wanted to run waited "
                    "for %.1f ms; "
                    "at most %d renewals at once",
                    name, storm->cpu_sec, storm->keys_cpu_sec, storm->connector_cpu_sec, 100 * storm->foreign,
                    storm->late_ms, storm->most);
}
