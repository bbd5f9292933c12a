/*
 * What the log says of a certificate: a line for each change of its state, from certificate.c, in the words
 * of somebody who is to act on it. The fields are the same on every line.
 */

#include "daemon/certificate/certificate-private.h"

#include <stdarg.h>
#include <stdio.h>

#include "daemon/certificate/attempt.h"
#include "daemon/observe/events.h"
#include "lib/util/hash.h"

/* What has become of a certificate, and of what an operator has asked for. */
static const struct {
        const char *message_id;
        const char *operations[2]; /* that are over with it; "*": any */
        enum { DONE, ATTEMPT_FAILED, OPERATION_FAILED } outcome;
} results[] = {
        { MESSAGE_RENEWED, { "renew", "enrol" }, DONE },
        { MESSAGE_ENROLLED, { "renew", "enrol" }, DONE },
        { MESSAGE_ADOPTED, { NULL }, DONE },
        { MESSAGE_BUDGET, { "renew", "enrol" }, ATTEMPT_FAILED },
        { MESSAGE_FAILED_TRANSIENT, { "renew", "enrol" }, ATTEMPT_FAILED },
        { MESSAGE_FAILED_REFUSED, { "renew", "enrol" }, ATTEMPT_FAILED },
        { MESSAGE_FAILED_REJECTED, { "renew", "enrol" }, ATTEMPT_FAILED },
        { MESSAGE_FAILED_BAD_REPLY, { "renew", "enrol" }, ATTEMPT_FAILED },
        { MESSAGE_FAILED_LOCAL, { "renew", "enrol" }, ATTEMPT_FAILED },
        { MESSAGE_REVOKED, { "revoke" }, DONE },
        { MESSAGE_NOT_REVOKED, { "revoke" }, OPERATION_FAILED },
        { MESSAGE_ROLLED_BACK, { "rollback" }, DONE },
        { MESSAGE_NOTIFYING, { "notify" }, DONE },
        { MESSAGE_OPERATION_FAILED, { "*" }, OPERATION_FAILED },
};

static size_t find_result(const char *message_id) {
        size_t i = 0;

        while (i < ELEMENTSOF(results) && !streq_null(results[i].message_id, message_id))
                i++;
        return i;
}

/* The operation that is over with MESSAGE_ID, or NULL. */
static const char *ended_operation(const struct certificate *certificate, const char *message_id) {
        size_t i = find_result(message_id);

        if (i == ELEMENTSOF(results) || !certificate->operation)
                return NULL;
        if (results[i].outcome == ATTEMPT_FAILED && certificate->job)
                return NULL; /* of a look that the operation waits for */
        for (size_t k = 0; k < ELEMENTSOF(results[i].operations); k++)
                if (streq_null(results[i].operations[k], "*") ||
                    streq_null(results[i].operations[k], certificate->operation))
                        return certificate->operation;
        return NULL;
}

/* What the last failure says stays until something newer succeeds, also where nothing was due. */
static void remember_result(struct certificate *certificate, const char *message_id, const char *text) {
        const char *operation = ended_operation(certificate, message_id);
        size_t i = find_result(message_id);

        if (i == ELEMENTSOF(results))
                return;
        if (operation)
                certificate->operation = NULL;
        else if (streq_null(results[i].operations[0], "revoke"))
                return; /* of the set before this one */
        certificate->last_result = events_name(message_id);
        certificate->last_operation = operation;
        certificate->last_result_usec = now_usec(CLOCK_REALTIME);
        if (results[i].outcome == ATTEMPT_FAILED && certificate->attempt)
                text = error_text(&certificate->attempt->error);
        state_keep_error(&certificate->last_result_error, results[i].outcome != DONE ? text : NULL);
}

static void log_certificate(struct certificate *certificate, int priority, const char *message_id,
                            const char *text) {
        const struct attempt *attempt = certificate->attempt;
        char not_after[TIMESTAMP_MAX], generation[24], failures[16];
        bool failed = attempt && attempt->failure != FAILURE_NONE;
        /* The machine's view where it has one: what an edge rejects at the proof is a bad reply to us. */
        enum failure failure = certificate->renewal.failure;
        const struct log_field fields[] = {
                { FIELD_CERTIFICATE, certificate->config->name },
                { FIELD_STATE, renewal_state_names[certificate->renewal.state] },
                { FIELD_FINGERPRINT, certificate->fingerprint[0] ? certificate->fingerprint : NULL },
                { FIELD_GENERATION, certificate->fingerprint[0] ? generation : NULL },
                { FIELD_NOT_AFTER, certificate->renewal.expiry > 0 ? not_after : NULL },
                { FIELD_ATTEMPT, certificate->renewal.failures > 0 ? failures : NULL },
                { FIELD_STEP, failed ? renewal_step_names[attempt->step] : NULL },
                { FIELD_FAILURE, failed ? failure_names[failure] : NULL },
                { FIELD_ERROR, failed ? error_text(&attempt->error) : NULL },
                { FIELD_REQUEST_ID, attempt && attempt->request_id[0] ? attempt->request_id : NULL },
                { FIELD_OPERATION, ended_operation(certificate, message_id) },
        };

        format_timestamp(not_after, certificate->renewal.expiry);
        snprintf(generation, sizeof(generation), "%" PRIu64, certificate->generation);
        snprintf(failures, sizeof(failures), "%u", certificate->renewal.failures);
        events_emit(certificate->context->events, certificate->state_file, priority, message_id, fields,
                    ELEMENTSOF(fields), "%s: %s", certificate->config->name, text);
        remember_result(certificate, message_id, text);
}

