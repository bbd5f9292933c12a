/* Facts come from two places only: what the last run left, and what an inspection or a swap has just seen. */

#include "daemon/certificate/facts.h"

void facts_restore(struct facts *facts, const struct state *state) {
        *facts = (struct facts) {
                .knowledge = SET_UNKNOWN,
                .generation = state->generation,
                .not_before = state->not_before,
                .expiry = state->expiry,
                .last_token = state->token,
                .tried_token = state->token,
                .burnt_token = state->failures == 0 ? state->token : 0, /* it has brought what is there */
        };
        memcpy(facts->fingerprint, state->fingerprint, sizeof(facts->fingerprint));
}

void facts_clear(struct facts *facts) {
        free(take_ptr(facts->rights_error));
        free(take_ptr(facts->token_problem));
        facts->issuers = issuers_free(facts->issuers);
}

/* True: it is another one than was last known. */
static bool take_set(struct facts *facts, const struct set *set) {
        char fingerprint[FINGERPRINT_HEX] = "";
        bool is_new;

        if (set)
                hex_format(fingerprint, set->fingerprint, FINGERPRINT_SIZE);
        is_new = set && !streq(fingerprint, facts->fingerprint);
        facts->knowledge = set ? SET_KNOWN : SET_NONE;
        facts->generation = set ? set->generation : 0;
        facts->not_before = set ? set->not_before : 0;
        facts->expiry = set ? set->effective_expiry : 0;
        memcpy(facts->fingerprint, fingerprint, sizeof(fingerprint));
        issuers_free(facts->issuers);
        facts->issuers = issuers_ref(set ? set->issuers : NULL);
        return is_new;
}

struct facts_news facts_observe(struct facts *facts, const struct set *set, uint64_t token,
                                uint64_t token_file) {
        const struct facts_news news = {
                .is_new_set = take_set(facts, set),
                .is_new_token = token != 0 && token != facts->last_token,
        };

        facts->token_file = token_file;
        facts->last_token = token;
        return news;
}

/* Another file with the same fault is news as well. */
bool facts_observe_token_problem(struct facts *facts, const char *problem, uint64_t token_file) {
        const bool is_news =
                problem && !(streq_null(facts->token_problem, problem) && token_file == facts->token_file);

        if (!streq_null(facts->token_problem, problem)) {
                free(facts->token_problem);
                facts->token_problem = problem ? strdup(problem) : NULL;
        }
        return is_news;
}

/* The cause is known where it was tried, and is kept. */
bool facts_observe_rights(struct facts *facts, const struct store_rights *rights) {
        if (!rights || rights->unchanged == facts->rights)
                return false;
        facts->rights = rights->unchanged;
        free(take_ptr(facts->rights_error));
        if (rights->unchanged == 0)
                return false;
        facts->rights_error = strdup(error_text(&rights->problem));
        return true;
}

void facts_observe_failure(struct facts *facts, enum knowledge knowledge, const struct set *set) {
        if (knowledge == SET_KNOWN || knowledge == SET_NONE)
                take_set(facts, knowledge == SET_KNOWN ? set : NULL);
        else
                facts->knowledge = SET_UNREADABLE;
}

bool facts_save(const struct facts *facts, struct state *state) {
        const bool is_news = !streq(state->fingerprint, facts->fingerprint);

        state->generation = facts->generation;
        memcpy(state->fingerprint, facts->fingerprint, sizeof(state->fingerprint));
        state->not_before = facts->not_before;
        state->expiry = facts->expiry;
        return is_news;
}

void facts_try_token(struct facts *facts, uint64_t token) {
        facts->tried_token = token;
}

void facts_burn_token(struct facts *facts) {
        facts->burnt_token = facts->tried_token;
}

bool facts_is_revoked(const struct facts *facts, const struct state *state) {
        return state_has_revoked(state, facts->fingerprint);
}

bool facts_is_revocation_in_doubt(const struct facts *facts, const struct state *state) {
        return state->is_revoking && state->revoking_generation == facts->generation &&
               facts_is_revoked(facts, state);
}

bool facts_is_usable(const struct facts *facts, const struct state *state, usec_t now) {
        return facts_has_set(facts) && facts->expiry > now && !facts_is_revoked(facts, state);
}

usec_t facts_budget_wait(const struct state *state, unsigned max, usec_t now) {
        return schedule_budget_wait(state->issuances, state->n_issuances, max, now);
}
