/*
 * Whose certificate it is does not change by itself: neither what `configuration` says nor a token of another
 * client is reason enough, and no signature is spent on it. An operator, or the configuration, may want it.
 */

#include <stdlib.h>
#include <unistd.h>

#include "tests/support/fixture.h"
#include "tests/test.h"

#define OTHER_CLIENT "{\"fault\":\"other-client\",\"client\":\"client-2\"}"
#define SUBJECT(cn)  "O=Org,OU=OrgUnit,L=locality,ST=province,C=DE,CN=" cn
#define CONFIGURED(cn) \
        "    subject: 'CN=" cn ",O=Org,OU=OrgUnit,L=locality,ST=province,C=DE'\n" /* in another order */

static void configure(struct fixture *fixture, const char *certificates) {
        fixture_configure(fixture, certificates);
        fixture_add_control(fixture);
}

/* An enrolled certificate of client-1 that is due. */
static struct fixture *fixture_with_due(void) {
        struct fixture *fixture = fixture_new(FIXTURE_LASTING("2h"));

        fixture_enrol(fixture, ORDERS);
        configure(fixture, ORDERS LARGER_KEY);
        return fixture;
}

static void expect_subject(struct fixture *fixture, const char *text) {
        fixture_expect_message(fixture, MESSAGE_SUBJECT, text);
}

START_TEST(a_renewal_for_another_client_waits_for_an_operator) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_with_due();
        const unsigned signatures = fixture_calls(fixture, "sign");
        _cleanup_(freep) char *before = scratch_read(fixture->directory, "orders/tls.crt"), *after = NULL,
                              *history = NULL;

        fixture_fault(fixture, OTHER_CLIENT);
        for (int run = 0; run < 2; run++) { /* a restart forgets nothing */
                ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
                fixture_expect_failure(
                        fixture, "refused",
                        "the Connector names the subject '" SUBJECT(
                                "client-2") "', and the current certificate has '" SUBJECT("client-1"));
        }
        ck_assert_uint_eq(fixture_calls(fixture, "sign"), signatures);
        after = scratch_read(fixture->directory, "orders/tls.crt");
        ck_assert_str_eq(after, before);

        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_READY);
        fixture_ctl(fixture, "show", "orders", "--json", 0,
                    "\"refused_subject\":\"" SUBJECT("client-2") "\"");
        fixture_ctl(fixture, "status", "orders", NULL, 0, "rekeyctl accept orders");
        fixture_ctl(fixture, "accept", "orders", NULL, 0,
                    "the subject '" SUBJECT("client-2") "' is accepted");
        fixture_expect(fixture, MESSAGE_RENEWED);
        expect_subject(fixture, "is '" SUBJECT("client-2") "' now, instead of '" SUBJECT("client-1") "'");
        ck_assert_uint_eq(fixture_calls(fixture, "sign"), signatures + 1);
        fixture_ctl(fixture, "show", "orders", "--json", 0, "\"refused_subject\":null");
        fixture_ctl(fixture, "accept", "orders", NULL, 6, "nothing to accept");
        ck_assert_int_eq(fixture_stop(fixture), 0);
        history = scratch_read(fixture->directory, "state/orders.history");
        ck_assert_ptr_nonnull(strstr(history, "now, instead of '" SUBJECT("client-1")));
}
END_TEST

START_TEST(it_is_renewed_once_the_client_is_the_usual_one_again) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_with_due();

        fixture_fault(fixture, OTHER_CLIENT);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        fixture_lift_faults(fixture);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        ck_assert_ptr_null(strstr(process_output(fixture->rekeyd, PROCESS_STDERR), MESSAGE_SUBJECT));
}
END_TEST

static void remove_set(struct fixture *fixture) {
        _cleanup_(freep) char *command = NULL;

        ck_assert_int_ge(asprintf(&command, "rm -r %s/orders", fixture->directory), 0);
        ck_assert_int_eq(system(command), 0);
}

