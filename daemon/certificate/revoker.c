/*
 * What `revoke_old` schedules is in the state file, and is tried until it is done, or is pointless: the files
 * are gone, or the certificate has expired. What an operator asks for is tried once, and the operator hears
 * the result; only where that is not known (the answer was lost, rekeyd was killed) it is tried again as the
 * other kind is. Until then its set counts as revoked, since it may be: it was to be taken out of use anyway,
 * and to use it for as long as it is valid would be wrong. A new set ends the need, but not the tries.
 */

#include "daemon/certificate/revoker.h"

#include <stdio.h>

#include "daemon/certificate/revocation.h"
#include "daemon/loop/backoff.h"
#include "daemon/observe/metrics.h"
#include "lib/util/log.h"

/* How long to leave an operator, or the other revocation, alone. */
#define OTHERS_USEC (10 * USEC_PER_SEC)

void revoker_init(struct revoker *revoker, const struct core *core, const struct revoker_ops *ops) {
        *revoker = (struct revoker) { .core = core, .ops = ops };
}

void revoker_clear(struct revoker *revoker) {
        revoker->old_timer = sd_event_source_disable_unref(revoker->old_timer);
        revoker->asked_timer = sd_event_source_disable_unref(revoker->asked_timer);
        revoker->revocation = revocation_free(revoker->revocation);
}

static const struct config_certificate *config(const struct revoker *revoker) {
        return revoker->core->config;
}

static struct state *saved(const struct revoker *revoker) {
        return &revoker->core->state_file->state;
}

/* The revocation under way is over. ENDED may begin another one, or free the revoker. */
static void end(struct revoker *revoker, enum revoker_end how) {
        revoker->revocation = revocation_free(revoker->revocation);
        revoker->ops->ended(revoker, how);
}

static void arm_on(struct revoker *revoker, sd_event_source **timer, clockid_t clock, usec_t when,
                   sd_event_time_handler_t handler) {
        sd_event_source_disable_unref(take_ptr(*timer));
        if (revoker->core->env->once || revoker->core->is_retired)
                return;
        if (sd_event_add_time(revoker->core->env->services.event, timer, clock, when, 0, handler, revoker) <
            0)
                log_error("%s: out of memory; revocation continues only after a restart",
                          config(revoker)->name);
}

/* A try that comes after WAIT, whatever is done to the wall clock. */
static void arm(struct revoker *revoker, sd_event_source **timer, usec_t wait,
                sd_event_time_handler_t handler) {
        arm_on(revoker, timer, CLOCK_BOOTTIME, usec_add(now_usec(CLOCK_BOOTTIME), wait), handler);
}

static usec_t from_now(usec_t span) {
        return usec_add(now_usec(CLOCK_REALTIME), span);
}

static void count(struct revoker *revoker, enum failure failure) {
        struct metrics *metrics = revoker->core->env->observers.metrics;

        if (failure == FAILURE_NONE)
                metrics->revocations++;
        else
                metrics->revocation_failures++;
}

/* Another one is under way, or an operator revokes, or brings back an older set: that may be this one. */
static bool must_wait(struct revoker *revoker) {
        return revoker->revocation || revoker->ops->is_blocked(revoker);
}

static int on_old_time(sd_event_source *source, uint64_t usec, void *userdata);
static int on_asked_time(sd_event_source *source, uint64_t usec, void *userdata);

/* --- The set before the current one --- */

/* Of GENERATION; what is owed of another one stays. The caller saves it. */
static void unschedule(struct revoker *revoker, uint64_t generation) {
        struct state *state = saved(revoker);

        if (state->revoke_generation != generation)
                return;
        state->revoke_usec = 0;
        state->revoke_generation = 0;
        revoker->n_old_failures = 0;
}

