#pragma once

/* What rekeyd says of a certificate to others, as the JSON that rekeyd-api(7) describes: for the daemon,
 * which knows, and for rekeyctl where no daemon runs, which reads the files. */

#include <jansson.h>

#include "lib/config/config.h"
#include "lib/life/probe-answer.h"
#include "lib/life/renewal.h"
#include "lib/life/state.h"
#include "lib/report/inspect.h"
#include "lib/report/report-export.h"

/* Of its files: why the token file is not used, and what rights are not as configured, NULL for none; exports
 * that could not be written, and why the first could not; what is known of Secrets, for report_details(),
 * NULL for nothing; and that changes are found late (never when rekeyd is not running). */
struct report_files {
        const char *token_problem;
        const char *rights_error;
        unsigned n_exports_failed;
        const char *export_error;
        const struct report_exports *secrets;
        bool is_unwatched;
};

/* Canonical; NULL: unknown, and none. */
struct report_subjects {
        const char *last;               /* of the last set that is known */
        const char *refused, *accepted; /* another, which the Connector names */
};

/* The key of the next renewal. */
enum report_key {
        REPORT_KEY_NONE, /* it is generated when it is needed, as far as is known */
        REPORT_KEY_PLANNED,
        REPORT_KEY_GENERATING,
        REPORT_KEY_READY, /* staged */
        REPORT_KEY_MAX,
};

/* What the set is issued under, and whether it can be renewed when it is due. */
struct report_renewable {
        const struct issuers *issuers; /* NULL: not known */
        const char *replacement;  /* of replacement_names: why it is due before its age makes it so; NULL: it
                                     is not */
        const char *doubt;        /* why it cannot be; NULL: nothing is known */
        enum probe_answer answer; /* of the last probe since the start */
        usec_t probed_at;         /* CLOCK_REALTIME */
        enum cause cause;         /* of the last failure in a row */
        enum report_key key;
        usec_t key_at; /* CLOCK_REALTIME, with REPORT_KEY_PLANNED */
};

/* The notifications of a certificate. */
struct report_notices {
        unsigned n_pending, n_failed;
        const char *error; /* of the first that failed; NULL: none */
};

/* All strings are borrowed. */
struct report_status {
        const char *name, *connector, *directory;
        enum renewal_state state;
        enum renewal_step step; /* under way, or STEP_NONE */
        enum knowledge knowledge;
        const char *unreadable; /* why, with SET_UNREADABLE; NULL: memory was out */
        bool is_usable;         /* with SET_NONE and SET_KNOWN: otherwise nobody knows */
        bool is_revoked;
        bool is_copied;               /* the state was, from another machine that may use the same set */
        bool is_revoking;             /* it only may be revoked: the outcome of a request is unknown */
        uint64_t generation;          /* meaningful where there is a fingerprint */
        const char *fingerprint;      /* as last known; NULL or empty: no set is known */
        usec_t not_before, not_after; /* CLOCK_REALTIME, as last known; 0: not known */
        usec_t renew_at;              /* USEC_INFINITY: not planned */
        usec_t next_attempt;          /* after a failure; USEC_INFINITY: none */
        unsigned failures;
        enum failure failure;
        struct report_subjects subjects;
        const char *last_error; /* of the failures in a row; NULL: none */
        usec_t last_error_at;
        const char *last_result; /* the name of an event; NULL: none since the start */
        usec_t last_result_at;
        const char *last_operation;    /* of an operator, which ended with it; NULL: rekeyd's own doing */
        const char *last_result_error; /* NULL: it was no failure */
        struct report_files files;
        struct report_notices notices;
        struct report_renewable renewable;
        unsigned budget_left;
};

/* Each returns a new object, or NULL when memory is out. Nothing is read here: INSPECTION is that of CONFIG,
 * by inspect_certificate(). */
json_t *report_status(const struct report_status *status);
json_t *report_details(const struct report_status *status, const struct config_certificate *config,
                       const struct inspection *inspection, const struct state *state, usec_t now);

/*
 * The status from the files, when rekeyd is not running: states are `current`, `waiting-for-token` (nothing
 * there, or expired, or revoked), `retrying` (the state file has failures), and `absent` where it is unknown,
 * since inspection->problem prevents reading the set: then STATE has what was last known of it. The renewal
 * is planned without the jitter, which is the machine's. STATE was read at NOW. Borrows from all arguments.
 */
void report_offline(const struct config *config, const struct config_certificate *certificate,
                    const struct inspection *inspection, const struct state *state, usec_t now,
                    struct report_status *ret);
