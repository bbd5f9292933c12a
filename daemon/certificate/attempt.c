/*
 * An attempt: memory for what one walk along the steps gathers, and the table that says where each step runs.
 * Steps know nothing of what comes next; that is the machine's, in lib/life/renewal.c.
 */

#include "daemon/certificate/attempt.h"

#include "daemon/certificate/gathered.h"
#include "daemon/certificate/key-maker.h"
#include "daemon/certificate/local-steps.h"
#include "daemon/certificate/remote-steps.h"
#include "daemon/certificate/sharing.h"
#include "lib/protocol/protocol.h"

struct attempt {
        struct job job;
        struct loop_services *services;
        struct sharing *sharing; /* NULL: none */
        struct gathered gathered;
        struct remote remote;
        usec_t begin; /* of the step; CLOCK_MONOTONIC */
        void (*done)(void *userdata);
        void *userdata;
};

/* Steps that may block run in a pool; steps that call the Connector are started on the loop. */
static const struct {
        void (*run)(struct gathered *gathered);
        void (*call)(struct remote *remote);
        bool is_key_work;
} steps[STEP_MAX] = {
        [STEP_INSPECT] = { .run = local_step_inspect },
        [STEP_KEY] = { .run = local_step_key, .is_key_work = true },
        [STEP_CONFIGURATION] = { .call = remote_step_configuration },
        [STEP_CSR] = { .run = local_step_csr },
        [STEP_SIGN] = { .call = remote_step_sign },
        [STEP_GATE] = { .run = local_step_gate },
        [STEP_VERIFY] = { .call = remote_step_verify },
        [STEP_COMMIT] = { .run = local_step_commit },
};

static struct attempt *job_attempt(struct job *job) {
        return container_of(job, struct attempt, job);
}

static void run_step(struct job *job) {
        struct gathered *gathered = &job_attempt(job)->gathered;

        steps[gathered->outcome.step].run(gathered);
}

static void run_discard(struct job *job) {
        local_step_discard(&job_attempt(job)->gathered);
}

/* What a failure of STEP_CONFIGURATION leaves of the token that was sent with it. */
static const char *fate_after_call(const struct outcome *outcome) {
        if (outcome->cause == CAUSE_TOKEN)
                return NULL; /* the sentence says it */
        if (!outcome->is_token_sent || outcome->is_unheard || outcome->is_token_good)
                return "the one-time token was not used";
        return outcome->failure == FAILURE_TRANSIENT ? "the one-time token may be used up"
                                                     : "the one-time token is used up";
}

/* What a failure leaves of the one-time token on offer; NULL: there is none, or nothing is to be said. */
static const char *fate_of_token(const struct gathered *gathered) {
        const struct outcome *outcome = &gathered->outcome;
        const bool keeps_token = protocol_get(gathered->config->connector->protocol)->keeps_token;

        if (outcome->failure == FAILURE_NONE ||
            (!gathered->offered_token && !(gathered->by_token && gathered->token)))
                return NULL;
        if (outcome->step < STEP_CONFIGURATION)
                return "the one-time token was not used";
        if (outcome->step == STEP_CONFIGURATION)
                return fate_after_call(outcome);
        return keeps_token ? NULL : "the one-time token is used up by now";
}

static void mention_token(struct gathered *gathered) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        const char *fate = fate_of_token(gathered);

        if (!fate)
                return;
        error_move(&error, &gathered->outcome.error);
        error_set(&gathered->outcome.error, error.code, "%s; %s", error_text(&error), fate);
}

static void end_step(void *userdata) {
        struct attempt *attempt = userdata;

        mention_token(&attempt->gathered);
        attempt->done(attempt->userdata);
}

/* What the step has left is for other replicas as well. */
static void on_worked(struct job *job) {
        struct attempt *attempt = job_attempt(job);

        if (attempt->sharing)
                sharing_after_step(attempt->sharing, end_step);
        else
                end_step(attempt);
}

static void submit(struct attempt *attempt, struct workers *workers, void (*run)(struct job *job)) {
        attempt->job = (struct job) { .run = run, .done = on_worked };
        workers_submit(workers, &attempt->job);
}

/* A signature came back spoilt, and its token may be good: something in front of the Connector may have
 * answered. If it was the Connector, it rejects the token the next time. */
static bool may_ask_again(const struct gathered *gathered) {
        return gathered->outcome.step == STEP_SIGN && gathered->outcome.failure == FAILURE_BAD_REPLY &&
               protocol_get(gathered->config->connector->protocol)->keeps_token;
}

/* A reply that could not be verified, and a token that was burnt, must not be found again by the next
 * attempt. What failed on this machine says nothing of either. */
static bool must_discard(const struct gathered *gathered) {
        const struct outcome *outcome = &gathered->outcome;

        if (outcome->failure == FAILURE_NONE || outcome->failure == FAILURE_TRANSIENT ||
            outcome->failure == FAILURE_LOCAL || outcome->is_unheard || outcome->is_token_good ||
            (outcome->is_doubtful && gathered->input.n_failures < RENEWAL_DOUBTS) || may_ask_again(gathered))
                return false;
        return outcome->step == STEP_VERIFY || (outcome->step == STEP_SIGN && gathered->by_token);
}

static void on_called(void *userdata) {
        struct attempt *attempt = userdata;

        if (must_discard(&attempt->gathered))
                submit(attempt, attempt->services->disk_workers, run_discard);
        else
                end_step(attempt);
}

