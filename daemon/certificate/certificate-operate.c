/*
 * What an operator asks for. A renewal or an enrolment is only permitted here: it begins with a look, as all
 * attempts do, and the machine in lib/life/renewal.c says what it leads to. Everything else is an operation:
 * it waits for the end of a look that is under way, and no attempt begins before it is over.
 */

#include "daemon/certificate/attempt.h"
#include "daemon/certificate/certificate-private.h"
#include "daemon/observe/events.h"
#include "lib/report/inspect.h"

struct operation {
        struct job job;
        struct certificate *certificate;
        void (*start)(struct operation *operation); /* called once no look is under way */
        bool is_started;
        bool is_named;        /* the generation of a rollback is; else it is the newest that will do */
        uint64_t generation;  /* of a rollback; 0 is that of an adopted set */
        struct state revoked; /* of a rollback: what must not come back */
        int result;
        struct error error;
};

struct operation *operation_free(struct operation *operation) {
        if (!operation)
                return NULL;
        error_clear(&operation->error);
        state_clear(&operation->revoked);
        free(operation);
        return NULL;
}

void certificate_start_operation(struct certificate *certificate) {
        struct operation *operation = certificate->job;

        if (!operation || operation->is_started || certificate->attempt)
                return;
        if (certificate->is_retired) {
                certificate->job = operation_free(operation);
                certificate_forget_token(certificate);
                certificate_log(certificate, LOG_WARNING, MESSAGE_OPERATION_FAILED,
                                "nothing was done: it was taken out of the configuration");
                return;
        }
        operation->is_started = true;
        operation->start(operation);
}

/* An operation is over: the files may be others. */
void certificate_end_operation(struct certificate *certificate) {
        certificate->job = operation_free(certificate->job);
        certificate->inspect_again = false;
        certificate_wake(certificate);
        certificate_settle(certificate);
}

/* An operation that has changed no files is over. */
static void end_without_change(struct certificate *certificate) {
        certificate->job = operation_free(certificate->job);
        if (certificate->inspect_again)
                certificate_inspect(certificate);
        certificate_settle(certificate);
}

/* Who has asked is on record before anything comes of it. */
static void note_accepted(struct certificate *certificate, const char *name, const char *peer) {
        certificate->operation = name;
        certificate_log(certificate, LOG_NOTICE, MESSAGE_ASKED, "%s was asked for by %s", name, peer);
}

void certificate_log_refused(struct certificate *certificate, const char *name, const char *peer,
                             const char *why) {
        certificate_log(certificate, LOG_NOTICE, MESSAGE_REFUSED, "%s was asked for by %s, and refused: %s",
                        name, peer, why);
}

static int begin(struct certificate *certificate, const char *name, const char *peer,
                 void (*start)(struct operation *operation), const uint64_t *generation,
                 struct error *error) {
        struct operation *operation = calloc(1, sizeof(*operation));

        if (!operation)
                return error_set(error, -ENOMEM, "out of memory");
        operation->certificate = certificate;
        operation->start = start;
        operation->is_named = generation;
        operation->generation = generation ? *generation : 0;
        note_accepted(certificate, name, peer);
        certificate->job = operation;
        certificate_start_operation(certificate);
        return 0;
}

void certificate_forget_token(struct certificate *certificate) {
        free_secret(take_ptr(certificate->offered_token));
}

bool certificate_asks_attempt(const struct certificate *certificate) {
        /* An enrolment waits as a job for the end of a look that knows nothing of it. */
        return certificate->operation && !certificate->job &&
               (streq(certificate->operation, "renew") || streq(certificate->operation, "enrol"));
}

void certificate_give_up_attempt(struct certificate *certificate, const char *why) {
        certificate->renewal.forced = certificate->accepts_not_longer = false;
        certificate_forget_token(certificate);
        certificate_log(certificate, LOG_WARNING, MESSAGE_OPERATION_FAILED,
                        "%s was asked for, and nothing was done: it is %s", certificate->operation, why);
}

/* An attempt goes beyond its look. */
static bool is_under_way(const struct certificate *certificate) {
        return certificate->renewal.step > STEP_INSPECT;
}

static int check_unasked(const struct certificate *certificate, struct error *error) {
        if (certificate->is_retired)
                return error_set(error, -EPERM, "%s was taken out of the configuration",
                                 certificate->config->name);
        if (certificate->operation)
                return error_set(error, -EBUSY, "a `%s` of %s is under way; wait until it is over",
                                 certificate->operation, certificate->config->name);
        return 0;
}

static int check_idle(const struct certificate *certificate, struct error *error) {
        if (is_under_way(certificate) || certificate->slot_waiter.is_waiting)
                return error_set(error, -EBUSY, "an attempt to %s %s is under way; wait until it is over",
                                 certificate->renewal.by_token ? "enrol" : "renew",
                                 certificate->config->name);
        return check_unasked(certificate, error);
}

