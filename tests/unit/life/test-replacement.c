/* Why a set is replaced before its age makes it due: what names nothing, then each cause, and from when on.
 */

#include "lib/life/replacement.h"

#include "tests/test.h"

#define NOW   (UINT64_C(1800000000) * USEC_PER_SEC)
#define OTHER "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

/* A CA below another. */
static struct issuers *chain;

static char of_certificate[FINGERPRINT_HEX], of_key[sizeof("spki:") + FINGERPRINT_HEX],
        of_root[FINGERPRINT_HEX];

static void set_up(void) {
        chain = calloc(1, sizeof(*chain) + 2 * sizeof(chain->items[0]));
        ck_assert_ptr_nonnull(chain);
        chain->n = 2;
        chain->items[0] = (struct issuer) { .fingerprint = { 1 }, .spki = { 2 }, .subject = "CN=Kyma" };
        chain->items[1] = (struct issuer) { .fingerprint = { 3 }, .spki = { 4 }, .subject = "CN=Root" };
        hex_format(of_certificate, chain->items[0].fingerprint, FINGERPRINT_SIZE);
        hex_format(of_root, chain->items[1].fingerprint, FINGERPRINT_SIZE);
        strcpy(of_key, "spki:");
        hex_format(of_key + strlen("spki:"), chain->items[0].spki, SPKI_HASH_SIZE);
}

static enum replacement find(const struct replacement_rule *rule, const struct issuers *issuers,
                             usec_t not_before) {
        const struct issuer *issuer = (const struct issuer *)1;
        enum replacement replacement = replacement_find(rule, issuers, not_before, &issuer);

        ck_assert((issuer != NULL) ==
                  (replacement == REPLACEMENT_KEY || replacement == REPLACEMENT_CERTIFICATE));
        return replacement;
}

START_TEST(without_a_rule_nothing_is_replaced) {
        const struct replacement_rule none = { .connector = "ucl" };
        const struct replacement_rule other = {
                .connector = "ucl", .distrust = (const char *const[]) { OTHER, "spki:" OTHER, "none", NULL }
        };

        ck_assert_int_eq(find(&none, chain, 0), REPLACEMENT_NONE);
        ck_assert_int_eq(find(&none, NULL, 0), REPLACEMENT_NONE);
        ck_assert_int_eq(find(&other, chain, 0), REPLACEMENT_NONE);
        ck_assert_int_eq(find(&other, NULL, 0), REPLACEMENT_NONE); /* not known */
        ck_assert_uint_eq(replacement_from(&none, REPLACEMENT_NONE, NOW), 0);
        ck_assert_ptr_null(replacement_text(&none, REPLACEMENT_NONE, NULL));
}
END_TEST

START_TEST(a_distrusted_ca_is_found_wherever_it_is) {
        const struct replacement_rule by_certificate = {
                .connector = "ucl", .distrust = (const char *const[]) { OTHER, of_certificate, NULL }
        };
        const struct replacement_rule by_root = { .connector = "ucl",
                                                  .distrust = (const char *const[]) { of_root, NULL } };
        const struct replacement_rule by_key = { .connector = "ucl",
                                                 .distrust = (const char *const[]) { of_key, NULL } };
        _cleanup_(freep) char *certificate = NULL, *key = NULL;
        const struct issuer *issuer;

        ck_assert_int_eq(find(&by_certificate, chain, NOW), REPLACEMENT_CERTIFICATE);
        ck_assert_int_eq(find(&by_root, chain, NOW), REPLACEMENT_CERTIFICATE);
        ck_assert_int_eq(find(&by_key, chain, NOW), REPLACEMENT_KEY);
        ck_assert_uint_eq(replacement_from(&by_key, REPLACEMENT_KEY, NOW), NOW);

        replacement_find(&by_root, chain, NOW, &issuer);
        ck_assert_ptr_eq(issuer, &chain->items[1]);
        certificate = replacement_text(&by_root, REPLACEMENT_CERTIFICATE, issuer);
        ck_assert_str_eq(certificate,
                         "its CA 'CN=Root' (sha256 0300000000000000...) is distrusted, see `distrust` of "
                         "connector ucl");
        replacement_find(&by_key, chain, NOW, &issuer);
        key = replacement_text(&by_key, REPLACEMENT_KEY, issuer);
        ck_assert_str_eq(
                key,
                "the key of its CA 'CN=Kyma' (spki:0200000000000000...) is distrusted, see `distrust` of "
                "connector ucl");
}
END_TEST

START_TEST(what_was_issued_before_is_too_old) {
        const struct replacement_rule rule = { .connector = "ucl", .issued_before = NOW }, both = {
                .connector = "ucl", .issued_before = NOW, .distrust = (const char *const[]) { of_key, NULL }
        };
        _cleanup_(freep) char *text = replacement_text(&rule, REPLACEMENT_AGE, NULL);

        ck_assert_int_eq(find(&rule, chain, NOW - 1), REPLACEMENT_AGE);
        ck_assert_int_eq(find(&rule, NULL, NOW - 1), REPLACEMENT_AGE);
        ck_assert_int_eq(find(&rule, chain, NOW), REPLACEMENT_NONE);
        ck_assert_int_eq(find(&both, chain, NOW - 1), REPLACEMENT_KEY);
        ck_assert_str_eq(
                text,
                "it was issued before 2027-01-15T08:00:00Z, see `renew_issued_before` of connector ucl");

        /* from when that is known; or, said of the future, when it has come */
        ck_assert_uint_eq(replacement_from(&rule, REPLACEMENT_AGE, NOW + 5), NOW + 5);
        ck_assert_uint_eq(replacement_from(&rule, REPLACEMENT_AGE, NOW - 5), NOW);
        ck_assert_uint_eq(replacement_from(&both, REPLACEMENT_KEY, NOW - 5), NOW - 5);
}
END_TEST

START_TEST(every_cause_has_a_name) {
        for (enum replacement i = REPLACEMENT_NONE + 1; i < REPLACEMENT_MAX; i++)
                ck_assert(!strempty(replacement_names[i]));
}
END_TEST

static void tear_down(void) {
        free(chain);
}

int main(void) {
        Suite *suite = suite_create("replacement");

        TEST_CASE_IN(suite, without_a_rule_nothing_is_replaced, set_up, tear_down);
        TEST_CASE_IN(suite, a_distrusted_ca_is_found_wherever_it_is, set_up, tear_down);
        TEST_CASE_IN(suite, what_was_issued_before_is_too_old, set_up, tear_down);
        TEST_CASE_IN(suite, every_cause_has_a_name, set_up, tear_down);
        return test_run(suite);
}
