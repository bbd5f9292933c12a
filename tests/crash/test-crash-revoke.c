/*
 * A revocation by an operator, killed and failed at every system call from the moment on in which it is asked
 * for. rekeyd runs under the tracer; a dependent that it tells of its set has rekeyctl revoke that, and then
 * ends rekeyd. Then it is started again, and again: what the Connector has revoked must not be believed
 * usable, and what it has not must be.
 *
 * What comes before is for test-crash-rekeyd.c, whose tracer and ways these are.
 */

#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "lib/life/state.h"
#include "tests/crash/tracer.h"
#include "tests/support/fixture.h"
#include "tests/support/parallel.h"
#include "tests/test.h"

#define POINTS_MAX 4096u
#define TRIES      3u
#define REFERENCES 3u

#define CONFIGURATION                                                              \
        "state_directory: %1$s/world/state\n"                                      \
        "control: {socket: %1$s/control.sock}\n"                                   \
        "log: {format: json, level: info}\n"                                       \
        "connectors:\n"                                                            \
        "  dev: {protocol: %5$s, enrol_url: '%2$s', trust: %3$s, ca_window: 1s}\n" \
        "defaults: {key: {bits: 2048}, jitter: 0%%}\n"                             \
        "certificates:\n"                                                          \
        "  orders:\n"                                                              \
        "    connector: dev\n"                                                     \
        "    directory: %1$s/world/orders\n"                                       \
        "    token_file: %1$s/token\n"                                             \
        "%4$s"

#define HAND                                                             \
        "#!/bin/sh\n"                                                    \
        "cd '%1$s' && touch asked\n"                                     \
        "'%2$s' --socket control.sock revoke --yes orders > said 2>&1\n" \
        "echo \"ended $?\" >> said\n"                                    \
        "kill -TERM $PPID\n"

struct points {
        struct trace_point items[POINTS_MAX];
        size_t n;
        unsigned counts[TRACE_KIND_MAX]; /* of the run that tells them */
};

/* Shared between all processes. */
struct run {
        struct points points, found; /* those that are gone through, and those of one run */
        int result;                  /* of tracing it: 0 or -errno */
        char asked[256];             /* the file that is there from the moment on */
        atomic_uint kills, errors, missed, violations, revoked;
};

/* --- The world --- */

static void configure(struct fixture *fixture, bool has_hand) {
        _cleanup_(freep) char *text = NULL, *notify = NULL;

        ck_assert_int_ge(asprintf(&notify, "    notify:\n      - {command: [%s/hand]}\n", fixture->directory),
                         0);
        ck_assert_int_ge(asprintf(&text, CONFIGURATION, fixture->directory, fixture->token_url,
                                  fixture->trust, has_hand ? notify : "", fixture->protocol),
                         0);
        scratch_write(fixture->directory, "rekeyd.yaml", text, 0600);
}

static struct fixture *fixture_with_hand(void) {
        struct fixture *fixture = fixture_new(FIXTURE_LASTING("30d"));
        _cleanup_(freep) char *hand = NULL;

        ck_assert_int_ge(asprintf(&hand, HAND, fixture->directory, getenv("REKEYD_TEST_REKEYCTL")), 0);
        scratch_write(fixture->directory, "hand", hand, 0755);
        return fixture;
}

static void remove_below(struct fixture *fixture, const char *name) {
        scratch_free(scratch_path(fixture->directory, name));
}

/* A new certificate, which nobody was told of: the state is empty. */
static void reset(struct fixture *fixture) {
        static const char *const files[] = { "asked", "said", "token" };
        _cleanup_(freep) char *kept = scratch_path(fixture->directory, "world");
        int status;

        remove_below(fixture, "world");
        ck_assert_int_eq(mkdir(kept, 0755), 0);
        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                _cleanup_(freep) char *path = scratch_path(fixture->directory, files[i]);

                (void)unlink(path);
        }
        configure(fixture, false);
        fixture_token(fixture, "client-1", "token");
        status = fixture_run(fixture, "--once");
        ck_assert_msg(status == 2, "%s", process_last_words(fixture->rekeyd, PROCESS_STDERR));
        remove_below(fixture, "world/state");
        configure(fixture, true);
}

static int trace_rekeyd(struct fixture *fixture, struct trace_plan *plan, struct trace *ret) {
        _cleanup_(freep) char *config = scratch_path(fixture->directory, "rekeyd.yaml"),
                              *kept = scratch_path(fixture->directory, "world");
        const char *argv[] = { fixture_program("REKEYD"), "--config", config, NULL };

        plan->root = kept;
        return trace_run(argv, plan, ret);
}

