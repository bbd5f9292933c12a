#pragma once

/* The checks that a new set passes before it may be verified and become current. */

#include "lib/life/replacement.h"
#include "lib/x509/chain.h"

/* Every check in its order: GATE_SYMBOL, which check_FUNCTION() in gate.c makes, and its name. A check may
 * rely on those before it. */
/* clang-format off */
#define GATE_CHECKS(CHECK)                             \
        CHECK(PARSES,      parses,      "parses")      \
        CHECK(ONE_LEAF,    one_leaf,    "one-leaf")    \
        CHECK(LEAF_KEY,    leaf_key,    "leaf-key")    \
        CHECK(NEW_KEY,     new_key,     "new-key")     \
        CHECK(SUBJECT,     subject,     "subject")     \
        CHECK(CLIENT_AUTH, client_auth, "client-auth") \
        CHECK(VALIDITY,    validity,    "validity")    \
        CHECK(CHAIN,       chain,       "chain")       \
        CHECK(TRUSTED,     trusted,     "trusted")     \
        CHECK(LOADS,       loads,       "loads")       \
        CHECK(EXPIRY,      expiry,      "expiry") /* after the chain: the effective expiry needs it */

enum gate_check {
#define GATE_SYMBOL(symbol, function, name) GATE_##symbol,
        GATE_CHECKS(GATE_SYMBOL)
#undef GATE_SYMBOL
        GATE_VERIFY, /* made by the caller, live; listed so that one table names every check */
        GATE_MAX,
};
/* clang-format on */
extern const char *const gate_check_names[GATE_MAX];

struct gate_input {
        /* The reply, as PEM texts. */
        const char *leaf_pem;
        const char *chain_pem;
        const char *ca_pem;

        const struct key *key;         /* the staged key */
        const struct subject *subject; /* as requested in the CSR */

        /* The current set; zero and NULL when there is none. */
        const uint8_t *current_spki; /* SPKI_HASH_SIZE bytes */
        usec_t current_expiry;       /* effective; 0: none */

        const struct replacement_rule *rule; /* which CA is not trusted any more; NULL: all are */

        usec_t now;
        usec_t skew_usec; /* how far a notBefore may lie in the future */
        bool forced;      /* an expiry that is not later than the current one is accepted */
};

/* What passed: PEM texts ready to be stored, and the facts that scheduling needs. */
struct gate_result {
        char *certificate_pem; /* leaf, then intermediates */
        char *ca_pem;
        usec_t not_before;
        usec_t effective_expiry;
        uint8_t fingerprint[FINGERPRINT_SIZE];
};
void gate_result_clear(struct gate_result *result);

/* Runs the checks in their order. 0 and *RET filled; or -EKEYREJECTED, *RET_FAILED says which check, ERROR
 * why; or -ENOMEM. Pure: the same input gives the same answer. */
int gate_run(const struct gate_input *input, struct gate_result *ret, enum gate_check *ret_failed,
             struct error *error);
