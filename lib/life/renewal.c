/*
 * The life of one certificate as a pure machine: it holds no certificate, reads no clock and makes no call.
 * An attempt is a walk along the steps in their order, entered where the inspection found the last attempt
 * left off, so that a restart neither generates a second key nor requests a second signature. Any failure
 * ends the attempt; the next one starts with an inspection again, since the files may have changed while
 * waiting.
 *
 * The header has the two tables that decide; each is one function here.
 */

#include "lib/life/renewal.h"

#include <limits.h>

#include "lib/util/macro.h"

const char *const renewal_state_names[RENEWAL_STATE_MAX] = {
        [RENEWAL_ABSENT] = "absent",       [RENEWAL_WAITING_FOR_TOKEN] = "waiting-for-token",
        [RENEWAL_ENROLLING] = "enrolling", [RENEWAL_CURRENT] = "current",
        [RENEWAL_RENEWING] = "renewing",   [RENEWAL_RETRYING] = "retrying",
};

const char *const renewal_step_names[STEP_MAX] = {
        [STEP_NONE] = "none", [STEP_INSPECT] = "inspect", [STEP_KEY] = "key",
        [STEP_CSR] = "csr",   [STEP_SIGN] = "sign",       [STEP_CONFIGURATION] = "configuration",
        [STEP_GATE] = "gate", [STEP_VERIFY] = "verify",   [STEP_COMMIT] = "commit",
};

static enum renewal_step wait_for(struct renewal *renewal, enum renewal_state state, usec_t due_usec,
                                  usec_t backoff_usec) {
        renewal->state = state;
        renewal->due_usec = due_usec;
        renewal->backoff_usec = backoff_usec;
        return renewal->step = STEP_NONE;
}

/* Begins an attempt; or, while HOLD_USEC of a back-off are left, waits for it. */
static enum renewal_step attempt(struct renewal *renewal, bool by_token, enum renewal_step first,
                                 usec_t hold_usec) {
        if (hold_usec > 0)
                return wait_for(renewal,
                                by_token && renewal->state == RENEWAL_WAITING_FOR_TOKEN
                                        ? RENEWAL_WAITING_FOR_TOKEN
                                        : RENEWAL_RETRYING,
                                USEC_INFINITY, hold_usec);
        renewal->state = by_token ? RENEWAL_ENROLLING : RENEWAL_RENEWING;
        renewal->by_token = by_token;
        renewal->configured = false;
        return renewal->step = first;
}

static bool is_expired(const struct renewal *renewal, const struct renewal_context *context) {
        return renewal->set == SET_KNOWN && renewal->expiry <= context->now;
}

static void forget_failures(struct renewal *renewal) {
        renewal->failures = 0;
        renewal->failure = FAILURE_NONE;
        renewal->past_signature = false;
}

/* What an outage has cost is not held against the new certificate that follows it; once. */
static void count_failure(struct renewal *renewal, enum failure failure) {
        bool past_signature = renewal->step >= STEP_GATE;

        if (past_signature && !renewal->past_signature && failure != renewal->failure)
                renewal->failures = 0;
        renewal->past_signature |= past_signature;
        renewal->failure = failure;
        if (renewal->failures < UINT_MAX)
                renewal->failures++;
}

/* How long to wait in STATE for the failure that was counted last. A set that only a token can replace is not
 * worth more than the slow back-off, but a CA that has expired may come back at any time. */
static usec_t backoff(const struct renewal *renewal, enum renewal_state state,
                      const struct renewal_event *event, const struct renewal_context *context) {
        const usec_t retry_after_usec = event->retry_after_usec;
        usec_t time_left = usec_sub(renewal->expiry, context->now), usual, slow;

        if (event->is_old_ca && state != RENEWAL_WAITING_FOR_TOKEN)
                return schedule_old_ca_backoff(context->policy, renewal->failures, context->random,
                                               time_left);
        if (event->not_longer && state != RENEWAL_WAITING_FOR_TOKEN)
                return schedule_not_longer_backoff(context->policy, renewal->failures, context->random,
                                                   time_left);

        usual = schedule_backoff(context->policy, renewal->failure, renewal->failures, context->random,
                                 retry_after_usec, time_left);
        if (state != RENEWAL_WAITING_FOR_TOKEN)
                return usual;
        slow = schedule_backoff(context->policy, FAILURE_REJECTED, renewal->failures, context->random,
                                retry_after_usec, time_left);
        return usual > slow ? usual : slow;
}

