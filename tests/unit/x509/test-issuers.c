/* What a set is issued under: names that are none, chains without issuers, and one entry for all who have the
 * same.
 */

#include "lib/x509/issuers.h"

#include "lib/x509/chain.h"
#include "tests/support/x509.h"
#include "tests/test.h"

#define HEX64 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define COLONS                                                                              \
        "00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:" \
        "1B:1C:1D:1E:1F"

static struct x509_cert make_ca(const char *subject, unsigned key, const struct x509_cert *issuer) {
        return x509_make(&(struct x509_options) {
                .ca = true, .subject = subject, .key = x509_key(key), .issuer = issuer });
}

/* Of the certificates in their order, the leaf first. */
static struct issuers *issuers_of(const struct x509_cert *const *certs, size_t n) {
        _cleanup_(freep) char *pem = x509_join(certs, n);
        _cleanup_(cert_list_clear) struct cert_list list = { 0 };
        struct issuers *issuers = (struct issuers *)1;

        ck_assert_int_eq(cert_list_parse(pem, strlen(pem), &list, NULL), 0);
        ck_assert_int_eq(issuers_of_chain(&list, &issuers), 0);
        return issuers;
}
#define ISSUERS_OF(...)                                               \
        issuers_of((const struct x509_cert *const[]) { __VA_ARGS__ }, \
                   ELEMENTSOF(((const struct x509_cert *const[]) { __VA_ARGS__ })))

START_TEST(what_is_no_name_is_refused) {
        static const char *const bad[] = {
                "",
                "spki:",
                "sha256:",
                "Kyma",
                HEX64 "0",
                HEX64 ":",
                ":" HEX64,
                "spki:spki:" HEX64,
                "md5:" HEX64,
                "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1", /* one digit less */
                "00::0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
                "0:00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
                "g00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
                HEX64 " ",
                " " HEX64,
        };
        struct issuer_id id = { .hash = { 0xab } };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                ck_assert_msg(issuer_id_parse(bad[i], &id) == -EINVAL, "'%s' was taken", bad[i]);
                ck_assert_uint_eq(id.hash[0], 0xab); /* untouched */
        }
}
END_TEST

START_TEST(a_name_has_several_spellings) {
        static const char *const good[] = { HEX64,         COLONS,         "sha256:" HEX64,
                                            "spki:" HEX64, "spki:" COLONS, "spki:sha256:" HEX64 };
        struct issuer_id id;

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                ck_assert_int_eq(issuer_id_parse(good[i], &id), 0);
                ck_assert(id.is_key == has_prefix(good[i], "spki:"));
                for (size_t k = 0; k < sizeof(id.hash); k++)
                        ck_assert_uint_eq(id.hash[k], k);
        }
}
END_TEST

START_TEST(a_leaf_alone_hangs_on_nothing_that_is_known) {
        _cleanup_(x509_cert_clear) struct x509_cert leaf = x509_make(&(struct x509_options) { 0 });
        const char *const ids[] = { HEX64, NULL };
        bool is_key;

        ck_assert_ptr_null(ISSUERS_OF(&leaf));
        ck_assert_ptr_null(issuers_ref(NULL));
        ck_assert_ptr_null(issuers_free(NULL));
        ck_assert_ptr_null(issuers_find(NULL, ids, &is_key));
        ck_assert_uint_eq(issuers_count(), 0);
}
END_TEST

START_TEST(equal_chains_are_kept_once) {
        _cleanup_(x509_cert_clear) struct x509_cert root = make_ca("CN=Root", 1, NULL),
                                                    middle = make_ca("CN=Middle", 2, &root);
        _cleanup_(x509_cert_clear) struct x509_cert leaf = x509_make(
                                                            &(struct x509_options) { .issuer = &middle }),
                                                    other = x509_make(&(struct x509_options) {
                                                            .issuer = &middle, .subject = "CN=other" });
        struct issuers *a = ISSUERS_OF(&leaf, &middle, &root), *b = ISSUERS_OF(&other, &middle, &root),
                       *shorter = ISSUERS_OF(&leaf, &middle), *kept;

        ck_assert_ptr_eq(a, b);
        ck_assert_ptr_ne(a, shorter);
        ck_assert_uint_eq(a->n, 2);
        ck_assert_uint_eq(shorter->n, 1);
        ck_assert_str_eq(a->items[0].subject, "CN=Middle");
        ck_assert_str_eq(a->items[1].subject, "CN=Root");
        ck_assert_uint_gt(a->items[0].not_after, X509_NOW);
        ck_assert_uint_lt(a->items[0].not_before, X509_NOW);
        ck_assert_uint_eq(issuers_count(), 2);

        kept = issuers_ref(a);
        issuers_free(a);
        issuers_free(b);
        ck_assert_uint_eq(issuers_count(), 2);
        ck_assert_str_eq(kept->items[0].subject, "CN=Middle");
        issuers_free(kept);
        issuers_free(shorter);
        ck_assert_uint_eq(issuers_count(), 0);
}
END_TEST

