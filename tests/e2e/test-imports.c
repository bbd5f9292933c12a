/* A pair that somebody else has made is taken over as it is. What is doubtful about it is said at once. */

#include <stdlib.h>

#include "tests/support/fixture.h"
#include "tests/support/x509.h"
#include "tests/test.h"

#define IMPORT                       \
        "  orders:\n"                \
        "    connector: dev\n"       \
        "    directory: %s/orders\n" \
        "    import: {key: %s/my.key, certificate: %s/my.crt}\n"

/* URL, which may be NULL, is that of the connector. */
static void configure(struct fixture *fixture, const char *url) {
        _cleanup_(freep) char *options = NULL;

        ck_assert_int_ge(asprintf(&options, ", url: '%s'", url ? url : ""), 0);
        fixture->connector_options = url ? options : NULL;
        fixture_configure(fixture, IMPORT);
        fixture->connector_options = NULL;
        fixture_add_control(fixture);
}

static void write_pair(struct fixture *fixture, const char *key, const char *certificate) {
        scratch_write(fixture->directory, "my.key", key, 0600);
        scratch_write(fixture->directory, "my.crt", certificate, 0644);
}

/* A pair of a stranger's CA, or self-signed, that has just begun. */
static void write_strangers_pair(struct fixture *fixture, bool is_self_signed, const char *purpose) {
        const usec_t now = now_usec(CLOCK_REALTIME);
        const usec_t begin = now - 60 * USEC_PER_SEC, end = now + 90 * USEC_PER_DAY;
        _cleanup_(x509_cert_clear) struct x509_cert ca =
                x509_make(&(struct x509_options) { .ca = true, .not_before = begin, .not_after = end });
        _cleanup_(x509_cert_clear) struct x509_cert leaf =
                x509_make(&(struct x509_options) { .issuer = is_self_signed ? NULL : &ca,
                                                   .not_before = begin,
                                                   .not_after = end,
                                                   .extended_key_usage = purpose });
        _cleanup_(freep) char *key = x509_key_pem(leaf.key);

        write_pair(fixture, key, leaf.pem);
}

#define CREDENTIALS                  \
        "  orders:\n"                \
        "    connector: dev\n"       \
        "    directory: %s/orders\n" \
        "    import: {key: $CREDENTIALS_DIRECTORY/my.key, certificate: $CREDENTIALS_DIRECTORY/my.crt}\n"

/* As the service manager passes them: a directory that the variable names. */
START_TEST(credentials_are_imported) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
        _cleanup_(freep) char *key = NULL, *certificate = NULL, *found = NULL;

        fixture_enrol(fixture, ORDERS);
        key = scratch_read(fixture->directory, "orders/tls.key");
        certificate = scratch_read(fixture->directory, "orders/tls.crt");
        write_pair(fixture, key, certificate);
        ck_assert_int_eq(setenv("CREDENTIALS_DIRECTORY", fixture->directory, 1), 0);
        fixture_configure(fixture, CREDENTIALS);
        fixture_edit(fixture, "/orders", "/imported");
        fixture_add_control(fixture);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_ADOPTED);
        found = scratch_read(fixture->directory, "imported/tls.crt");
        ck_assert(streq_null(found, certificate));
        ck_assert_int_eq(fixture_stop(fixture), 0);
        unsetenv("CREDENTIALS_DIRECTORY");
}
END_TEST

enum place { PLACE_NONE, PLACE_CERTIFICATE, PLACE_TOKEN };

static const struct {
        bool is_self_signed;
        const char *purpose;
        enum place url;
        const char *doubt;
} doubtful[] = {
        { true, NULL, PLACE_CERTIFICATE, "is self-signed" },
        { false, "serverAuth", PLACE_CERTIFICATE, "is for servers only" },
        { false, NULL, PLACE_NONE, "there is no URL" },
        { false, NULL, PLACE_TOKEN, "takes one-time tokens only" },
};

START_TEST(what_cannot_be_renewed_is_said_at_once) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
        const char *const urls[] = { NULL, fixture->certificate_url, fixture->token_url };
        _cleanup_(freep) char *output = NULL;
        const char *first;

        write_strangers_pair(fixture, doubtful[_i].is_self_signed, doubtful[_i].purpose);
        configure(fixture, urls[doubtful[_i].url]);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_ADOPTED);
        fixture_expect_message(fixture, MESSAGE_WARNING, doubtful[_i].doubt);
        fixture_expect(fixture, MESSAGE_CURRENT);
        fixture_ctl(fixture, "check", "orders", NULL, 1, doubtful[_i].doubt);
        fixture_ctl(fixture, "show", "orders", NULL, 0, doubtful[_i].doubt);
        fixture_ctl(fixture, "status", "orders", "--json", 0, doubtful[_i].doubt);

        /* It is found anew at each inspection, and said once. */
        fixture_reload(fixture);
        fixture_ctl(fixture, "check", "orders", NULL, 1, doubtful[_i].doubt);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        output = strdup(process_output(fixture->rekeyd, PROCESS_STDERR));
        first = strstr(output, doubtful[_i].doubt);
        ck_assert_ptr_nonnull(first);
        ck_assert_ptr_null(strstr(first + 1, doubtful[_i].doubt));

        /* A rekeyd that is down hides nothing. */
        fixture_ctl(fixture, "status", "orders", "--json", 0, doubtful[_i].doubt);
}
END_TEST

START_TEST(a_good_pair_is_beyond_doubt) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
        _cleanup_(freep) char *key = NULL, *certificate = NULL;

        fixture_enrol(fixture,
                      "  other:\n    connector: dev\n    directory: %s/other\n    token_file: %s/token\n");
        key = scratch_read(fixture->directory, "other/tls.key");
        certificate = scratch_read(fixture->directory, "other/tls.crt");
        write_pair(fixture, key, certificate);
        configure(fixture, fixture->certificate_url);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_ADOPTED);
        fixture_expect(fixture, MESSAGE_CURRENT);
        fixture_ctl(fixture, "check", "orders", NULL, 0, "REKEYD OK");
        fixture_ctl(fixture, "status", "orders", "--json", 0, "\"doubt\":null");
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("imports");
        TCase *tcase = tcase_create("doubtful");

        tcase_set_timeout(tcase, 0); /* Meson has one for the program */
        tcase_add_loop_test(tcase, what_cannot_be_renewed_is_said_at_once, 0, ELEMENTSOF(doubtful));
        suite_add_tcase(suite, tcase);
        TEST_CASE(suite, a_good_pair_is_beyond_doubt);
        TEST_CASE(suite, credentials_are_imported);
        return test_run(suite);
}
