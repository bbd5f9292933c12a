/*
 * The client CA of a Connector is rotated: with its key and with another, planned and in a hurry. The real
 * rekeyd against the real devconnector, which goes on signing with the old CA for a while, as Connectors do;
 * rekeyctl shows who is left.
 */

#include "lib/store/store.h"
#include "tests/operator/operator-fixture.h"
#include "tests/test.h"

#define TWO                          \
        "  orders:\n"                \
        "    connector: dev\n"       \
        "    directory: %s/orders\n" \
        "    token_file: %s/token\n" \
        "  stock:\n"                 \
        "    connector: dev\n"       \
        "    directory: %s/stock\n"  \
        "    token_file: %s/token-2\n"

#define WINDOW(window) ((const char *[]) { "--ca-window", window, NULL })

/* The CA of the current set: its fingerprint, and that of its key. */
struct ca_names {
        char certificate[FINGERPRINT_HEX], key[sizeof("spki:") - 1 + FINGERPRINT_HEX];
};

static struct ca_names read_ca(struct fixture *fixture, const char *name) {
        _cleanup_(freep) char *file = NULL, *pem = NULL;
        _cleanup_(cert_list_clear) struct cert_list list = { 0 };
        struct ca_names names = { .key = "spki:" };
        uint8_t hash[FINGERPRINT_SIZE];

        ck_assert_int_ge(asprintf(&file, "%s/ca.crt", name), 0);
        pem = scratch_read(fixture->directory, file);
        ck_assert_ptr_nonnull(pem);
        ck_assert_int_eq(cert_list_parse(pem, strlen(pem), &list, NULL), 0);
        cert_fingerprint(list.items[0], hash);
        hex_format(names.certificate, hash, sizeof(hash));
        cert_spki(list.items[0], hash);
        hex_format(names.key + strlen("spki:"), hash, sizeof(hash));
        return names;
}

static void rotate(struct fixture *fixture, const char *how) {
        json_decref(fixture_admin(fixture, "/rotate", how));
}

/* In place of the options of connector `dev` that are there. */
static void distrust(struct fixture *fixture, const char *name) {
        char text[200];

        snprintf(text, sizeof(text), "renew_within: 0s, distrust: ['%s']", name);
        fixture_edit(fixture, "renew_within: 0s", text);
}

#define OPTIONS ", timeout: 4s, renew_within: 0s"

/* The Connector's, which is to be longer than a test takes to rotate and reload; and ours, which covers it.
 */
#define ITS_WINDOW "10s"
#define OUR_WINDOW "ca_window: 11s"

static struct fixture *begin(const char *window) {
        struct fixture *fixture = fixture_new(WINDOW(window));

        fixture->connector_options = OPTIONS;
        fixture_prepare(fixture, ORDERS);
        fixture_edit(fixture, "ca_window: 1s", OUR_WINDOW);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_ENROLLED);
        fixture_expect(fixture, MESSAGE_CURRENT);
        return fixture;
}

START_TEST(a_distrusted_ca_costs_two_signatures) {
        _cleanup_(fixture_freep) struct fixture *fixture = begin(ITS_WINDOW);
        const struct ca_names old = read_ca(fixture, "orders");
        struct ca_names new;

        rotate(fixture, "{\"key\":\"same\",\"trust\":\"both\"}");
        distrust(fixture, old.certificate);
        fixture_reload(fixture);
        fixture_expect_message(fixture, MESSAGE_BEGUN, "renewing: its CA 'CN=Kyma' (sha256 ");
        fixture_expect_failure(fixture, "bad-reply",
                               "still signed by a CA that is not trusted any more: the Connector has not "
                               "read its new CA yet");
        fixture_expect(fixture, MESSAGE_RENEWED);
        fixture_expect(fixture, MESSAGE_CURRENT);
        new = read_ca(fixture, "orders");
        ck_assert_str_ne(new.certificate, old.certificate);
        ck_assert_str_eq(new.key, old.key);
        ck_assert_uint_eq(fixture_calls(fixture, "sign"), 3); /* with that of the enrolment */

        /* It stays in the configuration, and does nothing more. */
        fixture_edit(fixture, "timeout: 4s", "timeout: 5s");
        fixture_reload(fixture);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 0);
        ck_assert_uint_eq(fixture_calls(fixture, "sign"), 3);
}
END_TEST

START_TEST(what_was_issued_before_is_renewed_once) {
        _cleanup_(fixture_freep) struct fixture *fixture = begin("0s");
        char text[120], when[TIMESTAMP_MAX];

        /* The whole second after the one in which it was issued; so it may be to come yet. */
        snprintf(text, sizeof(text), "renew_within: 0s, renew_issued_before: '%s'",
                 format_timestamp(when, now_usec(CLOCK_REALTIME) + USEC_PER_SEC));
        fixture_edit(fixture, "renew_within: 0s", text);
        fixture_reload(fixture);
        fixture_expect_message(fixture, MESSAGE_BEGUN, "renewing: it was issued before ");
        fixture_expect(fixture, MESSAGE_RENEWED);
        fixture_expect(fixture, MESSAGE_CURRENT);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 0);
        ck_assert_uint_eq(fixture_calls(fixture, "sign"), 2);
}
END_TEST

