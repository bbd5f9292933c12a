/* What counts as wrong, how bad it is, and what a monitoring system hears of it. */

#include "ctl/plugin.h"
#include "ctl/verdict.h"
#include "lib/life/cause.h"
#include "tests/test.h"

#define NOW (1795198013 * USEC_PER_SEC) /* 2026-11-20T18:06:53Z */

#define BASE                                                                            \
        "\"name\":\"orders\",\"connector\":\"ucl\",\"directory\":\"/d\",\"step\":null," \
        "\"revoked\":false,\"generation\":42,\"exports_failed\":0,\"notifications_pending\":0,"
#define SET(until) \
        "\"fingerprint\":\"ab\",\"not_before\":\"2026-11-01T00:00:00Z\",\"not_after\":\"" until "\","
#define GOOD          SET("2027-01-30T00:00:00Z") "\"usable\":true,\"renew_at\":\"2026-12-31T00:00:00Z\","
#define GONE          SET("2026-11-18T18:06:53Z") "\"usable\":false,\"renew_at\":null,"
#define NONE          "\"fingerprint\":null,\"not_before\":null,\"not_after\":null,\"usable\":false,\"renew_at\":null,"
#define FAILED(class) "\"failures\":3,\"failure\":\"" class "\",\"last_error\":\"it rains\","
#define FINE          "\"failures\":0,\"failure\":null,\"last_error\":null,"
#define KNOWN(knowledge)                             \
        "\"usable\":null,\"knowledge\":\"" knowledge \
        "\",\"unreadable\":\"no right, as user 'x'\"," FAILED("local") STATE("retrying")
#define OTHERS      "\"subject\":\"CN=a\",\"refused_subject\":\"CN=b\","
#define ACCEPTED    "\"subject\":\"CN=a\",\"refused_subject\":null,\"accepted_subject\":\"CN=b\","
#define STATE(s)    "\"state\":\"" s "\""
#define FAILED_LAST "\"last_result_at\":\"2026-11-20T18:06:00Z\",\"last_result_error\":\"it hails\""

static json_t *status_of(const char *members) {
        _cleanup_(freep) char *text = NULL;
        json_error_t error;
        json_t *status;

        ck_assert_int_ge(asprintf(&text, "{" BASE "%s}", members), 0);
        status = json_loads(text, 0, &error); /* the last of two equal members counts */
        ck_assert_msg(status, "%s: %s", error.text, text);
        return status;
}

