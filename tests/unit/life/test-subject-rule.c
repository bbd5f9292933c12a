/* Who may have the next certificate: each case, and what its refusal says. */

#include "lib/life/subject-rule.h"
#include "tests/test.h"

#define USUAL "O=Org,C=DE,CN=a"
#define OTHER "O=Org,C=DE,CN=b"

START_TEST(a_subject_changes_only_where_somebody_asks) {
        static const struct {
                struct subject_rule rule;
                const char *next;
                int verdict;
                const char *text; /* in its sentence; NULL: there is none */
        } rows[] = {
                { { .last = NULL }, OTHER, SUBJECT_USUAL, NULL },
                { { .last = USUAL }, USUAL, SUBJECT_USUAL, NULL },
                { { .last = USUAL, .is_in_use = true },
                  OTHER,
                  SUBJECT_REFUSED,
                  "the Connector names the subject '" OTHER "', and the current certificate has '" USUAL
                  "'; `rekeyctl accept orders` accepts the change" },
                { { .last = USUAL }, OTHER, SUBJECT_REFUSED, "the last certificate has '" USUAL "'" },
                { { .last = USUAL, .accepted = OTHER }, OTHER, SUBJECT_CHANGED, NULL },
                { { .last = USUAL, .accepted = "O=Org,C=DE,CN=c" }, OTHER, SUBJECT_REFUSED, OTHER },
                { { .last = USUAL, .accepted = OTHER }, USUAL, SUBJECT_USUAL, NULL },
                { { .last = USUAL, .takes_any = true }, OTHER, SUBJECT_CHANGED, NULL },
                { { .last = USUAL, .takes_any = true }, USUAL, SUBJECT_USUAL, NULL },
                /* the configuration decides alone, in whatever order it is written */
                { { .configured = "CN=b,O=Org,C=DE", .last = USUAL }, OTHER, SUBJECT_CHANGED, NULL },
                { { .configured = "CN=b,O=Org,C=DE", .last = OTHER }, OTHER, SUBJECT_USUAL, NULL },
                { { .configured = "CN=b,O=Org,C=DE" }, OTHER, SUBJECT_USUAL, NULL },
                { { .configured = "CN=b, O=Org, C=DE", .last = USUAL },
                  USUAL,
                  SUBJECT_BARRED,
                  "the Connector names the subject '" USUAL
                  "', and `subject` of certificate orders is '" OTHER "'" },
                { { .configured = "CN=a,O=Org,C=DE", .last = USUAL, .accepted = OTHER, .takes_any = true },
                  OTHER,
                  SUBJECT_BARRED,
                  "`subject` of certificate orders" },
                { { .configured = "nobody" }, OTHER, -EINVAL, "does not begin with a known attribute" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                struct subject_rule rule = rows[i].rule;
                int verdict;

                rule.name = "orders";
                verdict = subject_rule_judge(&rule, rows[i].next, &error);
                ck_assert_msg(verdict == rows[i].verdict, "row %zu: %d, %s", i, verdict, error_text(&error));
                ck_assert_msg(rows[i].text ? strstr(error_text(&error), rows[i].text) != NULL
                                           : error.code == 0,
                              "row %zu: %s", i, error_text(&error));
                ck_assert_int_eq(subject_rule_judge(&rule, rows[i].next, NULL), rows[i].verdict);
        }
}
END_TEST

TEST_MAIN("subject-rule", a_subject_changes_only_where_somebody_asks)
