/* What the log says, what the status remembers of it, and which line ends what an operator asked for. */

#include "daemon/certificate/reporter.h"
#include "tests/test.h"
#include "tests/unit/certificate/ports.h"

static struct ports ports;
static struct renewal renewal;
static struct outcome outcome;
static struct reporter reporter;

static void set_up(void) {
        ports_init(&ports);
        renewal = (struct renewal) { .state = RENEWAL_CURRENT, .due_usec = 1, .backoff_usec = USEC_INFINITY };
        outcome = (struct outcome) { .step = STEP_INSPECT };
        reporter_init(&reporter, &ports.core, &renewal);
}

static void tear_down(void) {
        error_clear(&outcome.error);
        reporter_clear(&reporter);
        ports_clear(&ports);
}

static void fail_step(enum renewal_step step, enum failure failure, const char *text) {
        outcome.step = step;
        outcome.failure = renewal.failure = failure;
        renewal.failures++;
        renewal.state = RENEWAL_RETRYING;
        renewal.backoff_usec = 5 * USEC_PER_SEC;
        error_set(&outcome.error, -EIO, "%s", text);
        reporter_set_outcome(&reporter, &outcome);
        reporter_log_failure(&reporter, false, false);
}

START_TEST(a_line_has_the_facts) {
        char fingerprint[FINGERPRINT_HEX];

        reporter_log(&reporter, LOG_INFO, MESSAGE_WARNING, "text %d", 7);
        ck_assert_str_eq(logged(MESSAGE_WARNING), "orders: text 7");
        ck_assert_ptr_null(logged_field(MESSAGE_WARNING, FIELD_FINGERPRINT));
        ck_assert_ptr_null(logged_field(MESSAGE_WARNING, FIELD_NOT_AFTER));

        ports_set_current(&ports, 3, USEC_PER_DAY);
        ports.core.facts.expiry = 1;
        reporter_log(&reporter, LOG_INFO, MESSAGE_WARNING, "text");
        ck_assert_str_eq(logged_field(MESSAGE_WARNING, FIELD_GENERATION), "3");
        ck_assert_str_eq(logged_field(MESSAGE_WARNING, FIELD_FINGERPRINT), ports_fingerprint(3, fingerprint));
        ck_assert_str_eq(logged_field(MESSAGE_WARNING, FIELD_NOT_AFTER), "1970-01-01T00:00:00Z");
        ck_assert_str_eq(logged_field(MESSAGE_WARNING, FIELD_STATE), "current");
        ck_assert_ptr_null(logged_field(MESSAGE_WARNING, FIELD_FAILURE));
        ck_assert_ptr_null(reporter.last_result); /* a warning is no result */
}
END_TEST