/* The budget holds for operators as well: it is the Connector's protection, and theirs. */
static int check_budget(const struct certificate *certificate, usec_t *ret_wait_usec, struct error *error) {
        usec_t wait = certificate_budget_wait(certificate);
        char span[TIMESPAN_MAX];

        if (wait == 0)
                return 0;
        if (ret_wait_usec)
                *ret_wait_usec = wait;
        return error_set(error, -EDQUOT,
                         "%s has asked for %u signatures within the last hour, which is all that "
                         "`limits.issuances_per_hour` allows; the next one may be in %s",
                         certificate->config->name, certificate->context->issuances_per_hour,
                         format_timespan(span, wait));
}

int certificate_ask_renewal(struct certificate *certificate, const char *peer, bool force,
                            usec_t *ret_wait_usec, struct error *error) {
        const char *name = certificate->config->name;
        int r;

        r = check_unasked(certificate, error);
        if (r < 0)
                return r;
        if (is_under_way(certificate)) {
                certificate->accepts_not_longer = force;
                note_accepted(certificate, "renew", peer);
                return 0;
        }
        if (certificate_is_revoked(certificate))
                return error_set(error, -EPERM,
                                 "%s is revoked: it has to be enrolled anew, with a one-time token", name);
        if (certificate->has_inspected && !certificate->fingerprint[0] && !certificate->renewal.token_offered)
                return error_set(error, -EPERM,
                                 "%s has no certificate that could be renewed: it has to be enrolled first, "
                                 "with a one-time token",
                                 name);
        r = check_budget(certificate, ret_wait_usec, error);
        if (r < 0)
                return r;

        note_accepted(certificate, "renew", peer);
        certificate->renewal.forced = true;
        certificate->accepts_not_longer = force;
        certificate->refresh_only = false; /* also of a look that is under way, which may go on to be it */
        certificate_wake(certificate);
        return 0;
}

/* --- Enrolment --- */

/* The look that was under way did not know of the token. */
static void start_enrolment(struct operation *operation) {
        struct certificate *certificate = operation->certificate;

        certificate->job = operation_free(operation);
        certificate->inspect_again = false;
        certificate_wake(certificate);
}

/* All that makes rekeyctl say to get a token; after a restart only the class of the failure is left of it. */
static bool is_rejected(const struct certificate *certificate) {
        const struct renewal *renewal = &certificate->renewal;

        return renewal->rejected || renewal->state == RENEWAL_WAITING_FOR_TOKEN ||
               renewal->failure == FAILURE_REJECTED;
}

int certificate_ask_enrolment(struct certificate *certificate, const char *peer, const char *token,
                              bool force, usec_t *ret_wait_usec, struct error *error) {
        const struct config_certificate *config = certificate->config;
        char *copy, until[TIMESTAMP_MAX];
        int r;

        r = check_idle(certificate, error);
        if (r < 0)
                return r;
        if (!config->connector->enrol_url)
                return error_set(error, -EPERM, "%s cannot be enrolled: connector %s has no `enrol_url`",
                                 config->name, config->connector->name);
        if (certificate_is_usable(certificate) && !is_rejected(certificate) && !force)
                return error_set(
                        error, -EPERM,
                        "%s has a certificate that can be used until %s; renew it, or force the enrolment",
                        config->name, format_timestamp(until, certificate->expiry));
        r = check_budget(certificate, ret_wait_usec, error);
        if (r < 0)
                return r;
        copy = strdup(token);
        if (!copy)
                return error_set(error, -ENOMEM, "out of memory");
        if (!attempt_trim_token(copy)) {
                free_secret(copy);
                return error_set(error, -EINVAL,
                                 "this is not a one-time token: it must be one line without blanks");
        }

        certificate_forget_token(certificate);
        certificate->offered_token = copy;
        /* What is rejected has nothing left that could be lost. */
        certificate->accepts_not_longer = force || is_rejected(certificate);
        return begin(certificate, "enrol", peer, start_enrolment, NULL, error);
}

/* --- Notification --- */

static void start_notification(struct operation *operation) {
        struct certificate *certificate = operation->certificate;

        if (notifications_schedule_again(certificate->notifications) < 0)
                certificate_log(certificate, LOG_ERR, MESSAGE_OPERATION_FAILED,
                                "nobody is told: out of memory");
        else
                certificate_log(certificate, LOG_INFO, MESSAGE_NOTIFYING,
                                "telling all dependents of generation %" PRIu64 " again",
                                certificate->generation);
        state_file_save(certificate->state_file);
        notifications_start(certificate->notifications);
        end_without_change(certificate);
}

int certificate_ask_notification(struct certificate *certificate, const char *peer, struct error *error) {
        int r;

        r = check_idle(certificate, error);
        if (r < 0)
                return r;
        if (!certificate->notifications)
                return error_set(error, -EPERM,
                                 "%s has no dependents: there is no `notify` in its configuration",
                                 certificate->config->name);
        if (!certificate->fingerprint[0])
                return error_set(error, -EPERM, "%s has no certificate that somebody could be told of",
                                 certificate->config->name);
        return begin(certificate, "notify", peer, start_notification, NULL, error);
}

