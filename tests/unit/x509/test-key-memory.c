/*
 * What is left of a key after it was freed. In a program of its own, since OpenSSL must be told to cleanse
 * before anything uses it.
 */

#include <fcntl.h>

#include "lib/report/inspect.h"
#include "lib/x509/csr.h"
#include "tests/support/memory.h"
#include "tests/support/scratch.h"
#include "tests/support/sets.h"
#include "tests/test.h"

/* Half of the key's DER lies before the middle: the private exponent and the primes come after it. */
static void remember(const struct key *key, struct search *search) {
        size_t size;
        char *der;

        ck_assert_int_eq(key_der(key, &der, &size, NULL), 0);
        search->size = 48;
        memcpy(search->needle, der + size / 2, search->size);
        explicit_bzero(der, size);
        free(der);
}

START_TEST(nothing_of_a_key_outlives_it) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(subject_freep) struct subject *subject = NULL;
        _cleanup_(freep) char *csr = NULL;
        struct search *search = search_new();
        struct key *key = NULL, *again = NULL;
        int fd = dir_open_at(AT_FDCWD, scratch);

        ck_assert_int_eq(key_generate(KEY_BITS_MIN, NULL, &key, NULL), 0);
        remember(key, search);
        ck_assert_int_eq(key_create_at(key, fd, "tls.key", FILE_ACCESS(0600), NULL), 0);
        ck_assert_int_eq(subject_parse("O=Org,CN=orders", &subject, NULL), 0);
        ck_assert_int_eq(csr_make(key, subject, &csr, NULL), 0);
        key = key_free(key);
        ck_assert_uint_eq(search_memory(search), 0);

        ck_assert_int_eq(key_read_at(fd, "tls.key", FILE_NOFOLLOW, &again, NULL), 0);
        again = key_free(again);
        ck_assert_uint_eq(search_memory(search), 0);
        close(fd);
        search_free(search);
}
END_TEST

/* A look reads keys only to compare them: with their leaves, and with exports. */
START_TEST(nothing_of_a_key_outlives_a_look) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *directory = scratch_path(scratch, "orders"),
                              *path = scratch_path(scratch, "orders.pem");
        struct export export = { .path = path, .access = { .uid = (uid_t)-1, .gid = (gid_t)-1, .mode = 0 } };
        const struct config_certificate config = { .directory = directory,
                                                   .exports = &export,
                                                   .n_exports = 1 };
        _cleanup_(inspection_clear) struct inspection inspection = { 0 };
        struct search *search = search_new();
        struct test_set test_set = { 0 };
        struct set set = { 0 };
        struct store *store;

        ck_assert_int_eq(key_generate(KEY_BITS_MIN, NULL, &test_set.key, NULL), 0);
        remember(test_set.key, search);
        _cleanup_(x509_cert_clear) struct x509_cert ca = x509_make(&(struct x509_options) { .ca = true });
        _cleanup_(x509_cert_clear) struct x509_cert leaf =
                x509_make(&(struct x509_options) { .issuer = &ca, .key = key_handle(test_set.key) });
        test_set.certificate_pem = strdup(leaf.pem);
        test_set.ca_pem = strdup(ca.pem);
        store = test_store_open(directory);
        test_set_commit(store, &test_set);
        ck_assert_int_eq(store_load(store, &set, NULL), 0);
        ck_assert_int_eq(export_write(&export, &set, NULL), 0);
        set_clear(&set);
        test_set_clear(&test_set);
        store_close(store);
        ck_assert_uint_eq(search_memory(search), 0);

        ck_assert_int_eq(inspect_certificate(&config, NULL, &inspection), 0);
        ck_assert(inspection.has_set && inspection.exports[0].is_current);
        ck_assert_uint_eq(search_memory(search), 0);
        search_free(search);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("key-memory");

        if (!key_cleanse_memory())
                return EXIT_FAILURE;
        TEST_CASE(suite, nothing_of_a_key_outlives_it);
        TEST_CASE(suite, nothing_of_a_key_outlives_a_look);
        return test_run(suite);
}
