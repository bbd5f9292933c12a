/* What an operator asks of a certificate: whether it can be done, and how it begins and ends. */

#include "daemon/certificate/certificate-parts.h"

#include "lib/util/quote.h"

/* --- Operations --- */

void certificate_end_operation(struct certificate *certificate, enum renewer_request then) {
        struct renewer *renewer = &certificate->renewer;

        certificate->operation.rollback = rollback_free(certificate->operation.rollback);
        certificate->operation.adoption = adoption_free(certificate->operation.adoption);
        certificate->operation.kind = OPERATION_NONE;
        certificate->operation.is_running = false;
        if (then != RENEWER_NOTHING)
                renewer_request(renewer, then);
        else if (!certificate->core.is_retired)
                renewer_request(renewer, renewer->pending);
        certificate_dispatch(certificate);
}

static void on_rollback(int r, uint64_t generation, const char *error, void *userdata) {
        struct certificate *certificate = userdata;

        if (r < 0)
                reporter_log(&certificate->reporter, LOG_ERR, MESSAGE_OPERATION_FAILED, "not rolled back: %s",
                             error);
        else
                reporter_log(&certificate->reporter, LOG_NOTICE, MESSAGE_ROLLED_BACK,
                             "a copy of generation %" PRIu64 " is now current", generation);
        certificate_end_operation(certificate, r == 0 ? RENEWER_TRY : RENEWER_NOTHING);
}

static void start_rollback(struct certificate *certificate) {
        const struct core *core = &certificate->core;
        const uint64_t *generation =
                certificate->operation.is_named ? &certificate->operation.generation : NULL;

        if (rollback_new(core->env->services.disk_workers, core->config, &core->state_file->state, generation,
                         on_rollback, certificate, &certificate->operation.rollback) == 0)
                return;
        reporter_log(&certificate->reporter, LOG_ERR, MESSAGE_OPERATION_FAILED,
                     "not rolled back: out of memory");
        certificate_end_operation(certificate, RENEWER_NOTHING);
}

static void on_adoption(int r, uint64_t generation, const char *text, void *userdata) {
        struct certificate *certificate = userdata;
        struct reporter *reporter = &certificate->reporter;

        if (r < 0)
                reporter_log(reporter, LOG_ERR, MESSAGE_OPERATION_FAILED,
                             "not adopted, and nothing was changed: %s", text);
        else
                reporter_log(reporter, LOG_NOTICE, MESSAGE_ADOPTED,
                             "adopted the given key and certificate as generation %" PRIu64
                             ", which %s accepts",
                             generation, text);
        certificate_end_operation(certificate, r == 0 ? RENEWER_TRY : RENEWER_NOTHING);
}

static void start_adoption(struct certificate *certificate) {
        const struct core *core = &certificate->core;

        adoption_start(certificate->operation.adoption, core->env, core->owner, core->config,
                       &core->state_file->state, on_adoption, certificate);
}

static void start_notification(struct certificate *certificate) {
        if (publisher_notify_again(&certificate->publisher) < 0)
                reporter_log(&certificate->reporter, LOG_ERR, MESSAGE_OPERATION_FAILED,
                             "no dependent is notified: out of memory");
        else
                reporter_log(&certificate->reporter, LOG_INFO, MESSAGE_NOTIFYING,
                             "notifying all dependents of generation %" PRIu64 " again",
                             certificate->core.facts.generation);
        publisher_start(&certificate->publisher);
        certificate_end_operation(certificate, RENEWER_NOTHING);
}

static void start_revocation(struct certificate *certificate) {
        revoker_revoke_current(&certificate->revoker);
}

/* The inspection that was under way knew nothing of the token. */
static void start_enrolment(struct certificate *certificate) {
        reporter_begin(&certificate->reporter);
        certificate_end_operation(certificate, RENEWER_TRY);
}