/* --- Rollback --- */

static bool was_revoked(const struct operation *operation, const struct inspected_generation *generation) {
        return state_has_revoked(&operation->revoked, generation->fingerprint);
}

static bool will_do(const struct operation *operation, const struct inspected_generation *generation,
                    usec_t now) {
        return !generation->is_current && generation->problem.code == 0 && generation->not_after > now &&
               !was_revoked(operation, generation);
}

/* The generation asked for must not be a revoked one; where none is, the newest that will do. */
static int choose_generation(struct operation *operation, usec_t now) {
        const char *directory = operation->certificate->config->directory;
        _cleanup_(inspection_clear) struct inspection inspection = { 0 };
        const struct inspected_generation *chosen = NULL;
        int r;

        r = inspect_directory(directory, &inspection);
        if (r < 0)
                return error_set(&operation->error, r, "out of memory");
        for (size_t i = 0; i < inspection.n_generations && !chosen; i++) {
                const struct inspected_generation *generation = &inspection.generations[i];

                if (operation->is_named ? generation->number == operation->generation
                                        : will_do(operation, generation, now))
                        chosen = generation;
        }
        if (!chosen && operation->is_named)
                return error_set(&operation->error, -ENOENT, "there is no generation %" PRIu64 " in %s",
                                 operation->generation, directory);
        if (!chosen)
                return error_set(&operation->error, -ENOENT,
                                 "there is no other generation in %s that is still valid and was not revoked",
                                 directory);
        if (was_revoked(operation, chosen))
                return error_set(&operation->error, -EPERM, "generation %" PRIu64 " was revoked",
                                 chosen->number);
        operation->generation = chosen->number;
        return 0;
}

static void run_rollback(struct job *job) {
        struct operation *operation = container_of(job, struct operation, job);
        const struct config_certificate *config = operation->certificate->config;
        const struct store_options options = attempt_store_options(config);
        _cleanup_(store_closep) struct store *store = NULL;
        usec_t now = now_usec(CLOCK_REALTIME);
        int r;

        r = choose_generation(operation, now);
        if (r == 0)
                r = store_open(config->directory, &options, &store, &operation->error);
        if (r == 0)
                r = store_rollback(store, operation->generation, now, &operation->error);
        operation->result = r;
}

static void on_rollback(struct job *job) {
        struct operation *operation = container_of(job, struct operation, job);
        struct certificate *certificate = operation->certificate;

        if (operation->result < 0) {
                certificate_log(certificate, LOG_ERR, MESSAGE_OPERATION_FAILED, "not rolled back: %s",
                                error_text(&operation->error));
                end_without_change(certificate);
                return;
        }
        certificate_log(certificate, LOG_NOTICE, MESSAGE_ROLLED_BACK,
                        "a copy of generation %" PRIu64 " is current now", operation->generation);
        certificate_end_operation(certificate);
}

static void start_rollback(struct operation *operation) {
        struct certificate *certificate = operation->certificate;
        const struct state *state = &certificate->state_file->state;

        for (size_t i = 0; i < state->n_revoked; i++)
                if (state_add_revoked(&operation->revoked, state->revoked[i]) < 0) {
                        certificate_log(certificate, LOG_ERR, MESSAGE_OPERATION_FAILED,
                                        "not rolled back: out of memory");
                        end_without_change(certificate);
                        return;
                }
        operation->job = (struct job) { .run = run_rollback, .done = on_rollback };
        workers_submit(certificate->context->disk_workers, &operation->job);
}

int certificate_ask_rollback(struct certificate *certificate, const char *peer, const uint64_t *generation,
                             struct error *error) {
        int r;

        r = check_idle(certificate, error);
        if (r < 0)
                return r;
        if (!certificate->fingerprint[0])
                return error_set(error, -EPERM, "%s has no certificate yet", certificate->config->name);
        if (certificate->revocation) /* maybe of the very set that is to come back */
                return error_set(error, -EBUSY,
                                 "an older generation of %s is being revoked; try again in a moment",
                                 certificate->config->name);
        return begin(certificate, "rollback", peer, start_rollback, generation, error);
}

/* --- Revocation --- */

static void start_revocation(struct operation *operation) {
        certificate_revoke(operation->certificate);
}

int certificate_ask_revocation(struct certificate *certificate, const char *peer, struct error *error) {
        int r;

        r = check_idle(certificate, error);
        if (r < 0)
                return r;
        if (!certificate->fingerprint[0])
                return error_set(error, -EPERM, "%s has no certificate that could be revoked",
                                 certificate->config->name);
        if (certificate_is_revoked(certificate) && !certificate_is_revocation_in_doubt(certificate))
                return error_set(error, -EPERM, "%s is revoked already; enrol it anew with a one-time token",
                                 certificate->config->name);
        if (certificate->revocation)
                return error_set(error, -EBUSY, "a generation of %s is being revoked; try again in a moment",
                                 certificate->config->name);
        return begin(certificate, "revoke", peer, start_revocation, NULL, error);
}
