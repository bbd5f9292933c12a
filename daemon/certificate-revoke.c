/*
 * Revocation of a certificate's sets: of the current one, because an operator asks for it, and of the one
 * before, some time after a swap, because `revoke_old` says so. One at a time. What is owed of the second
 * kind is in the journal, and is tried until it is done, or is pointless: the files are gone, or the
 * certificate has expired.
 */

#include "daemon/attempt.h"
#include "daemon/backoff.h"
#include "daemon/certificate-private.h"
#include "daemon/metrics.h"
#include "daemon/revocation.h"

/* How long to leave an operator alone. */
#define OPERATOR_USEC (10 * USEC_PER_SEC)

static void arm(struct certificate *certificate, usec_t when);

/* Of GENERATION; what is owed of another one stays. */
static void nothing_owed(struct certificate *certificate, uint64_t generation) {
        struct journal *journal = &certificate->history->journal;

        if (journal->revoke_generation != generation)
                return;
        journal->revoke_usec = 0;
        journal->revoke_generation = 0;
        certificate->revoke_failures = 0;
        history_save(certificate->history);
}

static void remember_revoked(struct certificate *certificate, const char *fingerprint) {
        if (journal_add_revoked(&certificate->history->journal, fingerprint) < 0)
                log_error("%s: out of memory; that sha256 %.16s... is revoked is not remembered",
                          certificate->config->name, fingerprint);
}

static void count(struct certificate *certificate, enum failure failure) {
        struct metrics *metrics = certificate->context->metrics;

        if (failure == FAILURE_NONE || failure == FAILURE_REJECTED)
                metrics->revocations++;
        else
                metrics->revocation_failures++;
}

/* --- The set before the current one --- */

static void on_old_revoked(enum failure failure, bool gone, const char *error, void *userdata) {
        struct certificate *certificate = userdata;
        const struct journal *journal = &certificate->history->journal;
        const uint64_t generation = revocation_generation(certificate->revocation);
        char span[TIMESPAN_MAX];
        usec_t wait;

        count(certificate, failure);
        if (failure == FAILURE_NONE || failure == FAILURE_REJECTED) {
                certificate_say(
                        certificate, LOG_NOTICE, MESSAGE_REVOKED, "generation %" PRIu64 " %s", generation,
                        failure == FAILURE_NONE ? "was revoked, as `revoke_old` asks for"
                                                : "is not accepted any more, and needs no revocation");
                remember_revoked(certificate, revocation_fingerprint(certificate->revocation));
                history_save(certificate->history);
                nothing_owed(certificate, generation);
        } else if (gone || journal->revoke_generation != generation) {
                certificate_say(certificate, LOG_WARNING, MESSAGE_NOT_REVOKED,
                                "generation %" PRIu64
                                " was to be revoked, and stays valid until it expires: %s",
                                generation, error);
                nothing_owed(certificate, generation);
        } else {
                wait = backoff_for_ever(failure, ++certificate->revoke_failures);
                certificate_say(certificate, log_repeated(LOG_WARNING, certificate->revoke_failures),
                                MESSAGE_NOT_REVOKED,
                                "generation %" PRIu64 " could not be revoked: %s; trying again in %s",
                                generation, error, format_timespan(span, wait));
                arm(certificate, usec_add(now_usec(CLOCK_REALTIME), wait));
        }
        certificate->revocation = revocation_free(certificate->revocation);
        certificate_settle(certificate);
}

static void begin(struct certificate *certificate) {
        certificate->revoke_timer = sd_event_source_disable_unref(certificate->revoke_timer);
        if (certificate->job) {
                /* An operator revokes, or brings back an older set: that may be this one. */
                arm(certificate, usec_add(now_usec(CLOCK_REALTIME), OPERATOR_USEC));
                return;
        }
        if (certificate->revocation || certificate->is_retired)
                return;
        if (revocation_new(certificate->context, certificate->config,
                           certificate->history->journal.revoke_generation, false, on_old_revoked,
                           certificate, &certificate->revocation) < 0)
                log_error("%s: out of memory", certificate->config->name);
}

static int on_time(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        begin(userdata);
        return 0;
}

