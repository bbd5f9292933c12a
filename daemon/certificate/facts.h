#pragma once

/* What is known of the current set, and of the one-time tokens seen so far. Pure: no loop, no files. */

#include "lib/life/knowledge.h"
#include "lib/life/state.h"
#include "lib/store/store.h"

struct facts {
        /* The current set; where it was not inspected yet or cannot be read, the last one that was known. The
         * fingerprint is empty where none is. */
        enum knowledge knowledge;
        uint64_t generation;
        char fingerprint[FINGERPRINT_HEX];
        uint8_t doubt;             /* of `enum doubt` */
        usec_t not_before, expiry; /* effective, of a revoked set as well; 0: not known */
        struct issuers
                *issuers; /* that it is issued under; NULL: not known, as before the first inspection */

        /* One-time tokens, as hashes; see lib/life/state.h. */
        uint64_t token_file; /* the file_identity_hash() of the file that the last inspection read; 0: none */
        uint64_t last_token; /* of the last inspection */
        uint64_t tried_token; /* the last one that the Connector was shown */
        uint64_t burnt_token; /* one that is of no use any more */
        char *token_problem;  /* why the token file is not used; NULL: it is, or there is none */

        /* Rights of its files that the last inspection could not put right; see store_put_rights(). */
        uint64_t rights;    /* 0: all are right */
        char *rights_error; /* NULL then */
};

/* What an inspection saw that the one before it did not. */
struct facts_news {
        bool is_new_set, is_new_token;
};

/* What the last run left in STATE, as last known. facts_clear() frees what is in it. */
void facts_restore(struct facts *facts, const struct state *state);
void facts_clear(struct facts *facts);

/* SET is the current one, NULL for none. TOKEN is the hash of the token on offer, 0 for none, and TOKEN_FILE
 * where it was looked for. */
struct facts_news facts_observe(struct facts *facts, const struct set *set, uint64_t token,
                                uint64_t token_file);

/* PROBLEM is why an inspection did not use the token file, NULL for none, and TOKEN_FILE where it looked: to
 * be called before facts_observe(). Whether that is news. */
bool facts_observe_token_problem(struct facts *facts, const char *problem, uint64_t token_file);

/* RIGHTS are what an inspection made of them, NULL where that is unknown. Whether something is not right, and
 * was right or otherwise before. */
bool facts_observe_rights(struct facts *facts, const struct store_rights *rights);

/* An inspection has failed, and KNOWLEDGE is what can be said all the same, with SET where it is SET_KNOWN.
 * What was last known of a set that cannot be read stays; of tokens it has seen nothing. */
void facts_observe_failure(struct facts *facts, enum knowledge knowledge, const struct set *set);

/* Leaves in STATE what a restart is to know of the current set; there must be one. True: dependents were
 * never notified of it. */
bool facts_save(const struct facts *facts, struct state *state);

/* The Connector is shown the token of hash TOKEN. */
void facts_try_token(struct facts *facts, uint64_t token);

/* The token that was tried last is of no use any more: it has brought a certificate, or was refused. */
void facts_burn_token(struct facts *facts);

static inline bool facts_has_set(const struct facts *facts) {
        return facts->knowledge == SET_KNOWN;
}

/* A set is known, or was last known. */
static inline bool facts_remember_set(const struct facts *facts) {
        return facts->fingerprint[0];
}

static inline bool facts_is_unreadable(const struct facts *facts) {
        return facts->knowledge == SET_UNREADABLE;
}

/* The current set was revoked by rekeyd, or may be: it counts as none. And whether it only may be. */
bool facts_is_revoked(const struct facts *facts, const struct state *state);
bool facts_is_revocation_in_doubt(const struct facts *facts, const struct state *state);

/* There is a set, it was not revoked, and it is valid at NOW (CLOCK_REALTIME). */
bool facts_is_usable(const struct facts *facts, const struct state *state, usec_t now);

/* How long until one more signature may be asked for, where MAX are allowed within an hour; NOW is
 * CLOCK_BOOTTIME. */
usec_t facts_budget_wait(const struct state *state, unsigned max, usec_t now);