static unsigned n_certificates(struct fixture *fixture, const char *name) {
        _cleanup_(freep) char *pem = scratch_read(fixture->directory, name);
        unsigned n = 0;

        ck_assert_ptr_nonnull(pem);
        for (const char *p = pem; (p = strstr(p, "-----BEGIN CERTIFICATE-----")); p++)
                n++;
        return n;
}

/* Over a restart; and it leaves by itself. */
START_TEST(an_export_has_both_cas_for_a_while) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(WINDOW("0s"));
        struct ca_names old;

        fixture->connector_options = OPTIONS;
        fixture_prepare(fixture,
                        ORDERS "    exports: [{path: %s/ca.pem, contents: [ca], ca_overlap: 30d}]\n");
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_ENROLLED);
        fixture_expect(fixture, MESSAGE_EXPORTED);
        fixture_expect(fixture, MESSAGE_CURRENT);
        ck_assert_uint_eq(n_certificates(fixture, "ca.pem"), 1);
        old = read_ca(fixture, "orders");

        rotate(fixture, "{\"key\":\"new\",\"trust\":\"both\"}");
        distrust(fixture, old.certificate);
        fixture_reload(fixture);
        fixture_expect(fixture, MESSAGE_RENEWED);
        fixture_expect(fixture, MESSAGE_EXPORTED);
        fixture_expect(fixture, MESSAGE_CURRENT);
        ck_assert_uint_eq(n_certificates(fixture, "orders/ca.crt"), 1);
        ck_assert_uint_eq(n_certificates(fixture, "ca.pem"), 2);

        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 0);
        ck_assert_uint_eq(n_certificates(fixture, "ca.pem"), 2);
        fixture_edit(fixture, "ca_overlap: 30d", "ca_overlap: 1ms");
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_EXPORTED);
        ck_assert_uint_eq(n_certificates(fixture, "ca.pem"), 1);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* Nobody accepts the old leaf any more. */
START_TEST(a_distrusted_key_waits_for_a_token_and_says_why) {
        _cleanup_(fixture_freep) struct fixture *fixture = begin("0s");
        const struct ca_names old = read_ca(fixture, "orders");
        struct ca_names new;

        rotate(fixture, "{\"key\":\"new\",\"trust\":\"new\"}");
        distrust(fixture, old.key);
        fixture_reload(fixture);
        fixture_expect_failure(fixture, "rejected", "");
        fixture_expect_message(
                fixture, MESSAGE_WAITING,
                "the certificate is not accepted any more, since the CA was rotated: the key of its CA "
                "'CN=Kyma'");
        ck_assert_uint_eq(fixture_calls(fixture, "sign"), 1);
        fixture_token(fixture, "client-1", "token");
        fixture_expect(fixture, MESSAGE_ENROLLED);
        new = read_ca(fixture, "orders");
        ck_assert_str_ne(new.key, old.key);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

START_TEST(an_operator_renews_the_rest) {
        struct operator_fixture console;
        struct ca_names old, new;
        char command[300];

        operator_init_with(&console, TWO, WINDOW("0s"));
        fixture_token(console.fixture, "client-1", "token");
        fixture_expect(console.fixture, MESSAGE_ENROLLED);
        fixture_token(console.fixture, "client-2", "token-2");
        fixture_expect(console.fixture, MESSAGE_ENROLLED);
        old = read_ca(console.fixture, "orders");
        operator_check(&console, "cas", 0, old.certificate);
        operator_check(&console, "cas", 0, old.key);

        rotate(console.fixture, "{\"key\":\"new\",\"trust\":\"both\"}");
        operator_check(&console, "renew orders --force", 0, "");
        snprintf(command, sizeof(command), "rekeyctl renew --issuer %s --connector dev --within 6h",
                 old.certificate);
        fixture_expect_message(console.fixture, MESSAGE_OTHER_CA, command);
        new = read_ca(console.fixture, "orders");
        operator_check(&console, "cas", 0, new.certificate);
        operator_check(&console, "cas --json", 0, "\"newest_of\":[\"dev\"]");

        snprintf(command, sizeof(command), "renew --issuer %s --connector dev --within 1s", old.key);
        operator_check(&console, command, 0, "stock: renewal planned");
        fixture_expect_member(console.fixture, MESSAGE_RENEWED, "certificate", "stock");
        ck_assert_str_eq(read_ca(console.fixture, "stock").certificate, new.certificate);
        operator_check(&console, command, 0, "nothing to renew");
        operator_clear(&console);
}
END_TEST

TEST_MAIN("rotation", an_export_has_both_cas_for_a_while, a_distrusted_ca_costs_two_signatures,
          what_was_issued_before_is_renewed_once, a_distrusted_key_waits_for_a_token_and_says_why,
          an_operator_renews_the_rest)