/* --- What must hold --- */

static bool is_pending(struct fixture *fixture) {
        _cleanup_(freep) char *json = scratch_read(fixture->directory, "world/state/orders.json");
        _cleanup_(state_clear) struct state state = { 0 };
        struct state_instant saved;

        return json && state_parse(json, strlen(json), &state, &saved, NULL) == 0 && state.is_revoking;
}

/* Starts it without the dependent, and awaits WANTED. */
static void start_again(struct fixture *fixture, const char *wanted) {
        configure(fixture, false);
        fixture_start(fixture, NULL);
        free(process_await(fixture->rekeyd, PROCESS_STDERR, wanted));
}

/* Whether the Connector has revoked the certificate of FINGERPRINT. */
static bool was_revoked(struct fixture *fixture, const char *fingerprint) {
        json_t *calls = fixture_admin(fixture, "/calls", NULL), *list, *call;
        bool result = false;
        size_t i;

        list = json_is_array(calls) ? calls : json_object_get(calls, "calls");
        json_array_foreach(list, i, call) result |= streq(member(call, "operation"), "revoke") &&
                                                    streq(member(call, "result"), "ok") &&
                                                    streq(member(call, "fingerprint"), fingerprint);
        json_decref(calls);
        return result;
}

/* It is burnt. A slow machine would try it, and say that instead of waiting for another one. */
static void remove_token(struct fixture *fixture) {
        _cleanup_(freep) char *path = scratch_path(fixture->directory, "token");

        (void)unlink(path);
}

/* How many of the two disagree; WHERE is for the report. */
static unsigned check_outcome(struct fixture *fixture, const char *where, bool is_silent, bool *ret_revoked) {
        _cleanup_(freep) char *said = NULL, *fingerprint = NULL;
        const bool was_pending = is_pending(fixture);
        bool is_revoked, is_usable;
        unsigned n = 0;
        json_t *line;

        remove_token(fixture);
        start_again(fixture, was_pending ? "as requested earlier" : MESSAGE_READY);
        ck_assert_int_eq(fixture_stop(fixture), 0);

        start_again(fixture, MESSAGE_READY);
        is_usable = strstr(process_output(fixture->rekeyd, PROCESS_STDERR), "1 of 1");
        line = fixture_await(fixture, is_usable ? MESSAGE_CURRENT : MESSAGE_WAITING);
        fingerprint = strdup(member(line, "fingerprint"));
        json_decref(line);
        ck_assert_int_eq(fixture_stop(fixture), 0);

        is_revoked = was_revoked(fixture, fingerprint);
        said = scratch_read(fixture->directory, "said");
        if (is_revoked == is_usable) {
                n++;
                if (!is_silent)
                        test_report(
                                "crash: violation: %s: %s by the Connector, and %s; the operator heard: %s",
                                where, is_revoked ? "revoked" : "not revoked",
                                is_usable ? "usable" : "not usable", said ? said : "nothing");
        }
        if (said && strstr(said, "ended 0") && !is_revoked) {
                n++;
                test_report("crash: violation: %s: the operator heard: %s", where, said);
        }
        if (said && strstr(said, "stays in use") && is_revoked) {
                n++;
                test_report("crash: violation: %s: the operator heard: %s", where, said);
        }
        *ret_revoked = is_revoked;
        return n;
}

/* --- Runs --- */

/* Whoever traces waits for all children, so it is a process without any others. Shared with the test: RUN. */
struct work {
        struct fixture *fixture;
        struct run *run;
        size_t first, step;
        void (*act)(struct work *work);
};

static void take_call(const struct trace_call *call, void *userdata) {
        struct run *run = userdata;
        struct points *found = &run->found;
        bool is_asked = access(run->asked, F_OK) == 0;

        for (size_t i = 0; i < TRACE_KIND_MAX; i++)
                found->counts[i] += call->is[i];
        if (!is_asked)
                return;
        if (found->n + 1 + TRACE_FAILURES_MAX > POINTS_MAX)
                abort();
        if (call->is[TRACE_CHANGING])
                found->items[found->n++] =
                        (struct trace_point) { TRACE_CHANGING, found->counts[TRACE_CHANGING], NULL, 0 };
        if (call->is[TRACE_FAILABLE])
                found->n += trace_failures(call, found->counts[TRACE_FAILABLE], &found->items[found->n]);
}

