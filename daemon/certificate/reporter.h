#pragma once

/* What the log says of one certificate, and what it remembers of that: for the status, and so as not to
 * repeat itself. An operation that an operator asked for ends with a line: the reporter knows which. */

#include "daemon/certificate/attempt.h"
#include "daemon/certificate/core.h"
#include "daemon/certificate/requests.h"
#include "daemon/observe/messages.h"

struct reporter {
        const struct core *core;
        const struct renewal *renewal;
        const struct outcome *outcome; /* of the attempt under way; NULL between attempts */

        /* For the status. */
        const char *last_result; /* the name of an event, or NULL */
        char *last_error;        /* NULL: it was no failure */
        usec_t last_usec;
        enum operation last_operation; /* that ended with it; OPERATION_NONE: rekeyd acted by itself */

        /* What an operator asked for, until the line that ends it. It may have to wait before it begins. */
        enum operation operation;
        bool has_begun;
        bool is_delivering; /* the set by which one has ended, and a client may wait for that */

        /* So as not to repeat itself. */
        unsigned n_same_failures;
        uint64_t failure_hash;  /* of the last failure's text */
        usec_t logged_due_usec; /* of the last "is current" */
        bool has_described_set; /* the last line has said all of it but when it is renewed */
};

/* All is borrowed. */
void reporter_init(struct reporter *reporter, const struct core *core, const struct renewal *renewal);
void reporter_clear(struct reporter *reporter);

/* Lines from now on are about an attempt, whose steps end as OUTCOME says; NULL: there is none. */
void reporter_set_outcome(struct reporter *reporter, const struct outcome *outcome);

void reporter_log(struct reporter *reporter, int priority, const char *message_id, const char *format, ...)
        _printf_(4, 5);

/* An attempt failed, as the outcome says. IN_USE: the new set is current all the same. OVER_BUDGET: it has
 * not begun. */
void reporter_log_failure(struct reporter *reporter, bool in_use, bool over_budget);
/* A step that calls is next, since the inspection has found OBSERVATION. */
void reporter_log_begun(struct reporter *reporter, const struct renewal_observation *observation);
void reporter_log_waiting(struct reporter *reporter); /* for a one-time token */
void reporter_log_current(struct reporter *reporter); /* once for each due time */
void reporter_log_held(struct reporter *reporter);    /* the back-off of the last run goes on */
/* Nothing more is to be delivered for now. The first time after an operation, those who watch are told. ERROR
 * may be NULL. */
void reporter_log_delivered(struct reporter *reporter, unsigned n_pending, const char *error,
                            unsigned n_exports_failed);
void reporter_log_step(struct reporter *reporter, enum renewal_step step);

/* What an inspection made of the rights of the files, NULL where that is unknown. IS_NEWS: what it could not
 * put right is to be told. */
void reporter_log_rights(struct reporter *reporter, const struct store_rights *rights, bool is_news);

/* The next "is current" is news, whatever it says. */
void reporter_forget_current(struct reporter *reporter);

/* PEER asked for OPERATION: it is on record before anything comes of it. */
void reporter_accept(struct reporter *reporter, enum operation operation, const char *peer);
void reporter_refuse(struct reporter *reporter, enum operation operation, const char *peer, const char *why);

/* The operation has begun: a failed attempt from now on is its end. */
void reporter_begin(struct reporter *reporter);

/* An operator waits for the end of an attempt. */
bool reporter_expects_attempt(const struct reporter *reporter);
