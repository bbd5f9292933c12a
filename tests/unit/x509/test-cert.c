#include "lib/x509/cert.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "lib/x509/cert-rsa.h"
#include "tests/support/x509.h"
#include "tests/test.h"

static char *pem_of(const char *label, const unsigned char *der, long size) {
        BIO *bio = BIO_new(BIO_s_mem());
        char *data, *text;
        long n;

        ck_assert_int_gt(PEM_write_bio(bio, label, "", der, size), 0);
        n = BIO_get_mem_data(bio, &data);
        text = strndup(data, (size_t)n);
        BIO_free(bio);
        return text;
}

static void assert_refused(const char *pem, size_t size, int code, const char *expected) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct cert_list list = { 0 };

        ck_assert_int_eq(cert_list_parse(pem, size, &list, &error), code);
        ck_assert_ptr_null(list.items);
        ck_assert_msg(strstr(error_text(&error), expected), "'%s' instead of '%s'", error_text(&error),
                      expected);
        ck_assert_uint_eq(ERR_peek_error(), 0);
        ck_assert_int_eq(cert_list_parse(pem, size, &list, NULL), code);
}

static struct cert_list parsed(const char *pem) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct cert_list list;

        ck_assert_msg(cert_list_parse(pem, strlen(pem), &list, &error) == 0, "%s", error_text(&error));
        return list;
}

/* The certificate that OPTIONS describe, read back by the code under test. */
static struct cert_list read_back(const struct x509_options *options) {
        _cleanup_(x509_cert_clear) struct x509_cert made = x509_make(options);

        return parsed(made.pem);
}

START_TEST(test_parse_refuses) {
        static const struct {
                const char *pem;
                const char *error;
        } cases[] = {
                { "", "no certificate: it is empty" },
                { "hello\n", "no certificate: a PEM block 'BEGIN CERTIFICATE' is expected" },
                { "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no certificate" },
                { "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                  "certificate 1 cannot be read: it is damaged" },
                { "-----BEGIN CERTIFICATE-----\nA*AA\n-----END CERTIFICATE-----\n", "the PEM is damaged" },
                { "-----BEGIN CERTIFICATE-----\nAAAA\n",
                  "the PEM is damaged after 0 certificates: bad end line" },
                { "-----BEGIN CERTIFICATE-----\nAAAA\n-----END X-----\n", "the PEM is damaged" },
                { "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_refused(cases[i].pem, strlen(cases[i].pem), -EINVAL, cases[i].error);
}
END_TEST

START_TEST(test_parse_refuses_damage_in_a_later_block) {
        _cleanup_(x509_cert_clear) struct x509_cert made = x509_make(&(struct x509_options) { 0 });
        _cleanup_(freep) char *text = NULL, *cut = NULL;

        ck_assert_int_ge(
                asprintf(&text, "%s-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", made.pem),
                0);
        assert_refused(text, strlen(text), -EINVAL, "certificate 2 cannot be read: it is damaged");

        ck_assert_int_ge(asprintf(&cut, "%s%.*s", made.pem, (int)strlen(made.pem) / 2, made.pem), 0);
        assert_refused(cut, strlen(cut), -EINVAL, "the PEM is damaged after 1 certificates");
}
END_TEST

START_TEST(test_parse_refuses_bytes_after_der) {
        _cleanup_(x509_cert_clear) struct x509_cert made = x509_make(&(struct x509_options) { 0 });
        _cleanup_(freep) char *pem = NULL;
        unsigned char der[8192] = { 0 }, *end = der;
        int size = i2d_X509(made.handle, NULL);

        ck_assert_int_lt(size, (int)sizeof(der));
        i2d_X509(made.handle, &end);
        pem = pem_of("CERTIFICATE", der, size + 3);
        assert_refused(pem, strlen(pem), -EINVAL, "certificate 1 cannot be read: there are 3 bytes after it");
}
END_TEST

/* The public half of an RSA key: nobody has the other one. */
static EVP_PKEY *rsa_key_of(int bits, int exponent_bits) {
        BIGNUM *modulus = BN_new(), *exponent = BN_new();
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
        OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
        EVP_PKEY *key = NULL;
        OSSL_PARAM *params;

        ck_assert_int_eq(BN_rand(modulus, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD), 1);
        ck_assert_int_eq(BN_rand(exponent, exponent_bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD), 1);
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus);
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent);
        params = OSSL_PARAM_BLD_to_param(builder);
        ck_assert_int_eq(EVP_PKEY_fromdata_init(context), 1);
        ck_assert_int_eq(EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params), 1);

        OSSL_PARAM_free(params);
        OSSL_PARAM_BLD_free(builder);
        EVP_PKEY_CTX_free(context);
        BN_free(exponent);
        BN_free(modulus);
        return key;
}

