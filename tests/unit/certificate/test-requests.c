/* What an operator may ask for in which state: each rule alone, and which of two comes first. */

#include "daemon/certificate/requests.h"
#include "tests/test.h"

/* Everything is allowed, for whatever operation. */
static struct request_facts facts_of_a_good_one(void) {
        return (struct request_facts) {
                .name = "orders",
                .directory = "/etc/orders",
                .look = LOOK_DONE,
                .force = true,
                .may_have_set = true,
                .has_set = true,
                .is_usable = true,
                .has_dependents = true,
                .has_exports = true,
                .has_refused_subject = true,
                .connector = "ucl",
                .budget = 6,
        };
}

START_TEST(a_good_certificate_may_do_all) {
        const struct request_facts facts = facts_of_a_good_one();

        for (enum operation o = OPERATION_RENEW; o < OPERATION_MAX; o++) {
                struct error error = ERROR_INIT;

                ck_assert_msg(request_check(o, &facts, &error) == 0, "%s: %s", operation_names[o],
                              error_text(&error));
        }
}
END_TEST

#define ALL     "renew enrol revoke rollback notify accept probe adopt export"
#define NOT_NEW "enrol revoke rollback notify accept probe adopt export"

/* OPERATION is answered with CODE and TEXT after a look. Without one it is refused by nothing that lies on
 * the disk; where the look was in vain, the sentence says so. */
static void check_remembered(enum operation operation, struct request_facts *facts, int code, bool of_disk,
                             const char *text) {
        static const struct {
                enum request_look look;
                const char *more;
        } rows[] = {
                { LOOK_LATE, "; this is only remembered, since /etc/orders could not be inspected in time" },
                { LOOK_FAILED,
                  "; this is only remembered, since /etc/orders could not be inspected; see the log" },
        };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        const bool is_remembered = code < 0 && of_disk;

        facts->look = LOOK_NONE;
        ck_assert_int_eq(request_check(operation, facts, &error), is_remembered ? -EAGAIN : code);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(error_clear) struct error late = ERROR_INIT;
                const char *said;

                facts->look = rows[i].look;
                ck_assert_int_eq(request_check(operation, facts, &late), code);
                ck_assert_int_eq(request_check(operation, facts, NULL), code);
                said = error_text(&late);
                ck_assert_int_eq(strncmp(said, text, strlen(text)), 0);
                ck_assert_str_eq(said + strlen(text), is_remembered ? rows[i].more : "");
        }
}