/* The set is gone; whose it was is known. */
START_TEST(a_token_file_may_be_anothers) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("2h"));
        unsigned signatures;

        fixture_enrol(fixture, ORDERS);
        signatures = fixture_calls(fixture, "sign");
        remove_set(fixture);
        fixture_token(fixture, "client-2", "token");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        fixture_expect_failure(fixture, "refused", "the last certificate has '" SUBJECT("client-1") "'");
        fixture_expect_text(fixture, "the one-time token is used up by now");
        ck_assert_uint_eq(fixture_calls(fixture, "sign"), signatures);

        fixture_token(fixture, "client-1", "token");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
}
END_TEST

START_TEST(a_forced_enrolment_may_be_anothers) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("2h"));
        _cleanup_(freep) char *token = NULL;

        fixture_enrol(fixture, ORDERS);
        configure(fixture, ORDERS);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_READY);
        fixture_token(fixture, "client-2", "other-token");
        ck_assert_int_ge(asprintf(&token, "--token-file=%s/other-token", fixture->directory), 0);
        fixture_ctl(fixture, "enrol", "orders", token, 6, "renew it, or force the enrolment");

        {
                _cleanup_(freep) char *socket = scratch_path(fixture->directory, "control.sock");
                const char *argv[] = { getenv("REKEYD_TEST_REKEYCTL"),
                                       "--socket",
                                       socket,
                                       "enrol",
                                       "orders",
                                       "--force",
                                       token,
                                       NULL };
                _cleanup_(process_freep) struct process *process = process_start(argv, true);

                ck_assert_int_eq(process_wait(process), 0);
        }
        expect_subject(fixture, "is '" SUBJECT("client-2") "' now");
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

START_TEST(the_configuration_decides_alone) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("2h"));
        unsigned signatures = fixture_calls(fixture, "sign");

        /* a first token of somebody else */
        configure(fixture, ORDERS CONFIGURED("client-2"));
        fixture_token(fixture, "client-1", "token");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        fixture_expect_failure(fixture, "refused",
                               "`subject` of certificate orders is '" SUBJECT("client-2") "'");
        ck_assert_uint_eq(fixture_calls(fixture, "sign"), signatures);

        configure(fixture, ORDERS CONFIGURED("client-1"));
        fixture_token(fixture, "client-1", "token");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);

        /* a change that it asks for is made, and on record */
        configure(fixture, ORDERS CONFIGURED("client-2") LARGER_KEY);
        fixture_fault(fixture, OTHER_CLIENT);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        expect_subject(fixture, "as configured");
}
END_TEST

/* What an earlier attempt has staged for a subject that is not wanted any more is not used. */
START_TEST(what_is_staged_is_judged_again) {
        static const char *const faults[] = { "{\"fault\":\"status\",\"at\":\"sign\"}",
                                              "{\"fault\":\"status\",\"at\":\"probe\"}" };

        for (size_t i = 0; i < ELEMENTSOF(faults); i++) {
                _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("2h"));
                _cleanup_(freep) char *certificate = scratch_path(fixture->directory, "orders/tls.crt");
                unsigned signatures;

                configure(fixture, ORDERS);
                fixture_token(fixture, "client-1", "token");
                fixture_fault(fixture, faults[i]);
                ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
                fixture_lift_faults(fixture);
                signatures = fixture_calls(fixture, "sign");

                configure(fixture, ORDERS CONFIGURED("client-2"));
                ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
                ck_assert_uint_eq(fixture_calls(fixture, "sign"), signatures);
                ck_assert_int_ne(access(certificate, F_OK), 0);

                configure(fixture, ORDERS);
                ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        }
}
END_TEST

TEST_MAIN("other-subject", a_renewal_for_another_client_waits_for_an_operator,
          it_is_renewed_once_the_client_is_the_usual_one_again, a_token_file_may_be_anothers,
          a_forced_enrolment_may_be_anothers, the_configuration_decides_alone, what_is_staged_is_judged_again)