START_TEST(test_parse_refuses_absurd_keys) {
        static const struct {
                int bits, exponent_bits;
                const char *error; /* NULL: it is accepted */
        } cases[] = {
                { 2048, 17, NULL },
                { 2048, 32, NULL },
                { 2048, 33, "the exponent of its RSA key has 33 bits, and more than 32 are not accepted" },
                { 3072, 3000, "the exponent of its RSA key has 3000 bits" },
                { 8192, 17, NULL },
                { 8193, 17, "its RSA key has 8193 bits, and more than 8192 are not accepted" },
                { 16384, 16000, "its RSA key has 16384 bits" },
        };
        _cleanup_(x509_cert_clear) struct x509_cert ca = x509_make(&(struct x509_options) { .ca = true });

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                EVP_PKEY *key = rsa_key_of(cases[i].bits, cases[i].exponent_bits);
                _cleanup_(x509_cert_clear) struct x509_cert made =
                        x509_make(&(struct x509_options) { .key = key, .issuer = &ca });
                _cleanup_(cert_list_clear) struct cert_list list = { 0 };

                if (cases[i].error)
                        assert_refused(made.pem, strlen(made.pem), -EINVAL, cases[i].error);
                else
                        list = parsed(made.pem);
                EVP_PKEY_free(key);
        }
}
END_TEST

START_TEST(test_parse_refuses_damaged_extensions) {
        _cleanup_(x509_cert_clear) struct x509_cert made =
                x509_make(&(struct x509_options) { .basic_constraints = "critical,DER:0101" });

        assert_refused(made.pem, strlen(made.pem), -EINVAL,
                       "it has an extension that is damaged or contradicts");
}
END_TEST

START_TEST(test_parse_limits) {
        _cleanup_(x509_cert_clear) struct x509_cert made = x509_make(&(struct x509_options) { 0 });
        const struct x509_cert *many[CERT_LIST_MAX + 1];
        _cleanup_(cert_list_clear) struct cert_list list = { 0 };
        _cleanup_(freep) char *too_many = NULL, *most = NULL, *big = NULL;

        for (size_t i = 0; i < ELEMENTSOF(many); i++)
                many[i] = &made;
        too_many = x509_join(many, CERT_LIST_MAX + 1);
        assert_refused(too_many, strlen(too_many), -E2BIG, "there are more than 10 certificates");
        most = x509_join(many, CERT_LIST_MAX);
        list = parsed(most);
        ck_assert_uint_eq(list.n, CERT_LIST_MAX);

        big = calloc(1, CERT_PEM_MAX + 1);
        memset(big, '\n', CERT_PEM_MAX + 1);
        assert_refused(big, CERT_PEM_MAX + 1, -E2BIG, "larger than 256 KiB");
}
END_TEST