static void on_old_revoked(enum failure failure, bool gone, const char *error, void *userdata) {
        struct revoker *revoker = userdata;
        const struct revocation *revocation = revoker->revocation;
        const struct state *state = saved(revoker);
        const uint64_t generation = revocation_generation(revocation);
        const bool is_in_doubt = revocation_is_in_doubt(revocation);
        char span[TIMESPAN_MAX];
        usec_t wait;

        count(revoker, failure);
        if (failure == FAILURE_NONE) {
                reporter_log(revoker->core->reporter, LOG_NOTICE, MESSAGE_REVOKED,
                             "generation %" PRIu64 " %s", generation,
                             revocation_has_expired(revocation) ? "has expired and needs no revocation"
                                                                : "was revoked, because of `revoke_old`");
                unschedule(revoker, generation);
        } else if (gone || state->revoke_generation != generation) {
                reporter_log(revoker->core->reporter, LOG_WARNING, MESSAGE_NOT_REVOKED,
                             "generation %" PRIu64 " was not revoked: %s; %s", generation, error,
                             is_in_doubt ? "an earlier call may have done it"
                                         : "it stays valid until it expires");
                unschedule(revoker, generation);
        } else {
                wait = backoff_for_ever(failure, ++revoker->n_old_failures);
                reporter_log(revoker->core->reporter, log_repeated(LOG_WARNING, revoker->n_old_failures),
                             MESSAGE_NOT_REVOKED, "%s generation %" PRIu64 "%s: %s; retrying %s",
                             is_in_doubt ? "unknown whether" : "could not revoke the older", generation,
                             is_in_doubt ? " is revoked" : "", error, format_delay(span, wait));
                arm(revoker, &revoker->old_timer, wait, on_old_time);
        }
        state_file_save(revoker->core->state_file);
        end(revoker, REVOKER_OLD);
}

static void begin_old(struct revoker *revoker) {
        const struct revocation_request request = {
                .config = config(revoker),
                .state_file = revoker->core->state_file,
                .generation = saved(revoker)->revoke_generation,
        };

        revoker->old_timer = sd_event_source_disable_unref(revoker->old_timer);
        if (saved(revoker)->revoke_usec == 0 || revoker->core->is_retired)
                return;
        if (must_wait(revoker))
                arm(revoker, &revoker->old_timer, OTHERS_USEC, on_old_time);
        else if (revocation_new(&revoker->core->env->services, &request, on_old_revoked, revoker,
                                &revoker->revocation) < 0)
                log_error("%s: out of memory", config(revoker)->name);
}

static int on_old_time(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        begin_old(userdata);
        return 0;
}

bool revoker_schedule(struct revoker *revoker) {
        struct state *state = saved(revoker);
        usec_t wait = config(revoker)->policy.revoke_old_usec;

        if (wait == 0 || !facts_has_set(&revoker->core->facts) ||
            facts_is_revoked(&revoker->core->facts, saved(revoker)))
                return false;
        if (state->is_copied) {
                reporter_log(
                        revoker->core->reporter, LOG_WARNING, MESSAGE_NOT_REVOKED,
                        "generation %" PRIu64
                        " will not be revoked, and stays valid until it expires: another machine may use it",
                        revoker->core->facts.generation);
                return false;
        }
        if (state->revoke_usec > 0 && !revoker->revocation)
                reporter_log(revoker->core->reporter, LOG_WARNING, MESSAGE_NOT_REVOKED,
                             "generation %" PRIu64
                             " will not be revoked, and stays valid until it expires: there is a newer one "
                             "to revoke",
                             state->revoke_generation);
        state->revoke_usec = from_now(wait);
        state->revoke_generation = revoker->core->facts.generation;
        revoker->n_old_failures = 0;
        arm_on(revoker, &revoker->old_timer, CLOCK_REALTIME, state->revoke_usec, on_old_time);
        return true;
}

void revoker_cancel(struct revoker *revoker) {
        const struct state *state = saved(revoker);

        if (state->revoke_usec == 0 || state->revoke_generation != revoker->core->facts.generation)
                return;
        revoker->old_timer = sd_event_source_disable_unref(revoker->old_timer);
        unschedule(revoker, revoker->core->facts.generation);
        state_file_save(revoker->core->state_file);
}

