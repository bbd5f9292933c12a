/*
 * What the log says of a certificate: a line for each change of its state, in the words of somebody who is to
 * act on it. The fields are the same on every line.
 */

#include "daemon/certificate/reporter.h"

#include <stdarg.h>
#include <stdio.h>

#include "daemon/observe/events.h"
#include "lib/util/hash.h"

/* Which lines are a result for the status, and which operations end with them. */
#define ATTEMPTS (1u << OPERATION_RENEW | 1u << OPERATION_ENROL)
#define ANY      (~0u)
static const struct {
        const char *message_id;
        unsigned operations;
        enum { DONE, ATTEMPT_FAILED, OPERATION_FAILED } outcome;
} results[] = {
        { MESSAGE_RENEWED, ATTEMPTS, DONE },
        { MESSAGE_ENROLLED, ATTEMPTS, DONE },
        { MESSAGE_ADOPTED, 1u << OPERATION_ADOPT, DONE },
        { MESSAGE_EXPORTED, 1u << OPERATION_EXPORT, DONE },
        { MESSAGE_BUDGET, ATTEMPTS, ATTEMPT_FAILED },
        { MESSAGE_FAILED_TRANSIENT, ATTEMPTS, ATTEMPT_FAILED },
        { MESSAGE_FAILED_REFUSED, ATTEMPTS, ATTEMPT_FAILED },
        { MESSAGE_FAILED_REJECTED, ATTEMPTS, ATTEMPT_FAILED },
        { MESSAGE_FAILED_BAD_REPLY, ATTEMPTS, ATTEMPT_FAILED },
        { MESSAGE_FAILED_LOCAL, ATTEMPTS, ATTEMPT_FAILED },
        { MESSAGE_REVOKED, 1u << OPERATION_REVOKE, DONE },
        { MESSAGE_NOT_REVOKED, 1u << OPERATION_REVOKE, OPERATION_FAILED },
        { MESSAGE_ROLLED_BACK, 1u << OPERATION_ROLLBACK, DONE },
        { MESSAGE_NOTIFYING, 1u << OPERATION_NOTIFY, DONE },
        { MESSAGE_ACCEPTED, 1u << OPERATION_ACCEPT, DONE },
        { MESSAGE_PROBED, 1u << OPERATION_PROBE, DONE },
        { MESSAGE_NOT_PROBED, 1u << OPERATION_PROBE, OPERATION_FAILED },
        { MESSAGE_OPERATION_FAILED, ANY, OPERATION_FAILED },
};

static size_t find_result(const char *message_id) {
        size_t i = 0;

        while (i < ELEMENTSOF(results) && !streq_null(results[i].message_id, message_id))
                i++;
        return i;
}

/* The operation that ends with MESSAGE_ID, or OPERATION_NONE. */
static enum operation ended_operation(const struct reporter *reporter, const char *message_id) {
        size_t i = find_result(message_id);

        if (i == ELEMENTSOF(results) || !(results[i].operations & 1u << reporter->operation))
                return OPERATION_NONE;
        if (results[i].outcome == ATTEMPT_FAILED && !reporter->has_begun)
                return OPERATION_NONE; /* of an inspection that the operation waits for */
        return reporter->operation;
}

/* What changes no set: that it was done is no result of the certificate's, unless it mends a request that has
 * failed. */
#define CHANGES_NO_SET (1u << OPERATION_NOTIFY | 1u << OPERATION_EXPORT | 1u << OPERATION_PROBE)

static bool is_passing(const struct reporter *reporter, size_t i, enum operation operation) {
        return CHANGES_NO_SET & 1u << operation && results[i].outcome == DONE && reporter->last_result &&
               !(reporter->last_error && reporter->last_operation != OPERATION_NONE);
}

/* The text of the last failure stays until something newer succeeds, also where nothing was due. */
static void remember_result(struct reporter *reporter, const char *message_id, const char *text) {
        const enum operation operation = ended_operation(reporter, message_id);
        size_t i = find_result(message_id);

        if (i == ELEMENTSOF(results))
                return;
        if (operation != OPERATION_NONE)
                reporter->operation = OPERATION_NONE;
        else if (results[i].operations == 1u << OPERATION_REVOKE ||
                 results[i].operations == 1u << OPERATION_PROBE)
                return; /* of the set before this one; and nothing that rekeyd has done */
        if (is_passing(reporter, i, operation))
                return;
        reporter->last_result = events_name(message_id);
        reporter->last_operation = operation;
        reporter->last_usec = now_usec(CLOCK_REALTIME);
        if (results[i].outcome == ATTEMPT_FAILED && reporter->outcome)
                text = error_text(&reporter->outcome->error);
        state_keep_error(&reporter->last_error, results[i].outcome != DONE ? text : NULL);
}

