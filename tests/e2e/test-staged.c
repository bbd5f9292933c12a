/*
 * What is staged gives way: however wrong a reply of the Connector was, the next good one ends in a
 * certificate. Nobody removes a file by hand, and the Connector is asked for no more than it must be.
 */

#include "lib/protocol/connection.h"
#include "tests/support/fixture.h"
#include "tests/test.h"

/* Nobody listens there, and nobody has that name. */
#define NOBODY  "https://localhost:1/connector/graphql"
#define NO_NAME "https://connector.invalid/connector/graphql"

#define NO_URL "  orders:\n    connector: dev\n    directory: %s/orders\n    token_file: %s/token\n"

/* The configuration names URL as that of the certificate-secured endpoint, under FIELD. */
static void name_wrong_url(struct fixture *fixture, const char *field, const char *url) {
        _cleanup_(freep) char *fault = NULL;

        ck_assert_int_ge(asprintf(&fault,
                                  "{\"fault\":\"set-field\",\"at\":\"configuration\",\"field\":\"%s\","
                                  "\"value\":\"%s\"}",
                                  field, url),
                         0);
        fixture_fault(fixture, fault);
}

/* What TLS would not load is discarded by the gate, and asked for anew. */
START_TEST(a_weak_certificate_costs_one_signature) {
        static const char *const faults[] = { "weak-digest", "weak-issuer" };
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("1h"));
        unsigned bits = 2048;

        fixture_enrol(fixture, ORDERS);
        for (size_t i = 0; i < ELEMENTSOF(faults); i++) {
                _cleanup_(freep) char *fault = NULL, *certificates = NULL;
                unsigned signatures = fixture_calls(fixture, "sign");

                bits += 1024;
                ck_assert_int_ge(asprintf(&certificates, "%s    key: {bits: %u}\n", ORDERS, bits), 0);
                fixture_configure(fixture, certificates);
                ck_assert_int_ge(asprintf(&fault, "{\"fault\":\"%s\",\"count\":1}", faults[i]), 0);
                fixture_fault(fixture, fault);
                ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
                fixture_expect_failure(fixture, "bad-reply", "TLS");
                ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
                ck_assert_uint_eq(fixture_calls(fixture, "sign"), signatures + 2);
        }
}
END_TEST

/* The Connector named an endpoint where the new certificate could never be verified. Its next answer is
 * right; what it takes to ask again is a token, as with any enrolment. */
START_TEST(an_enrolment_outlives_a_wrong_url) {
        static const struct {
                const char *url;
                bool restarts;
        } rows[] = {
                { NOBODY, false },
                { NOBODY, true },
                { NO_NAME, false },
                { NO_NAME, true },
        };
        const char *field = by_protocol("certificateSecuredConnectorURL", "infoUrl");

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("1h"));

                fixture_prepare(fixture, NO_URL);
                name_wrong_url(fixture, field, rows[i].url);
                fixture_start(fixture, NULL);
                fixture_expect_failure(fixture, "transient", "could not verify the new certificate");
                fixture_lift_faults(fixture);
                if (rows[i].restarts)
                        fixture_kill(fixture);
                fixture_token(fixture, "client-1", "token");
                if (rows[i].restarts)
                        fixture_start(fixture, NULL);
                fixture_expect(fixture, MESSAGE_ENROLLED);
                ck_assert_uint_eq(fixture_calls(fixture, "sign"), 2);
                ck_assert_int_eq(fixture_stop(fixture), 0);
        }
}
END_TEST

/* The certificate-secured endpoint of the set that is there. Owned by the caller. */
static char *kept_url(const struct fixture *fixture) {
        _cleanup_(connection_clear) struct connection connection = { 0 };
        _cleanup_(freep) char *json = scratch_read(fixture->directory, "orders/connection.json");

        ck_assert_int_eq(connection_parse(json, strlen(json), &connection, NULL), 0);
        return strdup(by_protocol(connection.connector_url, connection.info_url));
}

static struct fixture *fixture_with_wrong_url(const char *field, const char *url) {
        struct fixture *fixture = fixture_new(FIXTURE_LASTING("1h"));

        fixture_enrol(fixture, NO_URL);
        fixture_configure(fixture, NO_URL LARGER_KEY);
        name_wrong_url(fixture, field, url);
        return fixture;
}

/* The URL that has just answered is good enough to sign and to verify, whatever it says about another one. */
static void renew_at_url_that_works(const char *url) {
        _cleanup_(fixture_freep) struct fixture *fixture =
                fixture_with_wrong_url("certificateSecuredConnectorURL", url);
        _cleanup_(freep) char *kept = NULL;

        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        ck_assert_uint_eq(fixture_calls(fixture, "configuration"), 2);
        ck_assert_uint_eq(fixture_calls(fixture, "sign"), 2);
        kept = kept_url(fixture);
        ck_assert_str_eq(kept, fixture->certificate_url);
        fixture_expect_text(fixture, "did not accept a call; keeping");
}

/* Where the Connector alone says where it signs, a renewal fails there, and goes through as soon as it names
 * the right place: nothing of the wrong one is kept. */
static void renew_at_named_url(const char *url) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_with_wrong_url("renewCertUrl", url);
        _cleanup_(freep) char *kept = NULL;

        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        fixture_expect_failure(fixture, "transient",
                               strstr(url, "invalid") ? "connector.invalid" : "localhost:1");
        ck_assert_uint_eq(fixture_calls(fixture, "sign"), 1);
        fixture_lift_faults(fixture);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        ck_assert_uint_eq(fixture_calls(fixture, "sign"), 2);
        kept = kept_url(fixture);
        ck_assert_str_eq(kept, fixture->certificate_url);
}

START_TEST(a_renewal_outlives_a_wrong_url) {
        static const char *const urls[] = { NOBODY, NO_NAME };

        for (size_t i = 0; i < ELEMENTSOF(urls); i++)
                if (streq(fixture_protocol(), "compass"))
                        renew_at_url_that_works(urls[i]);
                else
                        renew_at_named_url(urls[i]);
}
END_TEST

TEST_MAIN("staged", a_weak_certificate_costs_one_signature, an_enrolment_outlives_a_wrong_url,
          a_renewal_outlives_a_wrong_url)