START_TEST(each_step_and_class_has_its_words) {
        static const struct {
                enum renewal_step step;
                enum failure failure;
                const char *message_id, *text;
        } rows[] = {
                { STEP_INSPECT, FAILURE_LOCAL, MESSAGE_FAILED_LOCAL,
                  "orders: reading the files failed (local): no" },
                { STEP_KEY, FAILURE_LOCAL, MESSAGE_FAILED_LOCAL,
                  "orders: generating the key failed (local): no" },
                { STEP_CONFIGURATION, FAILURE_TRANSIENT, MESSAGE_FAILED_TRANSIENT,
                  "orders: fetching the configuration failed (transient): no" },
                { STEP_CSR, FAILURE_BAD_REPLY, MESSAGE_FAILED_BAD_REPLY,
                  "orders: building the CSR failed (bad-reply): no" },
                { STEP_SIGN, FAILURE_REFUSED, MESSAGE_FAILED_REFUSED,
                  "orders: signing failed (refused): no" },
                { STEP_GATE, FAILURE_BAD_REPLY, MESSAGE_FAILED_BAD_REPLY,
                  "orders: checking the reply failed (bad-reply): no" },
                { STEP_VERIFY, FAILURE_REJECTED, MESSAGE_FAILED_REJECTED,
                  "orders: verifying the new certificate failed (rejected): no" },
                { STEP_COMMIT, FAILURE_LOCAL, MESSAGE_FAILED_LOCAL,
                  "orders: swapping the set failed (local): no" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                renewal.failures = 0;
                fail_step(rows[i].step, rows[i].failure, "no");
                ck_assert_msg(has_prefix(logged(rows[i].message_id), rows[i].text), "%s",
                              logged(rows[i].message_id));
                ck_assert_str_eq(logged_field(rows[i].message_id, FIELD_STEP),
                                 renewal_step_names[rows[i].step]);
                ck_assert_str_eq(logged_field(rows[i].message_id, FIELD_ERROR), "no");
                ck_assert_str_eq(reporter.last_error, "no");
        }
}
END_TEST

START_TEST(a_failure_says_what_stays_in_use) {
        fail_step(STEP_SIGN, FAILURE_TRANSIENT, "no");
        ck_assert_ptr_nonnull(
                strstr(logged(MESSAGE_FAILED_TRANSIENT), "there is no certificate yet, retrying in 5s"));
        ports_set_current(&ports, 1, USEC_PER_DAY);
        fail_step(STEP_SIGN, FAILURE_TRANSIENT, "no");
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_FAILED_TRANSIENT), "keeping the old set"));
        ck_assert_int_eq(state_add_revoked(&ports.state_file->state, ports.core.facts.fingerprint), 0);
        fail_step(STEP_SIGN, FAILURE_TRANSIENT, "no");
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_FAILED_TRANSIENT), "the certificate is revoked"));
        state_drop_revoked(&ports.state_file->state, ports.core.facts.fingerprint);
        ports_set_current(&ports, 1, 1);
        fail_step(STEP_SIGN, FAILURE_TRANSIENT, "no");
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_FAILED_TRANSIENT), "the certificate has expired"));
        ports_set_current(&ports, 1, USEC_PER_DAY);
        fail_step(STEP_SIGN, FAILURE_TRANSIENT, "no");
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_FAILED_TRANSIENT), "keeping the old set"));
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_FAILED_TRANSIENT), "5 times in a row"));
        reporter_log_failure(&reporter, true, false);
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_FAILED_TRANSIENT), "the new set is in use"));
}
END_TEST

START_TEST(what_cannot_be_read_is_told_as_last_known) {
        struct facts *facts = &ports.core.facts;
        struct state *state = &ports.state_file->state;
        char expected[128], expiry[TIMESTAMP_MAX];

        facts_observe_failure(facts, SET_UNREADABLE, NULL);
        fail_step(STEP_INSPECT, FAILURE_LOCAL, "no");
        ck_assert_str_eq(logged(MESSAGE_FAILED_LOCAL),
                         "orders: reading the files failed (local): no; what may be there is left as it is, "
                         "retrying in 5s");
        ports_set_current(&ports, 3, USEC_PER_DAY);
        facts_observe_failure(facts, SET_UNREADABLE, NULL);
        fail_step(STEP_INSPECT, FAILURE_LOCAL, "no");
        snprintf(expected, sizeof(expected), "last known is generation 3, valid until %s, retrying",
                 format_timestamp(expiry, facts->expiry));
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_FAILED_LOCAL), expected));
        ck_assert_str_eq(logged_field(MESSAGE_FAILED_LOCAL, FIELD_NOT_AFTER), expiry);
        ck_assert_str_eq(logged_field(MESSAGE_FAILED_LOCAL, FIELD_GENERATION), "3");
        facts->expiry = 0; /* an older state file has none */
        fail_step(STEP_INSPECT, FAILURE_LOCAL, "no");
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_FAILED_LOCAL),
                                     "last known is generation 3, of unknown expiry, retrying"));
        ck_assert_ptr_null(logged_field(MESSAGE_FAILED_LOCAL, FIELD_NOT_AFTER));
        ck_assert_int_eq(state_add_revoked(state, facts->fingerprint), 0);
        fail_step(STEP_INSPECT, FAILURE_LOCAL, "no");
        ck_assert_ptr_nonnull(
                strstr(logged(MESSAGE_FAILED_LOCAL), "last known is generation 3, revoked, retrying"));
}
END_TEST

START_TEST(times_and_ports_make_no_other_failure) {
        fail_step(STEP_SIGN, FAILURE_TRANSIENT, "port 4711 after 12 ms");
        fail_step(STEP_SIGN, FAILURE_TRANSIENT, "port 4712 after 8 ms");
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_FAILED_TRANSIENT), "2 times in a row"));
        fail_step(STEP_SIGN, FAILURE_TRANSIENT, "another port");
        ck_assert_ptr_null(strstr(logged(MESSAGE_FAILED_TRANSIENT), "in a row"));
}
END_TEST

