/* Between two renewals: the Connector is asked whether it accepts the certificate in use, from time to time,
 * after an adoption and by an operator. */

#include "daemon/observe/messages.h"
#include "tests/support/fixture.h"
#include "tests/support/x509.h"
#include "tests/test.h"

#define PULSE   "    pulse: 1s\n"
#define NEW_KEY "{\"key\":\"new\",\"trust\":\"new\"}"

static void rotate(struct fixture *fixture) {
        json_decref(fixture_admin(fixture, "/rotate", NEW_KEY));
}

/* With a control socket, so that rekeyctl asks rekeyd. */
/* This Connector signs with its new CA at once. */
START_TEST(a_pulse_finds_that_the_ca_was_rotated) {
        _cleanup_(fixture_freep) struct fixture *fixture =
                fixture_new((const char *[]) { "--ca-window", "0", NULL });
        unsigned n_signatures;

        fixture_enrol(fixture, ORDERS PULSE);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_CURRENT);
        fixture_expect_text(fixture, " accepts the certificate");
        fixture_expect_text(fixture, " accepts the certificate"); /* again and again */
        n_signatures = fixture_calls(fixture, "sign");

        rotate(fixture);
        fixture_expect_message(fixture, MESSAGE_NOT_PROBED, "rejects the certificate before its expiry");
        fixture_expect_message(fixture, MESSAGE_WAITING, "waiting for a one-time token");
        ck_assert_uint_eq(fixture_calls(fixture, "sign"), n_signatures);

        fixture_token(fixture, "client-1", "token");
        fixture_expect(fixture, MESSAGE_ENROLLED);
        fixture_expect(fixture, MESSAGE_CURRENT);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* What a restart remembers of it is a class of failures: one call finds out, without waiting for a pulse. */
START_TEST(a_restart_finds_a_rejection_again_at_once) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);

        fixture_enrol(fixture, ORDERS PULSE);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_CURRENT);
        rotate(fixture);
        fixture_expect(fixture, MESSAGE_NOT_PROBED);
        fixture_expect(fixture, MESSAGE_WAITING);
        ck_assert_int_eq(fixture_stop(fixture), 0);

        fixture_edit(fixture, "pulse: 1s", "pulse: 6h");
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_NOT_PROBED);
        fixture_expect(fixture, MESSAGE_WAITING);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* An outage is none of its business, and an empty 400 has three causes. */
START_TEST(what_is_not_certain_leaves_the_certificate_in_use) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);

        fixture_enrol(fixture, ORDERS PULSE);
        fixture_fault(fixture, "{\"fault\":\"empty-400\",\"endpoint\":\"certificate\",\"count\":1}");
        fixture_start(fixture, NULL);
        fixture_expect_message(fixture, MESSAGE_NOT_PROBED,
                               "unknown whether the Connector accepts the certificate");
        fixture_ctl(fixture, "status", "orders", NULL, 0, "current");
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

START_TEST(an_operator_asks) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
        const bool is_compass = streq(fixture->protocol, "compass");
        _cleanup_(freep) char *revoke = NULL;
        json_t *line;

        fixture_enrol(fixture, ORDERS);
        fixture_add_control(fixture);
        fixture_start(fixture, NULL);
        line = fixture_await(fixture, MESSAGE_CURRENT);
        fixture_ctl(fixture, "probe", "orders", NULL, 0, "accepts the certificate");
        fixture_ctl(fixture, "status", "orders", "--json", 0, "\"probe\":\"accepted\"");

        ck_assert_int_ge(asprintf(&revoke, "{\"fingerprint\":\"%s\"}", member(line, "fingerprint")), 0);
        json_decref(line);
        json_decref(fixture_admin(fixture, "/revoke", revoke));
        if (is_compass)
                fixture_ctl(fixture, "probe", "orders", NULL, 1, "HTTP status 400 with an empty body");
        else
                fixture_ctl(fixture, "probe", "orders", NULL, 0,
                            "a revocation would show at the next renewal");

        rotate(fixture);
        fixture_ctl(fixture, "probe", "orders", NULL, 1, "rejects the certificate");
        fixture_ctl(fixture, "status", "orders", "--json", 0, "\"state\":\"waiting-for-token\"");
        fixture_ctl(fixture, "probe", "nobody", NULL, 5, "nobody");
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

#define IMPORT                       \
        "  orders:\n"                \
        "    connector: dev\n"       \
        "    directory: %s/orders\n" \
        "    pulse: 0s\n"            \
        "    import: {key: %s/my.key, certificate: %s/my.crt}\n"

static void import(struct fixture *fixture, const char *key, const char *certificate) {
        _cleanup_(freep) char *options = NULL;

        scratch_write(fixture->directory, "my.key", key, 0600);
        scratch_write(fixture->directory, "my.crt", certificate, 0644);
        ck_assert_int_ge(asprintf(&options, ", url: '%s'", fixture->certificate_url), 0);
        fixture->connector_options = options;
        fixture_configure(fixture, IMPORT);
        fixture->connector_options = NULL;
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_ADOPTED);
}

/* A pair that somebody has made has passed no gate: it is proven at the first chance, whatever `pulse` says.
 */
START_TEST(an_adopted_pair_is_proven) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
        _cleanup_(freep) char *key = NULL, *certificate = NULL;

        fixture_enrol(fixture,
                      "  other:\n    connector: dev\n    directory: %s/other\n    token_file: %s/token\n");
        key = scratch_read(fixture->directory, "other/tls.key");
        certificate = scratch_read(fixture->directory, "other/tls.crt");
        import(fixture, key, certificate);
        fixture_expect_message(fixture, MESSAGE_PROBED, "accepts the certificate");
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

START_TEST(an_adopted_pair_that_the_connector_rejects_is_told) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
        const usec_t now = now_usec(CLOCK_REALTIME);
        const usec_t begin = now - USEC_PER_HOUR, end = now + 90 * USEC_PER_DAY;
        _cleanup_(x509_cert_clear) struct x509_cert ca =
                x509_make(&(struct x509_options) { .ca = true, .not_before = begin, .not_after = end });
        _cleanup_(x509_cert_clear) struct x509_cert leaf =
                x509_make(&(struct x509_options) { .issuer = &ca, .not_before = begin, .not_after = end });
        _cleanup_(freep) char *key = x509_key_pem(leaf.key);

        import(fixture, key, leaf.pem);
        fixture_expect_message(fixture, MESSAGE_NOT_PROBED, "rejects the certificate before its expiry");
        fixture_expect(fixture, MESSAGE_WAITING);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* A rekeyd that is to end waits neither for an answer nor for its turn. */
START_TEST(a_probe_holds_up_no_end_and_no_reload) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);

        fixture_enrol(fixture, ORDERS PULSE);
        fixture_fault(fixture, "{\"fault\":\"hold\",\"endpoint\":\"certificate\"}");
        fixture_start(fixture, NULL);
        fixture_expect_held(fixture);
        fixture_edit(fixture, "pulse: 1s", "pulse: 2s");
        fixture_reload(fixture);
        fixture_edit(fixture, "orders:", "others:");
        fixture_reload(fixture); /* it is retired with its probe under way */
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

TEST_MAIN("probe", a_pulse_finds_that_the_ca_was_rotated, a_restart_finds_a_rejection_again_at_once,
          what_is_not_certain_leaves_the_certificate_in_use, an_operator_asks, an_adopted_pair_is_proven,
          an_adopted_pair_that_the_connector_rejects_is_told, a_probe_holds_up_no_end_and_no_reload)