static const struct {
        const char *members;
        bool is_offline;
        enum verdict_level level;
        const char *sentence, *command; /* parts of the first finding; NULL: none */
        enum plugin_status status;
} rows[] = {
        { GOOD FINE STATE("current"), false, VERDICT_FINE, NULL, NULL, PLUGIN_OK },
        { GOOD FINE STATE("current"), true, VERDICT_FINE, NULL, NULL, PLUGIN_WARNING },
        { GOOD FINE STATE("renewing"), false, VERDICT_FINE, NULL, NULL, PLUGIN_OK },
        { "\"future\":1," GOOD FINE STATE("a state of the future"), false, VERDICT_FINE, NULL, NULL,
          PLUGIN_OK },
        /* nothing there */
        { NONE FINE STATE("absent"), false, VERDICT_WATCH, "not inspected by rekeyd yet", NULL, PLUGIN_OK },
        { NONE FINE STATE("enrolling"), false, VERDICT_WATCH, "being enrolled", NULL, PLUGIN_OK },
        { NONE FINE STATE("waiting-for-token"), false, VERDICT_DOWN, "enrolment needs a one-time token",
          "rekeyctl enrol orders", PLUGIN_CRITICAL },
        { NONE FAILED("refused") STATE("waiting-for-token"), false, VERDICT_DOWN,
          "3 failed attempts in a row: it rains", "rekeyctl enrol orders", PLUGIN_CRITICAL },
        { NONE FINE "\"problem\":\"there is no set\"," STATE("waiting-for-token"), false, VERDICT_DOWN,
          "enrolment needs a one-time token", "rekeyctl enrol orders", PLUGIN_CRITICAL },
        { NONE FINE "\"problem\":\"it is torn\"," STATE("absent"), true, VERDICT_DOWN,
          "cannot be used: it is torn", "systemctl restart rekeyd", PLUGIN_CRITICAL },
        { NONE FINE "\"problem\":\"cannot open it: Permission denied\"," STATE("absent"), true, VERDICT_CALL,
          "may not read the status", "sudo rekeyctl show orders", PLUGIN_WARNING },
        /* another machine's */
        { GOOD FINE "\"copied\":true," STATE("current"), false, VERDICT_WATCH,
          "was copied from another machine", "rekeyctl renew orders", PLUGIN_OK },
        { GONE FAILED("rejected") "\"copied\":true," STATE("waiting-for-token"), false, VERDICT_DOWN,
          "expired 2d ago", "rekeyctl enrol orders", PLUGIN_CRITICAL },
        /* another client's */
        { GOOD FAILED("refused") OTHERS STATE("retrying"), false, VERDICT_CALL,
          "names another subject for the next certificate: 'CN=b' instead of 'CN=a'",
          "rekeyctl accept orders", PLUGIN_WARNING },
        { GONE FAILED("refused") OTHERS STATE("waiting-for-token"), false, VERDICT_DOWN,
          "'CN=b' instead of 'CN=a'", "rekeyctl accept orders", PLUGIN_CRITICAL },
        { NONE FAILED("refused") OTHERS STATE("waiting-for-token"), true, VERDICT_DOWN,
          "'CN=b' instead of 'CN=a'", "rekeyctl accept orders", PLUGIN_CRITICAL },
        { GOOD FAILED("refused") ACCEPTED STATE("retrying"), false, VERDICT_CALL, "refuses to sign",
          "rekeyctl renew orders", PLUGIN_WARNING },
        /* it cannot be read, and is last known */
        { GOOD KNOWN("unreadable"), false, VERDICT_CALL,
          "cannot read the files: no right, as user 'x'; last known is generation 42, which expires in 70d",
          "rekeyctl show orders", PLUGIN_WARNING },
        { GOOD KNOWN("unreadable") ",\"next_attempt\":\"2026-11-20T18:09:53Z\"", false, VERDICT_CALL,
          "; next attempt in 3m", "rekeyctl show orders", PLUGIN_WARNING },
        { GONE KNOWN("unreadable"), false, VERDICT_DOWN, "last known is generation 42, which expired 2d ago",
          "rekeyctl show orders", PLUGIN_CRITICAL },
        { GOOD KNOWN("unreadable") ",\"revoked\":true", false, VERDICT_DOWN,
          "generation 42, which was revoked", "rekeyctl show orders", PLUGIN_CRITICAL },
        { SET("2026-11-18T18:06:53Z") KNOWN("unreadable") ",\"not_after\":null", false, VERDICT_DOWN,
          "no right, as user 'x'; last known is generation 42", "rekeyctl show orders", PLUGIN_CRITICAL },
        { NONE KNOWN("unreadable"), false, VERDICT_DOWN,
          "no right, as user 'x'; nothing was known of a certificate there before", "rekeyctl show orders",
          PLUGIN_CRITICAL },
        { SET("2026-11-21T06:06:53Z") KNOWN("unreadable"), false, VERDICT_CALL, "expires in 12h",
          "rekeyctl show orders", PLUGIN_CRITICAL },
        { GOOD KNOWN("unreadable"), true, VERDICT_DOWN, "cannot be used: no right",
          "systemctl restart rekeyd", PLUGIN_CRITICAL },
        { GOOD KNOWN("unknown"), false, VERDICT_WATCH, "not inspected by rekeyd yet", NULL, PLUGIN_OK },
        { NONE KNOWN("unknown"), false, VERDICT_WATCH, "not inspected by rekeyd yet", NULL, PLUGIN_OK },
        { NONE KNOWN("none"), false, VERDICT_DOWN, "no certificate: 3 failed attempts in a row",
          "rekeyctl enrol orders", PLUGIN_CRITICAL },
        { SET("9999-12-31T23:59:59Z") "\"usable\":true,\"renew_at\":null," FINE STATE("current"), false,
          VERDICT_FINE, NULL, NULL, PLUGIN_OK },
        /* there, and of no use */
        { GONE FAILED("rejected") STATE("waiting-for-token"), false, VERDICT_DOWN, "expired 2d ago: it rains",
          "rekeyctl enrol orders", PLUGIN_CRITICAL },
        { GONE FAILED("transient") STATE("retrying"), false, VERDICT_DOWN, "expired 2d ago: it rains",
          "rekeyctl renew orders", PLUGIN_CRITICAL },
        { GONE FINE STATE("waiting-for-token"), true, VERDICT_DOWN, "expired 2d ago", "rekeyctl enrol orders",
          PLUGIN_CRITICAL },
        { GOOD FINE STATE("waiting-for-token") ",\"revoked\":true", false, VERDICT_DOWN, "was revoked",
          "rekeyctl enrol orders", PLUGIN_CRITICAL },
        { GOOD FINE STATE("waiting-for-token") ",\"revoked\":true,\"revoking\":true", false, VERDICT_DOWN,
          "may be revoked", "rekeyctl enrol orders", PLUGIN_CRITICAL },
        /* in use, and in danger */
        { GOOD FAILED("rejected") STATE("waiting-for-token"), false, VERDICT_CALL, "no longer accepts",
          "rekeyctl enrol orders", PLUGIN_WARNING },
        { GOOD FAILED("refused") STATE("retrying"), false, VERDICT_CALL, "refuses to sign: it rains",
          "rekeyctl renew orders", PLUGIN_WARNING },
        { GOOD FAILED("bad-reply") STATE("retrying"), false, VERDICT_CALL, "cannot be used: it rains",
          "rekeyctl history orders", PLUGIN_WARNING },
        { GOOD FAILED("local") STATE("retrying"), false, VERDICT_CALL, "a local problem prevents renewal",
          "rekeyctl renew orders", PLUGIN_WARNING },
        /* transient failures wait for half of the time that was planned for renewing */
        { SET("2026-12-20T00:00:00Z") "\"usable\":true,\"renew_at\":\"2026-11-20T00:00:00Z\"," FAILED(
                  "transient") STATE("retrying"),
          false, VERDICT_WATCH, "at present: 3 failed attempts", NULL, PLUGIN_OK },
        { SET("2026-11-25T00:00:00Z") "\"usable\":true,\"renew_at\":\"2026-11-10T00:00:00Z\"," FAILED(
                  "transient") STATE("retrying"),
          false, VERDICT_CALL, "expires in 4d 5h", "rekeyctl renew orders", PLUGIN_WARNING },
        { SET("2027-01-30T00:00:00Z") "\"usable\":true,\"renew_at\":null," FAILED("transient")
                  STATE("retrying"),
          false, VERDICT_WATCH, "at present", NULL, PLUGIN_OK },
        /* due, and nobody is at it */
        { SET("2027-01-30T00:00:00Z") "\"usable\":true,\"renew_at\":\"2026-11-20T12:06:53Z\"," FINE STATE(
                  "current"),
          false, VERDICT_CALL, "overdue for 6h", "journalctl", PLUGIN_WARNING },
        { SET("2027-01-30T00:00:00Z") "\"usable\":true,\"renew_at\":\"2026-11-20T18:00:00Z\"," FINE STATE(
                  "current"),
          false, VERDICT_FINE, NULL, NULL, PLUGIN_OK },
        { SET("2027-01-30T00:00:00Z") "\"usable\":true,\"renew_at\":\"2026-11-20T18:00:00Z\"," FINE STATE(
                  "current"),
          true, VERDICT_CALL, "rekeyd is not running", "systemctl start rekeyd", PLUGIN_WARNING },
        { GOOD FAILED("local") "\"next_attempt\":\"2026-11-20T18:09:53Z\"," STATE("retrying"), false,
          VERDICT_CALL, ": it rains; next attempt in 3m; the", "rekeyctl renew orders", PLUGIN_WARNING },
        { GOOD FAILED("local") "\"next_attempt\":\"2026-11-20T18:09:53Z\"," STATE("retrying"), true,
          VERDICT_CALL, ": it rains; the certificate expires in", "rekeyctl renew orders", PLUGIN_WARNING },
        { NONE FINE STATE("waiting-for-token") ",\"token_problem\":\"token file /t is not used: it is PEM\"",
          false, VERDICT_DOWN, "no certificate yet; token file /t is not used: it is PEM",
          "rekeyctl enrol orders", PLUGIN_CRITICAL },
        { GOOD FINE STATE("current") ",\"token_problem\":\"it hails\"", false, VERDICT_FINE, NULL, NULL,
          PLUGIN_OK },
        /* around it */
        { GOOD FINE STATE("current") ",\"exports_failed\":2", false, VERDICT_CALL,
          "2 exports could not be written", "rekeyctl export orders", PLUGIN_WARNING },
        { GOOD FINE STATE("current") ",\"exports_failed\":1,\"export_error\":\"it hails\"", false,
          VERDICT_CALL, "1 export could not be written and is out of date: it hails",
          "rekeyctl export orders", PLUGIN_WARNING },
        { GOOD FINE STATE("current") ",\"rights_error\":\"users who should not can read a key: it snows\"",
          false, VERDICT_CALL, "users who should not can read a key: it snows", "rekeyctl show orders",
          PLUGIN_WARNING },
        { GOOD FINE STATE("current") ",\"unwatched\":true", false, VERDICT_CALL, "its files are not watched",
          "rekeyctl history orders", PLUGIN_WARNING },
        { GOOD FINE STATE("current") ",\"notifications_failed\":1", false, VERDICT_CALL,
          "1 dependent could not be notified", "rekeyctl notify orders", PLUGIN_WARNING },
        { GOOD FINE STATE("current") ",\"notifications_failed\":1,\"notification_error\":\"it hails\"", false,
          VERDICT_CALL, "1 dependent could not be notified of the current certificate: it hails",
          "rekeyctl notify orders", PLUGIN_WARNING },
        { GOOD FINE STATE("current") ",\"notifications_failed\":2,\"notification_error\":\"it hails\"", false,
          VERDICT_CALL, "2 dependents could not be notified of the current certificate, the first: it hails",
          "rekeyctl notify orders", PLUGIN_WARNING },
        { GOOD FINE STATE("current") ",\"notifications_pending\":1", false, VERDICT_FINE, NULL, NULL,
          PLUGIN_OK },
        { GOOD FINE STATE("current") ",\"doubt\":\"it is odd\"", false, VERDICT_CALL, "it is odd",
          "rekeyctl show orders", PLUGIN_WARNING },
        { GOOD FINE STATE("current") ",\"probe\":\"doubtful\",\"probed_at\":\"2026-11-21T11:58:00Z\"", false,
          VERDICT_CALL, "unknown whether the Connector still accepts the certificate",
          "rekeyctl probe orders", PLUGIN_WARNING },
        { GOOD FINE STATE("current") ",\"probe\":\"unknown\",\"probed_at\":\"2026-11-21T11:58:00Z\"", false,
          VERDICT_FINE, NULL, NULL, PLUGIN_OK },
        { GOOD FINE STATE("waiting-for-token") ",\"replacement\":\"distrusted-ca-key\"", false, VERDICT_CALL,
          "its CA was rotated, and the Connector no longer accepts the certificate", "rekeyctl enrol orders",
          PLUGIN_WARNING },
        { GOOD FINE STATE("waiting-for-token") ",\"replacement\":\"issued-before\"", false, VERDICT_CALL,
          "the Connector no longer accepts the certificate", "rekeyctl enrol orders", PLUGIN_WARNING },
        { GOOD FINE STATE("current") ",\"doubt\":null", false, VERDICT_FINE, NULL, NULL, PLUGIN_OK },
        { GOOD FINE STATE("current") ",\"budget_left\":0", false, VERDICT_FINE, NULL, NULL, PLUGIN_OK },
        /* what was asked for in vain calls nobody, and is said once */
        { GOOD FINE STATE(
                  "current") ",\"last_result\":\"failed\",\"last_operation\":\"rollback\"," FAILED_LAST,
          false, VERDICT_FINE, "the last rollback failed 53s ago: it hails", "rekeyctl show orders",
          PLUGIN_OK },
        { GOOD FINE STATE("current") ",\"last_result\":\"failed\",\"last_operation\":null," FAILED_LAST,
          false, VERDICT_FINE, "the last attempt failed 53s ago: it hails", "rekeyctl show orders",
          PLUGIN_OK },
        { GOOD FINE STATE("current") ",\"last_result\":\"renewed\",\"last_result_error\":null", false,
          VERDICT_FINE, NULL, NULL, PLUGIN_OK },
        /* nonsense is survived */
        { STATE("current") ",\"failures\":\"many\",\"not_after\":7", false, VERDICT_DOWN, "no certificate",
          "enrol", PLUGIN_CRITICAL },
};