/* False when memory is out. */
static bool copy_text(const char *text, char **ret) {
        *ret = text ? strdup(text) : NULL;
        return *ret || !text;
}

/* Others may be revoked while an inspection is under way. */
static int copy_memory(struct gathered *gathered, const struct store_memory *memory) {
        const size_t size = memory->n_revoked * sizeof(*memory->revoked);

        gathered->input.memory.subject = NULL; /* there is a copy, for the time when it is needed */
        gathered->input.memory.revoked = NULL;
        if (size == 0)
                return 0;
        gathered->revoked = malloc(size);
        if (!gathered->revoked)
                return -ENOMEM;
        memcpy(gathered->revoked, memory->revoked, size);
        gathered->input.memory.revoked = (const char(*)[FINGERPRINT_HEX])gathered->revoked;
        return 0;
}

struct attempt *attempt_new(struct loop_services *services, const struct config_certificate *config,
                            struct replica *replica, const struct attempt_input *input,
                            void (*done)(void *userdata), void *userdata) {
        _cleanup_(attempt_freep) struct attempt *attempt = calloc(1, sizeof(*attempt));

        if (!attempt)
                return NULL;
        attempt->services = services;
        attempt->done = done;
        attempt->userdata = userdata;
        attempt->gathered.config = config;
        attempt->gathered.stopping = &services->stopping;
        attempt->gathered.input = *input;
        attempt->gathered.input.next_key = key_order_ref(input->next_key);
        attempt->gathered.input.offered_token = NULL;
        attempt->gathered.input.subject = attempt->gathered.input.accepted_subject = NULL;
        attempt->remote = (struct remote) {
                .curl = services->curl,
                .gathered = &attempt->gathered,
                .done = on_called,
                .userdata = attempt,
        };
        if (copy_memory(&attempt->gathered, &input->memory) < 0 ||
            !copy_text(input->offered_token, &attempt->gathered.offered_token) ||
            !copy_text(input->subject, &attempt->gathered.subjects.last) ||
            !copy_text(input->accepted_subject, &attempt->gathered.subjects.accepted))
                return NULL;
        if (replica) {
                attempt->sharing = sharing_new(replica, &attempt->gathered, attempt);
                if (!attempt->sharing)
                        return NULL;
        }
        return take_ptr(attempt);
}

struct attempt *attempt_free(struct attempt *attempt) {
        if (!attempt)
                return NULL;
        sharing_free(attempt->sharing);
        remote_clear(&attempt->remote);
        gathered_clear(&attempt->gathered);
        free(attempt);
        return NULL;
}

bool attempt_step_calls(enum renewal_step step) {
        return steps[step].call;
}

static void begin_step(struct attempt *attempt, enum renewal_step step) {
        gathered_begin_step(&attempt->gathered, step);
        attempt->begin = now_usec(CLOCK_MONOTONIC);
}

static void run(void *userdata) {
        struct attempt *attempt = userdata;
        const struct loop_services *services = attempt->services;
        const enum renewal_step step = attempt->gathered.outcome.step;

        if (attempt->gathered.outcome.failure != FAILURE_NONE)
                end_step(attempt); /* other replicas do not know of it, so it must not be */
        else if (steps[step].call)
                steps[step].call(&attempt->remote);
        else
                submit(attempt, steps[step].is_key_work ? services->key_workers : services->disk_workers,
                       run_step);
}

void attempt_start(struct attempt *attempt, enum renewal_step step) {
        begin_step(attempt, step);
        if (attempt->sharing)
                sharing_before_step(attempt->sharing, run);
        else
                run(attempt);
}

void attempt_fail(struct attempt *attempt, enum renewal_step step, int code, const char *sentence,
                  usec_t retry_after_usec) {
        struct outcome *outcome = &attempt->gathered.outcome;

        begin_step(attempt, step);
        outcome->failure = FAILURE_LOCAL;
        outcome->retry_after_usec = retry_after_usec;
        error_set(&outcome->error, code, "%s", sentence);
        mention_token(&attempt->gathered);
}

const struct outcome *attempt_outcome(const struct attempt *attempt) {
        return &attempt->gathered.outcome;
}

const struct findings *attempt_findings(const struct attempt *attempt) {
        return &attempt->gathered.findings;
}

void attempt_set_enrolment(struct attempt *attempt, bool is_enrolment) {
        attempt->gathered.by_token = is_enrolment;
}

bool attempt_is_enrolment(const struct attempt *attempt) {
        return attempt->gathered.by_token;
}

bool attempt_accept_not_longer(struct attempt *attempt) {
        bool known = attempt->gathered.input.accepts_not_longer;

        attempt->gathered.input.accepts_not_longer = true;
        return known;
}

void attempt_pass_over_set(struct attempt *attempt) {
        struct renewal_observation *observation = &attempt->gathered.findings.observation;

        observation->set = SET_NONE;
        observation->expiry = observation->not_before = 0;
}

void attempt_pass_over_token(struct attempt *attempt) {
        attempt->gathered.findings.observation.has_token = false;
}

bool attempt_has_committed(const struct attempt *attempt) {
        return attempt->gathered.generation > 0;
}

char *attempt_take_warning(struct attempt *attempt) {
        return take_ptr(attempt->gathered.warning);
}

usec_t attempt_step_usec(const struct attempt *attempt) {
        return usec_sub(now_usec(CLOCK_MONOTONIC), attempt->begin);
}

usec_t attempt_key_cpu_usec(const struct attempt *attempt) {
        return attempt->gathered.key_cpu_usec;
}