START_TEST(test_parse_passes_over_what_is_between) {
        _cleanup_(x509_cert_clear) struct x509_cert leaf = x509_make(&(struct x509_options) { 0 });
        _cleanup_(x509_cert_clear) struct x509_cert ca = x509_make(&(struct x509_options) { .ca = true });
        _cleanup_(freep) char *key = x509_key_pem(leaf.key), *text = NULL;
        _cleanup_(cert_list_clear) struct cert_list list = { 0 };

        ck_assert_int_ge(
                asprintf(&text, "subject=CN = leaf\r\n%s\n%s# the CA\n%strailer", key, leaf.pem, ca.pem), 0);
        list = parsed(text);
        ck_assert_uint_eq(list.n, 2);
        ck_assert(!cert_is_ca(list.items[0]));
        ck_assert(cert_is_ca(list.items[1]));
}
END_TEST

START_TEST(test_times) {
        static const struct {
                usec_t made;
                usec_t read;
        } cases[] = {
                { X509_NOW, X509_NOW },
                { X509_NOW + 1, X509_NOW },
                { UINT64_C(2524607999) * USEC_PER_SEC,
                  UINT64_C(2524607999) * USEC_PER_SEC }, /* the last UTCTime */
                { UINT64_C(2524608000) * USEC_PER_SEC,
                  UINT64_C(2524608000) * USEC_PER_SEC }, /* GeneralizedTime */
                { UINT64_C(253402300798) * USEC_PER_SEC, UINT64_C(253402300798) * USEC_PER_SEC },
                { USEC_INFINITY, USEC_INFINITY },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(cert_list_clear) struct cert_list list = read_back(
                        &(struct x509_options) { .not_before = USEC_PER_SEC, .not_after = cases[i].made });

                ck_assert_uint_eq(cert_not_before(list.items[0]), USEC_PER_SEC);
                ck_assert_uint_eq(cert_not_after(list.items[0]), cases[i].read);
        }
}
END_TEST

START_TEST(test_times_before_the_epoch_are_zero) {
        _cleanup_(x509_cert_clear) struct x509_cert made = x509_make(&(struct x509_options) { 0 });
        _cleanup_(cert_list_clear) struct cert_list list = { 0 };
        _cleanup_(freep) char *pem = NULL;
        unsigned char *der = NULL;
        int size;

        ck_assert_int_eq(ASN1_TIME_set_string(X509_getm_notBefore(made.handle), "19650101000000Z"), 1);
        ck_assert_int_gt(X509_sign(made.handle, made.key, EVP_sha256()), 0);
        size = i2d_X509(made.handle, &der);
        pem = pem_of("CERTIFICATE", der, size);
        list = parsed(pem);
        ck_assert_uint_eq(cert_not_before(list.items[0]), 0);
        OPENSSL_free(der);
}
END_TEST

START_TEST(test_client_auth) {
        static const struct {
                const char *extended_key_usage;
                bool allowed;
        } cases[] = {
                { "serverAuth", false },
                { "critical,codeSigning,serverAuth", false },
                { "clientAuth", true },
                { "serverAuth,clientAuth", true },
                { "", true },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(cert_list_clear) struct cert_list list = read_back(
                        &(struct x509_options) { .extended_key_usage = cases[i].extended_key_usage });

                ck_assert_int_eq(cert_allows_client_auth(list.items[0]), cases[i].allowed);
        }
}
END_TEST

START_TEST(test_self_signed_is_a_signature_not_a_name) {
        _cleanup_(x509_cert_clear) struct x509_cert ca = x509_make(&(struct x509_options) { .ca = true });
        _cleanup_(x509_cert_clear) struct x509_cert namesake =
                x509_make(&(struct x509_options) { .ca = true, .key = x509_key(2), .issuer = &ca });
        _cleanup_(freep) char *pem = X509_JOIN(&ca, &namesake);
        _cleanup_(cert_list_clear) struct cert_list list = parsed(pem);

        ck_assert(cert_is_self_signed(list.items[0]));
        ck_assert(!cert_is_self_signed(list.items[1]));
        ck_assert(cert_is_issued_by(list.items[1], list.items[0]));
        ck_assert(!cert_is_issued_by(list.items[0], list.items[1]));
}
END_TEST