START_TEST(judged) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(verdict_clear) struct verdict verdict = { 0 };
                _cleanup_(json_decrefp) json_t *status = status_of(rows[i].members);
                const struct finding *finding = &verdict.findings[0];
                struct view view;

                view_read(status, &view);
                ck_assert_int_eq(verdict_judge(&view, NOW, rows[i].is_offline, &verdict), 0);
                ck_assert_msg(verdict.level == rows[i].level, "row %zu is %s: %s", i,
                              verdict_level_names[verdict.level], finding->sentence ? finding->sentence : "");
                ck_assert_msg((verdict.n_findings > 0) == (rows[i].sentence != NULL), "row %zu", i);
                if (!rows[i].sentence)
                        continue;
                ck_assert_msg(strstr(finding->sentence, rows[i].sentence), "row %zu: %s", i,
                              finding->sentence);
                ck_assert_msg(rows[i].command ? finding->command && strstr(finding->command, rows[i].command)
                                              : !finding->command,
                              "row %zu: %s", i, finding->command ? finding->command : "nothing");
        }
        for (enum verdict_level level = VERDICT_FINE; level < VERDICT_LEVEL_MAX; level++)
                ck_assert_ptr_nonnull(verdict_level_names[level]);
}
END_TEST

START_TEST(the_worst_comes_first) {
        _cleanup_(verdict_clear) struct verdict verdict = { 0 };
        _cleanup_(json_decrefp) json_t *status =
                status_of(SET("2027-01-30T00:00:00Z") "\"usable\":true,\"renew_at\":null," FAILED("transient")
                                  STATE("retrying") ",\"exports_failed\":1,\"notifications_failed\":2,"
                                                    "\"budget_left\":0," FAILED_LAST);
        struct view view;

        view_read(status, &view);
        ck_assert_int_eq(verdict_judge(&view, NOW, false, &verdict), 0);
        ck_assert_int_eq(verdict.level, VERDICT_CALL);
        ck_assert_uint_eq(verdict.n_findings, 5);
        for (size_t i = 1; i < verdict.n_findings; i++)
                ck_assert_int_ge(verdict.findings[i - 1].level, verdict.findings[i].level);
        ck_assert_ptr_nonnull(strstr(verdict.findings[0].sentence, "1 export could"));
}
END_TEST

