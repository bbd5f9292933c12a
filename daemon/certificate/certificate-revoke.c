/*
 * Revocation of a certificate's sets: of the current one, because an operator asks for it, and of the one
 * before, some time after a swap, because `revoke_old` says so. One at a time.
 *
 * What is owed of the second kind is in the journal, and is tried until it is done, or is pointless: the
 * files are gone, or the certificate has expired. What an operator asks for is tried once, and he is told;
 * only where it is not known what has come of it (the answer was lost, rekeyd was killed) it is tried again
 * as the other kind is. Until then its set counts as revoked, since it may be: it was to be taken out of use
 * anyway, and to take it for good would be wrong for as long as it is valid. A new set ends the need, but not
 * the tries.
 */

#include "daemon/certificate/attempt.h"
#include "daemon/certificate/certificate-private.h"
#include "daemon/connector/revocation.h"
#include "daemon/loop/backoff.h"
#include "daemon/observe/metrics.h"

/* How long to leave an operator, or the other revocation, alone. */
#define OTHERS_USEC (10 * USEC_PER_SEC)

static void arm_on(struct certificate *certificate, sd_event_source **timer, clockid_t clock, usec_t when,
                   sd_event_time_handler_t handler) {
        sd_event_source_disable_unref(take_ptr(*timer));
        if (certificate->context->once || certificate->is_retired)
                return;
        if (sd_event_add_time(certificate->context->event, timer, clock, when, 0, handler, certificate) < 0)
                log_error("%s: out of memory; what is to be revoked is after a restart only",
                          certificate->config->name);
}

/* A try that comes after WAIT, whatever is done to the wall clock. */
static void arm(struct certificate *certificate, sd_event_source **timer, usec_t wait,
                sd_event_time_handler_t handler) {
        arm_on(certificate, timer, CLOCK_BOOTTIME, usec_add(now_usec(CLOCK_BOOTTIME), wait), handler);
}

static usec_t from_now(usec_t span) {
        return usec_add(now_usec(CLOCK_REALTIME), span);
}

static void count(struct certificate *certificate, enum failure failure) {
        struct metrics *metrics = certificate->context->metrics;

        if (failure == FAILURE_NONE)
                metrics->revocations++;
        else
                metrics->revocation_failures++;
}

/* Another one is under way, or an operator revokes, or brings back an older set: that may be this one. */
static bool must_wait(const struct certificate *certificate) {
        return certificate->job || certificate->revocation;
}

static int on_old_time(sd_event_source *source, uint64_t usec, void *userdata);
static int on_asked_time(sd_event_source *source, uint64_t usec, void *userdata);

/* --- The set before the current one --- */

/* Of GENERATION; what is owed of another one stays. The caller saves it. */
static void nothing_owed(struct certificate *certificate, uint64_t generation) {
        struct state *state = &certificate->state_file->state;

        if (state->revoke_generation != generation)
                return;
        state->revoke_usec = 0;
        state->revoke_generation = 0;
        certificate->revoke_failures = 0;
}

static void on_old_revoked(enum failure failure, bool gone, const char *error, void *userdata) {
        struct certificate *certificate = userdata;
        const struct revocation *revocation = certificate->revocation;
        const struct state *state = &certificate->state_file->state;
        const uint64_t generation = revocation_generation(revocation);
        const bool is_in_doubt = revocation_is_in_doubt(revocation);
        char span[TIMESPAN_MAX];
        usec_t wait;

        count(certificate, failure);
        if (failure == FAILURE_NONE) {
                certificate_log(certificate, LOG_NOTICE, MESSAGE_REVOKED, "generation %" PRIu64 " %s",
                                generation,
                                revocation_has_expired(revocation) ? "has expired, and needs no revocation"
                                                                   : "was revoked, as `revoke_old` asks for");
                nothing_owed(certificate, generation);
        } else if (gone || state->revoke_generation != generation) {
                certificate_log(certificate, LOG_WARNING, MESSAGE_NOT_REVOKED,
                                "generation %" PRIu64 " was to be revoked, and %s: %s", generation,
                                is_in_doubt ? "it is not known whether it is"
                                            : "stays valid until it expires",
                                error);
                nothing_owed(certificate, generation);
        } else {
                wait = backoff_for_ever(failure, ++certificate->revoke_failures);
                certificate_log(certificate, log_repeated(LOG_WARNING, certificate->revoke_failures),
                                MESSAGE_NOT_REVOKED, "%s generation %" PRIu64 " %s: %s; trying again in %s",
                                is_in_doubt ? "it is not known whether" : "the older", generation,
                                is_in_doubt ? "is revoked" : "could not be revoked", error,
                                format_timespan(span, wait));
                arm(certificate, &certificate->revoke_timer, wait, on_old_time);
        }
        state_file_save(certificate->state_file);
        certificate->revocation = revocation_free(certificate->revocation);
        certificate_settle(certificate);
}