START_TEST(test_hashes) {
        _cleanup_(x509_cert_clear) struct x509_cert first = x509_make(&(struct x509_options) { 0 });
        _cleanup_(x509_cert_clear) struct x509_cert second =
                x509_make(&(struct x509_options) { .serial = 3 });
        _cleanup_(freep) char *pem = X509_JOIN(&first, &second), *key_text = x509_key_pem(first.key);
        _cleanup_(cert_list_clear) struct cert_list list = parsed(pem);
        _cleanup_(key_freep) struct key *key = NULL;
        uint8_t a[FINGERPRINT_SIZE], b[FINGERPRINT_SIZE];
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned size;

        cert_fingerprint(list.items[0], a);
        cert_fingerprint(list.items[1], b);
        ck_assert_mem_ne(a, b, FINGERPRINT_SIZE);
        ck_assert(!cert_equal(list.items[0], list.items[1]));
        ck_assert_int_eq(X509_digest(first.handle, EVP_sha256(), digest, &size), 1);
        ck_assert_mem_eq(a, digest, FINGERPRINT_SIZE);

        cert_spki(list.items[0], a);
        cert_spki(list.items[1], b);
        ck_assert_mem_eq(a, b, SPKI_HASH_SIZE);
        ck_assert_int_eq(key_parse(key_text, strlen(key_text), &key, NULL), 0);
        key_spki(key, b);
        ck_assert_mem_eq(a, b, SPKI_HASH_SIZE);
}
END_TEST

/* DER of a certificate, and where its bytes may be changed. */
struct der {
        unsigned char bytes[4096];
        long size;
};

static struct der der_of(const struct x509_cert *made) {
        struct der der = { .size = i2d_X509(made->handle, NULL) };
        unsigned char *end = der.bytes;

        ck_assert_int_lt(der.size, (long)sizeof(der.bytes));
        i2d_X509(made->handle, &end);
        return der;
}

static unsigned char *find_in(struct der *der, const void *bytes, size_t size) {
        unsigned char *found = memmem(der->bytes, (size_t)der->size, bytes, size);

        ck_assert_ptr_nonnull(found);
        return found;
}

/* What the short way leaves alone; the long one may take it. */
static void assert_long_way(const struct der *der, bool is_readable) {
        _cleanup_(freep) char *pem = pem_of("CERTIFICATE", der->bytes, der->size);
        struct cert_list list = { 0 };
        uint8_t wanted[FINGERPRINT_SIZE], fingerprint[FINGERPRINT_SIZE];

        ck_assert_ptr_null(rsa_cert_read(der->bytes, der->size));
        ck_assert_uint_eq(ERR_peek_error(), 0);
        ck_assert_int_eq(cert_list_parse(pem, strlen(pem), &list, NULL), is_readable ? 0 : -EINVAL);
        if (is_readable) {
                ck_assert_int_eq(EVP_Digest(der->bytes, (size_t)der->size, wanted, NULL, EVP_sha256(), NULL),
                                 1);
                cert_fingerprint(list.items[0], fingerprint);
                ck_assert_mem_eq(fingerprint, wanted, FINGERPRINT_SIZE);
        }
        cert_list_clear(&list);
}

START_TEST(test_the_short_way_reads_the_same) {
        _cleanup_(x509_cert_clear) struct x509_cert ca = x509_make(&(struct x509_options) { .ca = true });
        _cleanup_(x509_cert_clear) struct x509_cert leaf =
                x509_make(&(struct x509_options) { .issuer = &ca });
        struct der der = der_of(&leaf), ca_der = der_of(&ca);
        X509 *read = rsa_cert_read(der.bytes, der.size), *read_ca = rsa_cert_read(ca_der.bytes, ca_der.size);
        const unsigned char *end = der.bytes;
        X509 *long_way = d2i_X509(NULL, &end, der.size);
        unsigned char *encoded = NULL;

        ck_assert_ptr_nonnull(read);
        ck_assert_ptr_nonnull(read_ca);
        ck_assert_uint_eq(ERR_peek_error(), 0);
        ck_assert_int_eq(i2d_X509(read, &encoded), (int)der.size);
        ck_assert_mem_eq(encoded, der.bytes, (size_t)der.size);
        ck_assert_int_eq(EVP_PKEY_eq(X509_get0_pubkey(read), leaf.key), 1);
        ck_assert_ptr_nonnull(long_way);
        ck_assert_uint_eq(X509_get_extension_flags(read), X509_get_extension_flags(long_way));
        ck_assert_int_eq(X509_verify(read, X509_get0_pubkey(read_ca)), 1);
        ck_assert_int_ne(X509_verify(read_ca, X509_get0_pubkey(read)), 1);
        ERR_clear_error();
        OPENSSL_free(encoded);
        X509_free(read);
        X509_free(read_ca);
        X509_free(long_way);
}
END_TEST

