/*
 * rekeyca killed, and failed, at every system call of the step that writes the signer, there and back. At any
 * instant the two files that a Connector reads belong together; a second run ends in the right state, with no
 * litter.
 */

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "lib/x509/identity.h"
#include "tests/crash/tracer.h"
#include "tests/support/parallel.h"
#include "tests/support/scratch.h"
#include "tests/support/x509.h"
#include "tests/test.h"

#define POINTS_MAX 4096u

static const struct scenario {
        const char *name, *verb, *option;
        const char *until; /* where it begins */
        bool ends_with_old;
} scenarios[] = {
        { "signing", "apply", "--until=signing", "trusted", false },
        { "rollback", "rollback", "--force=orders", "signing", true },
};

struct points {
        struct trace_point items[POINTS_MAX];
        size_t n;
        unsigned n_failable;
};

struct crew {
        const struct scenario *scenario;
        char *directory; /* scratch: world, and kept, which the world is a copy of */
        char *root;      /* the directory of the signer */
        char *old_key;
        unsigned n_kills, n_failures, n_violations;
};

/* --- The world --- */

_printf_(1, 2) static void shell(const char *format, ...) {
        _cleanup_(freep) char *command = NULL;
        va_list args;

        va_start(args, format);
        ck_assert_int_ge(vasprintf(&command, format, args), 0);
        va_end(args);
        ck_assert_msg(system(command) == 0, "%s", command);
}

static int trace(const struct crew *crew, const char *verb, const char *option, struct trace_plan *plan,
                 struct trace *ret) {
        const char *d = crew->directory;
        _cleanup_(freep) char *config = scratch_path(d, "site.yaml");
        const char *argv[] = { getenv("REKEYD_TEST_REKEYCA"), verb, "--config", config, option, NULL };

        plan->root = crew->root;
        return trace_run(argv, plan, ret);
}

static void run(const struct crew *crew, const char *verb, const char *option) {
        _cleanup_(trace_clear) struct trace end = { 0 };

        ck_assert_int_eq(trace(crew, verb, option, &(struct trace_plan) { 0 }, &end), 0);
        ck_assert_msg(end.status == 0, "%s: %s", verb, end.output);
}

static void write_world(const struct crew *crew) {
        const usec_t now = now_usec(CLOCK_REALTIME);
        struct x509_cert ca = x509_make(&(struct x509_options) {
                .ca = true, .not_before = now - USEC_PER_DAY, .not_after = now + 30 * USEC_PER_DAY });
        _cleanup_(freep) char *key = x509_key_pem(ca.key), *site = NULL;
        const char *d = crew->directory;

        ck_assert_int_ge(
                asprintf(&site,
                         "signer: 'files:%s/world/ca/ca.key,%s/world/ca/ca.crt'\n"
                         "trust: ['files:%s/world/clients.pem']\nstate: %s/world/state/rotation.json\n"
                         "ca_window: 0s\nca_lifetime: 3650d\nkey_bits: 2048\n",
                         d, d, d, d),
                0);
        shell("mkdir -p '%s/world/ca'", d);
        scratch_write(d, "site.yaml", site, 0600);
        scratch_write(d, "world/ca/ca.key", key, 0600);
        scratch_write(d, "world/ca/ca.crt", ca.pem, 0644);
        scratch_write(d, "world/clients.pem", ca.pem, 0644);
        x509_cert_clear(&ca);
}

static void begin(struct crew *crew, const struct scenario *scenario) {
        *crew = (struct crew) { .scenario = scenario, .directory = scratch_new() };
        crew->root = scratch_path(crew->directory, "world/ca");
        write_world(crew);
        crew->old_key = scratch_read(crew->root, "ca.key");
        run(crew, "plan", "--reason=new-key");
        ck_assert_ptr_nonnull(scenario->until);
        run(crew, "apply", streq(scenario->until, "trusted") ? "--until=trusted" : "--until=signing");
        shell("mv '%s/world' '%s/kept'", crew->directory, crew->directory);
}

static void reset(const struct crew *crew) {
        shell("rm -rf '%s/world' && cp -a '%s/kept' '%s/world'", crew->directory, crew->directory,
              crew->directory);
}

static void end(struct crew *crew) {
        free(crew->root);
        free_secret(crew->old_key);
        scratch_free(crew->directory);
}

/* --- What must hold --- */

static void violation(struct crew *crew, const struct trace *trace, const char *what) {
        crew->n_violations++;
        test_report("crash: violation: %s: %s: %s: %s", crew->scenario->name,
                    trace->point ? trace->point : "?", what, trace->output);
}