/* A whole run, which must be without fault. */
static int run_undisturbed(struct work *work) {
        struct trace_plan plan = { .seen = take_call, .userdata = work->run };
        _cleanup_(freep) char *said = NULL;
        _cleanup_(trace_clear) struct trace trace = { 0 };
        bool is_revoked;
        int r;

        work->run->found = (struct points) { 0 };
        reset(work->fixture);
        r = trace_rekeyd(work->fixture, &plan, &trace);
        if (r < 0)
                return r;
        said = scratch_read(work->fixture->directory, "said");
        ck_assert_msg(trace.status == 0 && said && strstr(said, "ended 0"), "rekeyd ends with %d: %s; %s",
                      trace.status, trace.output, said);
        ck_assert_uint_eq(check_outcome(work->fixture, "undisturbed", false, &is_revoked), 0);
        ck_assert(is_revoked);
        return 0;
}

/* The points are those of the shortest of some runs, whose end the others reach. */
static void find_points(struct work *work) {
        _cleanup_(freep) char *asked = scratch_path(work->fixture->directory, "asked");
        struct run *run = work->run;
        bool is_revoked;

        snprintf(run->asked, sizeof(run->asked), "%s", asked);
        for (unsigned i = 0; i < REFERENCES; i++) {
                run->result = run_undisturbed(work);
                if (run->result < 0)
                        return;
                if (i == 0 || run->found.n < run->points.n)
                        run->points = run->found;
        }

        /* The same checks must object where it is forgotten. */
        remove_below(work->fixture, "world/state");
        ck_assert_uint_eq(check_outcome(work->fixture, "forgotten", true, &is_revoked), 1);
}

static void run_point(struct work *work, const struct trace_point *point) {
        struct run *run = work->run;
        struct trace_plan plan = { .kind = point->kind, .at = point->at, .error = point->error };
        char where[640];
        bool is_revoked;

        for (unsigned try = 0; try < TRIES; try++) {
                _cleanup_(trace_clear) struct trace trace = { 0 };

                reset(work->fixture);
                ck_assert_int_eq(trace_rekeyd(work->fixture, &plan, &trace), 0);
                if (!trace.was_reached)
                        continue;
                snprintf(where, sizeof(where), "%s %s", point->failure ? point->failure : "killed at",
                         trace.point);
                atomic_fetch_add(&run->violations, check_outcome(work->fixture, where, false, &is_revoked));
                atomic_fetch_add(&run->revoked, is_revoked);
                atomic_fetch_add(point->failure ? &run->errors : &run->kills, 1);
                return;
        }
        atomic_fetch_add(&run->missed, 1);
}

static void run_points(struct work *work) {
        for (size_t i = work->first; i < work->run->points.n; i += work->step)
                run_point(work, &work->run->points.items[i]);
}

static void run_work(unsigned i, void *userdata) {
        struct work *works = userdata;

        works[i].act(&works[i]);
}

START_TEST(a_revocation_may_be_cut_anywhere) {
        struct run *run = parallel_share(sizeof(*run));
        struct work works[PARALLEL_MAX];
        usec_t begin = now_usec(CLOCK_MONOTONIC);
        const unsigned n = parallel_size(), stride = parallel_stride();

        for (unsigned i = 0; i < n; i++)
                works[i] = (struct work) { fixture_with_hand(), run, stride * i, stride * n, find_points };
        parallel_run(1, run_work, works);
        for (unsigned i = 0; i < n; i++)
                works[i].act = run_points;
        if (run->result == 0)
                parallel_run(n, run_work, works);
        for (unsigned i = 0; i < n; i++)
                fixture_free(works[i].fixture);
        if (run->result < 0) {
                test_skip("nothing can be traced here: %s", strerrordesc_np(-run->result));
                munmap(run, sizeof(*run));
                return;
        }
        test_report(
                "crash: revocation: %u kill points, %u error points, %u missed, %u of them end revoked, %u "
                "violations in %.0f s",
                run->kills, run->errors, run->missed, run->revoked, run->violations,
                (double)(now_usec(CLOCK_MONOTONIC) - begin) / USEC_PER_SEC);
        parallel_report_share("crash", run->kills + run->errors + run->missed, run->points.n);
        ck_assert_uint_eq(run->violations, 0);
        /* Some before it is written down, and some after that. */
        ck_assert_uint_gt(run->revoked, 0);
        ck_assert_uint_lt(run->revoked, run->kills + run->errors);
        ck_assert_uint_gt(run->errors, 0);
        /* What is written together, and so how much, differs between runs; what is missed is at the end. */
        ck_assert_uint_le(run->missed, (run->kills + run->errors) / 4);
        munmap(run, sizeof(*run));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("crash-revoke");

        parallel_prepare_tracing();
        TEST_CASE(suite, a_revocation_may_be_cut_anywhere);
        return test_run(suite);
}