void certificate_log_step(struct certificate *certificate, enum renewal_step step) {
        const struct log_field fields[] = {
                { FIELD_CERTIFICATE, certificate->config->name },
                { FIELD_STEP, renewal_step_names[step] },
        };

        log_debug("%s: %s done", certificate->config->name, renewal_step_names[step]);
        events_step(certificate->context->events, fields, ELEMENTSOF(fields));
}

void certificate_log(struct certificate *certificate, int priority, const char *message_id,
                     const char *format, ...) {
        _cleanup_(freep) char *text = NULL;
        va_list args;

        va_start(args, format);
        if (vasprintf(&text, format, args) < 0)
                text = NULL;
        va_end(args);
        log_certificate(certificate, priority, message_id, text ? text : "out of memory");
}

/* What was being done, for the sentence "... failed". */
static const char *const step_texts[STEP_MAX] = {
        [STEP_NONE] = "waiting",
        [STEP_INSPECT] = "reading the files",
        [STEP_KEY] = "making the key",
        [STEP_CONFIGURATION] = "asking for the configuration",
        [STEP_CSR] = "making the CSR",
        [STEP_SIGN] = "having it signed",
        [STEP_GATE] = "checking the reply",
        [STEP_VERIFY] = "the proof",
        [STEP_COMMIT] = "the swap",
};

static const char *const failure_messages[FAILURE_MAX] = {
        [FAILURE_TRANSIENT] = MESSAGE_FAILED_TRANSIENT, [FAILURE_REFUSED] = MESSAGE_FAILED_REFUSED,
        [FAILURE_REJECTED] = MESSAGE_FAILED_REJECTED,   [FAILURE_BAD_REPLY] = MESSAGE_FAILED_BAD_REPLY,
        [FAILURE_LOCAL] = MESSAGE_FAILED_LOCAL,
};

/* The text without its digits: times and ports change, and it is the same failure. */
static uint64_t hash_failure(enum failure failure, const char *text) {
        uint64_t hash = HASH_INIT ^ (unsigned)failure;

        for (; *text; text++)
                if (*text < '0' || *text > '9')
                        hash = hash_byte(hash, (uint8_t)*text);
        return hash;
}

/* How many times in a row it is this failure, with this one. */
static unsigned count_same(struct certificate *certificate) {
        const struct attempt *attempt = certificate->attempt;
        uint64_t hash = hash_failure(certificate->renewal.failure, error_text(&attempt->error));

        if (certificate->renewal.failures <= 1 || hash != certificate->told_failure)
                certificate->n_same_failures = 0;
        certificate->told_failure = hash;
        return ++certificate->n_same_failures;
}

/* What may pass by itself is no alarm before it has been there for a while: at boot there is no network yet.
 */
static int failure_priority(const struct renewal *renewal) {
        enum { QUIET_FAILURES = 3 };

        return renewal->failure == FAILURE_TRANSIENT && renewal->failures <= QUIET_FAILURES ? LOG_NOTICE
                                                                                            : LOG_ERR;
}

/* What follows a failure, in words: whether the old set is still good, and what is waited for. */
void certificate_log_failure(struct certificate *certificate) {
        const struct renewal *renewal = &certificate->renewal;
        const struct attempt *attempt = certificate->attempt;
        const char *set = attempt->generation > 0                       ? "the new set is in use"
                          : !certificate->fingerprint[0]                ? "there is no certificate yet"
                          : renewal->expiry == 0                        ? "the certificate is revoked"
                          : renewal->expiry <= now_usec(CLOCK_REALTIME) ? "the certificate has expired"
                                                                        : "keeping the old set";
        const char *message_id = attempt->over_budget ? MESSAGE_BUDGET : failure_messages[renewal->failure];
        const char *what = attempt->over_budget ? "renewing" : step_texts[attempt->step];
        unsigned n_same = count_same(certificate);
        char span[TIMESPAN_MAX], times[32] = "";

        /* With --once nothing follows, and an operator is told of his one attempt: whether more are needed is
         * found out after it. */
        if (certificate->context->once || certificate_asks_attempt(certificate)) {
                certificate_log(certificate, LOG_ERR, message_id, "%s failed (%s): %s; %s", what,
                                failure_names[renewal->failure], error_text(&attempt->error), set);
                return;
        }
        if (n_same > 1)
                snprintf(times, sizeof(times), ", %u times in a row", n_same);
        certificate_log(certificate, log_repeated(failure_priority(renewal), n_same), message_id,
                        "%s failed (%s%s): %s; %s, trying again in %s", what, failure_names[renewal->failure],
                        times, error_text(&attempt->error), set,
                        format_timespan(span, renewal->backoff_usec));
}