/* Whoever has heard of it finds it so after a restart. What could not be saved is in the log. */
static void on_accepted(_unused_ int r, _unused_ const char *error, void *userdata) {
        struct certificate *certificate = userdata;

        reporter_log(&certificate->reporter, LOG_NOTICE, MESSAGE_ACCEPTED,
                     "the subject '%s' is accepted; the next attempt requests it",
                     quoted(state_accepted_subject(certificate_state(certificate))));
        certificate_end_operation(certificate, RENEWER_TRY);
}

static void start_acceptance(struct certificate *certificate) {
        struct state_file *state_file = certificate->core.state_file;

        /* An attempt that was under way when it was asked may have settled it. */
        if (!state_refused_subject(&state_file->state)) {
                reporter_log(&certificate->reporter, LOG_WARNING, MESSAGE_OPERATION_FAILED,
                             "nothing accepted: the subject is the usual one again");
                certificate_end_operation(certificate, RENEWER_NOTHING);
                return;
        }
        state_file->state.is_accepted = true;
        state_file_save_then(state_file, on_accepted, certificate);
}

static void start_probe(struct certificate *certificate) {
        prober_ask(&certificate->prober);
}

/* Every inspection brings the exports up to date; this one is reported. */
static void start_export(struct certificate *certificate) {
        publisher_stop_waiting(&certificate->publisher);
        certificate->is_exporting = true;
        certificate_end_operation(certificate, RENEWER_REFRESH);
}

void certificate_end_export(struct certificate *certificate, const char *why) {
        const unsigned n = (unsigned)certificate->core.config->n_exports;
        const unsigned n_failed = certificate->publisher.notes.n_failed;

        if (!certificate->is_exporting)
                return;
        certificate->is_exporting = false;
        if (why || n_failed > 0)
                reporter_log(&certificate->reporter, LOG_ERR, MESSAGE_OPERATION_FAILED,
                             "%u of %u exports could not be written%s%s; see: rekeyctl show %s",
                             why ? n : n_failed, n, why ? ": " : "", why ? why : "",
                             certificate_name(certificate));
        else
                reporter_log(&certificate->reporter, LOG_INFO, MESSAGE_EXPORTED, "%u export%s %s current", n,
                             n == 1 ? "" : "s", n == 1 ? "is" : "are");
}

static void (*const starts[OPERATION_MAX])(struct certificate *certificate) = {
        [OPERATION_ENROL] = start_enrolment,   [OPERATION_REVOKE] = start_revocation,
        [OPERATION_ROLLBACK] = start_rollback, [OPERATION_NOTIFY] = start_notification,
        [OPERATION_ACCEPT] = start_acceptance, [OPERATION_PROBE] = start_probe,
        [OPERATION_ADOPT] = start_adoption,    [OPERATION_EXPORT] = start_export,
};

void certificate_start_operation(struct certificate *certificate) {
        if (certificate->core.is_retired) {
                renewer_forget_token(&certificate->renewer);
                reporter_log(&certificate->reporter, LOG_WARNING, MESSAGE_OPERATION_FAILED,
                             "request dropped: certificate was removed from the configuration");
                certificate_end_operation(certificate, RENEWER_NOTHING);
                return;
        }
        certificate->operation.is_running = true;
        starts[certificate->operation.kind](certificate);
}

/* --- What an operator asks for --- */

