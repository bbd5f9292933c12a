#include "lib/x509/key.h"

#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <sys/stat.h>

#include "tests/support/x509.h"
#include "tests/test.h"

/* Scratch directory, one for each test process. */
static int scratch(void) {
        char path[] = "/tmp/rekeyd-test-key-XXXXXX";
        int fd;

        ck_assert_ptr_nonnull(mkdtemp(path));
        fd = dir_open_at(AT_FDCWD, path);
        ck_assert_int_ge(fd, 0);
        return fd;
}

static void scratch_remove(int fd) {
        char link[64], path[256];
        ssize_t n;

        sprintf(link, "/proc/self/fd/%d", fd);
        n = readlink(link, path, sizeof(path) - 1);
        ck_assert_int_gt(n, 0);
        path[n] = '\0';
        close(fd);
        ck_assert_int_eq(dir_remove_at(AT_FDCWD, path), 0);
}

enum form { PKCS8, PKCS8_ENCRYPTED, TRADITIONAL, TRADITIONAL_ENCRYPTED };

static char *written(EVP_PKEY *key, enum form form) {
        const EVP_CIPHER *cipher =
                form == PKCS8_ENCRYPTED || form == TRADITIONAL_ENCRYPTED ? EVP_aes_128_cbc() : NULL;
        BIO *bio = BIO_new(BIO_s_mem());
        char *data, *text;
        long size;
        int r;

        if (form == PKCS8 || form == PKCS8_ENCRYPTED)
                r = PEM_write_bio_PKCS8PrivateKey(bio, key, cipher, cipher ? "secret" : NULL, cipher ? 6 : 0,
                                                  NULL, NULL);
        else
                r = PEM_write_bio_PrivateKey_traditional(bio, key, cipher,
                                                         (const unsigned char *)(cipher ? "secret" : NULL),
                                                         cipher ? 6 : 0, NULL, NULL);
        ck_assert_int_eq(r, 1);
        size = BIO_get_mem_data(bio, &data);
        text = strndup(data, (size_t)size);
        BIO_free(bio);
        return text;
}

static void assert_refused(const char *pem, const char *expected) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct key *key = NULL;

        ck_assert_int_eq(key_parse(pem, strlen(pem), &key, &error), -EINVAL);
        ck_assert_ptr_null(key);
        ck_assert_msg(strstr(error_text(&error), expected), "'%s' instead of '%s'", error_text(&error),
                      expected);
        ck_assert_uint_eq(ERR_peek_error(), 0);
}

