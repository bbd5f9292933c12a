#pragma once

/* What an operator may ask for, and whether it may begin. Pure: a table of rules over facts. */

#include "lib/util/error.h"
#include "lib/util/time.h"

enum operation {
        OPERATION_NONE,
        OPERATION_RENEW,
        OPERATION_ENROL,
        OPERATION_REVOKE,
        OPERATION_ROLLBACK,
        OPERATION_NOTIFY,
        OPERATION_ACCEPT,
        OPERATION_PROBE,
        OPERATION_ADOPT,
        OPERATION_EXPORT,
        OPERATION_MAX,
};
extern const char *const operation_names[OPERATION_MAX]; /* "renew"; NULL for OPERATION_NONE */

/* Of OPERATION: an attempt carries it out. */
bool operation_is_attempt(enum operation operation);

/* What is known of the disk when a request is answered: a refusal by it needs a look that was made for it. */
enum request_look {
        LOOK_NONE,   /* what was remembered */
        LOOK_DONE,   /* what an inspection has found */
        LOOK_FAILED, /* what was remembered: the inspection could not read it */
        LOOK_LATE,   /* what was remembered: the inspection has not ended in time */
};

/* What the rules look at. Strings are borrowed. */
struct request_facts {
        const char *name;      /* of the certificate */
        const char *directory; /* of its set */
        enum request_look look;
        enum operation under_way; /* that an operator has asked for before */
        bool force;

        struct {
                bool is_under_way; /* beyond its inspection, or waiting for its turn */
                bool is_waiting;   /* for its turn */
                bool by_token;
        } attempt;

        bool is_retired;
        bool may_have_set;      /* there is a set, or it is not known whether there is */
        bool has_set;           /* there is, or was when it was last known */
        const char *unreadable; /* why the set cannot be read; NULL: it can */
        bool is_usable, is_rejected;
        bool is_revoked, is_in_doubt; /* the second: it only may be */
        bool is_token_offered;
        bool is_revoking; /* a revocation is under way, of whichever set */
        bool has_dependents;
        bool has_exports;
        bool has_refused_subject;
        const char *connector; /* its name */
        usec_t expiry;         /* CLOCK_REALTIME */

        usec_t budget_wait; /* until one more signature may be asked for */
        unsigned budget;    /* signatures in an hour */
};

/* Whether OPERATION may begin. 0; or -errno with a sentence: -EBUSY when something is under way, -EDQUOT
 * beyond the budget, -EPERM where the state of the certificate does not allow it, -EAGAIN where that is only
 * remembered of the disk: to be asked again after a look. */
int request_check(enum operation operation, const struct request_facts *facts, struct error *error);