START_TEST(each_state_refuses_what_it_must) {
        static const struct {
                const char *state, *refused; /* the operations that are refused, and no others */
                int code;
                const char *text;
                bool of_disk;
        } rows[] = {
                { "retired", ALL, -EPERM, "removed from the configuration", false },
                { "operation", ALL, -EBUSY, "a `revoke` of orders is under way", false },
                { "attempt", NOT_NEW, -EBUSY, "an attempt to renew orders is under way", false },
                { "waiting attempt", NOT_NEW, -EBUSY, "an attempt to enrol orders is under way", false },
                { "unreadable set", "enrol revoke rollback adopt", -EPERM,
                  "cannot be read, and may be whole: no", true },
                { "no set", "renew revoke rollback notify probe export", -EPERM, "orders has no certificate",
                  true },
                { "revoked", "renew revoke", -EPERM, "enrol it again", true },
                { "in doubt", "renew", -EPERM, "orders is revoked", true },
                { "no force", "enrol adopt", -EPERM, "renew it, or force", true },
                { "no force, rejected", "", 0, "", false },
                { "no force, expired", "", 0, "", false },
                { "no dependents", "notify", -EPERM, "no `notify`", false },
                { "no exports", "export", -EPERM, "no `exports`", false },
                { "no other subject", "accept", -EPERM, "nothing to accept", false },
                { "revoking", "revoke rollback adopt", -EBUSY, "try again in a moment", false },
                { "budget", "renew enrol", -EDQUOT, "limit of `limits.issuances_per_hour`", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct request_facts facts = facts_of_a_good_one();
                const char *state = rows[i].state;

                if (streq(state, "retired"))
                        facts.is_retired = true;
                else if (streq(state, "operation"))
                        facts.under_way = OPERATION_REVOKE;
                else if (streq(state, "attempt"))
                        facts.attempt.is_under_way = true;
                else if (streq(state, "waiting attempt"))
                        facts.attempt.is_under_way = facts.attempt.is_waiting = facts.attempt.by_token = true;
                else if (streq(state, "unreadable set")) {
                        facts.unreadable = "no";
                        facts.is_usable = facts.force = false;
                } else if (streq(state, "no set"))
                        facts.may_have_set = facts.has_set = facts.is_usable = false;
                else if (streq(state, "revoked"))
                        facts.is_revoked = true;
                else if (streq(state, "in doubt"))
                        facts.is_revoked = facts.is_in_doubt = true;
                else if (streq(state, "no dependents"))
                        facts.has_dependents = false;
                else if (streq(state, "no exports"))
                        facts.has_exports = false;
                else if (streq(state, "no other subject"))
                        facts.has_refused_subject = false;
                else if (streq(state, "revoking"))
                        facts.is_revoking = true;
                else if (streq(state, "budget"))
                        facts.budget_wait = USEC_PER_HOUR;
                else {
                        facts.force = false;
                        facts.is_rejected = streq(state, "no force, rejected");
                        facts.is_usable = !streq(state, "no force, expired");
                }
                for (enum operation o = OPERATION_RENEW; o < OPERATION_MAX; o++) {
                        _cleanup_(error_clear) struct error error = ERROR_INIT;
                        bool expected = strstr(rows[i].refused, operation_names[o]);
                        int r;

                        facts.look = LOOK_DONE;
                        r = request_check(o, &facts, &error);
                        ck_assert_msg(r == (expected ? rows[i].code : 0), "%s of one with %s: %d, %s",
                                      operation_names[o], state, r, error_text(&error));
                        ck_assert_msg(!expected || strstr(error_text(&error), rows[i].text), "%s: %s", state,
                                      error_text(&error));
                        check_remembered(o, &facts, r, rows[i].of_disk, error_text(&error));
                }
        }
}
END_TEST

START_TEST(a_renewal_joins_an_attempt_whatever_it_costs) {
        struct request_facts facts = facts_of_a_good_one();
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        facts.attempt.is_under_way = true;
        facts.budget_wait = USEC_PER_HOUR;
        facts.is_revoked = true;
        ck_assert_int_eq(request_check(OPERATION_RENEW, &facts, &error), 0);

        /* one that waits for its turn is not under way yet */
        facts.attempt.is_waiting = true;
        ck_assert_int_eq(request_check(OPERATION_RENEW, &facts, &error), -EPERM);
}
END_TEST

START_TEST(what_is_not_known_yet_may_be_renewed) {
        struct request_facts facts = facts_of_a_good_one();
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        facts.has_set = facts.is_usable = false;
        ck_assert_int_eq(request_check(OPERATION_RENEW, &facts, &error), 0);
        facts.may_have_set = false;
        ck_assert_int_eq(request_check(OPERATION_RENEW, &facts, &error), -EPERM);
        facts.is_token_offered = true; /* then a renewal is the enrolment */
        ck_assert_int_eq(request_check(OPERATION_RENEW, &facts, &error), 0);
}
END_TEST

START_TEST(each_operation_has_a_name) {
        ck_assert_ptr_null(operation_names[OPERATION_NONE]);
        for (enum operation o = OPERATION_RENEW; o < OPERATION_MAX; o++)
                ck_assert_ptr_nonnull(operation_names[o]);
        ck_assert(operation_is_attempt(OPERATION_RENEW) && operation_is_attempt(OPERATION_ENROL));
        ck_assert(!operation_is_attempt(OPERATION_NONE) && !operation_is_attempt(OPERATION_REVOKE));
}
END_TEST

TEST_MAIN("requests", a_good_certificate_may_do_all, each_state_refuses_what_it_must,
          a_renewal_joins_an_attempt_whatever_it_costs, what_is_not_known_yet_may_be_renewed,
          each_operation_has_a_name)
