#pragma once

/* The status of a certificate, read from the JSON of rekeyd-api(7). */

#include <limits.h>

#include <jansson.h>

#include "lib/life/knowledge.h"
#include "lib/util/macro.h"
#include "lib/util/time.h"

#define VIEW_UNKNOWN UINT_MAX

/* Strings are borrowed from the JSON. What is missing there is empty here. */
struct view_notices {
        unsigned pending, failed;
        const char *error; /* of the first that failed; NULL: none */
};

/* NULL: unknown; and where the Connector names no other. */
struct view_subjects {
        const char *current, *refused;
};

struct view_files {
        const char *token_problem; /* why the token file is not used; NULL: it is, or there is none */
        const char *rights_error; /* NULL: they are as configured */
        unsigned exports_failed;
        const char *export_error; /* of the first; NULL: none is known */
        bool is_unwatched;
        usec_t saved_at; /* the state file, where no rekeyd runs; 0: unknown */
};

/* Whether it can be renewed when it is due. */
struct view_renewable {
        const char *doubt;         /* why not; NULL: nothing is known */
        const char *answer;        /* to the last probe; NULL: none */
        usec_t probed_at;          /* 0: never */
        const char *cause;         /* of the last failure in a row, by its name; NULL: not known */
        const char *key_ahead;     /* "planned", "generating" or "ready"; NULL: nothing of it */
        usec_t key_ahead_at;       /* with "planned"; 0 otherwise */
        const char *replacement;   /* why it is due before its age makes it so; NULL: it is not */
        const char *issuer;        /* the CA that has signed the leaf; NULL: unknown */
        const char *expires_first; /* the CA in its chain that sets not_after; NULL: the leaf does */
};

struct view {
        const char *name, *connector, *directory;
        const char *state;   /* "unknown" where there is none */
        const char *step;    /* NULL: no attempt is under way */
        const char *failure; /* the class of the last one; NULL: none in a row */
        const char *last_error, *last_result, *fingerprint; /* NULL: none */
        const char *last_operation;    /* the request that ended with last_result; NULL: none */
        const char *last_result_error; /* NULL: it was no failure */
        const char *problem; /* why the set cannot be read; else another one with the files, of the details
                                and of what is read offline */
        enum knowledge knowledge;
        bool is_usable, is_revoked, is_revoking, is_copied;
        uint64_t generation;
        usec_t not_before, not_after; /* as last known; 0: not known; the second may be USEC_INFINITY */
        usec_t renew_at, next_attempt, last_error_at, last_result_at; /* 0: none */
        unsigned failures;
        unsigned budget_left; /* VIEW_UNKNOWN: it is not known */
        struct view_renewable renewable;
        struct view_files files;
        struct view_notices notices;
        struct view_subjects subjects;
};

void view_read(const json_t *status, struct view *ret);

/* "2026-11-20T18:06:53Z" as CLOCK_REALTIME; 0 for anything else. The end of the year 9999 is USEC_INFINITY:
 * what expires then never does. */
usec_t view_time(const char *text);

/* Members of objects, which may be NULL or of another kind: then NULL and 0. */
const char *view_string(const json_t *object, const char *name);
uint64_t view_number(const json_t *object, const char *name);
usec_t view_member_time(const json_t *object, const char *name);

/* There is a set, or was when it was last known. */
static inline bool view_has_set(const struct view *view) {
        return !strempty(view->fingerprint);
}

/* When it expires is known. */
static inline bool view_expires(const struct view *view) {
        return view->not_after > 0 && view->not_after != USEC_INFINITY;
}

/* How much of its lifetime has passed, in percent. */
unsigned view_used(const struct view *view, usec_t now);

/* The request, where the last result is its failure; else "". */
const char *view_failed_operation(const struct view *view);