static int check_request(const struct certificate *certificate, enum operation operation,
                         const struct operation_arguments *arguments, usec_t *ret_wait_usec,
                         struct error *error) {
        const struct core *core = &certificate->core;
        const struct renewer *renewer = &certificate->renewer;
        const struct state *state = certificate_state(certificate);
        const struct request_facts facts = {
                .name = core->config->name,
                .directory = core->config->directory,
                .look = arguments->look,
                .under_way = certificate->reporter.operation,
                .force = arguments->force,
                .attempt.is_under_way = renewer_is_attempting(renewer) || renewer_is_queued(renewer),
                .attempt.is_waiting = renewer_is_queued(renewer),
                .attempt.by_token = renewer->renewal.by_token,
                .is_retired = core->is_retired,
                .may_have_set = core->facts.knowledge != SET_NONE,
                .has_set = facts_remember_set(&core->facts),
                .unreadable = !facts_is_unreadable(&core->facts) ? NULL
                              : state->error                     ? state->error
                                                                 : "out of memory",
                .is_usable = certificate_is_usable(certificate),
                .is_rejected = renewer_is_rejected(renewer),
                .is_revoked = facts_is_revoked(&core->facts, state),
                .is_in_doubt = facts_is_revocation_in_doubt(&core->facts, state),
                .is_token_offered = renewer->renewal.token_offered,
                .is_revoking = revoker_is_busy(&certificate->revoker),
                .has_dependents = publisher_has_dependents(&certificate->publisher),
                .has_exports = core->config->n_exports > 0,
                .has_refused_subject = state_refused_subject(state),
                .connector = core->config->connector->name,
                .expiry = core->facts.expiry,
                .budget_wait = arguments->within_usec > 0
                                       ? 0
                                       : facts_budget_wait(state, core->env->issuances_per_hour,
                                                           now_usec(CLOCK_BOOTTIME)),
                .budget = core->env->issuances_per_hour,
        };
        int r;

        r = request_check(operation, &facts, error);
        if (r == -EDQUOT)
                *ret_wait_usec = facts.budget_wait;
        return r;
}

/* It is due then, and ends as any other renewal does: nobody waits for it. */
static void plan_renewal(struct certificate *certificate, usec_t within_usec, const char *peer) {
        const usec_t when = renewer_plan(&certificate->renewer, within_usec);
        char span[TIMESPAN_MAX], then[TIMESTAMP_MAX];

        reporter_log(&certificate->reporter, LOG_NOTICE, MESSAGE_ASKED,
                     "renew within %s requested by %s: due at %s", format_timespan(span, within_usec), peer,
                     format_timestamp(then, when));
}

static int take_token(struct certificate *certificate, const struct operation_arguments *arguments,
                      struct error *error) {
        const struct config_connector *connector = certificate->core.config->connector;
        struct renewer *renewer = &certificate->renewer;
        char *token;
        int r;

        r = protocol_take_token(connector->protocol, arguments->token, strlen(arguments->token),
                                connector->enrol_url, &token, error);
        if (r == -ENOMEM)
                return error_set(error, r, "out of memory");
        if (r == -ENODATA)
                return error_set(error, -EINVAL, "there is no one-time token in it");
        if (r < 0)
                return error_prefix(error, "this is no one-time token that can be used");
        /* What is rejected has nothing left to lose. */
        renewer_offer_token(renewer, token, arguments->force || renewer_is_rejected(renewer),
                            arguments->force);
        return 0;
}

int certificate_operate(struct certificate *certificate, enum operation operation,
                        const struct operation_arguments *arguments, const char *peer, usec_t *ret_wait_usec,
                        struct error *error) {
        int r;

        r = check_request(certificate, operation, arguments, ret_wait_usec, error);
        if (r == 0 && operation == OPERATION_ENROL)
                r = take_token(certificate, arguments, error);
        if (r == 0 && operation == OPERATION_ADOPT)
                r = adoption_new(&arguments->handed, &certificate->operation.adoption, error);
        if (r < 0)
                return r;
        if (operation == OPERATION_RENEW && arguments->within_usec > 0) {
                plan_renewal(certificate, arguments->within_usec, peer);
                return 0;
        }
        reporter_accept(&certificate->reporter, operation, peer);
        if (operation == OPERATION_RENEW) {
                reporter_begin(&certificate->reporter);
                renewer_force(&certificate->renewer, arguments->force);
                return 0;
        }
        certificate->operation.kind = operation;
        certificate->operation.is_named = arguments->has_generation;
        certificate->operation.generation = arguments->generation;
        certificate_dispatch(certificate);
        return 0;
}

void certificate_log_refused(struct certificate *certificate, enum operation operation, const char *peer,
                             const char *why) {
        reporter_refuse(&certificate->reporter, operation, peer, why);
}