START_TEST(test_the_short_way_notices_what_was_changed) {
        _cleanup_(x509_cert_clear) struct x509_cert ca = x509_make(&(struct x509_options) { .ca = true });
        _cleanup_(x509_cert_clear) struct x509_cert leaf =
                x509_make(&(struct x509_options) { .issuer = &ca, .subject = "CN=leaf" });
        _cleanup_(cert_list_clear) struct cert_list cas = parsed(ca.pem), good = parsed(leaf.pem),
                                                    changed = { 0 };
        _cleanup_(freep) char *pem = NULL;
        struct der der = der_of(&leaf);

        find_in(&der, "leaf", 4)[0] = 'L';
        pem = pem_of("CERTIFICATE", der.bytes, der.size);
        changed = parsed(pem);
        ck_assert(cert_is_issued_by(good.items[0], cas.items[0]));
        ck_assert(!cert_is_issued_by(changed.items[0], cas.items[0]));
}
END_TEST

START_TEST(test_the_short_way_leaves_alone) {
        static const unsigned char rsa_key[] = { 0x30, 0x82, 0x01, 0x0a };
        EVP_PKEY *curve = EVP_EC_gen("P-256");
        _cleanup_(x509_cert_clear) struct x509_cert leaf = x509_make(&(struct x509_options) { 0 }),
                                                    other_kind = x509_make(
                                                            &(struct x509_options) { .key = curve });
        struct der der = der_of(&other_kind);

        assert_long_way(&der, true);

        /* BER: a length in one byte more than it takes */
        der = der_of(&leaf);
        ck_assert_uint_eq(der.bytes[1], 0x82);
        memmove(der.bytes + 3, der.bytes + 2, (size_t)der.size++ - 2);
        der.bytes[1] = 0x83;
        der.bytes[2] = 0x00;
        assert_long_way(&der, true);

        /* a key that is none */
        der = der_of(&leaf);
        find_in(&der, rsa_key, sizeof(rsa_key))[0] = 0x31;
        assert_long_way(&der, true);

        der = der_of(&leaf);
        der.size += 1;
        assert_long_way(&der, false);
        der.size -= 2;
        assert_long_way(&der, false);
        EVP_PKEY_free(curve);
}
END_TEST

START_TEST(test_subject_and_issuer) {
        _cleanup_(x509_cert_clear) struct x509_cert ca =
                x509_make(&(struct x509_options) { .ca = true, .subject = "O=Org,CN=Root" });
        _cleanup_(x509_cert_clear) struct x509_cert leaf =
                x509_make(&(struct x509_options) { .issuer = &ca, .subject = "CN=id,O=Org,C=DE" });
        _cleanup_(cert_list_clear) struct cert_list list = parsed(leaf.pem);
        _cleanup_(subject_freep) struct subject *subject = NULL, *asked = NULL;
        _cleanup_(freep) char *own = cert_subject_text(list.items[0]),
                              *issuer = cert_issuer_text(list.items[0]);

        ck_assert_int_eq(cert_subject(list.items[0], &subject, NULL), 0);
        ck_assert_int_eq(subject_parse("O=Org,C=DE,CN=id", &asked, NULL), 0);
        ck_assert(subject_equal(asked, subject));
        ck_assert_str_eq(own, "CN=id,O=Org,C=DE");
        ck_assert_str_eq(issuer, "O=Org,CN=Root");
}
END_TEST