/* --- The plugin --- */

static json_t *list_of(const char *members) {
        json_t *list = json_array();

        ck_assert_int_eq(json_array_append_new(list, status_of(members)), 0);
        return list;
}

START_TEST(plugin_statuses) {
        const struct plugin_limits limits = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(json_decrefp) json_t *list = list_of(rows[i].members);
                _cleanup_(freep) char *line = NULL;
                int status = plugin_judge(list, NOW, rows[i].is_offline, &limits, &line);

                ck_assert_msg(status == (int)rows[i].status, "row %zu: %d, %s", i, status, line);
                ck_assert_msg(has_prefix(line, plugin_status_names[rows[i].status]), "%s", line);
                ck_assert_msg(strstr(line, " | certificates=1;;;0 "), "%s", line);
                ck_assert_ptr_null(strchr(line, '\n'));
        }
}
END_TEST

START_TEST(plugin_thresholds) {
        static const struct {
                usec_t warning, critical; /* 0: the standard ones */
                const char *not_before, *not_after, *renew_at;
                enum plugin_status status;
        } cases[] = {
                /* 90 days, renewed 30 before the end: 14d and 3d */
                { 0, 0, "2026-09-06T18:06:53Z", "2026-12-05T18:06:53Z", "2026-11-20T18:06:53Z", PLUGIN_OK },
                { 0, 0, "2026-09-04T00:00:00Z", "2026-12-03T00:00:00Z", "2026-11-03T00:00:00Z",
                  PLUGIN_WARNING },
                { 0, 0, "2026-08-24T00:00:00Z", "2026-11-22T00:00:00Z", "2026-10-24T00:00:00Z",
                  PLUGIN_CRITICAL },
                /* a day, renewed 8 hours before the end: 4 hours and 48 minutes */
                { 0, 0, "2026-11-20T00:06:53Z", "2026-11-21T00:06:53Z", "2026-11-20T17:30:00Z", PLUGIN_OK },
                { 0, 0, "2026-11-19T21:06:53Z", "2026-11-20T21:06:53Z", "2026-11-20T13:06:53Z",
                  PLUGIN_WARNING },
                { 0, 0, "2026-11-19T18:36:53Z", "2026-11-20T18:36:53Z", "2026-11-20T10:36:53Z",
                  PLUGIN_CRITICAL },
                /* given: as they are */
                { 100 * USEC_PER_DAY, USEC_PER_DAY, "2026-11-01T00:00:00Z", "2027-01-30T00:00:00Z",
                  "2026-12-31T00:00:00Z", PLUGIN_WARNING },
                { 200 * USEC_PER_DAY, 100 * USEC_PER_DAY, "2026-11-01T00:00:00Z", "2027-01-30T00:00:00Z",
                  "2026-12-31T00:00:00Z", PLUGIN_CRITICAL },
                { USEC_PER_SEC, 0, "2026-08-24T00:00:00Z", "2026-11-22T00:00:00Z", "2026-11-20T18:00:00Z",
                  PLUGIN_OK },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const struct plugin_limits limits = { cases[i].warning, cases[i].critical };
                _cleanup_(json_decrefp) json_t *list = NULL;
                _cleanup_(freep) char *members = NULL, *line = NULL;
                int status;

                ck_assert_int_ge(asprintf(&members,
                                          "\"fingerprint\":\"ab\",\"usable\":true,\"not_before\":\"%s\","
                                          "\"not_after\":\"%s\",\"renew_at\":\"%s\"," FINE STATE("renewing"),
                                          cases[i].not_before, cases[i].not_after, cases[i].renew_at),
                                 0);
                list = list_of(members);
                status = plugin_judge(list, NOW, false, &limits, &line);
                ck_assert_msg(status == (int)cases[i].status, "case %zu: %d, %s", i, status, line);
        }
}
END_TEST