static enum renewal_step fail(struct renewal *renewal, enum renewal_state state, enum failure failure,
                              const struct renewal_context *context) {
        count_failure(renewal, failure);
        return wait_for(renewal, state, USEC_INFINITY,
                        backoff(renewal, state, &(struct renewal_event) { 0 }, context));
}

/* Whether an attempt that ends with FAILURE has shown that only a token helps now. */
static bool needs_token(const struct renewal *renewal, enum failure failure, bool is_token_good,
                        const struct renewal_context *context) {
        if (renewal->by_token)
                return ((failure == FAILURE_REFUSED || failure == FAILURE_REJECTED) && !is_token_good) ||
                       renewal->is_last_resort;
        return renewal->rejected || is_expired(renewal, context);
}

/* What an inspection saw of the set. Of one that cannot be read, the last that was known stays known. */
static void take_set(struct renewal *renewal, const struct renewal_observation *observation) {
        renewal->set = observation->set;
        if (observation->set == SET_UNREADABLE)
                return;
        if (observation->set != SET_KNOWN || observation->expiry != renewal->expiry)
                renewal->rejected = false; /* that was another set */
        renewal->expiry = observation->set == SET_KNOWN ? observation->expiry : 0;
}

/* What is left of a back-off, as far as it can be one: 0 without a failure, and no longer than one may be. */
static usec_t longest_hold(const struct renewal *renewal, usec_t hold_usec,
                           const struct renewal_context *context) {
        usec_t max;

        if (renewal->failures == 0)
                return 0;
        max = schedule_backoff_max(context->policy, renewal->failure,
                                   usec_sub(renewal->expiry, context->now));
        return hold_usec < max ? hold_usec : max;
}

static enum renewal_step take_failure(struct renewal *renewal, const struct renewal_event *event,
                                      const struct renewal_context *context) {
        enum failure failure = event->failure;
        enum renewal_state state = RENEWAL_RETRYING;
        usec_t wait, hold = 0;

        if (renewal->step == STEP_INSPECT) {
                if (event->observation)
                        take_set(renewal, event->observation);
                hold = longest_hold(renewal, event->hold_usec, context);
        }
        if (renewal->step == STEP_VERIFY && failure == FAILURE_REJECTED)
                failure = FAILURE_BAD_REPLY;
        if (failure == FAILURE_REJECTED && !renewal->by_token && renewal->step != STEP_INSPECT)
                renewal->rejected = true;
        /* No token helps with a set that cannot be read, and may be whole. */
        if (renewal->set != SET_UNREADABLE &&
            needs_token(renewal, failure, event->is_unheard || event->is_token_good, context))
                state = RENEWAL_WAITING_FOR_TOKEN;

        count_failure(renewal, failure);
        wait = backoff(renewal, state, event, context);
        if (wait < hold)
                wait = hold;

        if (((event->is_doubtful && failure == FAILURE_REJECTED) ||
             (event->is_token_good && failure == FAILURE_REFUSED)) &&
            renewal->by_token && renewal->failures <= RENEWAL_DOUBTS)
                wait = schedule_backoff(context->policy, FAILURE_TRANSIENT, renewal->failures + 3,
                                        context->random, event->retry_after_usec,
                                        usec_sub(renewal->expiry, context->now));

        /* What is waited for is there already, and it lives for minutes only. Not where the inspection is
         * what fails: that would be retried without a pause. */
        if (state == RENEWAL_WAITING_FOR_TOKEN && !renewal->by_token && renewal->token_offered &&
            renewal->step != STEP_INSPECT)
                wait = 0;
        return wait_for(renewal, state, USEC_INFINITY, wait);
}

