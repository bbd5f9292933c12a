#pragma once

/* A certificate's life as a pure machine: state x event -> next state and the step to take. */

#include "lib/life/knowledge.h"
#include "lib/life/schedule.h"

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
        STEP_INSPECT,
        STEP_KEY,
        STEP_CONFIGURATION,
        STEP_CSR,
        STEP_SIGN,
        STEP_GATE,
        STEP_VERIFY,
        STEP_COMMIT,
        STEP_MAX,
};
extern const char *const renewal_step_names[STEP_MAX];

/* What STEP_INSPECT saw on disk and on the clock. Only with SET_KNOWN there is a current set, whose parts
 * match. */
struct renewal_observation {
        enum knowledge set;
        usec_t not_before;       /* of the leaf; with SET_KNOWN */
        usec_t expiry;           /* effective; with SET_KNOWN */
        bool has_token;          /* one is on offer, or one from `configuration` is staged */
        bool has_untried_token;  /* it was never shown to the Connector: worth more than a grant */
        bool has_staged_key;     /* of the size requested */
        bool has_staged_grant;   /* CSR and one-time token for the sign call: `configuration` is behind us */
        bool has_staged_reply;   /* a certificate that passed the gate, not yet verified */
        usec_t reply_expiry;     /* effective, of that certificate */
        unsigned reply_failures; /* attempts to verify it so far, over restarts */
        bool is_new_config;      /* the configuration is another one than that of the last inspection */
        bool enrol_asked;        /* with the token on offer, although the set can be used */
        bool other_key_asked;    /* the configuration asks for another key size than the current set has */
        usec_t replace_from; /* from when on the set is to be replaced, over the policy's time: it is issued
                                under a CA that was replaced; replacement_from(); 0: it is not */
        usec_t replace_at;   /* when an operator wants it replaced; 0: never */
};

struct renewal_event {
        enum renewal_event_type {
                RENEWAL_WAKE,          /* a timer, a token, an operator: inspect */
                RENEWAL_INSPECTED,     /* STEP_INSPECT is done: OBSERVATION, of SET_NONE or SET_KNOWN */
                RENEWAL_DONE,          /* any other step is done */
                RENEWAL_KEY_TOO_SMALL, /* `configuration` asks for a larger key than the staged one */
                RENEWAL_FAILED,        /* the step failed: FAILURE, RETRY_AFTER */
        } type;
        const struct renewal_observation *observation; /* RENEWAL_FAILED at STEP_INSPECT: what was seen of the
                                                          set all the same; NULL: nothing */
        enum failure failure;
        usec_t retry_after_usec;

        /* RENEWAL_FAILED at STEP_GATE: what came back is valid, but expires no later than what there is. */
        bool not_longer;

        /* RENEWAL_FAILED at STEP_GATE: what came back is issued under a CA that is not trusted any more. */
        bool is_old_ca;

        /* RENEWAL_FAILED with FAILURE_REJECTED at the token-secured endpoint: the answer has other causes as
         * well. */
        bool is_doubtful;

        /* RENEWAL_FAILED: what refused is in front of the Connector, which has heard nothing; the token is
         * good. */
        bool is_unheard;

        /* RENEWAL_FAILED with FAILURE_REFUSED at the token-secured endpoint: the call has not used up its
         * token. */
        bool is_token_good;

        /* RENEWAL_INSPECTED, and RENEWAL_FAILED at STEP_INSPECT: what is left of a back-off that this
         * inspection must not end; 0 for none. */
        usec_t hold_usec;
};

struct renewal {
        enum renewal_state state;
        enum renewal_step step; /* under way; STEP_NONE between attempts */
        bool by_token;          /* this attempt enrols */
        bool configured;        /* this attempt's `configuration` is done: it mints tokens, so never twice */
        bool forced;            /* renew although it is not due; cleared by success */
        bool rejected;        /* the current set was; need not survive a restart, one call finds out again */
        bool token_offered;   /* the last inspection found what an enrolment could start with */
        bool is_last_resort;  /* this attempt verifies a certificate that failed before: there is nothing
                                 better */
        bool past_signature;  /* one of the failures in a row came at STEP_GATE or later */
        unsigned failures;    /* in a row */
        enum failure failure; /* the last one; FAILURE_NONE after a success */
        enum knowledge set;   /* as last inspected; SET_NONE also for one that counts as none */
        usec_t expiry; /* effective, of the current set, or of the last one that was known where it cannot be
                          read; 0: nothing is known to expire, and no back-off is shorter for it */

        /* When to wake, once step is STEP_NONE. Either may be USEC_INFINITY; so are both during an attempt.
         */
        usec_t due_usec;     /* CLOCK_REALTIME, absolute */
        usec_t backoff_usec; /* a span on CLOCK_BOOTTIME, from now */
};

/* The inputs of the machine; all constant for the length of a call. */
struct renewal_context {
        const struct schedule_policy *policy;
        uint32_t seed;   /* schedule_seed() */
        uint32_t random; /* fresh for each call */
        usec_t now;      /* CLOCK_REALTIME */
};

/* How often a staged certificate is verified before anything else is tried instead. */
#define RENEWAL_REPLY_TRIES 4u