START_TEST(plugin_line) {
        const struct plugin_limits limits = { 0 };
        _cleanup_(json_decrefp) json_t *list = list_of(GOOD FINE STATE("current")), *many = json_array();
        _cleanup_(json_decrefp) json_t *none = json_array();
        _cleanup_(json_decrefp) json_t *odd = list_of(
                GOOD "\"failures\":1,\"failure\":\"local\",\"last_error\":\"a|b\\u001b\\u00fc\"," STATE(
                        "retrying"));
        _cleanup_(freep) char *fine = NULL, *bar = NULL, *crowd = NULL, *empty = NULL;

        ck_assert_int_eq(plugin_judge(list, NOW, false, &limits, &fine), PLUGIN_OK);
        ck_assert_str_eq(fine,
                         "OK - 1 certificate OK, orders is the first to expire, in 70d 5h | "
                         "certificates=1;;;0 usable=1;;;0 failing=0;;;0 warning=0;;;0 critical=0;;;0 "
                         "'first_expiry'=6069187s;1209600:;259200:;0 'orders'=6069187s;1209600:;259200:;0");

        /* a bar begins the numbers, so there is one; and all is ASCII */
        ck_assert_int_eq(plugin_judge(odd, NOW, false, &limits, &bar), PLUGIN_WARNING);
        ck_assert_ptr_nonnull(strstr(bar, "a/b\\x1b\\xc3\\xbc"));
        ck_assert_ptr_eq(strchr(bar, '|'), strrchr(bar, '|'));

        ck_assert_int_eq(plugin_judge(none, NOW, false, &limits, &empty), PLUGIN_OK);
        ck_assert_msg(has_prefix(empty, "OK - 0 certificates OK | "), "%s", empty);

        for (size_t i = 0; i < 30; i++)
                json_array_append_new(many, status_of(GONE FINE STATE("waiting-for-token")));
        ck_assert_int_eq(plugin_judge(many, NOW, true, &limits, &crowd), PLUGIN_CRITICAL);
        ck_assert_msg(strstr(crowd, "; and 27 more | ") && !strstr(crowd, "'orders'="), "%s", crowd);
        ck_assert_msg(has_prefix(crowd, "CRITICAL - rekeyd is not running; orders: expired"), "%s", crowd);
}
END_TEST