static void begin_old(struct certificate *certificate) {
        const struct revocation_request request = {
                .config = certificate->config,
                .state_file = certificate->state_file,
                .generation = certificate->state_file->state.revoke_generation,
        };

        certificate->revoke_timer = sd_event_source_disable_unref(certificate->revoke_timer);
        if (certificate->state_file->state.revoke_usec == 0 || certificate->is_retired)
                return;
        if (must_wait(certificate))
                arm(certificate, &certificate->revoke_timer, OTHERS_USEC, on_old_time);
        else if (revocation_new(certificate->context, &request, on_old_revoked, certificate,
                                &certificate->revocation) < 0)
                log_error("%s: out of memory", certificate->config->name);
}

static int on_old_time(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        begin_old(userdata);
        return 0;
}

bool certificate_owe_revocation(struct certificate *certificate) {
        struct state *state = &certificate->state_file->state;
        usec_t wait = certificate->config->policy.revoke_old_usec;

        if (wait == 0 || !certificate->fingerprint[0] || certificate_is_revoked(certificate))
                return false;
        if (state->revoke_usec > 0 && !certificate->revocation)
                certificate_log(certificate, LOG_WARNING, MESSAGE_NOT_REVOKED,
                                "generation %" PRIu64
                                " was to be revoked, and stays valid until it expires: there is a newer one "
                                "to revoke",
                                state->revoke_generation);
        state->revoke_usec = from_now(wait);
        state->revoke_generation = certificate->generation;
        certificate->revoke_failures = 0;
        arm_on(certificate, &certificate->revoke_timer, CLOCK_REALTIME, state->revoke_usec, on_old_time);
        return true;
}

void certificate_withdraw_revocation(struct certificate *certificate) {
        const struct state *state = &certificate->state_file->state;

        if (state->revoke_usec == 0 || state->revoke_generation != certificate->generation)
                return;
        certificate->revoke_timer = sd_event_source_disable_unref(certificate->revoke_timer);
        nothing_owed(certificate, certificate->generation);
        state_file_save(certificate->state_file);
}

void certificate_resume_revocation(struct certificate *certificate) {
        struct state *state = &certificate->state_file->state;
        const usec_t span = certificate->config->policy.revoke_old_usec;

        if (state->is_revoking)
                arm(certificate, &certificate->asked_timer, 0, on_asked_time);
        if (state->revoke_usec == 0)
                return;
        if (span == 0) {
                nothing_owed(certificate, state->revoke_generation); /* thought better of */
                state_file_save(certificate->state_file);
                return;
        }
        if (state->revoke_usec > from_now(span)) /* the clock was set back, or the span is shorter now */
                state->revoke_usec = from_now(span);
        arm_on(certificate, &certificate->revoke_timer, CLOCK_REALTIME, state->revoke_usec, on_old_time);
}

void certificate_hasten_revocation(struct certificate *certificate) {
        if (!certificate->context->once)
                begin_old(certificate);
}

void certificate_stop_revocation(struct certificate *certificate) {
        certificate->revoke_timer = sd_event_source_disable_unref(certificate->revoke_timer);
        certificate->asked_timer = sd_event_source_disable_unref(certificate->asked_timer);
        certificate->revocation = revocation_free(certificate->revocation);
}

/* --- What an operator wants revoked --- */

bool certificate_is_revocation_in_doubt(const struct certificate *certificate) {
        const struct state *state = &certificate->state_file->state;

        return state->is_revoking && state->revoking_generation == certificate->generation &&
               certificate_is_revoked(certificate);
}

/* The Connector is asked again, and how soon goes after "; ". */
static const char *ask_again(struct certificate *certificate, enum failure failure,
                             char text[TIMESPAN_MAX + 32]) {
        usec_t wait = backoff_for_ever(failure, certificate->asked_failures);
        char span[TIMESPAN_MAX];

        arm(certificate, &certificate->asked_timer, wait, on_asked_time);
        if (certificate->is_retired)
                return "it was taken out of the configuration";
        snprintf(text, TIMESPAN_MAX + 32, "asking again in %s", format_timespan(span, wait));
        return text;
}

/* Whoever has heard what has become of it finds it so after a restart. What could not be saved is in the log.
 */
static void on_again_saved(_unused_ int r, _unused_ const char *error, void *userdata) {
        struct certificate *certificate = userdata;
        const struct revocation *revocation = certificate->revocation;
        const uint64_t generation = revocation_generation(revocation);

        if (revocation_failure(revocation) == FAILURE_NONE)
                certificate_log(certificate, LOG_NOTICE, MESSAGE_REVOKED, "generation %" PRIu64 " %s",
                                generation,
                                revocation_has_expired(revocation) ? "has expired, and needs no revocation"
                                                                   : "was revoked, as was asked for before");
        else if (revocation_is_gone(revocation))
                certificate_log(certificate, LOG_WARNING, MESSAGE_NOT_REVOKED,
                                "it will not be known whether generation %" PRIu64
                                " is revoked, as was asked for before: %s; it is not used again",
                                generation, revocation_error(revocation));
        else
                certificate_log(certificate, LOG_ERR, MESSAGE_NOT_REVOKED,
                                "generation %" PRIu64
                                " is not revoked, as was asked for before, and can be used: %s",
                                generation, revocation_error(revocation));
        certificate->revocation = revocation_free(certificate->revocation);
        certificate->told_due_usec = 0; /* it may be current again, which is news */
        if (certificate->attempt)
                certificate->inspect_again = true; /* it may have looked before this was known */
        else
                certificate_wake(certificate);
        certificate_settle(certificate);
}