void certificate_log_waiting(struct certificate *certificate) {
        const struct config_certificate *config = certificate->config;
        const char *why =
                !certificate->fingerprint[0] ? "no certificate yet"
                : certificate_is_revocation_in_doubt(certificate)
                        ? "it is not known whether the certificate is revoked, and it counts as revoked"
                : certificate->renewal.expiry == 0 ? "the certificate is revoked"
                                                   : "the certificate cannot be renewed";

        if (config->token_file)
                certificate_log(certificate, LOG_WARNING, MESSAGE_WAITING,
                                "%s; waiting for a one-time token in %s", why, config->token_file);
        else if (config->connector->enrol_url)
                certificate_log(certificate, LOG_WARNING, MESSAGE_WAITING,
                                "%s; waiting for a one-time token by `rekeyctl enrol %s`, since there is no "
                                "`token_file`",
                                why, config->name);
        else
                certificate_log(certificate, LOG_WARNING, MESSAGE_WAITING,
                                "%s, and no way to enrol: connector %s has no `enrol_url`", why,
                                config->connector->name);
}

void certificate_log_current(struct certificate *certificate) {
        const struct renewal *renewal = &certificate->renewal;
        usec_t now = now_usec(CLOCK_REALTIME);
        char expiry[TIMESTAMP_MAX], due[TIMESTAMP_MAX], span[TIMESPAN_MAX];

        if (certificate->told_due_usec == renewal->due_usec)
                return;
        certificate->told_due_usec = renewal->due_usec;
        certificate_log(certificate, LOG_INFO, MESSAGE_CURRENT,
                        "generation %" PRIu64
                        " is current until %s, sha256 %.16s...; will be renewed at %s, in %s",
                        certificate->generation, format_timestamp(expiry, renewal->expiry),
                        certificate->fingerprint, format_timestamp(due, renewal->due_usec),
                        format_timespan(span, usec_sub(renewal->due_usec, now)));
}

/* A restart goes on waiting where the last run ended. */
void certificate_log_held(struct certificate *certificate) {
        const struct renewal *renewal = &certificate->renewal;
        const char *error = certificate->state_file->state.error;
        char span[TIMESPAN_MAX];

        certificate_log(certificate, LOG_WARNING, MESSAGE_HELD,
                        "%u attempt%s failed before this start%s%s; trying again in %s", renewal->failures,
                        renewal->failures == 1 ? "" : "s", error ? ", the last one: " : "",
                        error ? error : "", format_timespan(span, renewal->backoff_usec));
}

void certificate_log_exports(struct certificate *certificate, usec_t wait_usec) {
        const struct attempt *attempt = certificate->attempt;
        const struct config_certificate *config = certificate->config;
        struct events *events = certificate->context->events;

        for (size_t i = 0; attempt->exports && i < config->n_exports; i++) {
                const struct export_result *result = &attempt->exports[i];
                const char *path = config->exports[i].path, *error = NULL;
                char generation[24], span[TIMESPAN_MAX];
                const struct log_field fields[] = {
                        { FIELD_CERTIFICATE, config->name },
                        { FIELD_EXPORT, path },
                        { FIELD_GENERATION, attempt->has_set ? generation : NULL },
                        { FIELD_ERROR, result->error.code != 0 ? error_text(&result->error) : NULL },
                };

                snprintf(generation, sizeof(generation), "%" PRIu64, certificate->generation);
                if (result->warning)
                        events_emit(events, certificate->state_file, LOG_WARNING, MESSAGE_WARNING, fields,
                                    ELEMENTSOF(fields), "%s: %s", config->name, result->warning);
                error = fields[ELEMENTSOF(fields) - 1].value;
                if (result->is_written)
                        events_emit(events, certificate->state_file, LOG_INFO, MESSAGE_EXPORTED, fields,
                                    ELEMENTSOF(fields), "%s: wrote export %s of generation %s", config->name,
                                    path, generation);
                else if (error && result->is_stale && wait_usec > 0)
                        events_emit(events, certificate->state_file,
                                    log_repeated(LOG_ERR, certificate->export_failures), MESSAGE_NOT_EXPORTED,
                                    fields, ELEMENTSOF(fields), "%s: %s; trying again in %s", config->name,
                                    error, format_timespan(span, wait_usec));
                else if (error)
                        events_emit(
                                events, certificate->state_file, LOG_ERR, MESSAGE_NOT_EXPORTED, fields,
                                ELEMENTSOF(fields),
                                result->is_stale ? "%s: %s"
                                : attempt->has_set
                                        ? "%s: an export is current, but the next one could not be "
                                          "written: %s"
                                        : "%s: there is no certificate yet, and an export of it could not "
                                          "be written: %s",
                                config->name, error);
        }
}