/* After these the set is another one, which is delivered. */
#define CHANGES_SET (ATTEMPTS | 1u << OPERATION_ADOPT | 1u << OPERATION_ROLLBACK)

/* MESSAGE_ID ends an operation by a set that has somebody to be delivered to. */
static bool begins_delivery(const struct reporter *reporter, const char *message_id) {
        const struct config_certificate *config = reporter->core->config;
        const enum operation operation = ended_operation(reporter, message_id);
        const size_t i = find_result(message_id);

        return operation != OPERATION_NONE && results[i].outcome == DONE && CHANGES_SET & 1u << operation &&
               (config->n_notify > 0 || config->n_exports > 0);
}

static void emit(struct reporter *reporter, int priority, const char *message_id, const char *text) {
        const struct core *core = reporter->core;
        const struct renewal *renewal = reporter->renewal;
        const struct outcome *outcome = reporter->outcome;
        const bool has_set = facts_remember_set(&core->facts);
        const bool failed = outcome && outcome->failure != FAILURE_NONE;
        const bool is_delivering = begins_delivery(reporter, message_id);
        char not_after[TIMESTAMP_MAX], generation[24], failures[16];
        const struct log_field fields[] = {
                { FIELD_CERTIFICATE, core->config->name },
                { FIELD_STATE, renewal_state_names[renewal->state] },
                { FIELD_FINGERPRINT, has_set ? core->facts.fingerprint : NULL },
                { FIELD_GENERATION, has_set ? generation : NULL },
                { FIELD_NOT_AFTER, has_set && core->facts.expiry > 0 ? not_after : NULL },
                { FIELD_ATTEMPT, renewal->failures > 0 ? failures : NULL },
                { FIELD_STEP, failed ? renewal_step_names[outcome->step] : NULL },
                /* As the machine has it: a new certificate that the edge rejects is a bad reply to us. */
                { FIELD_FAILURE, failed ? failure_names[renewal->failure] : NULL },
                { FIELD_CAUSE, failed && outcome->cause != CAUSE_NONE ? cause_names[outcome->cause] : NULL },
                { FIELD_ERROR, failed ? error_text(&outcome->error) : NULL },
                { FIELD_REQUEST_ID, outcome && outcome->request_id[0] ? outcome->request_id : NULL },
                { FIELD_OPERATION, operation_names[ended_operation(reporter, message_id)] },
                { FIELD_DELIVERY, is_delivering ? "pending" : NULL },
        };

        format_timestamp(not_after, core->facts.expiry);
        snprintf(generation, sizeof(generation), "%" PRIu64, core->facts.generation);
        snprintf(failures, sizeof(failures), "%u", renewal->failures);
        events_emit(core->env->observers.events, core->state_file, priority, message_id, fields,
                    ELEMENTSOF(fields), "%s: %s", core->config->name, text);
        reporter->is_delivering = reporter->is_delivering || is_delivering;
        if (streq(message_id, MESSAGE_RENEWED) || streq(message_id, MESSAGE_ENROLLED))
                reporter->has_described_set = true;
        remember_result(reporter, message_id, text);
}

void reporter_init(struct reporter *reporter, const struct core *core, const struct renewal *renewal) {
        *reporter = (struct reporter) { .core = core, .renewal = renewal };
}

void reporter_clear(struct reporter *reporter) {
        free(take_ptr(reporter->last_error));
}

void reporter_set_outcome(struct reporter *reporter, const struct outcome *outcome) {
        reporter->outcome = outcome;
}

void reporter_log_step(struct reporter *reporter, enum renewal_step step) {
        const struct core *core = reporter->core;
        const struct log_field fields[] = {
                { FIELD_CERTIFICATE, core->config->name },
                { FIELD_STEP, renewal_step_names[step] },
        };

        log_debug("%s: %s done", core->config->name, renewal_step_names[step]);
        events_stream(core->env->observers.events, "step", fields, ELEMENTSOF(fields),
                      renewal_step_names[step]);
}

