/* What is known of the current set and of tokens: what an inspection makes of it, and what is asked of it. */

#include "daemon/certificate/facts.h"
#include "tests/test.h"

enum { NOWHERE, SOMEWHERE };

static struct set set_of(uint8_t first, usec_t expiry) {
        return (struct set) {
                .generation = first, .not_before = 1, .effective_expiry = expiry, .fingerprint = { first }
        };
}

START_TEST(nothing_is_new_where_nothing_is) {
        struct facts facts = { 0 };
        struct facts_news news = facts_observe(&facts, NULL, 0, NOWHERE);

        ck_assert(!news.is_new_set && !news.is_new_token);
        ck_assert(!facts_has_set(&facts));
        ck_assert_uint_eq(facts.expiry, 0);
}
END_TEST

START_TEST(a_set_is_new_once) {
        struct facts facts = { 0 };
        struct set first = set_of(1, 100), second = set_of(2, 200);

        ck_assert(facts_observe(&facts, &first, 0, NOWHERE).is_new_set);
        ck_assert(!facts_observe(&facts, &first, 0, NOWHERE).is_new_set);
        ck_assert(facts_has_set(&facts));
        ck_assert(facts_observe(&facts, &second, 0, NOWHERE).is_new_set);
        ck_assert_uint_eq(facts.generation, 2);
        ck_assert_uint_eq(facts.expiry, 200);

        /* that it is gone is no set */
        ck_assert(!facts_observe(&facts, NULL, 0, NOWHERE).is_new_set);
        ck_assert(!facts_has_set(&facts));
        ck_assert_uint_eq(facts.generation, 0);
        ck_assert_uint_eq(facts.expiry, 0);
}
END_TEST

START_TEST(a_token_file_of_no_use_is_news_once) {
        struct facts facts = { 0 };

        ck_assert(!facts_observe_token_problem(&facts, NULL, 1));
        facts_observe(&facts, NULL, 0, 1);
        ck_assert(facts_observe_token_problem(&facts, "it is PEM", 2));
        facts_observe(&facts, NULL, 0, 2);
        ck_assert_str_eq(facts.token_problem, "it is PEM");
        ck_assert(!facts_observe_token_problem(&facts, "it is PEM", 2));
        ck_assert(facts_observe_token_problem(&facts, "it is JSON", 2));
        ck_assert(facts_observe_token_problem(&facts, "it is JSON", 3)); /* another file */
        facts_observe(&facts, NULL, 0, 3);
        ck_assert(!facts_observe_token_problem(&facts, NULL, 4));
        ck_assert_ptr_null(facts.token_problem);
        ck_assert(facts_observe_token_problem(&facts, "it is PEM", 5));
        facts_clear(&facts);
}
END_TEST

START_TEST(wrong_rights_are_news_once) {
        struct facts facts = { 0 };
        struct store_rights right = { 0 }, wrong = { .unchanged = 7 }, same = { .unchanged = 7 },
                            other = { .unchanged = 8 };

        error_set(&wrong.problem, -EPERM, "with a cause");
        error_set(&same.problem, -EPERM, "not tried again");
        error_set(&other.problem, -EPERM, "another");
        ck_assert(!facts_observe_rights(&facts, NULL));
        ck_assert(!facts_observe_rights(&facts, &right));
        ck_assert(facts_observe_rights(&facts, &wrong));
        ck_assert(!facts_observe_rights(&facts, &same));
        ck_assert(!facts_observe_rights(&facts, NULL)); /* unknown: it stays */
        ck_assert_str_eq(facts.rights_error, "with a cause");
        ck_assert_uint_eq(facts.rights, 7);
        ck_assert(facts_observe_rights(&facts, &other));
        ck_assert_str_eq(facts.rights_error, "another");
        ck_assert(!facts_observe_rights(&facts, &right));
        ck_assert_ptr_null(facts.rights_error);
        ck_assert(facts_observe_rights(&facts, &wrong));
        facts_clear(&facts);
        store_rights_clear(&wrong);
        store_rights_clear(&same);
        store_rights_clear(&other);
}
END_TEST

START_TEST(a_token_is_new_once) {
        struct facts facts = { 0 };

        ck_assert(facts_observe(&facts, NULL, 5, SOMEWHERE).is_new_token);
        ck_assert_uint_eq(facts.token_file, SOMEWHERE);
        ck_assert(!facts_observe(&facts, NULL, 5, SOMEWHERE).is_new_token);
        ck_assert(!facts_observe(&facts, NULL, 0, NOWHERE).is_new_token);
        /* away and back again: the service manager has put it into another file */
        ck_assert(facts_observe(&facts, NULL, 5, SOMEWHERE).is_new_token);
        facts_try_token(&facts, 5);
        ck_assert_uint_eq(facts.burnt_token, 0);
        facts_burn_token(&facts);
        ck_assert_uint_eq(facts.burnt_token, 5);
}
END_TEST