static void on_asked_again(enum failure failure, _unused_ bool gone, const char *error, void *userdata) {
        struct certificate *certificate = userdata;
        char again[TIMESPAN_MAX + 32];

        count(certificate, failure);
        certificate->asked_failures++;
        if (!certificate->state_file->state.is_revoking) {
                state_file_save_then(certificate->state_file, on_again_saved, certificate);
                return;
        }
        certificate_log(
                certificate, log_repeated(LOG_WARNING, certificate->asked_failures), MESSAGE_NOT_REVOKED,
                "it is not known whether generation %" PRIu64 " is revoked, as was asked for before: %s; %s",
                revocation_generation(certificate->revocation), error,
                ask_again(certificate, failure, again));
        certificate->revocation = revocation_free(certificate->revocation);
        certificate_settle(certificate);
}

static int on_asked_time(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        struct certificate *certificate = userdata;
        const struct revocation_request request = {
                .config = certificate->config,
                .state_file = certificate->state_file,
                .generation = certificate->state_file->state.revoking_generation,
                .is_asked = true,
        };

        certificate->asked_timer = sd_event_source_disable_unref(certificate->asked_timer);
        if (!certificate->state_file->state.is_revoking || certificate->is_retired)
                return 0;
        if (must_wait(certificate))
                arm(certificate, &certificate->asked_timer, OTHERS_USEC, on_asked_time);
        else if (revocation_new(certificate->context, &request, on_asked_again, certificate,
                                &certificate->revocation) < 0)
                log_error("%s: out of memory", certificate->config->name);
        return 0;
}

/* Whoever has heard that it is revoked finds it so after a restart, and whoever has heard that it is not
 * finds it usable. What could not be saved is in the log. */
static void on_revocation_saved(_unused_ int r, _unused_ const char *error, void *userdata) {
        struct certificate *certificate = userdata;

        certificate_log(
                certificate, LOG_NOTICE, MESSAGE_REVOKED,
                "%s, generation %" PRIu64 "; the files stay, and a one-time token is needed to enrol again",
                revocation_has_expired(certificate->revocation) ? "expired, which is as good as revoked"
                                                                : "revoked",
                certificate->generation);
        certificate->revocation = revocation_free(certificate->revocation);
        certificate_end_operation(certificate);
}

static void on_withdrawal_saved(_unused_ int r, _unused_ const char *error, void *userdata) {
        struct certificate *certificate = userdata;

        certificate_log(certificate, LOG_ERR, MESSAGE_NOT_REVOKED,
                        "generation %" PRIu64 " could not be revoked, and %s: %s", certificate->generation,
                        certificate_is_revoked(certificate) ? "is not used, since it may have been before"
                                                            : "stays in use",
                        revocation_error(certificate->revocation));
        certificate->revocation = revocation_free(certificate->revocation);
        certificate_end_operation(certificate);
}

static void on_revoked(enum failure failure, _unused_ bool gone, const char *error, void *userdata) {
        struct certificate *certificate = userdata;
        char again[TIMESPAN_MAX + 32];

        count(certificate, failure);
        if (failure == FAILURE_NONE) {
                state_file_save_then(certificate->state_file, on_revocation_saved, certificate);
                return;
        }
        if (!certificate->state_file->state.is_revoking) {
                state_file_save_then(certificate->state_file, on_withdrawal_saved, certificate);
                return;
        }
        certificate->asked_failures = 1;
        certificate_log(certificate, LOG_ERR, MESSAGE_NOT_REVOKED,
                        "it is not known whether generation %" PRIu64
                        " is revoked: %s; it counts as revoked, %s",
                        certificate->generation, error, ask_again(certificate, failure, again));
        certificate->revocation = revocation_free(certificate->revocation);
        certificate_end_operation(certificate);
}

void certificate_revoke(struct certificate *certificate) {
        struct state *state = &certificate->state_file->state;
        const struct revocation_request request = {
                .config = certificate->config,
                .state_file = certificate->state_file,
                .generation = certificate->generation,
                .is_asked = true,
                .fingerprint = certificate->fingerprint,
        };

        if (state->is_revoking && state->revoking_generation != certificate->generation) {
                certificate_log(certificate, LOG_WARNING, MESSAGE_WARNING,
                                "it will not be known whether generation %" PRIu64
                                " is revoked: there is a newer one to revoke",
                                state->revoking_generation);
                state->is_revoking = false;
        }
        certificate->asked_timer = sd_event_source_disable_unref(certificate->asked_timer);
        if (revocation_new(certificate->context, &request, on_revoked, certificate,
                           &certificate->revocation) == 0)
                return;
        certificate_log(certificate, LOG_ERR, MESSAGE_NOT_REVOKED,
                        "generation %" PRIu64 " could not be revoked: out of memory",
                        certificate->generation);
        certificate_end_operation(certificate);
}