void reporter_log(struct reporter *reporter, int priority, const char *message_id, const char *format, ...) {
        _cleanup_(freep) char *text = NULL;
        va_list args;

        va_start(args, format);
        if (vasprintf(&text, format, args) < 0)
                text = NULL;
        va_end(args);
        emit(reporter, priority, message_id, text ? text : "out of memory");
}

#define COUNT_MAX 64

/* "2 dependents notified", "1 of 2 exports could not be written"; "" for none. */
static const char *count_text(char buffer[COUNT_MAX], unsigned n_failed, unsigned n, const char *what,
                              const char *done) {
        if (n == 0 || n_failed > n)
                return "";
        if (n_failed == 0)
                snprintf(buffer, COUNT_MAX, "%u %s%s %s", n, what, n == 1 ? "" : "s", done);
        else
                snprintf(buffer, COUNT_MAX, "%u of %u %ss not %s", n_failed, n, what, done);
        return buffer;
}

void reporter_log_delivered(struct reporter *reporter, unsigned n_pending, const char *error,
                            unsigned n_exports_failed) {
        const struct config_certificate *config = reporter->core->config;
        const struct log_field fields[] = { { FIELD_CERTIFICATE, config->name } };
        const bool has_failed = n_pending > 0 || n_exports_failed > 0;
        char notices[COUNT_MAX], exports[COUNT_MAX];
        _cleanup_(freep) char *text = NULL;

        if (!reporter->is_delivering)
                return;
        reporter->is_delivering = false;
        if (asprintf(&text, "%s%s%s%s%s%s%s", has_failed ? "the set is in use, but not delivered: " : "",
                     count_text(notices, n_pending, (unsigned)config->n_notify, "dependent", "notified"),
                     config->n_notify > 0 && config->n_exports > 0 ? ", " : "",
                     count_text(exports, n_exports_failed, (unsigned)config->n_exports, "export", "written"),
                     has_failed && error ? ": " : "", has_failed && error ? error : "",
                     has_failed ? "; retrying" : "") < 0)
                text = NULL;
        events_stream(reporter->core->env->observers.events, has_failed ? "not-delivered" : "delivered",
                      fields, ELEMENTSOF(fields), text ? text : "out of memory");
}

/* --- Operations --- */

void reporter_accept(struct reporter *reporter, enum operation operation, const char *peer) {
        reporter->operation = operation;
        reporter->has_begun = false;
        reporter_log(reporter, LOG_NOTICE, MESSAGE_ASKED, "%s requested by %s", operation_names[operation],
                     peer);
}

void reporter_refuse(struct reporter *reporter, enum operation operation, const char *peer, const char *why) {
        reporter_log(reporter, LOG_NOTICE, MESSAGE_REFUSED, "%s requested by %s: refused: %s",
                     operation_names[operation], peer, why);
}

void reporter_begin(struct reporter *reporter) {
        reporter->has_begun = true;
}

bool reporter_expects_attempt(const struct reporter *reporter) {
        return reporter->has_begun && operation_is_attempt(reporter->operation);
}

/* --- Failures --- */

