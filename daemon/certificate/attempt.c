/*
 * An attempt: memory for what one walk along the steps gathers, and the table that says where each step runs.
 * Steps know nothing of what comes next; that is the machine's, in lib/life/renewal.c.
 */

#include "daemon/certificate/attempt.h"

static void attempt_discard(struct attempt *attempt);

/* Steps that may block run in a pool; steps that call the Connector are started on the loop. */
static const struct {
        void (*run)(struct attempt *attempt);
        void (*call)(struct attempt *attempt);
        bool is_key_work;
} steps[STEP_MAX] = {
        [STEP_INSPECT] = { .run = attempt_inspect },
        [STEP_KEY] = { .run = attempt_make_key, .is_key_work = true },
        [STEP_CONFIGURATION] = { .call = attempt_call_configuration },
        [STEP_CSR] = { .run = attempt_make_csr },
        [STEP_SIGN] = { .call = attempt_call_sign },
        [STEP_GATE] = { .run = attempt_gate },
        [STEP_VERIFY] = { .call = attempt_call_verify },
        [STEP_COMMIT] = { .run = attempt_commit },
};

static struct attempt *job_attempt(struct job *job) {
        return container_of(job, struct attempt, job);
}

static void run_step(struct job *job) {
        struct attempt *attempt = job_attempt(job);

        steps[attempt->step].run(attempt);
}

static void run_discard(struct job *job) {
        attempt_discard(job_attempt(job));
}

static void step_is_done(struct job *job) {
        struct attempt *attempt = job_attempt(job);

        attempt->done(attempt->userdata);
}

struct attempt *attempt_new(struct context *context, const struct config_certificate *config,
                            void (*done)(void *userdata), void *userdata) {
        struct attempt *attempt = calloc(1, sizeof(*attempt));

        if (attempt) {
                attempt->context = context;
                attempt->config = config;
                attempt->done = done;
                attempt->userdata = userdata;
        }
        return attempt;
}

struct attempt *attempt_free(struct attempt *attempt) {
        if (!attempt)
                return NULL;
        connector_call_free(attempt->call);
        connector_line_free(attempt->line);
        set_clear(&attempt->set);
        stage_clear(&attempt->stage);
        store_close(attempt->store);
        free_secret(attempt->token);
        free_secret(attempt->offered_token);
        connection_clear(&attempt->connection);
        compass_configuration_clear(&attempt->configuration);
        compass_certificates_clear(&attempt->reply);
        attempt_free_exports(attempt);
        free(attempt->adopted);
        free(attempt->warning);
        error_clear(&attempt->error);
        free(attempt);
        return NULL;
}

/* A reply that failed its proof, and a token that was burnt, must not be found again by the next attempt.
 * What failed on this machine says nothing of either. */
static bool must_discard(const struct attempt *attempt) {
        if (attempt->failure == FAILURE_NONE || attempt->failure == FAILURE_TRANSIENT ||
            attempt->failure == FAILURE_LOCAL ||
            (attempt->is_doubtful && attempt->n_failures < RENEWAL_DOUBTS))
                return false;
        return attempt->step == STEP_VERIFY || (attempt->step == STEP_SIGN && attempt->by_token);
}

static void attempt_discard(struct attempt *attempt) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        int r;

        r = attempt->step == STEP_VERIFY ? store_stage_drop_certificate(attempt->store, &error)
                                         : store_stage_drop_token(attempt->store, &error);
        if (r < 0)
                error_prefix(&attempt->error, "%s; then", error_text(&error));
}

bool attempt_step_calls(enum renewal_step step) {
        return steps[step].call;
}

void attempt_start(struct attempt *attempt, enum renewal_step step) {
        struct context *context = attempt->context;

        attempt->step = step;
        attempt->step_begin = now_usec(CLOCK_MONOTONIC);
        attempt->failure = FAILURE_NONE;
        attempt->retry_after_usec = 0;
        attempt->not_longer = attempt->is_doubtful = false;
        error_clear(&attempt->error);

        if (steps[step].call) {
                steps[step].call(attempt);
                return;
        }
        attempt->job = (struct job) { .run = run_step, .done = step_is_done };
        workers_submit(steps[step].is_key_work ? context->key_workers : context->disk_workers, &attempt->job);
}

void attempt_call_done(struct attempt *attempt) {
        attempt->call = connector_call_free(attempt->call);
        if (!must_discard(attempt)) {
                attempt->done(attempt->userdata);
                return;
        }
        attempt->job = (struct job) { .run = run_discard, .done = step_is_done };
        workers_submit(attempt->context->disk_workers, &attempt->job);
}