static void arm(struct certificate *certificate, usec_t when) {
        sd_event_source_disable_unref(take_ptr(certificate->revoke_timer));
        if (certificate->context->once)
                return;
        if (sd_event_add_time(certificate->context->event, &certificate->revoke_timer, CLOCK_REALTIME, when,
                              0, on_time, certificate) < 0)
                log_error("%s: out of memory; generation %" PRIu64 " is revoked after a restart only",
                          certificate->config->name, certificate->history->journal.revoke_generation);
}

bool certificate_owe_revocation(struct certificate *certificate) {
        struct journal *journal = &certificate->history->journal;
        usec_t wait = certificate->config->policy.revoke_old_usec;

        if (wait == 0 || !certificate->fingerprint[0] || certificate_is_revoked(certificate))
                return false;
        if (journal->revoke_usec > 0 && !certificate->revocation)
                certificate_say(certificate, LOG_WARNING, MESSAGE_NOT_REVOKED,
                                "generation %" PRIu64
                                " was to be revoked, and stays valid until it expires: there is a newer one "
                                "to revoke",
                                journal->revoke_generation);
        journal->revoke_usec = usec_add(now_usec(CLOCK_REALTIME), wait);
        journal->revoke_generation = certificate->generation;
        certificate->revoke_failures = 0;
        arm(certificate, journal->revoke_usec);
        return true;
}

void certificate_withdraw_revocation(struct certificate *certificate) {
        const struct journal *journal = &certificate->history->journal;

        if (journal->revoke_usec == 0 || journal->revoke_generation != certificate->generation)
                return;
        certificate->revoke_timer = sd_event_source_disable_unref(certificate->revoke_timer);
        nothing_owed(certificate, certificate->generation);
}

void certificate_resume_revocation(struct certificate *certificate) {
        const struct journal *journal = &certificate->history->journal;

        if (journal->revoke_usec == 0)
                return;
        if (certificate->config->policy.revoke_old_usec == 0)
                nothing_owed(certificate, journal->revoke_generation); /* thought better of */
        else
                arm(certificate, journal->revoke_usec);
}

void certificate_hasten_revocation(struct certificate *certificate) {
        if (certificate->history->journal.revoke_usec > 0 && !certificate->context->once)
                begin(certificate);
}

void certificate_stop_revocation(struct certificate *certificate) {
        certificate->revoke_timer = sd_event_source_disable_unref(certificate->revoke_timer);
        certificate->revocation = revocation_free(certificate->revocation);
}

/* --- The current set --- */

/* Whoever has heard that it is revoked finds it so after a restart. What could not be saved is in the log. */
static void on_revocation_saved(_unused_ int r, _unused_ const char *error, void *userdata) {
        struct certificate *certificate = userdata;

        certificate_say(certificate, LOG_NOTICE, MESSAGE_REVOKED,
                        "revoked, generation %" PRIu64
                        "; the files stay, and a one-time token is needed to enrol again",
                        certificate->generation);
        certificate_end_operation(certificate);
}

static void on_revoked(enum failure failure, _unused_ bool gone, const char *error, void *userdata) {
        struct certificate *certificate = userdata;

        count(certificate, failure);
        if (failure == FAILURE_NONE || failure == FAILURE_REJECTED) {
                certificate->revocation = revocation_free(certificate->revocation);
                remember_revoked(certificate, certificate->fingerprint);
                history_save_then(certificate->history, on_revocation_saved, certificate);
                return;
        }
        certificate_say(certificate, LOG_ERR, MESSAGE_NOT_REVOKED,
                        "generation %" PRIu64 " could not be revoked, and stays in use: %s",
                        certificate->generation, error);
        certificate->revocation = revocation_free(certificate->revocation);
        certificate_end_operation(certificate);
}

void certificate_revoke(struct certificate *certificate) {
        if (revocation_new(certificate->context, certificate->config, certificate->generation, true,
                           on_revoked, certificate, &certificate->revocation) == 0)
                return;
        certificate_say(certificate, LOG_ERR, MESSAGE_NOT_REVOKED,
                        "generation %" PRIu64 " could not be revoked: out of memory",
                        certificate->generation);
        certificate_end_operation(certificate);
}
