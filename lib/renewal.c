/*
 * The life of one certificate as a pure machine: it holds no certificate, reads no clock and calls nobody. An
 * attempt is a walk along the steps in their order, entered where the look on disk found the last attempt
 * left off, so that a restart neither makes a second key nor asks for a second signature. Whatever goes wrong
 * ends the attempt; the next one starts with a look again, since the world may have changed while waiting.
 *
 * The header has the two tables that decide; each is one function here.
 */

#include "lib/renewal.h"

#include <limits.h>

#include "lib/util/macro.h"

const char *const renewal_state_names[RENEWAL_STATE_MAX] = {
        [RENEWAL_ABSENT] = "absent",       [RENEWAL_WAITING_FOR_TOKEN] = "waiting-for-token",
        [RENEWAL_ENROLLING] = "enrolling", [RENEWAL_CURRENT] = "current",
        [RENEWAL_RENEWING] = "renewing",   [RENEWAL_RETRYING] = "retrying",
};

const char *const renewal_step_names[STEP_MAX] = {
        [STEP_NONE] = "none", [STEP_LOOK] = "look",   [STEP_KEY] = "key",
        [STEP_CSR] = "csr",   [STEP_SIGN] = "sign",   [STEP_CONFIGURATION] = "configuration",
        [STEP_GATE] = "gate", [STEP_PROOF] = "proof", [STEP_COMMIT] = "commit",
};

static enum renewal_step wait_for(struct renewal *renewal, enum renewal_state state, usec_t due_usec,
                                  usec_t backoff_usec) {
        renewal->state = state;
        renewal->due_usec = due_usec;
        renewal->backoff_usec = backoff_usec;
        return renewal->step = STEP_NONE;
}

static enum renewal_step attempt(struct renewal *renewal, bool by_token, enum renewal_step first) {
        renewal->state = by_token ? RENEWAL_ENROLLING : RENEWAL_RENEWING;
        renewal->by_token = by_token;
        renewal->configured = false;
        return renewal->step = first;
}

static bool is_expired(const struct renewal *renewal, const struct renewal_context *context) {
        return renewal->expiry > 0 && renewal->expiry <= context->now;
}

/* Counts FAILURE and waits in STATE. A set that only a token can replace is not worth more than the slow
 * back-off. */
static enum renewal_step fail(struct renewal *renewal, enum renewal_state state, enum failure failure,
                              usec_t retry_after_usec, const struct renewal_context *context) {
        usec_t time_left = usec_sub(renewal->expiry, context->now), backoff, slow;

        renewal->failure = failure;
        if (renewal->failures < UINT_MAX)
                renewal->failures++;

        backoff = schedule_backoff(context->policy, failure, renewal->failures, context->random,
                                   retry_after_usec, time_left);
        if (state == RENEWAL_WAITING_FOR_TOKEN) {
                slow = schedule_backoff(context->policy, FAILURE_REJECTED, renewal->failures, context->random,
                                        retry_after_usec, time_left);
                if (backoff < slow)
                        backoff = slow;
        }
        return wait_for(renewal, state, USEC_INFINITY, backoff);
}

static enum renewal_step take_failure(struct renewal *renewal, const struct renewal_event *event,
                                      const struct renewal_context *context) {
        enum failure failure = event->failure;
        enum renewal_step step;
        bool token_needed;

        if (renewal->step == STEP_PROOF && failure == FAILURE_REJECTED)
                failure = FAILURE_BAD_REPLY;

        if (renewal->by_token)
                token_needed = failure == FAILURE_REFUSED || failure == FAILURE_REJECTED;
        else {
                if (failure == FAILURE_REJECTED && renewal->step != STEP_LOOK)
                        renewal->rejected = true;
                token_needed = renewal->rejected || is_expired(renewal, context);
        }
        step = fail(renewal, token_needed ? RENEWAL_WAITING_FOR_TOKEN : RENEWAL_RETRYING, failure,
                    event->retry_after_usec, context);

        /* What is waited for is there already, and it lives for minutes only. */
        if (token_needed && !renewal->by_token && renewal->token_offered)
                renewal->backoff_usec = 0;
        return step;
}

/* Where an attempt starts with what is staged; STEP_NONE when it cannot. */
static enum renewal_step first_step(const struct renewal_sight *sight, bool by_token) {
        if (sight->has_staged_reply)
                return STEP_PROOF;
        if (by_token && sight->has_staged_grant)
                return STEP_SIGN;
        if (by_token && !sight->has_token)
                return STEP_NONE;
        return sight->has_staged_key ? STEP_CONFIGURATION : STEP_KEY;
}

static enum renewal_step take_sight(struct renewal *renewal, const struct renewal_sight *sight,
                                    const struct renewal_context *context) {
        enum renewal_step enrolment = first_step(sight, true);
        usec_t due;

        if (!sight->has_set || sight->expiry != renewal->expiry)
                renewal->rejected = false; /* that was another set */
        renewal->expiry = sight->has_set ? sight->expiry : 0;
        renewal->token_offered = enrolment != STEP_NONE;

        if (!sight->has_set) {
                if (enrolment == STEP_NONE)
                        return wait_for(renewal, RENEWAL_WAITING_FOR_TOKEN, USEC_INFINITY, USEC_INFINITY);
                return attempt(renewal, true, enrolment);
        }

        if (!schedule_clock_plausible(context->policy, context->now, sight->not_before))
                return fail(renewal, renewal->state == RENEWAL_CURRENT ? RENEWAL_CURRENT : RENEWAL_RETRYING,
                            FAILURE_LOCAL, 0, context);

        if (renewal->rejected || is_expired(renewal, context)) {
                if (enrolment != STEP_NONE)
                        return attempt(renewal, true, enrolment);
                if (renewal->state != RENEWAL_WAITING_FOR_TOKEN && !renewal->forced)
                        return fail(renewal, RENEWAL_WAITING_FOR_TOKEN, FAILURE_REJECTED, 0, context);
                return attempt(renewal, false, first_step(sight, false));
        }

        due = schedule_due(context->policy, sight->not_before, sight->expiry, context->seed);
        if (due > context->now && !renewal->forced && !sight->other_key_asked) {
                renewal->failures = 0;
                renewal->failure = FAILURE_NONE;
                return wait_for(renewal, RENEWAL_CURRENT, due, USEC_INFINITY);
        }
        return attempt(renewal, false, first_step(sight, false));
}

/* The step under way is done. A look is done by what it saw, so nothing follows it here. */
static enum renewal_step take_step(struct renewal *renewal) {
        switch (renewal->step) {
        case STEP_NONE:
        case STEP_LOOK:
                return renewal->step;

        case STEP_KEY:
                return renewal->step = renewal->configured ? STEP_CSR : STEP_CONFIGURATION;

        case STEP_CONFIGURATION:
                renewal->configured = true;
                return renewal->step = STEP_CSR;

        case STEP_COMMIT:
                renewal->failures = 0;
                renewal->failure = FAILURE_NONE;
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
                return renewal->step = STEP_LOOK;

        case RENEWAL_LOOKED:
                if (renewal->step != STEP_LOOK)
                        break;
                return take_sight(renewal, event->sight, context);

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
