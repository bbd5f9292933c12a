#include "lib/x509/bundle.h"

#include "tests/support/x509.h"
#include "tests/test.h"

static struct x509_cert make_ca(const char *subject, unsigned key) {
        return x509_make(&(struct x509_options) { .ca = true, .subject = subject, .key = x509_key(key) });
}

static struct cert *cert_of(const struct x509_cert *made) {
        _cleanup_(cert_list_clear) struct cert_list list = { 0 };

        ck_assert_int_eq(cert_list_parse(made->pem, strlen(made->pem), &list, NULL), 0);
        return take_ptr(list.items[0]);
}

static void assert_is(const char *pem, const struct x509_cert *const *wanted, size_t n) {
        _cleanup_(freep) char *text = x509_join(wanted, n);

        ck_assert_str_eq(pem, text);
        ck_assert_uint_eq(bundle_count_strict(pem), n);
}
#define ASSERT_IS(pem, ...)                                               \
        assert_is(pem, (const struct x509_cert *const[]) { __VA_ARGS__ }, \
                  ELEMENTSOF(((const struct x509_cert *const[]) { __VA_ARGS__ })))

START_TEST(an_unreadable_bundle_is_refused) {
        _cleanup_(x509_cert_clear) struct x509_cert new = make_ca("CN=New", 2);
        _cleanup_(cert_freep) struct cert *cert = cert_of(&new);
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        char *pem = NULL;

        ck_assert_int_eq(bundle_add("", cert, &pem, &error), -EINVAL);
        ck_assert_int_eq(bundle_replace("-----BEGIN CERTIFICATE-----\nMII\n", cert, cert, &pem, &error),
                         -EINVAL);
        ck_assert_ptr_null(pem);
}
END_TEST

START_TEST(the_cas_of_others_stay_and_doubles_go) {
        _cleanup_(x509_cert_clear) struct x509_cert old = make_ca("CN=Kyma", 1),
                                                    other = make_ca("CN=Other", 2),
                                                    new = make_ca("CN=Kyma", 3);
        _cleanup_(cert_freep) struct cert *old_cert = cert_of(&old), *new_cert = cert_of(&new);
        _cleanup_(freep) char *before = X509_JOIN(&old, &other, &old), *both = NULL, *alone = NULL,
                              *twice = NULL;

        ck_assert_int_eq(bundle_add(before, new_cert, &both, NULL), 0);
        ASSERT_IS(both, &new, &old, &other);
        ck_assert_int_eq(bundle_replace(both, old_cert, new_cert, &alone, NULL), 0);
        ASSERT_IS(alone, &new, &other);
        ck_assert_int_eq(bundle_add(both, new_cert, &twice, NULL), 0);
        ck_assert_str_eq(twice, both);
}
END_TEST

/* An older certificate of the same key would accept the same leaves. */
START_TEST(all_certificates_of_the_old_key_go) {
        _cleanup_(x509_cert_clear) struct x509_cert old = make_ca("CN=Kyma", 1),
                                                    older = make_ca("CN=Kyma 1", 1),
                                                    new = make_ca("CN=Kyma 2", 1);
        _cleanup_(cert_freep) struct cert *old_cert = cert_of(&old), *new_cert = cert_of(&new);
        _cleanup_(freep) char *before = X509_JOIN(&older, &old), *alone = NULL;

        ck_assert_int_eq(bundle_replace(before, old_cert, new_cert, &alone, NULL), 0);
        ASSERT_IS(alone, &new);
}
END_TEST

/* `cat old new`, where the first has no final newline. */
START_TEST(glued_certificates_are_no_bundle) {
        _cleanup_(x509_cert_clear) struct x509_cert a = make_ca("CN=A", 1), b = make_ca("CN=B", 2);
        _cleanup_(freep) char *glued = NULL;

        a.pem[strlen(a.pem) - 1] = '\0';
        ck_assert_int_ge(asprintf(&glued, "%s%s", a.pem, b.pem), 0);
        ck_assert_uint_eq(bundle_count_strict(glued), 0);
}
END_TEST

START_TEST(a_bundle_may_be_longer_than_a_chain) {
        _cleanup_(x509_cert_clear) struct x509_cert new = make_ca("CN=New", 2);
        _cleanup_(cert_freep) struct cert *new_cert = cert_of(&new);
        struct x509_cert many[CERT_LIST_MAX + 5];
        const struct x509_cert *all[ELEMENTSOF(many)];
        _cleanup_(freep) char *before = NULL, *after = NULL;

        for (unsigned i = 0; i < ELEMENTSOF(many); i++) {
                many[i] = x509_make(&(struct x509_options) { .ca = true, .serial = i + 10 });
                all[i] = &many[i];
        }
        before = x509_join(all, ELEMENTSOF(all));
        ck_assert_int_eq(bundle_add(before, new_cert, &after, NULL), 0);
        ck_assert_uint_eq(bundle_count_strict(after), ELEMENTSOF(many) + 1);
        for (unsigned i = 0; i < ELEMENTSOF(many); i++)
                x509_cert_clear(&many[i]);
}
END_TEST

TEST_MAIN("bundle", an_unreadable_bundle_is_refused, the_cas_of_others_stay_and_doubles_go,
          all_certificates_of_the_old_key_go, glued_certificates_are_no_bundle,
          a_bundle_may_be_longer_than_a_chain)