START_TEST(test_parse_refuses) {
        static const struct {
                const char *pem;
                const char *error;
        } cases[] = {
                { "", "it holds no private key" },
                { "no PEM at all\n", "it holds no private key" },
                { "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                  "it holds no private key" },
                { "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "it holds no private key" },
                { "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                  "damaged or of an unknown kind" },
                { "-----BEGIN PRIVATE KEY-----\nAAAA\n", "its PEM is damaged: bad end line" },
                { "-----BEGIN PRIVATE KEY-----\nAA\n-----END PRIVATE KEY-----\n", "its PEM is damaged" },
                { "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_refused(cases[i].pem, cases[i].error);
}
END_TEST

START_TEST(test_parse_refuses_encrypted_without_a_prompt) {
        _cleanup_(freep) char *pkcs8 = written(x509_key(0), PKCS8_ENCRYPTED);
        _cleanup_(freep) char *traditional = written(x509_key(0), TRADITIONAL_ENCRYPTED);
        char *label;

        /* A prompt would read from the terminal, or fail here and be told as damage. */
        assert_refused(pkcs8, "the key is encrypted; decrypt it");
        assert_refused(traditional, "the key is encrypted; decrypt it");

        /* The same under a label that promises an unencrypted key. */
        label = strstr(pkcs8, "ENCRYPTED ");
        memmove(label, label + 10, strlen(label + 10) + 1);
        label = strstr(pkcs8, "ENCRYPTED ");
        memmove(label, label + 10, strlen(label + 10) + 1);
        assert_refused(pkcs8, "damaged or of an unknown kind");
}
END_TEST

START_TEST(test_parse_refuses_two_keys) {
        _cleanup_(freep) char *first = x509_key_pem(x509_key(0)), *second = x509_key_pem(x509_key(1));
        _cleanup_(freep) char *both = NULL;

        ck_assert_int_ge(asprintf(&both, "%s%s", first, second), 0);
        assert_refused(both, "more than one private key");
}
END_TEST

START_TEST(test_parse_refuses_bytes_after_the_key) {
        _cleanup_(freep) char *pem = NULL;
        unsigned char *der = NULL, padded[4096] = { 0 };
        BIO *bio = BIO_new(BIO_s_mem());
        int size = i2d_PrivateKey(x509_key(0), &der);
        char *data;

        ck_assert_int_gt(size, 0);
        memcpy(padded, der, (size_t)size);
        ck_assert_int_gt(PEM_write_bio(bio, "RSA PRIVATE KEY", "", padded, size + 1), 0);
        size = (int)BIO_get_mem_data(bio, &data);
        pem = strndup(data, (size_t)size);
        assert_refused(pem, "bytes after the private key");
        BIO_free(bio);
        OPENSSL_free(der);
}
END_TEST

START_TEST(test_parse_refuses_too_much) {
        _cleanup_(freep) char *big = malloc(KEY_PEM_MAX + 2);

        memset(big, '\n', KEY_PEM_MAX + 1);
        big[KEY_PEM_MAX + 1] = '\0';
        assert_refused(big, "larger than 64 KiB");
}
END_TEST

START_TEST(test_parse_reads) {
        _cleanup_(freep) char *pkcs8 = written(x509_key(0), PKCS8),
                              *traditional = written(x509_key(0), TRADITIONAL);
        _cleanup_(freep) char *mixed = NULL;
        _cleanup_(key_freep) struct key *first = NULL, *second = NULL, *third = NULL, *again = NULL;
        uint8_t first_spki[SPKI_HASH_SIZE], second_spki[SPKI_HASH_SIZE];
        EVP_PKEY_CTX *check;
        const char *pem;
        size_t size;

        ck_assert_int_ge(
                asprintf(&mixed,
                         "a remark\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n%s\nbye",
                         pkcs8),
                0);
        ck_assert_int_eq(key_parse(pkcs8, strlen(pkcs8), &first, NULL), 0);
        ck_assert_int_eq(key_parse(traditional, strlen(traditional), &second, NULL), 0);
        ck_assert_int_eq(key_parse(mixed, strlen(mixed), &third, NULL), 0);
        ck_assert(key_is_rsa(first));
        ck_assert_uint_eq(key_bits(first), 2048);

        key_spki(first, first_spki);
        key_spki(second, second_spki);
        ck_assert_mem_eq(first_spki, second_spki, SPKI_HASH_SIZE);
        key_spki(third, second_spki);
        ck_assert_mem_eq(first_spki, second_spki, SPKI_HASH_SIZE);

        /* PKCS#8 is read the short way, the traditional form by OpenSSL's decoder: both get the same key. */
        ck_assert_int_eq(EVP_PKEY_eq(key_handle(first), key_handle(second)), 1);
        check = EVP_PKEY_CTX_new(key_handle(first), NULL);
        ck_assert_int_eq(EVP_PKEY_pairwise_check(check), 1);
        ck_assert_int_eq(EVP_PKEY_private_check(check), 1);
        EVP_PKEY_CTX_free(check);
        key_pem(first, &pem, &size);
        ck_assert_str_eq(pem, pkcs8);
        key_pem(second, &pem, &size);
        ck_assert_str_eq(pem, pkcs8);
        ck_assert_uint_eq(size, strlen(pkcs8));
        ck_assert_int_eq(key_parse(pem, size, &again, NULL), 0);
}
END_TEST

START_TEST(test_parse_reads_other_algorithms) {
        EVP_PKEY *handles[] = { EVP_EC_gen("P-256"), EVP_PKEY_Q_keygen(NULL, NULL, "ED25519") };

        for (size_t i = 0; i < ELEMENTSOF(handles); i++) {
                _cleanup_(freep) char *pem = x509_key_pem(handles[i]);
                _cleanup_(key_freep) struct key *key = NULL;

                ck_assert_int_eq(key_parse(pem, strlen(pem), &key, NULL), 0);
                ck_assert(!key_is_rsa(key));
                ck_assert_uint_le(key_bits(key), 256);
                EVP_PKEY_free(handles[i]);
        }
}
END_TEST

START_TEST(test_generate_refuses_sizes) {
        static const unsigned sizes[] = { 0, 512, 1024, 2047, 2049, 8192, UINT32_MAX };

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                struct key *key = NULL;

                ck_assert_int_eq(key_generate(sizes[i], NULL, &key, &error), -EINVAL);
                ck_assert_ptr_null(key);
                ck_assert_ptr_nonnull(strstr(error_text(&error), "must be 2048, 3072 or 4096"));
        }
}
END_TEST

START_TEST(test_generate) {
        _cleanup_(key_freep) struct key *key = NULL, *other = NULL;
        uint8_t spki[SPKI_HASH_SIZE], other_spki[SPKI_HASH_SIZE];
        BIGNUM *exponent = NULL;

        ck_assert_int_eq(key_generate(KEY_BITS_MIN, NULL, &key, NULL), 0);
        ck_assert_int_eq(key_generate(KEY_BITS_MIN, NULL, &other, NULL), 0);
        ck_assert(key_is_rsa(key));
        ck_assert_uint_eq(key_bits(key), 2048);
        ck_assert_int_eq(EVP_PKEY_get_bn_param(key_handle(key), "e", &exponent), 1);
        ck_assert_uint_eq(BN_get_word(exponent), 65537);
        BN_free(exponent);

        key_spki(key, spki);
        key_spki(other, other_spki);
        ck_assert_mem_ne(spki, other_spki, SPKI_HASH_SIZE);
}
END_TEST

START_TEST(test_file_refuses) {
        _cleanup_(key_freep) struct key *key = NULL;
        int fd = scratch();
        static const struct {
                const char *name;
                int code;
                const char *error;
        } cases[] = {
                { "missing", -ENOENT, "cannot read the private key missing: No such file or directory" },
                { "empty", -EINVAL, "cannot use the private key empty: it holds no private key" },
                { "big", -EFBIG, "cannot read the private key big: it is larger than 64 KiB" },
                { "link", -ELOOP, "cannot read the private key link: " },
        };
        _cleanup_(freep) char *big = calloc(1, KEY_PEM_MAX + 1);

        ck_assert_int_eq(file_create_at(fd, "empty", "", 0, FILE_ACCESS(0600)), 0);
        ck_assert_int_eq(file_create_at(fd, "big", big, KEY_PEM_MAX + 1, FILE_ACCESS(0600)), 0);
        ck_assert_int_eq(symlinkat("empty", fd, "link"), 0);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;

                ck_assert_int_eq(key_read_at(fd, cases[i].name, FILE_NOFOLLOW, &key, &error), cases[i].code);
                ck_assert_ptr_null(key);
                ck_assert_msg(has_prefix(error_text(&error), cases[i].error), "%s", error_text(&error));
        }
        scratch_remove(fd);
}
END_TEST

START_TEST(test_file_and_back) {
        _cleanup_(freep) char *pem = x509_key_pem(x509_key(0));
        _cleanup_(key_freep) struct key *key = NULL, *back = NULL;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        uint8_t spki[SPKI_HASH_SIZE], back_spki[SPKI_HASH_SIZE];
        int fd = scratch();
        struct stat st;

        ck_assert_int_eq(key_parse(pem, strlen(pem), &key, NULL), 0);
        ck_assert_int_eq(key_create_at(key, fd, "tls.key", FILE_ACCESS(0600), &error), 0);
        ck_assert_int_eq(fstatat(fd, "tls.key", &st, 0), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0600);

        ck_assert_int_eq(key_read_at(fd, "tls.key", FILE_NOFOLLOW, &back, &error), 0);
        key_spki(key, spki);
        key_spki(back, back_spki);
        ck_assert_mem_eq(spki, back_spki, SPKI_HASH_SIZE);

        ck_assert_int_eq(key_create_at(key, fd, "tls.key", FILE_ACCESS(0600), &error), -EEXIST);
        ck_assert_str_eq(error_text(&error), "cannot write the private key tls.key: File exists");
        scratch_remove(fd);
}
END_TEST

START_TEST(test_algorithm_bits) {
        static const struct {
                const char *algorithm;
                unsigned bits;
        } cases[] = {
                { "rsa2048", 2048 }, { "rsa3072", 3072 }, { "rsa4096", 4096 }, { "rsa1024", 0 }, { "rsa", 0 },
                { "rsa20480", 0 },   { "ec256", 0 },      { "", 0 },           { "RSA2048", 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ck_assert_uint_eq(key_algorithm_bits(cases[i].algorithm), cases[i].bits);
}
END_TEST

START_TEST(generation_can_be_cancelled) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        const atomic_bool cancel = true;
        struct key *key = NULL;

        ck_assert_int_eq(key_generate(4096, &cancel, &key, &error), -ECANCELED);
        ck_assert_ptr_null(key);
        ck_assert_msg(strstr(error_text(&error), "cancelled") != NULL, "%s", error_text(&error));
        ck_assert_uint_eq(ERR_peek_error(), 0);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("key");

        x509_key(1);
        TEST_CASE(suite, test_parse_refuses);
        TEST_CASE(suite, test_parse_refuses_encrypted_without_a_prompt);
        TEST_CASE(suite, test_parse_refuses_two_keys);
        TEST_CASE(suite, test_parse_refuses_bytes_after_the_key);
        TEST_CASE(suite, test_parse_refuses_too_much);
        TEST_CASE(suite, test_parse_reads);
        TEST_CASE(suite, test_parse_reads_other_algorithms);
        TEST_CASE(suite, test_generate_refuses_sizes);
        TEST_CASE(suite, test_generate);
        TEST_CASE(suite, test_file_refuses);
        TEST_CASE(suite, test_file_and_back);
        TEST_CASE(suite, test_algorithm_bits);
        TEST_CASE(suite, generation_can_be_cancelled);
        return test_run(suite);
}