START_TEST(current_is_said_once_for_each_due_time) {
        ports_set_current(&ports, 1, USEC_PER_DAY);
        renewal.expiry = renewal.due_usec = now_usec(CLOCK_REALTIME) + USEC_PER_DAY;
        reporter_log_current(&reporter);
        reporter_log_current(&reporter);
        ck_assert_uint_eq(n_logged(MESSAGE_CURRENT), 1);
        reporter_forget_current(&reporter);
        reporter_log_current(&reporter);
        ck_assert_uint_eq(n_logged(MESSAGE_CURRENT), 2);
        renewal.due_usec++;
        reporter_log_current(&reporter);
        ck_assert_uint_eq(n_logged(MESSAGE_CURRENT), 3);
        reporter_log_waiting(&reporter); /* the set was gone, and is back */
        reporter_log_current(&reporter);
        ck_assert_uint_eq(n_logged(MESSAGE_CURRENT), 4);
}
END_TEST

/* One line of a renewal has it all; the other has only when the next one is. */
START_TEST(a_set_is_described_once) {
        ports_set_current(&ports, 1, USEC_PER_DAY);
        renewal.expiry = renewal.due_usec = now_usec(CLOCK_REALTIME) + USEC_PER_DAY;
        reporter_forget_current(&reporter);
        reporter_log(&reporter, LOG_NOTICE, MESSAGE_RENEWED, "renewed: all of it");
        reporter_log_current(&reporter);
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_CURRENT), "will be renewed at "));
        ck_assert_ptr_null(strstr(logged(MESSAGE_CURRENT), "sha256"));
        reporter_forget_current(&reporter);
        reporter_log_current(&reporter);
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_CURRENT), "sha256"));
}
END_TEST

/* What changes no set leaves the last result, unless that is a request that failed. */
START_TEST(a_notification_is_no_result) {
        reporter_accept(&reporter, OPERATION_RENEW, "uid 0");
        reporter_log(&reporter, LOG_INFO, MESSAGE_RENEWED, "renewed");
        reporter_accept(&reporter, OPERATION_NOTIFY, "uid 0");
        reporter_log(&reporter, LOG_INFO, MESSAGE_NOTIFYING, "notifying");
        ck_assert_str_eq(reporter.last_result, MESSAGE_RENEWED);
        ck_assert_int_eq(reporter.operation, OPERATION_NONE);

        reporter_accept(&reporter, OPERATION_EXPORT, "uid 0");
        reporter_log(&reporter, LOG_ERR, MESSAGE_OPERATION_FAILED, "1 of 1 exports");
        ck_assert_ptr_nonnull(reporter.last_error);
        reporter_accept(&reporter, OPERATION_EXPORT, "uid 0");
        reporter_log(&reporter, LOG_INFO, MESSAGE_EXPORTED, "1 export is current");
        ck_assert_ptr_null(reporter.last_error);
}
END_TEST

START_TEST(waiting_names_the_way_to_enrol) {
        reporter_log_waiting(&reporter);
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_WAITING), "no certificate yet; "));
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_WAITING), "fix: rekeyctl enrol orders"));
        ports.config.token_file = (char *)"/run/token";
        reporter_log_waiting(&reporter);
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_WAITING), "waiting for a one-time token in /run/token"));
        ports.config.token_file = NULL;
        ports.connector.enrol_url = NULL;
        reporter_log_waiting(&reporter);
        ck_assert_ptr_nonnull(strstr(logged(MESSAGE_WAITING), "connector ucl has no `enrol_url`"));
}
END_TEST

