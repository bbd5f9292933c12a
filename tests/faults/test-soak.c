/*
 * The soak: random schedules of faults against the real rekeyd and devconnector, and an oracle that is the
 * same for all. For ten seconds faults are armed and lifted, tokens come and go, files are damaged, the CA is
 * rotated, rekeyd is killed and started. Then everything is healed, an operator brings a token where rekeyd
 * asks for one, and a new certificate must be current within a bounded time: no path may have led to a dead
 * end.
 *
 * A schedule follows from its number; REKEYD_TEST_SCHEDULE=N runs that one alone and prints what it does.
 * REKEYD_TEST_SHARE=N takes every N-th.
 */

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/faults/fault-runner.h"
#include "tests/support/parallel.h"
#include "tests/support/snapshot.h"
#include "tests/test.h"

#define ONLY         "REKEYD_TEST_SCHEDULE"
#define N_SCHEDULES  500u
#define N_RUNNERS    24u
#define RUN_USEC     (10 * USEC_PER_SEC)
#define PAUSE_MAX_MS 1500u

/* A certificate is current within this time of the end of all faults. When rekeyd has not helped itself after
 * ALONE_USEC, an operator comes by: an enrolment that the Connector has refused is tried again after minutes.
 */
#define HEAL_MAX_USEC (60 * USEC_PER_SEC)
#define ALONE_USEC    (15 * USEC_PER_SEC)

/* Certificates expire within a schedule, and with them what keeps back-offs short. */
#define LIFETIME "12s"
#define TIMEOUT  ", timeout: 2s"

struct outcome_of {
        bool is_run, is_healed;
        unsigned n_actions, n_restarts, n_tokens; /* tokens: that an operator had to bring at the end */
        usec_t heal_usec;
        char wrong[200];
};

static struct soak {
        atomic_uint next;
        struct outcome_of outcomes[N_SCHEDULES];
} * soak;

struct schedule {
        struct fixture *fixture;
        struct outcome_of *outcome;
        uint64_t random;
        usec_t begin_usec;
        bool has_url, is_larger, is_open, is_verbose;
};

/* SplitMix64: all that is wanted is that a schedule can be had again. */
static unsigned draw(struct schedule *schedule, unsigned below) {
        uint64_t z = schedule->random += 0x9e3779b97f4a7c15u;

        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        return (unsigned)((z ^ z >> 31) % below);
}

static void note(struct schedule *schedule, const char *format, ...) _printf_(2, 3);
static void note(struct schedule *schedule, const char *format, ...) {
        va_list args;

        if (!schedule->is_verbose)
                return;
        printf("# %5.1f s: ", (double)(now_usec(CLOCK_MONOTONIC) - schedule->begin_usec) / USEC_PER_SEC);
        va_start(args, format);
        vprintf(format, args);
        va_end(args);
        printf("\n");
        fflush(stdout);
}

/* --- What happens --- */

static void configure(struct schedule *schedule) {
        _cleanup_(freep) char *options = NULL, *certificates = NULL;

        ck_assert_int_ge(asprintf(&options, TIMEOUT "%s%s%s", schedule->has_url ? ", url: '" : "",
                                  schedule->has_url ? schedule->fixture->certificate_url : "",
                                  schedule->has_url ? "'" : ""),
                         0);
        ck_assert_int_ge(asprintf(&certificates, "%s%s", ORDERS, schedule->is_larger ? LARGER_KEY : ""), 0);
        schedule->fixture->connector_options = options;
        fixture_configure(schedule->fixture, certificates);
        schedule->fixture->connector_options = NULL;
}

static void start(struct schedule *schedule) {
        fixture_start(schedule->fixture, NULL);
        fixture_expect(schedule->fixture, MESSAGE_STARTED); /* before that no signal is handled */
        schedule->outcome->n_restarts++;
}

static void arm_any(struct schedule *schedule) {
        for (;;) {
                unsigned pair = draw(schedule, (unsigned)n_fault_cases * STRUCK_CALL_MAX);
                _cleanup_(freep) char *json = NULL;

                if (why_not_here(pair))
                        continue;
                json = fault_json(pair, draw(schedule, 4));
                note(schedule, "fault %s", json);
                fixture_fault(schedule->fixture, json);
                return;
        }
}