/* As a Connector reads it, by the two names. */
static void check_pair(struct crew *crew, const struct trace *trace) {
        _cleanup_(freep) char *pem = scratch_read(crew->root, "ca.key"),
                              *certificate = scratch_read(crew->root, "ca.crt");
        _cleanup_(key_freep) struct key *key = NULL;

        if (!pem || !certificate || key_parse(pem, strlen(pem), &key, NULL) < 0 ||
            identity_check(key, certificate, NULL) < 0)
                violation(crew, trace, "key and certificate do not belong together");
}

static void check_end(struct crew *crew, const struct trace *trace) {
        _cleanup_(freep) char *pem = scratch_read(crew->root, "ca.key"), *names = scratch_list(crew->root);

        check_pair(crew, trace);
        if (!pem || streq(pem, crew->old_key) != crew->scenario->ends_with_old)
                violation(crew, trace, "it has the wrong key in the end");
        if (!streq(names, "ca.crt ca.key"))
                violation(crew, trace, names);
}

static void run_again(struct crew *crew, const struct trace *before) {
        _cleanup_(trace_clear) struct trace again = { 0 };

        ck_assert_int_eq(
                trace(crew, crew->scenario->verb, crew->scenario->option, &(struct trace_plan) { 0 }, &again),
                0);
        if (again.status != 0)
                violation(crew, before, again.output);
        check_end(crew, before);
}

/* --- Points --- */

static void note(const struct trace_call *call, void *userdata) {
        struct points *points = userdata;
        const size_t room = POINTS_MAX - points->n;

        if (call->is[TRACE_FAILABLE] && room >= TRACE_FAILURES_MAX)
                points->n += trace_failures(call, ++points->n_failable, &points->items[points->n]);
}

/* 0 or -errno of tracing. */
static int find_points(struct crew *crew, struct points *ret) {
        _cleanup_(trace_clear) struct trace whole = { 0 };
        struct trace_plan plan = { .seen = note, .userdata = ret };
        int r;

        reset(crew);
        r = trace(crew, crew->scenario->verb, crew->scenario->option, &plan, &whole);
        if (r < 0)
                return r;
        ck_assert_msg(whole.status == 0, "%s", whole.output);
        for (unsigned at = 1; at <= whole.counts[TRACE_CHANGING] && ret->n < POINTS_MAX; at++)
                ret->items[ret->n++] = (struct trace_point) { .kind = TRACE_CHANGING, .at = at };
        return 0;
}

static void disturb(struct crew *crew, const struct trace_point *point) {
        _cleanup_(trace_clear) struct trace disturbed = { 0 };
        struct trace_plan plan = { .kind = point->kind,
                                   .at = point->at,
                                   .error = point->failure ? point->error : 0 };

        reset(crew);
        ck_assert_int_eq(trace(crew, crew->scenario->verb, crew->scenario->option, &plan, &disturbed), 0);
        check_pair(crew, &disturbed);
        run_again(crew, &disturbed);
        crew->n_kills += !point->failure;
        crew->n_failures += point->failure != NULL;
}

/* Failures end as kills do, or better, so a fourth of them is enough for every day. */
static unsigned stride_of(const struct trace_point *point, unsigned stride) {
        const char *all = getenv("REKEYD_TEST_CRASH");

        return point->failure && !(all && streq(all, "all")) ? 4 * stride + 1 : stride;
}

START_TEST(the_signer_is_a_pair_at_any_instant) {
        const unsigned stride = parallel_stride();
        static struct points points;
        struct crew crew;
        int r;

        begin(&crew, &scenarios[_i]);
        points = (struct points) { 0 };
        r = find_points(&crew, &points);
        if (r == -ENOTSUP || r == -EPERM)
                test_skip("tracing is not allowed here");
        else
                ck_assert_int_eq(r, 0);
        for (size_t i = 0; i < points.n; i += stride_of(&points.items[i], stride))
                disturb(&crew, &points.items[i]);
        test_report("rekeyca: %s: %u kills, %u failures at system calls, %u violations", crew.scenario->name,
                    crew.n_kills, crew.n_failures, crew.n_violations);
        ck_assert_uint_eq(crew.n_violations, 0);
        ck_assert_uint_gt(crew.n_kills, r < 0 ? 0 : 20 / stride);
        end(&crew);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("crash-rekeyca");
        TCase *tcase = tcase_create("signer");

        parallel_prepare_tracing();
        tcase_set_timeout(tcase, 0);
        tcase_add_loop_test(tcase, the_signer_is_a_pair_at_any_instant, 0, ELEMENTSOF(scenarios));
        suite_add_tcase(suite, tcase);
        return test_run(suite);
}