/* A CA that was renewed with its key: one subject, one key, two certificates. */
START_TEST(a_certificate_and_its_key_have_names_of_their_own) {
        _cleanup_(x509_cert_clear) struct x509_cert before = make_ca("CN=Kyma", 1, NULL),
                                                    after = x509_make(&(struct x509_options) {
                                                            .ca = true,
                                                            .subject = "CN=Kyma",
                                                            .key = x509_key(1),
                                                            .not_after = X509_NOW + 1000 * USEC_PER_DAY });
        _cleanup_(x509_cert_clear) struct x509_cert leaf =
                x509_make(&(struct x509_options) { .issuer = &before });
        _cleanup_(issuers_freep) struct issuers *old = ISSUERS_OF(&leaf, &before),
                                                *new = ISSUERS_OF(&leaf, &after);
        char fingerprint[FINGERPRINT_HEX], spki[FINGERPRINT_HEX + 5] = "spki:";
        const char *const by_certificate[] = { HEX64, fingerprint, NULL }, *const by_key[] = { spki, NULL };
        bool is_key;

        hex_format(fingerprint, old->items[0].fingerprint, FINGERPRINT_SIZE);
        hex_format(spki + strlen("spki:"), old->items[0].spki, SPKI_HASH_SIZE);
        ck_assert_ptr_ne(old, new);
        ck_assert_ptr_eq(issuers_find(old, by_certificate, &is_key), &old->items[0]);
        ck_assert(!is_key);
        ck_assert_ptr_null(issuers_find(new, by_certificate, &is_key));
        ck_assert_ptr_eq(issuers_find(old, by_key, &is_key), &old->items[0]);
        ck_assert_ptr_eq(issuers_find(new, by_key, &is_key), &new->items[0]);
        ck_assert(is_key);
        ck_assert_ptr_null(issuers_find(old, NULL, &is_key));
        /* the fingerprint of a key names no certificate */
        ck_assert_ptr_null(issuers_find(old, (const char *const[]) { spki + 5, NULL }, &is_key));
}
END_TEST

START_TEST(chains_agree_as_far_as_both_are_known) {
        _cleanup_(x509_cert_clear) struct x509_cert root = make_ca("CN=Root", 1, NULL),
                                                    next = make_ca("CN=Root", 3, NULL),
                                                    middle = make_ca("CN=Middle", 2, &root);
        _cleanup_(x509_cert_clear) struct x509_cert leaf =
                x509_make(&(struct x509_options) { .issuer = &middle });
        _cleanup_(issuers_freep) struct issuers *whole = ISSUERS_OF(&leaf, &middle, &root),
                                                *part = ISSUERS_OF(&leaf, &middle),
                                                *rotated = ISSUERS_OF(&leaf, &middle, &next),
                                                *other = ISSUERS_OF(&leaf, &next);

        ck_assert(!issuers_agree(whole, rotated));
        ck_assert(!issuers_agree(whole, other));
        ck_assert(issuers_agree(whole, whole));
        ck_assert(issuers_agree(whole, part) && issuers_agree(part, rotated));
        ck_assert(issuers_agree(NULL, whole) && issuers_agree(whole, NULL));

        ck_assert_ptr_eq(issuers_find_stranger(whole, rotated), &whole->items[1]);
        ck_assert_ptr_eq(issuers_find_stranger(whole, other), &whole->items[0]);
        ck_assert_ptr_eq(issuers_find_stranger(whole, NULL), &whole->items[0]);
        ck_assert_ptr_null(issuers_find_stranger(part, whole));
        ck_assert_ptr_null(issuers_find_stranger(NULL, whole));
}
END_TEST

TEST_MAIN("issuers", what_is_no_name_is_refused, a_name_has_several_spellings,
          a_leaf_alone_hangs_on_nothing_that_is_known, equal_chains_are_kept_once,
          a_certificate_and_its_key_have_names_of_their_own, chains_agree_as_far_as_both_are_known)