static void lift(struct schedule *schedule) {
        note(schedule, "faults lifted");
        fixture_lift_faults(schedule->fixture);
}

static void give_token(struct schedule *schedule) {
        note(schedule, "token");
        fixture_token(schedule->fixture, "client-1", "token");
}

static void give_rubbish(struct schedule *schedule) {
        static const char *const texts[] = { "rubbish\n", "", "two words\n", "\xff\xfe\n" };
        unsigned i = draw(schedule, ELEMENTSOF(texts));

        note(schedule, "bad token %u", i);
        scratch_write(schedule->fixture->directory, "token", texts[i], 0600);
}

static void take_token(struct schedule *schedule) {
        _cleanup_(freep) char *path = scratch_path(schedule->fixture->directory, "token");

        note(schedule, "no token");
        (void)unlink(path);
}

static void kill_and_start(struct schedule *schedule) {
        note(schedule, "killed, started");
        fixture_kill(schedule->fixture);
        start(schedule);
}

static void stop_and_start(struct schedule *schedule) {
        int status;

        note(schedule, "stopped, started");
        status = fixture_stop(schedule->fixture);
        if (status != 0)
                ck_abort_msg("rekeyd ended with %d: %s", status,
                             process_last_words(schedule->fixture->rekeyd, PROCESS_STDERR));
        start(schedule);
}

static void change_key_size(struct schedule *schedule) {
        note(schedule, "key size");
        schedule->is_larger = !schedule->is_larger;
        configure(schedule);
        process_signal(schedule->fixture->rekeyd, SIGHUP);
}

static void damage(struct schedule *schedule) {
        static const char *const names[] = { "orders/tls.key", "orders/tls.crt", "orders/ca.crt",
                                             "orders/connection.json", "orders/..data" };
        const char *name = names[draw(schedule, ELEMENTSOF(names))];
        _cleanup_(freep) char *path = scratch_path(schedule->fixture->directory, name);
        bool is_removed = draw(schedule, 2);

        note(schedule, "%s %s", is_removed ? "removed" : "damaged", name);
        if (is_removed || strstr(name, "..data"))
                (void)unlink(path);
        else if (access(path, F_OK) == 0)
                scratch_write(schedule->fixture->directory, name, "oops\n", 0600);
}

static void set_open(struct schedule *schedule, bool is_open) {
        _cleanup_(freep) char *path = scratch_path(schedule->fixture->directory, "orders");

        note(schedule, "directory %s", is_open ? "open to all" : "closed");
        (void)chmod(path, is_open ? 0777 : 0755);
        schedule->is_open = is_open;
}

static void toggle_directory(struct schedule *schedule) {
        set_open(schedule, !schedule->is_open);
}

static void rotate(struct schedule *schedule) {
        static const char *const bodies[] = { "{}", "{\"trust\":\"new\"}", "{\"key\":\"same\"}" };
        unsigned i = draw(schedule, ELEMENTSOF(bodies));

        note(schedule, "CA rotated: %s", bodies[i]);
        json_decref(fixture_admin(schedule->fixture, "/rotate", bodies[i]));
}

static void unpair(struct schedule *schedule) {
        note(schedule, "client unpaired");
        json_decref(fixture_admin(schedule->fixture, "/unpair", "{\"client\":\"client-1\"}"));
}

static const struct action {
        void (*act)(struct schedule *schedule);
        unsigned weight;
} actions[] = {
        { arm_any, 8 },          { lift, 4 },           { give_token, 3 },
        { give_rubbish, 1 },     { take_token, 1 },     { kill_and_start, 2 },
        { damage, 2 },           { stop_and_start, 1 }, { change_key_size, 1 },
        { toggle_directory, 1 }, { rotate, 1 },         { unpair, 1 },
};

static void act(struct schedule *schedule) {
        unsigned sum = 0, at;

        for (size_t i = 0; i < ELEMENTSOF(actions); i++)
                sum += actions[i].weight;
        at = draw(schedule, sum);
        for (size_t i = 0; i < ELEMENTSOF(actions); at -= actions[i++].weight)
                if (at < actions[i].weight) {
                        actions[i].act(schedule);
                        break;
                }
        schedule->outcome->n_actions++;
}