START_TEST(a_restart_knows_the_token_and_the_set) {
        struct state state = {
                .token = 9, .generation = 4, .fingerprint = "ab", .not_before = 1, .expiry = 100
        };
        struct facts facts;

        facts_restore(&facts, &state);
        ck_assert_uint_eq(facts.tried_token, 9);
        ck_assert_uint_eq(facts.last_token, 9);
        ck_assert_uint_eq(facts.burnt_token, 9); /* without failures it has brought the set */
        ck_assert_uint_eq(facts.generation, 4);
        ck_assert_str_eq(facts.fingerprint, "ab");

        /* as last known, which is not what is there now */
        ck_assert_int_eq(facts.knowledge, SET_UNKNOWN);
        ck_assert_uint_eq(facts.expiry, 100);
        ck_assert(facts_remember_set(&facts) && !facts_has_set(&facts));
        ck_assert(!facts_is_usable(&facts, &state, 50));

        state.failures = 1;
        facts_restore(&facts, &state);
        ck_assert_uint_eq(facts.burnt_token, 0); /* it may be good yet */
}
END_TEST

START_TEST(a_set_that_cannot_be_read_is_last_known) {
        struct state state = { 0 };
        struct facts facts = { 0 }, restarted;
        struct set first = set_of(1, 100);

        facts_observe_failure(&facts, SET_UNREADABLE, NULL); /* nothing was known before */
        ck_assert(facts_is_unreadable(&facts) && !facts_remember_set(&facts));

        ck_assert(facts_observe(&facts, &first, 5, SOMEWHERE).is_new_set);
        ck_assert(facts_save(&facts, &state));
        ck_assert(!facts_save(&facts, &state)); /* no news any more */
        facts_observe_failure(&facts, SET_UNREADABLE, NULL);
        ck_assert(facts_is_unreadable(&facts) && !facts_has_set(&facts) && facts_remember_set(&facts));
        ck_assert(!facts_is_usable(&facts, &state, 50) && !facts_is_revoked(&facts, &state));
        ck_assert_uint_eq(facts.generation, 1);
        ck_assert_uint_eq(facts.not_before, 1);
        ck_assert_uint_eq(facts.expiry, 100);
        ck_assert_uint_eq(facts.last_token, 5);

        facts_restore(&restarted, &state);
        facts_observe_failure(&restarted, SET_UNREADABLE, NULL);
        ck_assert_str_eq(restarted.fingerprint, facts.fingerprint);
        ck_assert_uint_eq(restarted.not_before, 1);
        ck_assert_uint_eq(restarted.expiry, 100);

        /* the same set again is no news; that there is none for certain is */
        ck_assert(!facts_observe(&restarted, &first, 5, SOMEWHERE).is_new_set);
        ck_assert(facts_is_usable(&restarted, &state, 50));
        facts_observe_failure(&facts, SET_KNOWN, &first);
        ck_assert(facts_is_usable(&facts, &state, 50));
        facts_observe_failure(&facts, SET_NONE, NULL);
        ck_assert_int_eq(facts.knowledge, SET_NONE);
        ck_assert(!facts_remember_set(&facts));
}
END_TEST

START_TEST(a_revoked_set_is_not_usable) {
        struct state state = { 0 };
        struct facts facts = { 0 };
        struct set set = set_of(1, 100);

        ck_assert(!facts_is_revoked(&facts, &state));
        facts_observe(&facts, &set, 0, NOWHERE);
        ck_assert(facts_is_usable(&facts, &state, 99));
        ck_assert(!facts_is_usable(&facts, &state, 100));

        ck_assert_int_eq(state_add_revoked(&state, facts.fingerprint), 0);
        ck_assert(facts_is_revoked(&facts, &state));
        ck_assert(!facts_is_usable(&facts, &state, 99));
        ck_assert(!facts_is_revocation_in_doubt(&facts, &state));

        state.is_revoking = true;
        state.revoking_generation = 1;
        ck_assert(facts_is_revocation_in_doubt(&facts, &state));
        state.revoking_generation = 2; /* the doubt is of another set */
        ck_assert(!facts_is_revocation_in_doubt(&facts, &state));
        state_clear(&state);
}
END_TEST

START_TEST(the_budget_is_waited_for) {
        struct state state = { 0 };

        ck_assert_uint_eq(facts_budget_wait(&state, 1, USEC_PER_HOUR), 0);
        ck_assert_int_eq(state_record_issuance(&state, USEC_PER_HOUR), 0);
        ck_assert_uint_eq(facts_budget_wait(&state, 1, USEC_PER_HOUR + 10 * USEC_PER_SEC),
                          USEC_PER_HOUR - 10 * USEC_PER_SEC);
        ck_assert_uint_eq(facts_budget_wait(&state, 2, USEC_PER_HOUR + 10 * USEC_PER_SEC), 0);
        state_clear(&state);
}
END_TEST

TEST_MAIN("facts", nothing_is_new_where_nothing_is, a_set_is_new_once, a_token_file_of_no_use_is_news_once,
          wrong_rights_are_news_once, a_token_is_new_once, a_restart_knows_the_token_and_the_set,
          a_set_that_cannot_be_read_is_last_known, a_revoked_set_is_not_usable, the_budget_is_waited_for)
