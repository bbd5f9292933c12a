/* What is wrong with an adopted pair before it is due. */

#include "lib/report/doubt.h"

#include "tests/support/x509.h"
#include "tests/test.h"

#define MTLS  "https://mtls.example/graphql"
#define TOKEN "https://token.example/graphql"

START_TEST(the_table) {
        static const struct {
                bool is_self_signed;
                const char *purpose; /* the extendedKeyUsage; "": none */
                const char *url, *enrol_url;
                enum doubt expected;
        } cases[] = {
                { false, "clientAuth", MTLS, NULL, DOUBT_NONE },
                { false, "clientAuth", MTLS, TOKEN, DOUBT_NONE },
                { false, "clientAuth,serverAuth", MTLS, TOKEN, DOUBT_NONE },
                { false, "", MTLS, TOKEN, DOUBT_NONE },
                { false, "clientAuth", NULL, TOKEN, DOUBT_NO_URL },
                { false, "clientAuth", NULL, NULL, DOUBT_NO_URL },
                { false, "clientAuth", TOKEN, TOKEN, DOUBT_TOKEN_URL },
                { false, "serverAuth", MTLS, TOKEN, DOUBT_SERVER_ONLY },
                { false, "serverAuth", NULL, TOKEN, DOUBT_SERVER_ONLY },
                { true, "clientAuth", MTLS, TOKEN, DOUBT_SELF_SIGNED },
                { true, "serverAuth", TOKEN, TOKEN, DOUBT_SELF_SIGNED },
        };
        _cleanup_(x509_cert_clear) struct x509_cert ca = x509_make(&(struct x509_options) { .ca = true });

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(x509_cert_clear) struct x509_cert leaf =
                        x509_make(&(struct x509_options) { .issuer = cases[i].is_self_signed ? NULL : &ca,
                                                           .extended_key_usage = cases[i].purpose });
                _cleanup_(cert_list_clear) struct cert_list list = { 0 };

                ck_assert_int_eq(cert_list_parse(leaf.pem, strlen(leaf.pem), &list, NULL), 0);
                const struct set set = {
                        .is_self_signed = cert_is_self_signed(list.items[0]),
                        .allows_client_auth = cert_allows_client_auth(list.items[0]),
                };
                ck_assert_msg(doubt_find(&set, cases[i].url, cases[i].enrol_url) == cases[i].expected, "%zu",
                              i);
        }
}
END_TEST

START_TEST(each_has_its_text) {
        ck_assert_ptr_null(doubt_texts[DOUBT_NONE]);
        for (size_t i = DOUBT_NONE + 1; i < DOUBT_MAX; i++)
                ck_assert(!strempty(doubt_texts[i]));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("doubt");

        TEST_CASE(suite, the_table);
        TEST_CASE(suite, each_has_its_text);
        return test_run(suite);
}