/* --- What must come of it --- */

/* Lets time pass; what the two programs print meanwhile is read, so that they never wait for it. */
static void pass_time(struct schedule *schedule) {
        usec_t until = now_usec(CLOCK_MONOTONIC) + draw(schedule, PAUSE_MAX_MS) * USEC_PER_MSEC, now;

        while ((now = now_usec(CLOCK_MONOTONIC)) < until) {
                free(process_poll(schedule->fixture->rekeyd, PROCESS_STDERR, "", until - now));
                (void)process_output(schedule->fixture->connector, PROCESS_STDOUT);
        }
}

static void heal(struct schedule *schedule) {
        note(schedule, "healed");
        fixture_lift_faults(schedule->fixture); /* lets go of held calls as well */
        if (schedule->is_open)
                set_open(schedule, false);
}

/* What a line says: a new certificate, which the Connector has accepted; that rekeyd asks for a token. */
enum { LINE_OTHER, LINE_NEW, LINE_ASKS, LINE_BEGUN };

static int read_line(const char *line) {
        static const struct {
                const char *id;
                int meaning;
        } ids[] = {
                { MESSAGE_ENROLLED, LINE_NEW },
                { MESSAGE_RENEWED, LINE_NEW },
                { MESSAGE_WAITING, LINE_ASKS },
                { MESSAGE_BEGUN, LINE_BEGUN },
        };

        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                if (strstr(line, ids[i].id))
                        return ids[i].meaning;
        return LINE_OTHER;
}

/* Whether rekeyd waited for a token when it logged the last line that says either way. */
static bool asks_for_token(struct schedule *schedule) {
        const char *text = process_output(schedule->fixture->rekeyd, PROCESS_STDERR);
        bool asks = false;

        for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
                _cleanup_(freep) char *copy = strndup(line, strcspn(line, "\n"));
                int meaning = read_line(copy);

                asks = meaning == LINE_OTHER ? asks : meaning == LINE_ASKS;
        }
        return asks;
}

/* An operator brings a token when rekeyd asks for one, and when it has not helped itself after a while. */
static void await_certificate(struct schedule *schedule) {
        struct outcome_of *outcome = schedule->outcome;
        const usec_t begin = now_usec(CLOCK_MONOTONIC);
        usec_t now = begin, token_usec = asks_for_token(schedule) ? begin : begin + ALONE_USEC;

        while (!outcome->is_healed && now < begin + HEAL_MAX_USEC) {
                _cleanup_(freep) char *line = NULL;

                if (now >= token_usec) {
                        give_token(schedule);
                        outcome->n_tokens++;
                        token_usec = now + ALONE_USEC;
                }
                line = process_poll(schedule->fixture->rekeyd, PROCESS_STDERR, "\"message_id\"",
                                    token_usec - now);
                now = now_usec(CLOCK_MONOTONIC);
                outcome->is_healed = line && read_line(line) == LINE_NEW;
                if (line && read_line(line) == LINE_ASKS)
                        token_usec = now;
        }
        outcome->heal_usec = now - begin;
}

static void judge(struct schedule *schedule) {
        struct outcome_of *outcome = schedule->outcome;
        _cleanup_(freep) char *directory = scratch_path(schedule->fixture->directory, "orders");
        _cleanup_(snapshot_clear) struct snapshot now = { 0 };
        const char *mismatch;
        int status;

        status = fixture_stop(schedule->fixture);
        now = snapshot_take(directory);
        mismatch = snapshot_mismatch(&now, NULL);
        if (!outcome->is_healed)
                snprintf(outcome->wrong, sizeof(outcome->wrong), "no certificate after %.0f s",
                         (double)outcome->heal_usec / USEC_PER_SEC);
        else if (mismatch)
                snprintf(outcome->wrong, sizeof(outcome->wrong), "the set is damaged: %s", mismatch);
        else if (status != 0)
                snprintf(outcome->wrong, sizeof(outcome->wrong), "rekeyd ended with %d", status);
        if (outcome->wrong[0] || schedule->is_verbose)
                fprintf(stderr, "%s\n%s\n", outcome->wrong,
                        process_output(schedule->fixture->rekeyd, PROCESS_STDERR));
}