/* How often a token is tried again that was doubtfully rejected. */
#define RENEWAL_DOUBTS 3u

/* clang-format off */
/*
 * Takes the event, moves the machine and returns the step to take next, which is then `renewal->step`.
 * STEP_NONE means wait for due_usec, backoff_usec or a token. A wake during an attempt changes nothing but
 * `forced`, which the caller may set at any time; an event that does not belong to the step under way changes
 * nothing at all.
 *
 * A wake is the permission to try: between attempts the caller wakes the machine when a time above has come,
 * a token has appeared, the clock was set or an operator asks, and at once
 *   - after it started, with what survived the restart: renewal_restore(), and hold_usec for the first
 *     inspection;
 *   - after STEP_COMMIT is done: both times are infinite then, and the next due time comes from what is on
 *     disk.
 *
 * What an inspection leads to (the first row that fits):
 *   no set: staged reply, grant or token   ENROLLING from the furthest step that these allow; a token that was
 *                                          never tried goes before a grant, which may be burnt
 *   no set: a reply that gave way          ENROLLING from STEP_VERIFY where nothing else is left; its failure
 *                                          leads to WAITING_FOR_TOKEN
 *   no set                                 WAITING_FOR_TOKEN, no time to wake
 *   now is before notBefore and the skew   FAILURE_LOCAL; state stays CURRENT, or is RETRYING
 *   expired or rejected: reply, grant ...  ENROLLING as above; so with enrol_asked
 *   expired or rejected                    first WAITING_FOR_TOKEN, as FAILURE_REJECTED; woken in that state
 *                                          or forced: RENEWING with what there is. A CA may come back
 *   not due, not forced, same key asked    CURRENT until due_usec; one that is to be replaced is due when
 *                                          schedule_replacement() has it, if that is earlier
 *   otherwise                              RENEWING; a grant is useless at the certificate-secured endpoint
 *
 * A staged reply is verified before anything else is done, since it costs nothing more. It gives way once it has
 * expired, when the current set expires no earlier, when an operator offers a token, after RENEWAL_REPLY_TRIES attempts,
 * and after one that failed where there is something newer: a token, a configuration, an operator's wish. With a set
 * that expired or was rejected, a reply that gave way takes turns with that set.
 *
 * An inspection need not be an attempt: one that a change of the files has caused, or the first one after a
 * restart, must not end a back-off. With hold_usec it begins no attempt and counts no failure. Where it would
 * have done either, the machine waits for what is left of the back-off (no longer than a back-off may be with
 * the time that is left), in the state that an attempt leaves behind:
 *   ENROLLING                              RETRYING; WAITING_FOR_TOKEN where it was that
 *   RENEWING                               RETRYING; WAITING_FOR_TOKEN for a set that expired or was rejected
 *   FAILURE_LOCAL, FAILURE_REJECTED        the same state
 * An inspection that fails is a failure, but makes no back-off shorter than what was left of it. Where the
 * set cannot be read it may be whole all the same: nothing is begun, with a token or without, and the state is
 * RETRYING. It is read again after each back-off.
 * Without a failure there is no back-off: then hold_usec is passed over.
 *
 * What a failure leads to:
 *   ENROLLING: refused, rejected           WAITING_FOR_TOKEN: the token is burnt by the call that carried it.
 *                                          With is_doubtful it may not be: the first RENEWAL_DOUBTS in a row
 *                                          are followed by the same token, 40 s, 80 s and 160 s later, since
 *                                          one lives for five minutes
 *                                          With is_unheard RETRYING
 *                                          With is_token_good RETRYING, as soon as with is_doubtful. A grant stays
 *                                          staged and is tried again, until it is accepted, or is too old: then it
 *                                          is rejected
 *   RENEWING: rejected, or expired by now  WAITING_FOR_TOKEN, slow back-off; none where a token is on offer
 *   otherwise                              RETRYING; the old set stays in use. With not_longer the back-off of
 *                                          schedule_not_longer_backoff(), with is_old_ca of
 *                                          schedule_old_ca_backoff()
 * At STEP_VERIFY it is the new certificate that the edge rejects, not the one in use: that counts as
 * FAILURE_BAD_REPLY.
 *
 * The first of the failures in a row that comes after a signature, at STEP_GATE or later, starts their count
 * again where it is of another class than those before it: they were an outage, which has ended, and do not
 * concern the new certificate. This happens once until the next success: a Connector that signs what then
 * fails verification, and that is down in between, is slowed down as any other.
 */
/* clang-format on */
enum renewal_step renewal_next(struct renewal *renewal, const struct renewal_event *event,
                               const struct renewal_context *context);

/*
 * What would be waited if the attempt under way ended now, with FAILURE_TRANSIENT. Before an attempt's first
 * call the caller saves one failure more and this as the next attempt: so each attempt of a process that does
 * not live to its end has failed, and a crash loop is slowed down like any other failure. Never 0.
 */
usec_t renewal_assumed_backoff(const struct renewal *renewal, const struct renewal_context *context);

/* Begins with what survived a restart: so many failures in a row, and the class of the last one. `forced` and
 * `expiry`, if they survived, are the caller's to set. */
void renewal_restore(struct renewal *renewal, unsigned failures, enum failure failure);