START_TEST(an_operation_ends_with_its_line_only) {
        static const struct {
                enum operation operation;
                const char *message_id;
                bool ends;
        } rows[] = {
                { OPERATION_RENEW, MESSAGE_RENEWED, true },
                { OPERATION_RENEW, MESSAGE_ENROLLED, true },
                { OPERATION_ENROL, MESSAGE_ENROLLED, true },
                { OPERATION_RENEW, MESSAGE_BUDGET, true },
                { OPERATION_RENEW, MESSAGE_FAILED_LOCAL, true },
                { OPERATION_RENEW, MESSAGE_REVOKED, false },
                { OPERATION_RENEW, MESSAGE_ADOPTED, false },
                { OPERATION_REVOKE, MESSAGE_REVOKED, true },
                { OPERATION_REVOKE, MESSAGE_NOT_REVOKED, true },
                { OPERATION_REVOKE, MESSAGE_FAILED_LOCAL, false },
                { OPERATION_ROLLBACK, MESSAGE_ROLLED_BACK, true },
                { OPERATION_ROLLBACK, MESSAGE_NOTIFIED, false },
                { OPERATION_NOTIFY, MESSAGE_NOTIFYING, true },
                { OPERATION_ADOPT, MESSAGE_ADOPTED, true },
                { OPERATION_ADOPT, MESSAGE_OPERATION_FAILED, true },
                { OPERATION_EXPORT, MESSAGE_EXPORTED, true },
                { OPERATION_NOTIFY, MESSAGE_OPERATION_FAILED, true },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                reporter_accept(&reporter, rows[i].operation, "uid 0");
                reporter_begin(&reporter);
                reporter_log(&reporter, LOG_INFO, rows[i].message_id, "text");
                ck_assert_msg((reporter.operation == OPERATION_NONE) == rows[i].ends, "row %zu", i);
                ck_assert_msg(streq_null(logged_field(rows[i].message_id, FIELD_OPERATION),
                                         rows[i].ends ? operation_names[rows[i].operation] : NULL),
                              "row %zu", i);
                if (rows[i].ends && rows[i].operation != OPERATION_EXPORT &&
                    !streq(rows[i].message_id, MESSAGE_NOTIFYING))
                        ck_assert_int_eq(reporter.last_operation, rows[i].operation);
                reporter.operation = OPERATION_NONE;
        }
}
END_TEST

START_TEST(an_enrolment_that_waits_outlives_the_failure_before_it) {
        reporter_accept(&reporter, OPERATION_ENROL, "uid 0");
        ck_assert_str_eq(logged(MESSAGE_ASKED), "orders: enrol requested by uid 0");
        ck_assert(!reporter_expects_attempt(&reporter));
        fail_step(STEP_INSPECT, FAILURE_LOCAL, "no");
        ck_assert_int_eq(reporter.operation, OPERATION_ENROL);
        reporter_begin(&reporter);
        ck_assert(reporter_expects_attempt(&reporter));
        fail_step(STEP_SIGN, FAILURE_LOCAL, "no");
        ck_assert_int_eq(reporter.operation, OPERATION_NONE);
        ck_assert_ptr_null(
                strstr(logged(MESSAGE_FAILED_LOCAL), "retrying")); /* the operator hears of the one */
}
END_TEST

START_TEST(a_revocation_of_an_older_set_is_no_result) {
        reporter_log(&reporter, LOG_NOTICE, MESSAGE_RENEWED, "renewed");
        reporter_log(&reporter, LOG_NOTICE, MESSAGE_REVOKED, "generation 1 was revoked");
        ck_assert_str_eq(reporter.last_result, MESSAGE_RENEWED);
        ck_assert_ptr_null(reporter.last_error);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("reporter");

        TEST_CASE_IN(suite, a_line_has_the_facts, set_up, tear_down);
        TEST_CASE_IN(suite, each_step_and_class_has_its_words, set_up, tear_down);
        TEST_CASE_IN(suite, a_failure_says_what_stays_in_use, set_up, tear_down);
        TEST_CASE_IN(suite, what_cannot_be_read_is_told_as_last_known, set_up, tear_down);
        TEST_CASE_IN(suite, times_and_ports_make_no_other_failure, set_up, tear_down);
        TEST_CASE_IN(suite, current_is_said_once_for_each_due_time, set_up, tear_down);
        TEST_CASE_IN(suite, a_set_is_described_once, set_up, tear_down);
        TEST_CASE_IN(suite, a_notification_is_no_result, set_up, tear_down);
        TEST_CASE_IN(suite, waiting_names_the_way_to_enrol, set_up, tear_down);
        TEST_CASE_IN(suite, an_operation_ends_with_its_line_only, set_up, tear_down);
        TEST_CASE_IN(suite, an_enrolment_that_waits_outlives_the_failure_before_it, set_up, tear_down);
        TEST_CASE_IN(suite, a_revocation_of_an_older_set_is_no_result, set_up, tear_down);
        return test_run(suite);
}
