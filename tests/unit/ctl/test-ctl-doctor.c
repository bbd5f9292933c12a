/* What `rekeyctl doctor` makes of answers, times and states; the network is examined in tests/operator. */

#include "ctl/doctor.h"

#include "tests/test.h"

#define NOW (1795198013 * USEC_PER_SEC)

static const struct diagnosis_line *last(const struct diagnosis *diagnosis) {
        ck_assert_uint_gt(diagnosis->n, 0);
        return &diagnosis->lines[diagnosis->n - 1];
}

START_TEST(clocks) {
        static const struct {
                usec_t theirs, ours;
                enum diagnosis_result result;
                const char *text;
        } rows[] = {
                { NOW, NOW, DIAGNOSIS_GOOD, "agree" },
                { NOW, NOW + 5 * USEC_PER_MINUTE, DIAGNOSIS_GOOD, "agree" },
                { NOW, NOW - 5 * USEC_PER_MINUTE, DIAGNOSIS_GOOD, "agree" },
                { NOW, NOW + 3 * USEC_PER_HOUR, DIAGNOSIS_BAD, "is 3h ahead of that of the server" },
                { NOW, NOW - 2 * USEC_PER_DAY, DIAGNOSIS_BAD, "is 2d behind that of the server" },
        };
        _cleanup_(diagnosis_clear) struct diagnosis diagnosis = { 0 };

        doctor_judge_clock(&diagnosis, "a", 0, NOW, 5 * USEC_PER_MINUTE);
        ck_assert_uint_eq(diagnosis.n, 0); /* no Date, no judgement */
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                doctor_judge_clock(&diagnosis, "a", rows[i].theirs, rows[i].ours, 5 * USEC_PER_MINUTE);
                ck_assert_int_eq(last(&diagnosis)->result, rows[i].result);
                ck_assert_msg(strstr(last(&diagnosis)->text, rows[i].text), "%s", last(&diagnosis)->text);
                ck_assert_int_eq(last(&diagnosis)->fix != NULL, rows[i].result == DIAGNOSIS_BAD);
        }
        ck_assert_uint_eq(diagnosis.n_bad, 2);
}
END_TEST

START_TEST(prechecks_have_their_fix_apart) {
        _cleanup_(diagnosis_clear) struct diagnosis diagnosis = { 0 };
        _cleanup_(json_decrefp) json_t *answer = json_pack(
                "{s:[s], s:[{s:s, s:s, s:n, s:b, s:s}, {s:s, s:s, s:s, s:b, s:s}, {s:s}, i]}", "errors",
                "rekeyd.yaml:1:1: no", "checks", "check", "trust", "connector", "ucl", "certificate", "ok", 1,
                "text", "all right", "check", "rights", "connector", "ucl", "certificate", "orders", "ok", 0,
                "text", "not in group x; fix: systemctl edit rekeyd", "check", "of no use", 7);

        ck_assert_ptr_nonnull(answer);
        doctor_take_prechecks(&diagnosis, answer);
        ck_assert_uint_eq(diagnosis.n, 3);
        ck_assert_uint_eq(diagnosis.n_bad, 2);
        ck_assert_str_eq(diagnosis.lines[1].about, "connector ucl");
        ck_assert_ptr_null(diagnosis.lines[1].fix);
        ck_assert_str_eq(diagnosis.lines[2].about, "orders");
        ck_assert_str_eq(diagnosis.lines[2].text, "not in group x");
        ck_assert_str_eq(diagnosis.lines[2].fix, "systemctl edit rekeyd");
        doctor_take_prechecks(&diagnosis, NULL);
        ck_assert_uint_eq(diagnosis.n, 3);
}
END_TEST

/* The advice of everywhere else, but nobody is sent where they are. */
START_TEST(findings_do_not_lead_back) {
        _cleanup_(diagnosis_clear) struct diagnosis diagnosis = { 0 };
        _cleanup_(json_decrefp) json_t *status =
                json_pack("{s:s, s:s, s:i, s:s, s:s, s:s}", "name", "orders", "state", "retrying", "failures",
                          1, "failure", "transient", "cause", "dns", "last_error", "it rains");
        _cleanup_(json_decrefp) json_t *good = json_pack("{s:s, s:s, s:s, s:b}", "name", "orders", "state",
                                                         "current", "fingerprint", "ab", "usable", 1);

        doctor_judge_certificate(&diagnosis, status, false, true);
        ck_assert_int_eq(last(&diagnosis)->result, DIAGNOSIS_BAD);
        ck_assert_str_eq(last(&diagnosis)->fix,
                         "correct the host name in the URL, or the DNS of this machine, then: rekeyctl enrol "
                         "orders");
        doctor_judge_certificate(&diagnosis, good, false, false);
        ck_assert_uint_eq(diagnosis.n, 1);
        doctor_judge_certificate(&diagnosis, good, false, true);
        ck_assert_int_eq(last(&diagnosis)->result, DIAGNOSIS_GOOD);
}
END_TEST

START_TEST(dependents) {
        _cleanup_(diagnosis_clear) struct diagnosis diagnosis = { 0 };
        _cleanup_(json_decrefp) json_t *details =
                json_pack("{s:[{s:s, s:n, s:n}, {s:s, s:i, s:n}, {s:s, s:i, s:s}]}", "dependents",
                          "dependent", "unit a", "pending", "error", "dependent", "unit b", "pending", 2,
                          "error", "dependent", "unit c", "pending", 2, "error", "Access denied");

        ck_assert_ptr_nonnull(details);
        doctor_judge_dependents(&diagnosis, "orders", details);
        ck_assert_uint_eq(diagnosis.n, 3);
        ck_assert_int_eq(diagnosis.lines[0].result, DIAGNOSIS_GOOD);
        ck_assert_int_eq(diagnosis.lines[1].result, DIAGNOSIS_UNKNOWN);
        ck_assert_int_eq(diagnosis.lines[2].result, DIAGNOSIS_BAD);
        ck_assert_ptr_nonnull(strstr(diagnosis.lines[2].text, "unit c could not be notified: Access denied"));
        ck_assert_ptr_nonnull(strstr(diagnosis.lines[2].fix, "rekeyctl notify orders"));
}
END_TEST

TEST_MAIN("ctl-doctor", clocks, prechecks_have_their_fix_apart, findings_do_not_lead_back, dependents)
