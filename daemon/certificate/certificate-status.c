/* What a certificate says of itself. */

#include "daemon/certificate/certificate-parts.h"

#include "lib/report/doubt.h"
#include "lib/util/quote.h"

const char *certificate_name(const struct certificate *certificate) {
        return certificate->core.config->name;
}

const struct config_certificate *certificate_config(const struct certificate *certificate) {
        return certificate->next_config ? certificate->next_config : certificate->core.config;
}

struct config *certificate_config_owner(const struct certificate *certificate) {
        return certificate->next_config ? certificate->next_owner : certificate->core.owner;
}

const struct state *certificate_state(const struct certificate *certificate) {
        return &certificate->core.state_file->state;
}

bool certificate_is_retiring(const struct certificate *certificate) {
        return certificate->core.is_retired;
}

const struct issuers *certificate_issuers(const struct certificate *certificate) {
        return certificate->core.facts.issuers;
}

usec_t certificate_not_before(const struct certificate *certificate) {
        return certificate->core.facts.not_before;
}

void certificate_log_other_ca(struct certificate *certificate, const struct issuer *new,
                              const struct issuer *old, size_t n_old) {
        const struct core *core = &certificate->core;
        char new_hex[FINGERPRINT_HEX], old_hex[FINGERPRINT_HEX];

        reporter_log(
                &certificate->reporter, LOG_NOTICE, MESSAGE_OTHER_CA,
                "connector %s signs with another CA: '%s' (sha256 %s); %zu certificate%s of it %s "
                "still issued under '%s' (sha256 %.16s...); fix: rekeyctl renew --issuer %s --connector %s "
                "--within 6h",
                core->config->connector->name, quoted(new->subject),
                hex_format(new_hex, new->fingerprint, FINGERPRINT_SIZE), n_old, n_old == 1 ? "" : "s",
                n_old == 1 ? "is" : "are", quoted(old->subject),
                hex_format(old_hex, old->fingerprint, FINGERPRINT_SIZE), old_hex,
                core->config->connector->name);
}

bool certificate_is_usable(const struct certificate *certificate) {
        return facts_is_usable(&certificate->core.facts, certificate_state(certificate),
                               now_usec(CLOCK_REALTIME));
}

/* Why the set is replaced before its age makes it due; NULL: it is not. */
static const char *replacement_of(const struct core *core) {
        const struct replacement_rule rule = config_replacement_rule(core->config);
        const struct issuer *issuer;

        if (!facts_has_set(&core->facts))
                return NULL;
        return replacement_names[replacement_find(&rule, core->facts.issuers, core->facts.not_before,
                                                  &issuer)];
}

void certificate_get_status(const struct certificate *certificate, struct report_status *ret) {
        const struct core *core = &certificate->core;
        const struct facts *facts = &core->facts;
        const struct reporter *reporter = &certificate->reporter;
        const struct renewal *renewal = &certificate->renewer.renewal;
        const struct state *state = certificate_state(certificate);

        *ret = (struct report_status) {
                .name = core->config->name,
                .connector = core->config->connector->name,
                .directory = core->config->directory,
                .state = renewal->state,
                .step = renewal->step,
                .knowledge = facts->knowledge,
                .unreadable = facts_is_unreadable(facts) ? state->error : NULL,
                .is_usable = certificate_is_usable(certificate),
                .is_revoked = facts_is_revoked(facts, state),
                .is_revoking = facts_is_revocation_in_doubt(facts, state),
                .is_copied = state->is_copied,
                .generation = facts->generation,
                .fingerprint = facts->fingerprint,
                .not_before = facts->not_before,
                .not_after = facts->expiry,
                .renew_at = renewal->due_usec > 0 ? renewal->due_usec : USEC_INFINITY,
                .next_attempt = renewer_next_attempt(&certificate->renewer),
                .failures = renewal->failures,
                .failure = renewal->failure,
                .renewable.cause = renewal->failures > 0 ? state->cause : CAUSE_NONE,
                .subjects.last = state->subject,
                .subjects.refused = state_refused_subject(state),
                .subjects.accepted = state_accepted_subject(state),
                .last_error = state->error,
                .last_error_at = state->failed_usec,
                .last_result = reporter->last_result,
                .last_result_at = reporter->last_usec,
                .last_operation = operation_names[reporter->last_operation],
                .last_result_error = reporter->last_error,
                .files.token_problem = facts->token_problem,
                .files.rights_error = facts->rights_error,
                .files.n_exports_failed = certificate->publisher.notes.n_failed,
                .files.export_error = certificate->publisher.notes.error,
                .files.secrets = &certificate->publisher.notes.secrets,
                .notices.n_pending = (unsigned)state->n_pending,
                .notices.error = state_pending_error(state),
                .renewable.doubt = doubt_texts[facts->doubt],
                .renewable.answer = certificate->prober.last_answer,
                .renewable.probed_at = certificate->prober.probed_usec,
                .renewable.issuers = facts->issuers,
                .renewable.replacement = replacement_of(core),
                .budget_left = schedule_budget_left(state->issuances, state->n_issuances,
                                                    core->env->issuances_per_hour, now_usec(CLOCK_BOOTTIME)),
                .files.is_unwatched = waits_are_blind(&certificate->renewer.waits),
        };
        ret->renewable.key = key_ahead_state(&certificate->key_ahead, &ret->renewable.key_at);
        for (size_t i = 0; i < state->n_pending; i++)
                ret->notices.n_failed += state->pending[i].failures > 0 ? 1 : 0;
}

void certificate_say_made(struct certificate *certificate) {
        const char *message_id = take_ptr(certificate->operation.message_id);
        _cleanup_(freep) char *text = take_ptr(certificate->operation.text);

        if (message_id)
                reporter_log(&certificate->reporter, LOG_NOTICE, message_id, "%s",
                             text ? text : "out of memory");
}

void certificate_say_exported(struct certificate *certificate, const char *why) {
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

void certificate_say_copied(struct certificate *certificate) {
        struct state_file *state_file = certificate->core.state_file;

        if (!state_file->state.is_copy_news)
                return;
        reporter_log(&certificate->reporter, LOG_WARNING, MESSAGE_COPIED,
                     "the state was copied from another machine, which may use the same certificate; "
                     "`revoke_old` revokes nothing until this machine has renewed it; fix: rekeyctl renew %s",
                     certificate_name(certificate));
        state_file->state.is_copy_news = false;
        state_file_save(state_file);
}
