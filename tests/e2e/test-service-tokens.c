/*
 * What only the Central Connector Service has: a token that outlives a refusal, and URLs that are tokens.
 * What it has in common with Compass is in the tests that run for both.
 */

#include "daemon/observe/messages.h"
#include "tests/support/fixture.h"
#include "tests/test.h"

static struct fixture *service_new(void) {
        ck_assert_int_eq(setenv("REKEYD_TEST_PROTOCOL", "connector-service", 1), 0);
        return fixture_new(NULL);
}

/* A URL with a token, as an operator gets it. */
static char *mint_url(struct fixture *fixture, const char *body) {
        json_t *reply = fixture_admin(fixture, "/tokens", body);
        char *url = strdup(member(reply, "url"));

        json_decref(reply);
        ck_assert_ptr_nonnull(strstr(url, "?token="));
        return url;
}

static void assert_not_logged(struct fixture *fixture, const char *url) {
        ck_assert_ptr_null(
                strstr(process_output(fixture->rekeyd, PROCESS_STDERR), strstr(url, "?token=") + 7));
}

static void drop_enrol_url(struct fixture *fixture) {
        _cleanup_(freep) char *option = NULL;

        ck_assert_int_ge(asprintf(&option, "enrol_url: '%s', ", fixture->token_url), 0);
        fixture_edit(fixture, option, "");
}

/* The signature is requested once more, by the next attempt, with what the first one has staged. */
START_TEST(a_refusal_leaves_the_token) {
        _cleanup_(fixture_freep) struct fixture *fixture = service_new();

        fixture_prepare(fixture, ORDERS);
        fixture_fault(fixture, "{\"fault\":\"graphql-error\",\"at\":\"sign\",\"count\":1,"
                               "\"message\":\"Error while creating certificate: x\"}");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        fixture_expect_failure(fixture, "refused", "Error while creating certificate");
        ck_assert_ptr_null(
                strstr(process_output(fixture->rekeyd, PROCESS_STDERR), "waiting for a one-time token"));
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        ck_assert_uint_eq(fixture_calls(fixture, "configuration"), 1);
}
END_TEST

/* A grant that is too old is the one thing that a refusal may leave behind for good. */
START_TEST(a_grant_that_died_is_given_up) {
        _cleanup_(fixture_freep) struct fixture *fixture = service_new();
        _cleanup_(freep) char *grant = NULL;

        fixture_prepare(fixture, ORDERS);
        fixture_fault(fixture, "{\"fault\":\"status\",\"status\":503,\"at\":\"sign\",\"count\":1}");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        grant = scratch_read(fixture->directory, "orders/..stage-000001/token");
        ck_assert_ptr_nonnull(strstr(grant, "/certificates?token="));
        assert_not_logged(fixture, grant);
        *strstr(grant, "?token=") = '\0';
        {
                _cleanup_(freep) char *dead = NULL;

                ck_assert_int_ge(asprintf(&dead, "%s?token=dead", grant), 0);
                scratch_write(fixture->directory, "orders/..stage-000001/token", dead, 0600);
        }
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        fixture_expect_failure(fixture, "rejected", "Invalid token.");
        fixture_token(fixture, "client-1", "token");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
}
END_TEST

START_TEST(a_whole_url_is_a_token) {
        static const char *const bodies[] = { "{\"client\":\"a\"}",
                                              "{\"client\":\"a\",\"type\":\"runtime\"}" };

        for (size_t i = 0; i < ELEMENTSOF(bodies); i++) {
                _cleanup_(fixture_freep) struct fixture *fixture = service_new();
                _cleanup_(freep) char *url = mint_url(fixture, bodies[i]), *connection = NULL;

                fixture_configure(fixture, ORDERS);
                scratch_write(fixture->directory, "token", url, 0600);
                ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
                assert_not_logged(fixture, url);
                connection = scratch_read(fixture->directory, "orders/connection.json");
                ck_assert_ptr_nonnull(strstr(connection, i == 0 ? "/v1/applications/certificates/renewals"
                                                                : "/v1/runtimes/certificates/renewals"));
                fixture_configure(fixture, ORDERS LARGER_KEY);
                ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        }
}
END_TEST

