/*
 * What is left of a key after it was freed. In a program of its own, since OpenSSL must be told to cleanse
 * before anything uses it.
 */

#include <fcntl.h>

#include "lib/csr.h"
#include "tests/support/memory.h"
#include "tests/support/scratch.h"
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

int main(void) {
        Suite *suite = suite_create("key-memory");

        if (!key_cleanse_memory())
                return EXIT_FAILURE;
        TEST_CASE(suite, nothing_of_a_key_outlives_it);
        return test_run(suite);
}
