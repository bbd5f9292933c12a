#pragma once

/* A certificate's life as a pure machine: state x event -> next state and the step to take. */

#include "lib/schedule.h"

enum renewal_state {
        RENEWAL_ABSENT, /* nothing known yet */
        RENEWAL_WAITING_FOR_TOKEN,
        RENEWAL_ENROLLING,
        RENEWAL_CURRENT,
        RENEWAL_RENEWING,
        RENEWAL_RETRYING,
        RENEWAL_STATE_MAX,
};
extern const char *const renewal_state_names[RENEWAL_STATE_MAX];

/* The steps of one attempt, in their order. */
enum renewal_step {
        STEP_NONE, /* nothing to do but wait */
        STEP_LOOK,
        STEP_KEY,
        STEP_CONFIGURATION,
        STEP_CSR,
        STEP_SIGN,
        STEP_GATE,
        STEP_PROOF,
        STEP_COMMIT,
        STEP_MAX,
};
extern const char *const renewal_step_names[STEP_MAX];

/* What STEP_LOOK saw on disk and on the clock. */
struct renewal_sight {
        bool has_set;          /* a current set whose parts match */
        usec_t not_before;     /* of the leaf; 0 without a set */
        usec_t expiry;         /* effective; 0 without a set */
        bool has_token;        /* one is on offer, or one from `configuration` is staged */
        bool has_staged_key;   /* of the size asked for */
        bool has_staged_grant; /* CSR and one-time token for the sign call: `configuration` is behind us */
        bool has_staged_reply; /* a certificate that passed the gate, not yet proven */
        bool other_key_asked;  /* the configuration asks for another key size than the current set has */
};

struct renewal_event {
        enum renewal_event_type {
                RENEWAL_WAKE,          /* a timer, a token, an operator: look */
                RENEWAL_LOOKED,        /* STEP_LOOK is done: SIGHT */
                RENEWAL_DONE,          /* any other step is done */
                RENEWAL_KEY_TOO_SMALL, /* `configuration` asks for a larger key than the staged one */
                RENEWAL_FAILED,        /* the step failed: FAILURE, RETRY_AFTER */
        } type;
        const struct renewal_sight *sight;
        enum failure failure;
        usec_t retry_after_usec;
};

struct renewal {
        enum renewal_state state;
        enum renewal_step step; /* under way; STEP_NONE between attempts */
        bool by_token;          /* this attempt enrols */
        bool configured;        /* this attempt's `configuration` is done: it mints tokens, so never twice */
        bool forced;            /* renew although it is not due; cleared by success */
        bool rejected;        /* the current set was; need not survive a restart, one call finds out again */
        bool token_offered;   /* the last look saw what an enrolment could start with */
        unsigned failures;    /* in a row */
        enum failure failure; /* the last one; FAILURE_NONE after a success */
        usec_t expiry;        /* effective, of the current set; 0 without one */

        /* When to wake, once step is STEP_NONE. Either may be USEC_INFINITY; so are both during an attempt.
         */
        usec_t due_usec;     /* CLOCK_REALTIME, absolute */
        usec_t backoff_usec; /* a span on CLOCK_BOOTTIME, from now */
};

/* What the machine needs to know of the world; all constant for the length of a call. */
struct renewal_context {
        const struct schedule_policy *policy;
        uint32_t seed;   /* schedule_seed() */
        uint32_t random; /* fresh for each call */
        usec_t now;      /* CLOCK_REALTIME */
};

/* clang-format off */
/*
 * Takes the event, moves the machine and returns the step to take next, which is then `renewal->step`.
 * STEP_NONE means wait for due_usec, backoff_usec or a token. A wake during an attempt changes nothing but
 * `forced`, which the caller may set at any time; an event that does not belong to the step under way changes
 * nothing at all.
 *
 * A wake is the permission to try: between attempts the caller wakes the machine when a time above has come,
 * a token has appeared, the clock was set or an operator asks, and at once
 *   - after it started, with what survived the restart in failures, failure and forced;
 *   - after STEP_COMMIT is done: both times are infinite then, and the next due time comes from what is on
 *     disk.
 *
 * What a look leads to (the first row that fits):
 *   no set: staged reply, grant or token   ENROLLING from the furthest step that these allow
 *   no set                                 WAITING_FOR_TOKEN, no time to wake
 *   now is before notBefore and the skew   FAILURE_LOCAL; state stays CURRENT, or is RETRYING
 *   expired or rejected: reply, grant ...  ENROLLING as above
 *   expired or rejected                    first WAITING_FOR_TOKEN, as FAILURE_REJECTED; woken in that state
 *                                          or forced: RENEWING with what there is. A CA may come back
 *   not due, not forced, same key asked    CURRENT until due_usec
 *   otherwise                              RENEWING; a grant is of no use at the certificate-secured door
 *
 * What a failure leads to:
 *   ENROLLING: refused, rejected           WAITING_FOR_TOKEN: the token is burnt by the call that carried it
 *   RENEWING: rejected, or expired by now  WAITING_FOR_TOKEN, slow back-off; none where a token is on offer
 *   otherwise                              RETRYING; the old set stays in use
 * At STEP_PROOF it is the new certificate that the edge rejects, not the one in use: that counts as
 * FAILURE_BAD_REPLY.
 */
/* clang-format on */
enum renewal_step renewal_next(struct renewal *renewal, const struct renewal_event *event,
                               const struct renewal_context *context);