START_TEST(test_ref_outlives_the_list) {
        struct cert_list list = read_back(&(struct x509_options) { 0 });
        _cleanup_(cert_freep) struct cert *ref = cert_ref(list.items[0]);
        _cleanup_(freep) char *subject = NULL;

        ck_assert(cert_equal(ref, list.items[0]));
        cert_list_clear(&list);
        ck_assert_uint_eq(list.n, 0);
        subject = cert_subject_text(ref);
        ck_assert_str_eq(subject, "CN=leaf");
}
END_TEST

static struct cert_list parse(const char *pem) {
        struct cert_list list = { 0 };

        ck_assert_int_eq(cert_list_parse(pem, strlen(pem), &list, NULL), 0);
        return list;
}

/* The last few are kept; one that was dropped from among them lives on where it is in use. */
START_TEST(test_the_same_bytes_are_parsed_once) {
        _cleanup_(x509_cert_clear) struct x509_cert made = x509_make(&(struct x509_options) { 0 });
        _cleanup_(cert_list_clear) struct cert_list first = parse(made.pem), second = parse(made.pem),
                                                    third = { 0 };
        uint8_t before[FINGERPRINT_SIZE], after[FINGERPRINT_SIZE];

        ck_assert_ptr_eq(cert_handle(first.items[0]), cert_handle(second.items[0]));
        for (unsigned i = 0; i < 100; i++) {
                _cleanup_(x509_cert_clear) struct x509_cert other =
                        x509_make(&(struct x509_options) { .serial = 100 + i });
                _cleanup_(cert_list_clear) struct cert_list list = parse(other.pem);

                ck_assert(!cert_equal(list.items[0], first.items[0]));
        }
        third = parse(made.pem);
        ck_assert_ptr_ne(cert_handle(third.items[0]), cert_handle(first.items[0]));
        ck_assert(cert_equal(third.items[0], first.items[0]));
        cert_fingerprint(second.items[0], before);
        cert_fingerprint(third.items[0], after);
        ck_assert_mem_eq(before, after, FINGERPRINT_SIZE);
}
END_TEST

START_TEST(test_hex) {
        static const uint8_t bytes[] = { 0x00, 0x0f, 0xa5, 0xff };
        char buffer[2 * sizeof(bytes) + 1];

        ck_assert_str_eq(hex_format(buffer, bytes, sizeof(bytes)), "000fa5ff");
        ck_assert_str_eq(hex_format(buffer, bytes, 0), "");
}
END_TEST

int main(void) {
        Suite *suite = suite_create("cert");

        x509_key(2);
        TEST_CASE(suite, test_parse_refuses);
        TEST_CASE(suite, test_parse_refuses_damage_in_a_later_block);
        TEST_CASE(suite, test_parse_refuses_bytes_after_der);
        TEST_CASE(suite, test_parse_refuses_absurd_keys);
        TEST_CASE(suite, test_parse_refuses_damaged_extensions);
        TEST_CASE(suite, test_parse_limits);
        TEST_CASE(suite, test_parse_passes_over_what_is_between);
        TEST_CASE(suite, test_times);
        TEST_CASE(suite, test_times_before_the_epoch_are_zero);
        TEST_CASE(suite, test_client_auth);
        TEST_CASE(suite, test_self_signed_is_a_signature_not_a_name);
        TEST_CASE(suite, test_hashes);
        TEST_CASE(suite, test_the_same_bytes_are_parsed_once);
        TEST_CASE(suite, test_the_short_way_reads_the_same);
        TEST_CASE(suite, test_the_short_way_notices_what_was_changed);
        TEST_CASE(suite, test_the_short_way_leaves_alone);
        TEST_CASE(suite, test_subject_and_issuer);
        TEST_CASE(suite, test_ref_outlives_the_list);
        TEST_CASE(suite, test_hex);
        return test_run(suite);
}
