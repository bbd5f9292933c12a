/*
 * An attempt: memory for what one walk along the steps gathers, and the table that says where each step runs.
 * Steps know nothing of what comes next; that is the machine's, in lib/life/renewal.c.
 */

#include "daemon/certificate/attempt-private.h"

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

        steps[attempt->outcome.step].run(attempt);
}

static void run_discard(struct job *job) {
        attempt_discard(job_attempt(job));
}

static void step_is_done(struct job *job) {
        struct attempt *attempt = job_attempt(job);

        attempt->done(attempt->userdata);
}

struct attempt *attempt_new(struct loop_services *services, const struct config_certificate *config,
                            const struct attempt_input *input, void (*done)(void *userdata), void *userdata) {
        _cleanup_(attempt_freep) struct attempt *attempt = calloc(1, sizeof(*attempt));

        if (!attempt)
                return NULL;
        attempt->services = services;
        attempt->config = config;
        attempt->done = done;
        attempt->userdata = userdata;
        attempt->input = *input;
        attempt->input.offered_token = NULL;
        if (input->offered_token) {
                attempt->offered_token = strdup(input->offered_token);
                if (!attempt->offered_token)
                        return NULL;
        }
        return take_ptr(attempt);
}

struct attempt *attempt_free(struct attempt *attempt) {
        if (!attempt)
                return NULL;
        connector_call_free(attempt->call);
        connector_share_free(attempt->connection_share);
        set_clear(&attempt->set);
        stage_clear(&attempt->stage);
        store_close(attempt->store);
        free_secret(attempt->token);
        free_secret(attempt->offered_token);
        connection_clear(&attempt->connection);
        compass_configuration_clear(&attempt->configuration);
        compass_certificates_clear(&attempt->reply);
        free(attempt->adopted);
        free(attempt->warning);
        error_clear(&attempt->outcome.error);
        free(attempt);
        return NULL;
}

/* A reply that failed its proof, and a token that was burnt, must not be found again by the next attempt.
 * What failed on this machine says nothing of either. */
static bool must_discard(const struct attempt *attempt) {
        if (attempt->outcome.failure == FAILURE_NONE || attempt->outcome.failure == FAILURE_TRANSIENT ||
            attempt->outcome.failure == FAILURE_LOCAL ||
            (attempt->outcome.is_doubtful && attempt->input.n_failures < RENEWAL_DOUBTS))
                return false;
        return attempt->outcome.step == STEP_VERIFY ||
               (attempt->outcome.step == STEP_SIGN && attempt->by_token);
}

static void attempt_discard(struct attempt *attempt) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        int r;

        r = attempt->outcome.step == STEP_VERIFY ? store_stage_drop_certificate(attempt->store, &error)
                                                 : store_stage_drop_token(attempt->store, &error);
        if (r < 0)
                error_prefix(&attempt->outcome.error, "%s; then", error_text(&error));
}

bool attempt_step_calls(enum renewal_step step) {
        return steps[step].call;
}

/* Forgets how the step before ended. The request id stays: a check of the reply fails with that of the call.
 */
static void begin_outcome(struct attempt *attempt, enum renewal_step step) {
        struct outcome *outcome = &attempt->outcome;

        error_clear(&outcome->error);
        outcome->step = step;
        outcome->failure = FAILURE_NONE;
        outcome->retry_after_usec = 0;
        outcome->not_longer = outcome->is_doubtful = outcome->key_too_small = false;
        attempt->begin = now_usec(CLOCK_MONOTONIC);
        attempt->key_cpu_usec = 0;
}

void attempt_start(struct attempt *attempt, enum renewal_step step) {
        struct loop_services *services = attempt->services;

        begin_outcome(attempt, step);
        if (steps[step].call) {
                steps[step].call(attempt);
                return;
        }
        attempt->job = (struct job) { .run = run_step, .done = step_is_done };
        workers_submit(steps[step].is_key_work ? services->key_workers : services->disk_workers,
                       &attempt->job);
}

void attempt_call_done(struct attempt *attempt) {
        attempt->call = connector_call_free(attempt->call);
        if (!must_discard(attempt)) {
                attempt->done(attempt->userdata);
                return;
        }
        attempt->job = (struct job) { .run = run_discard, .done = step_is_done };
        workers_submit(attempt->services->disk_workers, &attempt->job);
}

void attempt_fail(struct attempt *attempt, enum renewal_step step, int code, const char *sentence,
                  usec_t retry_after_usec) {
        begin_outcome(attempt, step);
        attempt->outcome.failure = FAILURE_LOCAL;
        attempt->outcome.retry_after_usec = retry_after_usec;
        error_set(&attempt->outcome.error, code, "%s", sentence);
}

const struct outcome *attempt_outcome(const struct attempt *attempt) {
        return &attempt->outcome;
}

const struct findings *attempt_findings(const struct attempt *attempt) {
        return &attempt->findings;
}

void attempt_set_enrolment(struct attempt *attempt, bool is_enrolment) {
        attempt->by_token = is_enrolment;
}

bool attempt_is_enrolment(const struct attempt *attempt) {
        return attempt->by_token;
}

bool attempt_accept_not_longer(struct attempt *attempt) {
        bool known = attempt->input.accepts_not_longer;

        attempt->input.accepts_not_longer = true;
        return known;
}

void attempt_pass_over_set(struct attempt *attempt) {
        struct renewal_observation *observation = &attempt->findings.observation;

        observation->has_set = false;
        observation->expiry = observation->not_before = 0;
}

void attempt_pass_over_token(struct attempt *attempt) {
        attempt->findings.observation.has_token = false;
}

bool attempt_has_committed(const struct attempt *attempt) {
        return attempt->generation > 0;
}

char *attempt_take_warning(struct attempt *attempt) {
        return take_ptr(attempt->warning);
}

usec_t attempt_step_usec(const struct attempt *attempt) {
        return usec_sub(now_usec(CLOCK_MONOTONIC), attempt->begin);
}

usec_t attempt_key_cpu_usec(const struct attempt *attempt) {
        return attempt->key_cpu_usec;
}
