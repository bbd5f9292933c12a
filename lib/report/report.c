/*
 * JSON about certificates. One place builds it, so that the control API and rekeyctl without a daemon agree.
 * Everything comes from structs that hold no secret; what is not known or not planned is null, and no member
 * is ever left out.
 */

#include "lib/report/report.h"

#include "lib/config/urls.h"
#include "lib/report/doubt.h"
#include "lib/util/json.h"

/* The notAfter of what never expires (RFC 5280 section 4.1.2.5). */
#define NO_EXPIRY "9999-12-31T23:59:59Z"

/* Takes VALUE, which may be NULL for want of memory. 0 or -1. */
static int put(json_t *object, const char *name, json_t *value) {
        return json_object_set_new(object, name, value);
}

/* TEXT, or null for NULL and "". */
static json_t *text(const char *text) {
        return strempty(text) ? json_null() : json_text(text);
}

/* The same for a text that is owned, and NULL only for want of memory. */
static json_t *owned(char *string) {
        json_t *value = string ? text(string) : NULL;

        free(string);
        return value;
}

/* JSON's integers have a sign; the name of a directory may hold more. */
static json_t *number(uint64_t value) {
        return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *instant(usec_t when) {
        char buffer[TIMESTAMP_MAX];

        return when == 0 || when == USEC_INFINITY ? json_null() : json_string(format_timestamp(buffer, when));
}

static json_t *expiry(usec_t when) {
        return when == USEC_INFINITY ? json_string(NO_EXPIRY) : instant(when);
}

static json_t *hex(const uint8_t *bytes, size_t size) {
        char buffer[2 * 64 + 1];

        assert(size <= 64);
        return json_string(hex_format(buffer, bytes, size));
}

static json_t *problem(const struct error *error) {
        return error->code < 0 ? text(error_text(error)) : json_null();
}

/* The fingerprints of the CA certificates, from the leaf's own upwards; null where they are not known. */
static json_t *fingerprints(const struct issuers *issuers) {
        json_t *list = issuers ? json_array() : json_null();

        for (size_t i = 0; issuers && i < issuers->n; i++)
                if (json_array_append_new(list, hex(issuers->items[i].fingerprint, FINGERPRINT_SIZE)) < 0) {
                        json_decref(list);
                        return NULL;
                }
        return list;
}

static const char *issuer_name(const struct issuers *issuers) {
        return issuers ? issuers->items[0].subject : NULL;
}

/* The CA by whose end the set ends; NULL: the leaf's own end comes first, or that is not known. */
static const char *first_to_expire(const struct issuers *issuers, usec_t expiry) {
        for (size_t i = 0; issuers && i < issuers->n; i++)
                if (issuers->items[i].not_after == expiry && expiry != USEC_INFINITY)
                        return issuers->items[i].subject;
        return NULL;
}

/* OBJECT, unless R says that something did not fit into memory. */
static json_t *finish(json_t *object, int r) {
        if (r == 0)
                return object;
        json_decref(object);
        return NULL;
}

/* --- Status --- */

/* It was inspected, with a result. */
static bool is_seen(const struct report_status *status) {
        return status->knowledge == SET_NONE || status->knowledge == SET_KNOWN;
}

static const char *unreadable(const struct report_status *status) {
        if (status->knowledge != SET_UNREADABLE)
                return NULL;
        return status->unreadable ? status->unreadable : "out of memory";
}

/* NULL: JSON has null. */
static const char *const key_names[REPORT_KEY_MAX] = {
        [REPORT_KEY_NONE] = NULL,
        [REPORT_KEY_PLANNED] = "planned",
        [REPORT_KEY_GENERATING] = "generating",
        [REPORT_KEY_READY] = "ready",
};

json_t *report_status(const struct report_status *status) {
        json_t *o = json_object();
        bool has_set = !strempty(status->fingerprint);
        int r = 0;

        r |= put(o, "name", text(status->name));
        r |= put(o, "connector", text(status->connector));
        r |= put(o, "directory", text(status->directory));
        r |= put(o, "state", text(renewal_state_names[status->state]));
        r |= put(o, "step", text(status->step == STEP_NONE ? NULL : renewal_step_names[status->step]));
        r |= put(o, "knowledge", text(knowledge_names[status->knowledge]));
        r |= put(o, "unreadable", text(unreadable(status)));
        r |= put(o, "usable", is_seen(status) ? json_boolean(status->is_usable) : json_null());
        r |= put(o, "revoked", json_boolean(status->is_revoked));
        r |= put(o, "revoking", json_boolean(status->is_revoking));
        r |= put(o, "copied", json_boolean(status->is_copied));
        r |= put(o, "generation", has_set ? number(status->generation) : json_null());
        r |= put(o, "fingerprint", text(status->fingerprint));
        r |= put(o, "issuers", fingerprints(status->renewable.issuers));
        r |= put(o, "issuer", text(issuer_name(status->renewable.issuers)));
        r |= put(o, "not_before", instant(status->not_before));
        r |= put(o, "not_after", expiry(status->not_after));
        r |= put(o, "expires_first", text(first_to_expire(status->renewable.issuers, status->not_after)));
        r |= put(o, "renew_at", instant(status->renew_at));
        r |= put(o, "key_ahead", text(key_names[status->renewable.key]));
        r |= put(o, "key_ahead_at",
                 instant(status->renewable.key == REPORT_KEY_PLANNED ? status->renewable.key_at : 0));
        r |= put(o, "replacement", text(status->renewable.replacement));
        r |= put(o, "next_attempt", instant(status->next_attempt));
        r |= put(o, "failures", number(status->failures));
        r |= put(o, "failure", text(status->failure == FAILURE_NONE ? NULL : failure_names[status->failure]));
        r |= put(o, "cause",
                 text(status->renewable.cause == CAUSE_NONE ? NULL : cause_names[status->renewable.cause]));
        r |= put(o, "subject", text(status->subjects.last));
        r |= put(o, "refused_subject", text(status->subjects.refused));
        r |= put(o, "accepted_subject", text(status->subjects.accepted));
        r |= put(o, "last_error", text(status->last_error));
        r |= put(o, "last_error_at", instant(status->last_error ? status->last_error_at : 0));
        r |= put(o, "last_result", text(status->last_result));
        r |= put(o, "last_result_at", instant(status->last_result ? status->last_result_at : 0));
        r |= put(o, "last_result_error", text(status->last_result_error));
        r |= put(o, "last_operation", text(status->last_operation));
        r |= put(o, "token_problem", text(status->files.token_problem));
        r |= put(o, "rights_error", text(status->files.rights_error));
        r |= put(o, "exports_failed", number(status->files.n_exports_failed));
        r |= put(o, "export_error", text(status->files.export_error));
        r |= put(o, "notifications_pending", number(status->notices.n_pending));
        r |= put(o, "notifications_failed", number(status->notices.n_failed));
        r |= put(o, "notification_error", text(status->notices.error));
        r |= put(o, "budget_left", number(status->budget_left));
        r |= put(o, "unwatched", json_boolean(status->files.is_unwatched));
        r |= put(o, "doubt", text(status->renewable.doubt));
        r |= put(o, "probe", text(probe_answer_names[status->renewable.answer]));
        r |= put(o, "probed_at",
                 instant(status->renewable.answer == PROBE_NONE ? 0 : status->renewable.probed_at));
        return finish(o, r);
}

/* --- Details --- */

static json_t *certificate(const struct cert *cert) {
        uint8_t fingerprint[FINGERPRINT_SIZE], spki[SPKI_HASH_SIZE];
        json_t *o = json_object();
        int r = 0;

        cert_fingerprint(cert, fingerprint);
        cert_spki(cert, spki);
        r |= put(o, "subject", owned(cert_subject_text(cert)));
        r |= put(o, "issuer", owned(cert_issuer_text(cert)));
        r |= put(o, "not_before", instant(cert_not_before(cert)));
        r |= put(o, "not_after", expiry(cert_not_after(cert)));
        r |= put(o, "fingerprint", hex(fingerprint, sizeof(fingerprint)));
        r |= put(o, "spki", hex(spki, sizeof(spki)));
        return finish(o, r);
}

static json_t *certificates(const struct cert_list *certs) {
        json_t *list = json_array();
        int r = 0;

        for (size_t i = 0; i < certs->n; i++)
                r |= json_array_append_new(list, certificate(certs->items[i]));
        return finish(list, r);
}

static json_t *set(const struct config_certificate *config, const struct inspection *inspection) {
        const struct protocol *protocol = protocol_get(config->connector->protocol);
        const struct set *set = &inspection->set;
        json_t *o;
        int r = 0;

        if (!inspection->has_set)
                return json_null();
        o = json_object();
        r |= put(o, "subject", owned(cert_subject_text(set->leaf)));
        r |= put(o, "issuer", owned(cert_issuer_text(set->leaf)));
        r |= put(o, "serial", owned(cert_serial_text(set->leaf)));
        r |= put(o, "key", text(inspection->key));
        r |= put(o, "spki", hex(set->spki, sizeof(set->spki)));
        r |= put(o, "chain", certificates(&inspection->chain));
        r |= put(o, "ca", certificates(&inspection->ca));
        r |= put(o, "director_url", text(inspection->connection.director_url));
        r |= put(o, "connector_url", text(protocol_endpoint(protocol, &inspection->connection)));
        return finish(o, r);
}

static json_t *generations(const struct inspection *inspection) {
        json_t *list = json_array();
        int r = 0;

        for (size_t i = 0; i < inspection->n_generations; i++) {
                const struct inspected_generation *generation = &inspection->generations[i];
                json_t *o = json_object();

                r |= put(o, "number", number(generation->number));
                r |= put(o, "current", json_boolean(generation->is_current));
                r |= put(o, "fingerprint", text(generation->fingerprint));
                r |= put(o, "not_before", instant(generation->not_before));
                r |= put(o, "not_after", expiry(generation->not_after));
                r |= put(o, "error", problem(&generation->problem));
                r |= json_array_append_new(list, o);
        }
        return finish(list, r);
}

static json_t *staged(const struct inspection *inspection) {
        json_t *o = json_object();
        int r = 0;

        r |= put(o, "key", json_boolean(inspection->staged.key));
        r |= put(o, "csr", json_boolean(inspection->staged.csr));
        r |= put(o, "token", json_boolean(inspection->staged.token));
        r |= put(o, "certificate", json_boolean(inspection->staged.certificate));
        return finish(o, r);
}

static int put_target(json_t *o, const struct export *export) {
        if (export->secret)
                return put(o, "secret", text(export->secret)) |
                       put(o, "layout", text(export_layout_names[export->layout]));
        return put(o, "path", text(export->path)) |
               put(o, "format", text(export_format_names[export->format]));
}

static int put_secret(json_t *o, const struct report_export *seen) {
        static const struct report_export unseen;
        int r = 0;

        if (!seen)
                seen = &unseen;
        r |= put(o, "current", seen->is_known ? json_boolean(seen->is_current) : json_null());
        r |= put(o, "error", text(seen->error));
        r |= put(o, "generation", seen->is_current ? number(seen->generation) : json_null());
        r |= put(o, "written_at", instant(seen->written_at));
        r |= put(o, "next_attempt", instant(seen->next_attempt));
        return r;
}

static json_t *exports(const struct report_status *status, const struct config_certificate *config,
                       const struct inspection *inspection) {
        json_t *list = json_array();
        int r = 0;

        for (size_t i = 0; i < config->n_exports; i++) {
                static const struct inspected_export unseen;
                const struct inspected_export *seen =
                        i < inspection->n_exports ? &inspection->exports[i] : &unseen;
                json_t *o = json_object();

                r |= put_target(o, &config->exports[i]);
                if (config->exports[i].secret) {
                        r |= put_secret(o, report_exports_find(status->files.secrets, &config->exports[i]));
                } else {
                        r |= put(o, "current", seen->is_known ? json_boolean(seen->is_current) : json_null());
                        r |= put(o, "error", problem(&seen->problem));
                }
                r |= json_array_append_new(list, o);
        }
        return finish(list, r);
}

static const struct state_pending *pending_of(const struct state *state,
                                              const struct config_certificate *config, size_t i) {
        char key[CONFIG_NOTIFY_KEY];

        return state_find_pending(state, config_notify_key(config, i, key));
}

static json_t *notifications(const struct config_certificate *config, const struct state *state) {
        json_t *list = json_array();
        int r = 0;

        for (size_t i = 0; i < config->n_notify; i++) {
                const struct state_pending *pending = pending_of(state, config, i);
                json_t *o = json_object();

                r |= put(o, "dependent", owned(config_notify_text(&config->notify[i])));
                r |= put(o, "pending", pending ? number(pending->generation) : json_null());
                r |= put(o, "failures", number(pending ? pending->failures : 0));
                r |= put(o, "next_attempt", instant(pending ? pending->next_attempt_usec : 0));
                r |= put(o, "error", text(pending ? pending->error : NULL));
                r |= json_array_append_new(list, o);
        }
        return finish(list, r);
}

/* Null where nothing is known to expire. */
static json_t *attempts_before_expiry(const struct report_status *status,
                                      const struct config_certificate *config, usec_t now) {
        const struct schedule_policy policy = config_schedule_policy(config);
        usec_t first = now;

        if (strempty(status->fingerprint) || status->not_after == 0 || status->not_after == USEC_INFINITY)
                return json_null();
        if (status->next_attempt != USEC_INFINITY && status->next_attempt > now)
                first = status->next_attempt;
        else if (status->failures == 0 && status->renew_at != USEC_INFINITY && status->renew_at > now)
                first = status->renew_at;
        return number(
                schedule_attempts(&policy, status->failure, status->failures, first, status->not_after));
}

/* The API promises a reason where there is no set. */
static json_t *reason(const struct report_status *status, const struct inspection *inspection) {
        char *sentence = NULL;

        if (inspection->has_set || inspection->problem.code < 0)
                return problem(&inspection->problem);
        if (asprintf(&sentence, "no set in %s yet", status->directory) < 0)
                return NULL;
        return owned(sentence);
}

json_t *report_details(const struct report_status *status, const struct config_certificate *config,
                       const struct inspection *inspection, const struct state *state, usec_t now) {
        json_t *o = report_status(status);
        int r = 0;

        r |= put(o, "set", set(config, inspection));
        r |= put(o, "generations", generations(inspection));
        r |= put(o, "staged", staged(inspection));
        r |= put(o, "exports", exports(status, config, inspection));
        r |= put(o, "dependents", notifications(config, state));
        r |= put(o, "attempts_before_expiry", attempts_before_expiry(status, config, now));
        r |= put(o, "problem", reason(status, inspection));
        return finish(o, r);
}

/* --- Without a daemon --- */

/* Of one that is not there nothing is known but that; of any other that cannot be read, what STATE has. */
static enum knowledge knowledge_of(const struct inspection *inspection) {
        return inspection->is_refused                                                ? SET_UNREADABLE
               : inspection->has_set                                                 ? SET_KNOWN
               : inspection->problem.code < 0 && inspection->problem.code != -ENOENT ? SET_UNREADABLE
                                                                                     : SET_NONE;
}

static enum renewal_state state_of(const struct report_status *status, const struct inspection *inspection,
                                   usec_t now) {
        if (inspection->is_refused || (!inspection->has_set && inspection->problem.code < 0))
                return RENEWAL_ABSENT;
        if (!inspection->has_set || status->is_revoked || status->not_after <= now)
                return RENEWAL_WAITING_FOR_TOKEN;
        return status->failures > 0 ? RENEWAL_RETRYING : RENEWAL_CURRENT;
}

static void count_debts(const struct config_certificate *certificate, const struct state *state,
                        struct report_status *status) {
        for (size_t i = 0; i < certificate->n_notify; i++) {
                const struct state_pending *pending = pending_of(state, certificate, i);

                status->notices.n_pending += pending != NULL;
                status->notices.n_failed += pending && pending->failures > 0;
                if (pending && !status->notices.error)
                        status->notices.error = pending->error;
        }
}

static void count_exports(const struct inspection *inspection, struct report_status *status) {
        for (size_t i = 0; i < inspection->n_exports; i++) {
                const struct inspected_export *seen = &inspection->exports[i];

                if (!seen->is_known || seen->is_current)
                        continue;
                status->files.n_exports_failed++;
                if (!status->files.export_error && seen->problem.code < 0)
                        status->files.export_error = error_text(&seen->problem);
        }
}

/* When it is due, and why, but for the part that is the machine's. */
static void plan_renewal(const struct config_certificate *certificate, const struct state *state, usec_t now,
                         struct report_status *status) {
        const struct replacement_rule rule = config_replacement_rule(certificate);
        struct schedule_policy policy = config_schedule_policy(certificate);
        const struct issuer *issuer;
        enum replacement replacement =
                replacement_find(&rule, status->renewable.issuers, status->not_before, &issuer);
        usec_t from =
                replacement_from(&rule, replacement, state->rotation.since > 0 ? state->rotation.since : now);

        policy.jitter = (struct share_or_usec) { 0 };
        status->renew_at = schedule_due(&policy, status->not_before, status->not_after, 0);
        status->renewable.replacement = replacement_names[replacement];
        if (replacement != REPLACEMENT_NONE && from < status->renew_at)
                status->renew_at = from;
        if (state->rotation.asked > 0 && state->rotation.asked < status->renew_at)
                status->renew_at = state->rotation.asked;
}

void report_offline(const struct config *config, const struct config_certificate *certificate,
                    const struct inspection *inspection, const struct state *state, usec_t now,
                    struct report_status *ret) {
        unsigned per_hour = config->limits.issuances_per_hour;
        struct report_status status = {
                .name = certificate->name,
                .connector = certificate->connector->name,
                .directory = certificate->directory,
                .renew_at = USEC_INFINITY,
                .next_attempt = state->failures > 0 && state->next_attempt_usec > 0 ? state->next_attempt_usec
                                                                                    : USEC_INFINITY,
                .failures = state->failures,
                .failure = state->failure,
                .renewable.cause = state->failures > 0 ? state->cause : CAUSE_NONE,
                .is_copied = state->is_copied,
                .subjects.last = state->subject,
                .subjects.refused = state_refused_subject(state),
                .subjects.accepted = state_accepted_subject(state),
                .last_error = state->error,
                .last_error_at = state->failed_usec,
                .budget_left = state->n_issuances < per_hour ? per_hour - (unsigned)state->n_issuances : 0,
        };

        status.knowledge = knowledge_of(inspection);
        if (status.knowledge == SET_UNREADABLE) {
                status.unreadable = error_text(&inspection->problem);
                status.generation = state->generation;
                status.fingerprint = state->fingerprint;
                status.not_before = state->not_before;
                status.not_after = state->expiry;
                status.is_revoked = state_has_revoked(state, state->fingerprint);
        }
        if (inspection->has_set) {
                status.generation = inspection->set.generation;
                status.fingerprint = inspection->fingerprint;
                status.renewable.issuers = inspection->set.issuers;
                status.not_before = inspection->set.not_before;
                status.not_after = inspection->set.effective_expiry;
                status.is_revoked = state_has_revoked(state, inspection->fingerprint);
                status.is_revoking = status.is_revoked && state->is_revoking &&
                                     state->revoking_generation == status.generation;
                status.is_usable = !inspection->is_refused && !status.is_revoked && status.not_after > now;
        }
        if (inspection->has_set && inspection->set.leaf) {
                const struct urls urls = urls_list(certificate->connector, &inspection->connection, NULL);

                status.renewable.doubt = doubt_texts[doubt_find(&inspection->set, urls.items[0],
                                                                certificate->connector->enrol_url)];
        }
        if (status.is_usable)
                plan_renewal(certificate, state, now, &status);
        count_exports(inspection, &status);
        if (inspection->rights.code < 0)
                status.files.rights_error = error_text(&inspection->rights);
        count_debts(certificate, state, &status);
        status.state = state_of(&status, inspection, now);
        *ret = status;
}