void revoker_resume(struct revoker *revoker) {
        struct state *state = saved(revoker);
        const usec_t span = config(revoker)->policy.revoke_old_usec;

        if (state->is_revoking)
                arm(revoker, &revoker->asked_timer, 0, on_asked_time);
        if (state->revoke_usec == 0)
                return;
        /* The operator changed their mind; or it is another machine's to revoke. */
        if (span == 0 || state->is_copied) {
                unschedule(revoker, state->revoke_generation);
                state_file_save(revoker->core->state_file);
                return;
        }
        if (state->revoke_usec > from_now(span)) /* the clock was set back, or the span is shorter now */
                state->revoke_usec = from_now(span);
        arm_on(revoker, &revoker->old_timer, CLOCK_REALTIME, state->revoke_usec, on_old_time);
}

void revoker_flush(struct revoker *revoker) {
        if (!revoker->core->env->once)
                begin_old(revoker);
}

void revoker_retire(struct revoker *revoker) {
        revoker->old_timer = sd_event_source_disable_unref(revoker->old_timer);
}

/* --- What an operator wants revoked --- */

/* The Connector is asked again, and how soon goes after "; ". */
static const char *ask_again(struct revoker *revoker, enum failure failure, char text[TIMESPAN_MAX + 32]) {
        usec_t wait = backoff_for_ever(failure, revoker->n_asked_failures);
        char span[TIMESPAN_MAX];

        arm(revoker, &revoker->asked_timer, wait, on_asked_time);
        if (revoker->core->is_retired)
                return "the certificate was removed from the configuration";
        snprintf(text, TIMESPAN_MAX + 32, "asking again %s", format_delay(span, wait));
        return text;
}

/* Whoever has heard what has become of it finds it so after a restart. What could not be saved is in the log.
 */
static void on_again_saved(_unused_ int r, _unused_ const char *error, void *userdata) {
        struct revoker *revoker = userdata;
        const struct revocation *revocation = revoker->revocation;
        const uint64_t generation = revocation_generation(revocation);

        if (revocation_failure(revocation) == FAILURE_NONE)
                reporter_log(revoker->core->reporter, LOG_NOTICE, MESSAGE_REVOKED,
                             "generation %" PRIu64 " %s", generation,
                             revocation_has_expired(revocation) ? "has expired and needs no revocation"
                                                                : "was revoked, as requested earlier");
        else if (revocation_is_gone(revocation))
                reporter_log(revoker->core->reporter, LOG_WARNING, MESSAGE_NOT_REVOKED,
                             "cannot find out whether generation %" PRIu64
                             " was revoked, as requested earlier: %s; it is not used again",
                             generation, revocation_error(revocation));
        else
                reporter_log(revoker->core->reporter, LOG_ERR, MESSAGE_NOT_REVOKED,
                             "generation %" PRIu64
                             " is not revoked, as requested earlier, and can be used: %s",
                             generation, revocation_error(revocation));
        end(revoker, REVOKER_LATE_NEWS);
}

static void on_asked_again(enum failure failure, _unused_ bool gone, const char *error, void *userdata) {
        struct revoker *revoker = userdata;
        char again[TIMESPAN_MAX + 32];

        count(revoker, failure);
        revoker->n_asked_failures++;
        if (!saved(revoker)->is_revoking) {
                state_file_save_then(revoker->core->state_file, on_again_saved, revoker);
                return;
        }
        reporter_log(revoker->core->reporter, log_repeated(LOG_WARNING, revoker->n_asked_failures),
                     MESSAGE_NOT_REVOKED,
                     "unknown whether generation %" PRIu64 " is revoked, as requested earlier: %s; %s",
                     revocation_generation(revoker->revocation), error, ask_again(revoker, failure, again));
        end(revoker, REVOKER_OLD);
}