static void run_schedule(unsigned number) {
        struct schedule schedule = {
                .fixture =
                        fixture_new((const char *[]) { "--lifetime", LIFETIME, "--ca-window", "1s", NULL }),
                .outcome = &soak->outcomes[number],
                .random = number,
                .begin_usec = now_usec(CLOCK_MONOTONIC),
                .is_verbose = getenv(ONLY) != NULL,
        };

        schedule.outcome->is_run = true;
        snprintf(schedule.outcome->wrong, sizeof(schedule.outcome->wrong), "it never came to its end");
        schedule.has_url = draw(&schedule, 2);
        configure(&schedule);
        if (draw(&schedule, 4) > 0)
                give_token(&schedule);
        start(&schedule);
        while (now_usec(CLOCK_MONOTONIC) - schedule.begin_usec < RUN_USEC) {
                act(&schedule);
                pass_time(&schedule);
        }
        schedule.outcome->wrong[0] = '\0';
        heal(&schedule);
        await_certificate(&schedule);
        judge(&schedule);
        fixture_free(schedule.fixture);
}

/* --- All of them --- */

static void start_runner(void) {
        unsigned stride = parallel_stride(), next;
        pid_t pid = fork();

        ck_assert_int_ge(pid, 0);
        if (pid > 0)
                return;
        while ((next = atomic_fetch_add(&soak->next, stride)) < N_SCHEDULES)
                run_schedule(next);
        _exit(EXIT_SUCCESS);
}

static void run_all(void) {
        int status;

        for (unsigned i = 0; i < N_RUNNERS; i++)
                start_runner();
        for (;;) {
                pid_t pid = waitpid(-1, &status, 0);

                if (pid < 0 && errno == ECHILD)
                        return;
                /* It has said why, and the schedule that it was at is not healed. */
                if (pid > 0 && status != 0 && atomic_load(&soak->next) < N_SCHEDULES)
                        start_runner();
        }
}

static void report(void) {
        unsigned n = 0, n_healed = 0, n_actions = 0, n_restarts = 0, n_tokens = 0;
        usec_t longest = 0;

        for (unsigned i = 0; i < N_SCHEDULES; i++) {
                const struct outcome_of *outcome = &soak->outcomes[i];

                n += outcome->is_run;
                n_healed += outcome->is_healed && !outcome->wrong[0];
                n_actions += outcome->n_actions;
                n_restarts += outcome->n_restarts;
                n_tokens += outcome->n_tokens;
                if (outcome->heal_usec > longest)
                        longest = outcome->heal_usec;
                if (outcome->wrong[0])
                        fprintf(stderr, "schedule %u: %s; again: " ONLY "=%u\n", i, outcome->wrong, i);
        }
        test_report("soak: %u of %u schedules%s, %u events, %u restarts; %u healed: current within %.1f s, "
                    "%u tokens "
                    "brought",
                    n, N_SCHEDULES, n < N_SCHEDULES ? " (scripts/test all takes more)" : "", n_actions,
                    n_restarts, n_healed, (double)longest / USEC_PER_SEC, n_tokens);
        ck_assert_uint_gt(n, 0);
        ck_assert_msg(n_healed == n, "%u schedules ended in a dead end", n - n_healed);
}

START_TEST(every_schedule_heals) {
        const char *only = getenv(ONLY);

        if (only) {
                unsigned long number = strtoul(only, NULL, 10);

                ck_assert_uint_lt(number, N_SCHEDULES);
                run_schedule((unsigned)number);
        } else
                run_all();
        report();
}
END_TEST

int main(void) {
        Suite *suite = suite_create("soak");

        setenv("CK_FORK", "yes", 1); /* a runner that fails an assertion must end, and nothing else */
        soak = parallel_share(sizeof(*soak));
        TEST_CASE(suite, every_schedule_heals);
        return test_run(suite);
}