/* What was being done, for "... failed". */
static const char *const step_texts[STEP_MAX] = {
        [STEP_NONE] = "waiting",
        [STEP_INSPECT] = "reading the files",
        [STEP_KEY] = "generating the key",
        [STEP_CONFIGURATION] = "fetching the configuration",
        [STEP_CSR] = "building the CSR",
        [STEP_SIGN] = "signing",
        [STEP_GATE] = "checking the reply",
        [STEP_VERIFY] = "verifying the new certificate",
        [STEP_COMMIT] = "swapping the set",
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
static unsigned count_same(struct reporter *reporter) {
        uint64_t hash = hash_failure(reporter->renewal->failure, error_text(&reporter->outcome->error));

        if (reporter->renewal->failures <= 1 || hash != reporter->failure_hash)
                reporter->n_same_failures = 0;
        reporter->failure_hash = hash;
        return ++reporter->n_same_failures;
}

#define LAST_KNOWN_MAX 128

/* What may pass by itself is no alarm before it has been there for a while: at boot there is no network yet.
 */
static int failure_priority(const struct renewal *renewal) {
        enum { QUIET_FAILURES = 3 };

        return renewal->failure == FAILURE_TRANSIENT && renewal->failures <= QUIET_FAILURES ? LOG_NOTICE
                                                                                            : LOG_ERR;
}

/* What was last known of a set that cannot be read. */
static const char *last_known(const struct facts *facts, const struct state *state,
                              char buffer[LAST_KNOWN_MAX]) {
        char expiry[TIMESTAMP_MAX];

        if (!facts_remember_set(facts))
                return "what may be there is left as it is";
        snprintf(buffer, LAST_KNOWN_MAX, "last known is generation %" PRIu64 ", %s%s", facts->generation,
                 facts_is_revoked(facts, state) ? "revoked"
                 : facts->expiry == 0           ? "of unknown expiry"
                                                : "valid until ",
                 facts->expiry == 0 || facts_is_revoked(facts, state)
                         ? ""
                         : format_timestamp(expiry, facts->expiry));
        return buffer;
}

/* What there is, after a failure. */
static const char *tell_set(const struct reporter *reporter, char buffer[LAST_KNOWN_MAX]) {
        const struct facts *facts = &reporter->core->facts;
        const struct state *state = &reporter->core->state_file->state;

        if (facts_is_unreadable(facts))
                return last_known(facts, state, buffer);
        return !facts_has_set(facts)                                      ? "there is no certificate yet"
               : facts_is_revoked(facts, state)                           ? "the certificate is revoked"
               : !facts_is_usable(facts, state, now_usec(CLOCK_REALTIME)) ? "the certificate has expired"
                                                                          : "keeping the old set";
}

void reporter_log_failure(struct reporter *reporter, bool in_use, bool over_budget) {
        const struct renewal *renewal = reporter->renewal;
        const struct outcome *outcome = reporter->outcome;
        char buffer[LAST_KNOWN_MAX];
        const char *set = in_use ? "the new set is in use" : tell_set(reporter, buffer);
        const char *message_id = over_budget ? MESSAGE_BUDGET : failure_messages[renewal->failure];
        const char *what = over_budget ? "renewing" : step_texts[outcome->step];
        unsigned n_same = count_same(reporter);
        char span[TIMESPAN_MAX], times[32] = "";

        /* With --once nothing follows, and an operator hears of the one attempt: the inspection after it
         * finds out whether more are needed. */
        if (reporter->core->env->once || reporter_expects_attempt(reporter)) {
                reporter_log(reporter, LOG_ERR, message_id, "%s failed (%s): %s; %s", what,
                             failure_names[renewal->failure], error_text(&outcome->error), set);
                return;
        }
        if (n_same > 1)
                snprintf(times, sizeof(times), ", %u times in a row", n_same);
        reporter_log(reporter, log_repeated(failure_priority(renewal), n_same), message_id,
                     "%s failed (%s%s): %s; %s, retrying %s", what, failure_names[renewal->failure], times,
                     error_text(&outcome->error), set, format_delay(span, renewal->backoff_usec));
}

/* --- States --- */

/* Why the set is to be replaced before its age makes it due; owned, NULL where it is not. */
static char *replacement_sentence(const struct core *core, enum replacement *ret) {
        const struct replacement_rule rule = config_replacement_rule(core->config);
        const struct issuer *issuer;

        *ret = facts_has_set(&core->facts)
                       ? replacement_find(&rule, core->facts.issuers, core->facts.not_before, &issuer)
                       : REPLACEMENT_NONE;
        return *ret == REPLACEMENT_NONE ? NULL : replacement_text(&rule, *ret, issuer);
}

void reporter_log_begun(struct reporter *reporter, const struct renewal_observation *observation) {
        enum replacement replacement;
        _cleanup_(freep) char *why = replacement_sentence(reporter->core, &replacement);

        if (reporter->renewal->by_token)
                reporter_log(reporter, LOG_INFO, MESSAGE_BEGUN, "enrolling with a one-time token");
        else if (observation->other_key_asked)
                reporter_log(reporter, LOG_INFO, MESSAGE_BEGUN, "renewing, since a larger key is configured");
        else if (observation->replace_from > 0)
                reporter_log(reporter, LOG_INFO, MESSAGE_BEGUN, "renewing: %s", why ? why : "out of memory");
        else
                reporter_log(reporter, LOG_INFO, MESSAGE_BEGUN, "renewing");
}

void reporter_log_waiting(struct reporter *reporter) {
        const struct core *core = reporter->core;
        const struct config_certificate *config = core->config;
        const struct state *state = &core->state_file->state;
        enum replacement replacement;
        _cleanup_(freep) char *cause = replacement_sentence(core, &replacement), *rotated = NULL;
        const char *why = !facts_has_set(&core->facts) ? "no certificate yet"
                          : facts_is_revocation_in_doubt(&core->facts, state)
                                  ? "the certificate may be revoked, and counts as revoked"
                          : facts_is_revoked(&core->facts, state) ? "the certificate is revoked"
                                                                  : "the certificate cannot be renewed";

        /* Whoever has replaced the CA has done this, and need not look for another cause. */
        if ((replacement == REPLACEMENT_KEY || replacement == REPLACEMENT_CERTIFICATE) && cause &&
            facts_is_usable(&core->facts, state, now_usec(CLOCK_REALTIME)) && reporter->renewal->rejected &&
            asprintf(&rotated, "the certificate is not accepted any more, since the CA was rotated: %s",
                     cause) >= 0)
                why = rotated;

        reporter_forget_current(reporter); /* the set may come back */
        if (config->token_file)
                reporter_log(reporter, LOG_WARNING, MESSAGE_WAITING, "%s; waiting for a one-time token in %s",
                             why, config->token_file);
        else if (config->connector->enrol_url)
                reporter_log(reporter, LOG_WARNING, MESSAGE_WAITING,
                             "%s; waiting for a one-time token (no `token_file` is configured); fix: "
                             "rekeyctl enrol %s",
                             why, config->name);
        else
                reporter_log(reporter, LOG_WARNING, MESSAGE_WAITING,
                             "%s; waiting for a one-time token; since connector %s has no `enrol_url`, "
                             "rekeyctl enrol %s needs %s",
                             why, config->connector->name, config->name,
                             protocol_get(config->connector->protocol)->whole_token);
}

void reporter_log_current(struct reporter *reporter) {
        const struct renewal *renewal = reporter->renewal;
        const struct facts *facts = &reporter->core->facts;
        usec_t now = now_usec(CLOCK_REALTIME);
        char expiry[TIMESTAMP_MAX], due[TIMESTAMP_MAX], span[TIMESPAN_MAX];

        if (reporter->logged_due_usec == renewal->due_usec)
                return;
        reporter->logged_due_usec = renewal->due_usec;
        if (reporter->has_described_set) {
                reporter->has_described_set = false;
                reporter_log(reporter, LOG_INFO, MESSAGE_CURRENT, "will be renewed at %s, in %s",
                             format_timestamp(due, renewal->due_usec),
                             format_timespan(span, usec_sub(renewal->due_usec, now)));
                return;
        }
        reporter_log(reporter, LOG_INFO, MESSAGE_CURRENT,
                     "generation %" PRIu64
                     " is current until %s, sha256 %.16s...; will be renewed at %s, in %s",
                     facts->generation, format_timestamp(expiry, facts->expiry), facts->fingerprint,
                     format_timestamp(due, renewal->due_usec),
                     format_timespan(span, usec_sub(renewal->due_usec, now)));
}

void reporter_forget_current(struct reporter *reporter) {
        reporter->has_described_set = false;
        reporter->logged_due_usec = 0;
}

void reporter_log_rights(struct reporter *reporter, const struct store_rights *rights, bool is_news) {
        if (rights && rights->changes)
                reporter_log(reporter, LOG_NOTICE, MESSAGE_RIGHTS, "files got the configured rights: %s",
                             rights->changes);
        if (rights && is_news && rights->unchanged != 0)
                reporter_log(reporter, LOG_ERR, MESSAGE_NO_RIGHTS, "%s", error_text(&rights->problem));
}

/* A restart goes on waiting where the last run ended. */
void reporter_log_held(struct reporter *reporter) {
        const struct renewal *renewal = reporter->renewal;
        const char *error = reporter->core->state_file->state.error;
        char span[TIMESPAN_MAX];

        reporter_log(reporter, LOG_WARNING, MESSAGE_HELD,
                     "%u attempt%s failed before this start%s%s; retrying %s", renewal->failures,
                     renewal->failures == 1 ? "" : "s", error ? ", the last one: " : "", error ? error : "",
                     format_delay(span, renewal->backoff_usec));
}