/*
 * What a staged certificate is worth. It costs nothing more, so it goes before everything that does; but not
 * for longer than it may still work, and not once it failed and there is something newer: a token, a
 * configuration, an operator's wish. What an operator hands in beats it at once. A certificate that failed
 * too often is tried where nothing better is left.
 */
static enum reply_rank {
        REPLY_NONE,
        REPLY_LAST,
        REPLY_FIRST
} rank_reply(const struct renewal *renewal, const struct renewal_observation *observation,
             const struct renewal_context *context) {
        const bool has_good_set =
                observation->set == SET_KNOWN && !renewal->rejected && !is_expired(renewal, context);

        if (!observation->has_staged_reply || observation->reply_expiry <= context->now)
                return REPLY_NONE;
        if (has_good_set && observation->reply_expiry <= observation->expiry && !renewal->forced &&
            !observation->other_key_asked && observation->replace_from == 0)
                return REPLY_NONE; /* the current set is newer */
        if (observation->enrol_asked || observation->reply_failures >= RENEWAL_REPLY_TRIES)
                return REPLY_LAST;
        if (observation->reply_failures > 0 &&
            (renewal->forced || observation->is_new_config || observation->has_untried_token))
                return REPLY_LAST;
        return REPLY_FIRST;
}

/* Where an attempt starts with what is staged; STEP_NONE when it cannot. An enrolment may have nothing left
 * but a certificate that failed. */
static enum renewal_step first_step(const struct renewal_observation *observation, bool by_token,
                                    enum reply_rank reply) {
        if (reply == REPLY_FIRST)
                return STEP_VERIFY;
        if (by_token && observation->has_staged_grant && !observation->has_untried_token)
                return STEP_SIGN;
        if (by_token && !observation->has_token)
                return reply == REPLY_LAST ? STEP_VERIFY : STEP_NONE;
        return observation->has_staged_key ? STEP_CONFIGURATION : STEP_KEY;
}

/* By its age, or because it is to be replaced. */
static usec_t due_of(const struct renewal_observation *observation, const struct renewal_context *context) {
        const struct schedule_policy *policy = context->policy;
        usec_t due = schedule_due(policy, observation->not_before, observation->expiry, context->seed),
               replaced;

        if (observation->replace_from > 0) {
                replaced = schedule_replacement(observation->replace_from, policy->replace_within_usec,
                                                context->seed);
                due = replaced < due ? replaced : due;
        }
        if (observation->replace_at > 0 && observation->replace_at < due)
                due = observation->replace_at;
        return due;
}

static enum renewal_step take_observation(struct renewal *renewal,
                                          const struct renewal_observation *observation, usec_t hold_usec,
                                          const struct renewal_context *context) {
        enum renewal_step enrolment;
        enum renewal_state state;
        enum reply_rank reply;
        usec_t due;

        take_set(renewal, observation);
        reply = rank_reply(renewal, observation, context);
        enrolment = first_step(observation, true, reply);
        renewal->is_last_resort = reply == REPLY_LAST && enrolment == STEP_VERIFY;
        renewal->token_offered = enrolment != STEP_NONE && !renewal->is_last_resort;
        hold_usec = longest_hold(renewal, hold_usec, context);

        if (observation->set == SET_NONE) {
                if (enrolment == STEP_NONE)
                        return wait_for(renewal, RENEWAL_WAITING_FOR_TOKEN, USEC_INFINITY, USEC_INFINITY);
                return attempt(renewal, true, enrolment, hold_usec);
        }

        if (!schedule_clock_plausible(context->policy, context->now, observation->not_before)) {
                state = renewal->state == RENEWAL_CURRENT ? RENEWAL_CURRENT : RENEWAL_RETRYING;
                if (hold_usec > 0)
                        return wait_for(renewal, state, USEC_INFINITY, hold_usec);
                return fail(renewal, state, FAILURE_LOCAL, context);
        }

        if (renewal->rejected || is_expired(renewal, context)) {
                /* A certificate that failed takes turns with one that expired or was rejected: either may
                 * work again. */
                if (enrolment != STEP_NONE && !(renewal->is_last_resort && renewal->failures % 2 == 1))
                        return attempt(renewal, true, enrolment, hold_usec);
                renewal->is_last_resort = false;
                if (hold_usec > 0)
                        return wait_for(renewal, RENEWAL_WAITING_FOR_TOKEN, USEC_INFINITY, hold_usec);
                if (renewal->state != RENEWAL_WAITING_FOR_TOKEN && !renewal->forced)
                        return fail(renewal, RENEWAL_WAITING_FOR_TOKEN, FAILURE_REJECTED, context);
                return attempt(renewal, false, first_step(observation, false, reply), 0);
        }

        renewal->is_last_resort = false;
        if (observation->enrol_asked && enrolment != STEP_NONE)
                return attempt(renewal, true, enrolment, hold_usec);

        due = due_of(observation, context);
        if (due > context->now && !renewal->forced && !observation->other_key_asked) {
                forget_failures(renewal);
                return wait_for(renewal, RENEWAL_CURRENT, due, USEC_INFINITY);
        }
        return attempt(renewal, false, first_step(observation, false, reply), hold_usec);
}

