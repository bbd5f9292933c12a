/* What an answer to a probe says of the certificate, for every class of failure. */

#include "lib/life/probe-answer.h"

#include "tests/test.h"

START_TEST(each_outcome_has_its_answer) {
        static const struct {
                enum failure failure;
                unsigned status;
                bool is_unheard;
                enum probe_answer answer;
        } cases[] = {
                { FAILURE_NONE, 200, false, PROBE_ACCEPTED },
                { FAILURE_REJECTED, 0, false, PROBE_REJECTED },   /* an alert of TLS */
                { FAILURE_REJECTED, 400, false, PROBE_REJECTED }, /* the page of an nginx */
                { FAILURE_TRANSIENT, 400, false, PROBE_DOUBTFUL },
                { FAILURE_TRANSIENT, 0, false, PROBE_UNKNOWN },
                { FAILURE_TRANSIENT, 429, false, PROBE_UNKNOWN },
                { FAILURE_TRANSIENT, 503, false, PROBE_UNKNOWN },
                { FAILURE_REFUSED, 403, false, PROBE_DOUBTFUL },
                { FAILURE_REFUSED, 407, true, PROBE_UNKNOWN },
                { FAILURE_BAD_REPLY, 200, false, PROBE_DOUBTFUL }, /* the page of a login */
                { FAILURE_LOCAL, 0, false, PROBE_UNKNOWN },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ck_assert_msg(probe_answer_find(cases[i].failure, cases[i].status, cases[i].is_unheard) ==
                                      cases[i].answer,
                              "case %zu", i);
        for (int v = PROBE_NONE + 1; v < PROBE_MAX; v++)
                ck_assert_ptr_nonnull(probe_answer_names[v]);
        ck_assert_ptr_null(probe_answer_names[PROBE_NONE]);
}
END_TEST

TEST_MAIN("probe-answer", each_outcome_has_its_answer)
