/* What an operator asks of a certificate: whether it can be done, and what begins then. */

#include "daemon/certificate/certificate-parts.h"

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