/* --- Causes --- */

/* What is tried again comes after what mends the cause. */
START_TEST(each_cause_is_mended_first) {
        for (enum cause cause = CAUSE_NONE + 1; cause < CAUSE_MAX; cause++) {
                const struct mend *mend = cause_mend(cause);
                _cleanup_(verdict_clear) struct verdict verdict = { 0 };
                _cleanup_(freep) char *members = NULL, *advice = NULL;
                _cleanup_(json_decrefp) json_t *status = NULL, *event = NULL;
                struct view view;

                ck_assert_int_ge(asprintf(&members,
                                          NONE FAILED("transient") STATE("retrying") ",\"cause\":\"%s\"",
                                          cause_names[cause]),
                                 0);
                status = status_of(members);
                view_read(status, &view);
                ck_assert_int_eq(verdict_judge(&view, NOW, false, &verdict), 0);
                ck_assert_str_eq(verdict.findings[0].advice, mend->text);
                ck_assert_str_eq(mend->command ? verdict.findings[0].then : verdict.findings[0].command,
                                 "rekeyctl enrol orders");
                ck_assert(!mend->command || !strstr(verdict.findings[0].command, "%"));

                event = json_pack("{s:s, s:s, s:s}", "event", "failed", "failure", "transient", "cause",
                                  cause_names[cause]);
                advice = verdict_advise(event, "orders", "rekeyctl enrol %s");
                ck_assert_msg(has_prefix(advice, mend->text), "%s", advice);
                ck_assert_msg(has_suffix(advice, "then: rekeyctl enrol orders"), "%s", advice);
                if (mend->command)
                        ck_assert_ptr_nonnull(strstr(advice, verdict.findings[0].command));
        }
}
END_TEST

/* As before; and so is a cause of a later rekeyd. */
START_TEST(no_cause_is_no_advice_of_its_own) {
        static const char *const causes[] = { "null", "\"none\"", "\"a cause of the future\"", "7" };

        for (size_t i = 0; i < ELEMENTSOF(causes); i++) {
                _cleanup_(verdict_clear) struct verdict verdict = { 0 };
                _cleanup_(freep) char *members = NULL;
                _cleanup_(json_decrefp) json_t *status = NULL;
                struct view view;

                ck_assert_int_ge(
                        asprintf(&members, NONE FAILED("local") STATE("retrying") ",\"cause\":%s", causes[i]),
                        0);
                status = status_of(members);
                view_read(status, &view);
                ck_assert_int_eq(verdict_judge(&view, NOW, false, &verdict), 0);
                ck_assert_ptr_null(verdict.findings[0].advice);
                ck_assert_ptr_null(verdict.findings[0].then);
        }
}
END_TEST

TEST_MAIN("ctl-verdict", judged, each_cause_is_mended_first, no_cause_is_no_advice_of_its_own,
          the_worst_comes_first, plugin_statuses, plugin_thresholds, plugin_line)