/* Where the configuration names no server, the URL does, and the log has it. */
START_TEST(a_url_that_nothing_confirms_is_mentioned) {
        _cleanup_(fixture_freep) struct fixture *fixture = service_new();
        _cleanup_(freep) char *url = mint_url(fixture, "{}");

        fixture_configure(fixture, ORDERS);
        drop_enrol_url(fixture);
        scratch_write(fixture->directory, "token", "a-token-alone\n", 0600);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        fixture_expect_message(fixture, MESSAGE_WARNING,
                               "a one-time token alone does not say where to enrol");
        scratch_write(fixture->directory, "token", url, 0600);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        fixture_expect_message(fixture, MESSAGE_WARNING,
                               "which came with it: connector dev has no `enrol_url`");
        assert_not_logged(fixture, url);
}
END_TEST

START_TEST(a_url_of_another_server_gets_nothing) {
        _cleanup_(fixture_freep) struct fixture *fixture = service_new(), *stranger = service_new();
        _cleanup_(freep) char *url = mint_url(stranger, "{}");

        fixture_configure(fixture, ORDERS);
        scratch_write(fixture->directory, "token", url, 0600);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        fixture_expect_message(fixture, MESSAGE_WARNING, "since `enrol_url` names another server");
        assert_not_logged(fixture, url);
        ck_assert_uint_eq(fixture_calls(fixture, "configuration"), 0);
        ck_assert_uint_eq(fixture_calls(stranger, "configuration"), 0);
}
END_TEST

/* --- Revocation --- */

#define LOST "{\"fault\":\"cut-connection\",\"executed\":true,\"at\":\"revoke\",\"count\":1}"

/* rekeyd runs, with one generation and a control socket. */
static struct fixture *begin(void) {
        struct fixture *fixture = service_new();
        fixture_prepare(fixture, ORDERS);
        fixture_add_control(fixture);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_ENROLLED);
        return fixture;
}

static int ask_to_revoke(struct fixture *fixture) {
        _cleanup_(freep) char *socket = scratch_path(fixture->directory, "control.sock");
        const char *argv[] = {
                getenv("REKEYD_TEST_REKEYCTL"), "--socket", socket, "revoke", "orders", "--yes", NULL,
        };
        _cleanup_(process_freep) struct process *rekeyctl = process_start(argv, true);

        return process_wait(rekeyctl);
}

START_TEST(a_certificate_is_revoked) {
        _cleanup_(fixture_freep) struct fixture *fixture = begin();

        ck_assert_int_eq(ask_to_revoke(fixture), 0);
        fixture_expect(fixture, MESSAGE_REVOKED);
        ck_assert_uint_eq(fixture_calls(fixture, "revoke"), 1);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* The next call hears that the certificate is revoked, which ends the doubt. */
START_TEST(a_lost_answer_is_made_up_for) {
        _cleanup_(fixture_freep) struct fixture *fixture = begin();

        fixture_fault(fixture, LOST);
        ck_assert_int_eq(ask_to_revoke(fixture), 1);
        fixture_expect(fixture, MESSAGE_REVOKED);
        ck_assert_uint_eq(fixture_calls(fixture, "revoke"), 2);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* The set says only where the Connector is; that says where it is revoked. */
START_TEST(where_to_revoke_is_asked) {
        _cleanup_(fixture_freep) struct fixture *fixture = begin();
        _cleanup_(freep) char *connection = NULL;

        ck_assert_int_ge(asprintf(&connection, "{\"infoUrl\": \"%s\"}", fixture->certificate_url), 0);
        scratch_write(fixture->directory, "orders/..data/connection.json", connection, 0644);
        ck_assert_int_eq(ask_to_revoke(fixture), 0);
        ck_assert_uint_eq(fixture_calls(fixture, "revoke"), 1);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* Another hand has revoked it: the renewal says so. */
START_TEST(a_revoked_certificate_is_not_renewed) {
        _cleanup_(fixture_freep) struct fixture *fixture = begin();

        ck_assert_int_eq(ask_to_revoke(fixture), 0);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        scratch_write(fixture->directory, "state/orders.json", "", 0600);
        fixture_configure(fixture, ORDERS LARGER_KEY);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        fixture_expect_failure(fixture, "rejected", "the certificate is revoked, HTTP status 403");
}
END_TEST

TEST_MAIN("service-tokens", a_refusal_leaves_the_token, a_grant_that_died_is_given_up, a_whole_url_is_a_token,
          a_url_that_nothing_confirms_is_mentioned, a_url_of_another_server_gets_nothing,
          a_certificate_is_revoked, a_lost_answer_is_made_up_for, where_to_revoke_is_asked,
          a_revoked_certificate_is_not_renewed)