/* The step under way is done. An inspection ends with its observation, so nothing follows it here. */
static enum renewal_step take_step(struct renewal *renewal) {
        switch (renewal->step) {
        case STEP_NONE:
        case STEP_INSPECT:
                return renewal->step;

        case STEP_KEY:
                return renewal->step = renewal->configured ? STEP_CSR : STEP_CONFIGURATION;

        case STEP_CONFIGURATION:
                renewal->configured = true;
                return renewal->step = STEP_CSR;

        case STEP_COMMIT:
                forget_failures(renewal);
                renewal->forced = false;
                renewal->rejected = false;
                return wait_for(renewal, RENEWAL_CURRENT, USEC_INFINITY, USEC_INFINITY);

        default:
                return renewal->step = renewal->step + 1;
        }
}

enum renewal_step renewal_next(struct renewal *renewal, const struct renewal_event *event,
                               const struct renewal_context *context) {
        switch (event->type) {
        case RENEWAL_WAKE:
                if (renewal->step != STEP_NONE)
                        break;
                renewal->by_token = false;
                renewal->due_usec = renewal->backoff_usec = USEC_INFINITY;
                return renewal->step = STEP_INSPECT;

        case RENEWAL_INSPECTED:
                if (renewal->step != STEP_INSPECT)
                        break;
                assert(event->observation->set == SET_NONE || event->observation->set == SET_KNOWN);
                return take_observation(renewal, event->observation, event->hold_usec, context);

        case RENEWAL_DONE:
                return take_step(renewal);

        case RENEWAL_KEY_TOO_SMALL:
                if (renewal->step != STEP_CONFIGURATION)
                        break;
                renewal->configured = true;
                return renewal->step = STEP_KEY;

        case RENEWAL_FAILED:
                if (renewal->step == STEP_NONE)
                        break;
                return take_failure(renewal, event, context);
        }
        return renewal->step;
}

usec_t renewal_assumed_backoff(const struct renewal *renewal, const struct renewal_context *context) {
        struct renewal next = *renewal;
        enum renewal_state state = needs_token(renewal, FAILURE_TRANSIENT, false, context)
                                           ? RENEWAL_WAITING_FOR_TOKEN
                                           : RENEWAL_RETRYING;

        next.step = STEP_NONE; /* nothing is behind us yet */
        count_failure(&next, FAILURE_TRANSIENT);
        return backoff(&next, state, &(struct renewal_event) { 0 }, context);
}

void renewal_restore(struct renewal *renewal, unsigned failures, enum failure failure) {
        *renewal = (struct renewal) {
                .due_usec = USEC_INFINITY,
                .backoff_usec = USEC_INFINITY,
        };
        if (failures == 0)
                return;
        renewal->failures = failures;
        renewal->failure = failure == FAILURE_NONE ? FAILURE_TRANSIENT : failure;
        renewal->past_signature = failure == FAILURE_BAD_REPLY;
}
