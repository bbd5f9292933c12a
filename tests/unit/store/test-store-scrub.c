/* Sets that were published with more in them than certificates. */

#include "lib/store/store.h"

#include <stdio.h>
#include <sys/stat.h>

#include "tests/unit/store/store-checks.h"

#define KEY "-----BEGIN PRIVATE KEY----\nc2VjcmV0\n-----END PRIVATE KEY----\n"

static void spoil(const char *directory, const char *name, const char *before, const char *after) {
        _cleanup_(freep) char *clean = scratch_read(directory, name), *text = NULL;

        ck_assert_int_ge(asprintf(&text, "%s%s%s", before, clean, after), 0);
        scratch_write(directory, name, text, 0640);
}

static char *scrubbed(struct store *store) {
        _cleanup_(set_clear) struct set set = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        char *warning = NULL;

        ck_assert_int_eq(store_load(store, &set, &error), 0);
        ck_assert_msg(store_scrub(store, &set, &warning, &error) == 0, "%s", error_text(&error));
        return warning;
}

START_TEST(a_published_key_is_removed) {
        static const struct {
                const char *name, *before, *after;
                bool is_told;
        } cases[] = {
                { "..gen-000001/tls.crt", "", "", false },
                { "..gen-000001/tls.crt", "", "\n", false },
                { "..gen-000001/tls.crt", "", KEY, true },
                { "..gen-000001/tls.crt", KEY, "", true },
                { "..gen-000001/tls.crt", "Private-Key: (2048 bit)\nc2VjcmV0\n", "", true },
                { "..gen-000001/ca.crt", "", KEY, true },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(scratch_freep) char *scratch = scratch_new();
                _cleanup_(test_set_clear) struct test_set set = test_set_make(0);
                _cleanup_(store_closep) struct store *store = test_store_open(scratch);
                _cleanup_(freep) char *warning = NULL, *again = NULL,
                                      *path = scratch_path(scratch, cases[i].name);
                struct stat st;

                test_set_commit(store, &set);
                spoil(scratch, cases[i].name, cases[i].before, cases[i].after);
                warning = scrubbed(store);
                ck_assert_msg(!warning == !cases[i].is_told, "%zu: %s", i, warning);
                if (warning)
                        ck_assert_msg(strstr(warning, cases[i].name), "%s", warning);
                assert_file(scratch, "tls.crt", set.certificate_pem);
                assert_file(scratch, "ca.crt", set.ca_pem);
                assert_loads(store, 1, &set);
                ck_assert_int_eq(stat(path, &st), 0);
                ck_assert_uint_eq(st.st_mode & 07777u, 0640);
                again = scrubbed(store);
                ck_assert_ptr_null(again);
        }
}
END_TEST

/* One that is kept for a rollback is as public. */
START_TEST(older_generations_are_scrubbed_too) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0), newer = test_set_make(1);
        _cleanup_(store_closep) struct store *store = NULL;
        _cleanup_(freep) char *key = x509_key_pem(x509_key(0)), *warning = NULL, *again = NULL;

        scratch_write(scratch, "tls.key", key, 0600);
        scratch_write(scratch, "tls.crt", set.certificate_pem, 0644);
        store = test_store_open(scratch);
        ck_assert_int_eq(store_adopt_plain(store, &warning, NULL), 0);
        test_set_commit(store, &newer);
        spoil(scratch, "..gen-000000/tls.crt", "", KEY);
        warning = scrubbed(store);
        ck_assert_msg(warning && strstr(warning, "..gen-000000/tls.crt"), "%s", warning);
        assert_file(scratch, "..gen-000000/tls.crt", set.certificate_pem);
        again = scrubbed(store);
        ck_assert_ptr_null(again);
}
END_TEST

/* A rollback copies certificates, and not what lies beside them. */
START_TEST(a_rollback_copies_certificates_only) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0), newer = test_set_make(1);
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        test_set_commit(store, &set);
        test_set_commit(store, &newer);
        spoil(scratch, "..gen-000001/tls.crt", KEY, "");
        spoil(scratch, "..gen-000001/ca.crt", "", KEY);
        ck_assert_msg(store_rollback(store, 1, X509_NOW, &error) == 0, "%s", error_text(&error));
        assert_file(scratch, "tls.crt", set.certificate_pem);
        assert_file(scratch, "ca.crt", set.ca_pem);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("store-scrub");

        x509_key(1);
        x509_key(7);
        TEST_CASE(suite, a_published_key_is_removed);
        TEST_CASE(suite, older_generations_are_scrubbed_too);
        TEST_CASE(suite, a_rollback_copies_certificates_only);
        return test_run(suite);
}