static int on_asked_time(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        struct revoker *revoker = userdata;
        const struct revocation_request request = {
                .config = config(revoker),
                .state_file = revoker->core->state_file,
                .generation = saved(revoker)->revoking_generation,
                .is_asked = true,
        };

        revoker->asked_timer = sd_event_source_disable_unref(revoker->asked_timer);
        if (!saved(revoker)->is_revoking || revoker->core->is_retired)
                return 0;
        if (must_wait(revoker))
                arm(revoker, &revoker->asked_timer, OTHERS_USEC, on_asked_time);
        else if (revocation_new(&revoker->core->env->services, &request, on_asked_again, revoker,
                                &revoker->revocation) < 0)
                log_error("%s: out of memory", config(revoker)->name);
        return 0;
}

/* Whoever has heard that it is revoked finds it so after a restart, and whoever has heard that it is not
 * finds it usable. What could not be saved is in the log. */
static void on_revocation_saved(_unused_ int r, _unused_ const char *error, void *userdata) {
        struct revoker *revoker = userdata;

        reporter_log(revoker->core->reporter, LOG_NOTICE, MESSAGE_REVOKED,
                     "%s, generation %" PRIu64
                     "; the files stay, and a one-time token is needed to enrol again",
                     revocation_has_expired(revoker->revocation) ? "expired, so revocation is not needed"
                                                                 : "revoked",
                     revoker->core->facts.generation);
        end(revoker, REVOKER_ASKED);
}

static void on_withdrawal_saved(_unused_ int r, _unused_ const char *error, void *userdata) {
        struct revoker *revoker = userdata;

        reporter_log(revoker->core->reporter, LOG_ERR, MESSAGE_NOT_REVOKED,
                     "could not revoke generation %" PRIu64 ", which %s: %s", revoker->core->facts.generation,
                     facts_is_revoked(&revoker->core->facts, saved(revoker))
                             ? "is not used, since an earlier request may have revoked it"
                             : "stays in use",
                     revocation_error(revoker->revocation));
        end(revoker, REVOKER_ASKED);
}

static void on_revoked(enum failure failure, _unused_ bool gone, const char *error, void *userdata) {
        struct revoker *revoker = userdata;
        char again[TIMESPAN_MAX + 32];

        count(revoker, failure);
        if (failure == FAILURE_NONE) {
                state_file_save_then(revoker->core->state_file, on_revocation_saved, revoker);
                return;
        }
        if (!saved(revoker)->is_revoking) {
                state_file_save_then(revoker->core->state_file, on_withdrawal_saved, revoker);
                return;
        }
        revoker->n_asked_failures = 1;
        reporter_log(revoker->core->reporter, LOG_ERR, MESSAGE_NOT_REVOKED,
                     "unknown whether generation %" PRIu64 " is revoked: %s; it counts as revoked, %s",
                     revoker->core->facts.generation, error, ask_again(revoker, failure, again));
        end(revoker, REVOKER_ASKED);
}

void revoker_revoke_current(struct revoker *revoker) {
        struct state *state = saved(revoker);
        const struct revocation_request request = {
                .config = config(revoker),
                .state_file = revoker->core->state_file,
                .generation = revoker->core->facts.generation,
                .is_asked = true,
                .fingerprint = revoker->core->facts.fingerprint,
        };

        if (state->is_revoking && state->revoking_generation != revoker->core->facts.generation) {
                reporter_log(revoker->core->reporter, LOG_WARNING, MESSAGE_WARNING,
                             "cannot find out whether generation %" PRIu64
                             " is revoked: a newer one is to be revoked",
                             state->revoking_generation);
                state->is_revoking = false;
        }
        revoker->asked_timer = sd_event_source_disable_unref(revoker->asked_timer);
        if (revocation_new(&revoker->core->env->services, &request, on_revoked, revoker,
                           &revoker->revocation) == 0)
                return;
        reporter_log(revoker->core->reporter, LOG_ERR, MESSAGE_NOT_REVOKED,
                     "could not revoke generation %" PRIu64 ": out of memory",
                     revoker->core->facts.generation);
        end(revoker, REVOKER_ASKED);
}
