/* Copies of an older generation that become the newest: rollback by hand, repair of what is damaged. */

#include "lib/store/store.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/unit/store/store-checks.h"

static const struct store_memory nothing;

START_TEST(rolls_back_by_a_copy) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        test_set_commit(store, &first);
        test_set_commit(store, &second);
        ck_assert_int_eq(store_rollback(store, 2, X509_NOW, &error), -EALREADY);
        ck_assert_int_eq(store_rollback(store, 7, X509_NOW, &error), -ENOENT);
        ck_assert_int_eq(store_rollback(store, 1, X509_NOW + 90 * USEC_PER_DAY, &error), -EKEYEXPIRED);
        ck_assert_msg(strstr(error_text(&error), "expired at"), "%s", error_text(&error));
        assert_loads(store, 2, &second);

        ck_assert_msg(store_rollback(store, 1, X509_NOW, &error) == 0, "%s", error_text(&error));
        assert_loads(store, 3, &first);
        /* A restart does not undo it. */
        store = store_close(store);
        store = test_store_open(scratch);
        assert_loads(store, 3, &first);
        assert_file(scratch, "tls.crt", first.certificate_pem);
}
END_TEST

START_TEST(does_not_roll_back_to_what_is_damaged) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
        _cleanup_(freep) char *generation = scratch_path(scratch, "..gen-000001");
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        test_set_commit(store, &first);
        test_set_commit(store, &second);
        scratch_write(generation, "tls.crt", second.certificate_pem, 0644);
        ck_assert_int_eq(store_rollback(store, 1, X509_NOW, &error), -EBADMSG);
        assert_loads(store, 2, &second);
}
END_TEST

START_TEST(repairs_from_the_last_good_generation) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
        _cleanup_(freep) char *old = scratch_path(scratch, "..gen-000001"),
                              *new = scratch_path(scratch, "..gen-000002");
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        enum store_choice choice;
        uint64_t generation;

        test_set_commit(store, &first);
        test_set_commit(store, &second);
        scratch_write(new, "tls.key", "", 0600);
        assert_damaged(store, "tls.key");
        ck_assert_msg(store_repair(store, &nothing, X509_NOW, &generation, &choice, &error) == 0, "%s",
                      error_text(&error));
        ck_assert_uint_eq(generation, 1);
        assert_loads(store, 3, &first);

        scratch_write(old, "tls.key", "", 0600);
        _cleanup_(freep) char *copy = scratch_path(scratch, "..gen-000003");
        scratch_write(copy, "tls.crt", "", 0600);
        ck_assert_int_eq(store_repair(store, &nothing, X509_NOW, &generation, &choice, &error), -ENOENT);
        ck_assert_msg(strstr(error_text(&error), "no other generation"), "%s", error_text(&error));
}
END_TEST

/* Generation 3 is a copy of 1, after a rollback away from 2. */
START_TEST(repairs_with_the_same_certificate) {
        static const struct {
                const char *name; /* of the file that is damaged; NULL: the directory is gone */
                bool is_known, is_source_gone, is_revoked;
                uint64_t expected; /* 0: none */
        } cases[] = {
                { "tls.crt", false, false, false, 1 }, { "tls.crt", true, false, false, 1 },
                { "tls.key", false, false, false, 1 }, { "ca.crt", false, false, false, 1 },
                { NULL, true, false, false, 1 },       { "tls.crt", false, true, false, 0 },
                { "tls.key", true, true, false, 0 },   { "tls.crt", true, false, true, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(scratch_freep) char *scratch = scratch_new();
                _cleanup_(freep) char *current = NULL, *source = NULL;
                _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
                _cleanup_(store_closep) struct store *store = test_store_open(scratch);
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                _cleanup_(set_clear) struct set set = { 0 };
                char fingerprint[1][FINGERPRINT_HEX];
                struct store_memory memory = { 0 };
                enum store_choice choice;
                uint64_t generation = 0;
                int r;

                test_set_commit(store, &first);
                test_set_commit(store, &second);
                ck_assert_int_eq(store_rollback(store, 1, X509_NOW, NULL), 0);
                ck_assert_int_eq(store_load(store, &set, NULL), 0);
                hex_format(fingerprint[0], set.fingerprint, sizeof(set.fingerprint));
                if (cases[i].is_known)
                        memory = (struct store_memory) { .generation = 3, .fingerprint = fingerprint[0] };
                if (cases[i].is_revoked) {
                        memory.revoked = (const char(*)[FINGERPRINT_HEX])fingerprint;
                        memory.n_revoked = 1;
                }

                current = scratch_path(scratch, "..gen-000003");
                source = scratch_path(scratch, "..gen-000001");
                if (cases[i].name)
                        scratch_write(current, cases[i].name, "oops\n", 0600);
                else
                        current = scratch_free(current);
                if (cases[i].is_source_gone)
                        source = scratch_free(source);
                r = store_repair(store, &memory, X509_NOW, &generation, &choice, &error);
                ck_assert_msg(r == (cases[i].expected > 0 ? 0 : -ENOENT), "%zu: %s", i, error_text(&error));
                ck_assert_msg(generation == cases[i].expected, "%zu: %" PRIu64, i, generation);
                if (r == 0)
                        ck_assert_int_eq(choice, STORE_CHOICE_SAME);
        }
}
END_TEST

/* It survives a rollback that fails or is cut off; one that is done drops it. */
START_TEST(a_rollback_drops_what_is_staged) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
        _cleanup_(stage_clear) struct stage stage = { 0 };
        _cleanup_(freep) char *cut_off = scratch_path(scratch, "..stage-000000");

        test_set_commit(store, &first);
        test_set_commit(store, &second);
        ck_assert_int_eq(mkdir(cut_off, 0700), 0);
        scratch_write(cut_off, "tls.key", "", 0600);
        store = store_close(store);
        store = test_store_open(scratch);
        assert_list(scratch, "..data ..gen-000001 ..gen-000002 ca.crt connection.json tls.crt tls.key");

        ck_assert_int_eq(store_stage_key(store, second.key, NULL), 0);
        ck_assert_int_eq(store_rollback(store, 1, X509_NOW, NULL), 0);
        assert_loads(store, 3, &first);
        assert_list(scratch,
                    "..data ..gen-000001 ..gen-000002 ..gen-000003 ca.crt connection.json tls.crt tls.key");
        ck_assert_int_eq(store_stage_load(store, &stage, NULL), 0);
        ck_assert_ptr_null(stage.key);
}
END_TEST

/* Otherwise a moment without descriptors would bring back a set that is older than need be. */
START_TEST(repairs_nothing_while_generations_cannot_be_read) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1),
                                                  third = test_set_make(2);
        _cleanup_(freep) char *new = scratch_path(scratch, "..gen-000003");
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        enum store_choice choice;
        uint64_t generation;
        struct rlimit limit;
        int r;

        test_set_commit(store, &first);
        test_set_commit(store, &second);
        test_set_commit(store, &third);
        scratch_write(new, "tls.key", "", 0600);

        limit = leave_descriptors(1); /* for the directory of a generation, and none for what is in it */
        r = store_repair(store, &nothing, X509_NOW, &generation, &choice, &error);
        setrlimit(RLIMIT_NOFILE, &limit);
        ck_assert_int_eq(r, -EMFILE);
        ck_assert_msg(strstr(error_text(&error), scratch), "%s", error_text(&error));

        ck_assert_int_eq(store_repair(store, &nothing, X509_NOW, &generation, &choice, &error), 0);
        ck_assert_uint_eq(generation, 2);
        assert_loads(store, 4, &second);
}
END_TEST

START_TEST(a_rollback_that_fails_names_the_directory) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct rlimit limit, before;
        int r;

        test_set_commit(store, &first);
        test_set_commit(store, &second);
        ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
        limit = before;
        limit.rlim_cur = 1;
        ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        r = store_rollback(store, 1, X509_NOW, &error);
        setrlimit(RLIMIT_FSIZE, &before);
        ck_assert_int_eq(r, -EFBIG);
        ck_assert_msg(strstr(error_text(&error), scratch), "%s", error_text(&error));
        assert_loads(store, 2, &second);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("store-copy");

        x509_key(2);
        x509_key(7);
        TEST_CASE(suite, rolls_back_by_a_copy);
        TEST_CASE(suite, does_not_roll_back_to_what_is_damaged);
        TEST_CASE(suite, repairs_from_the_last_good_generation);
        TEST_CASE(suite, repairs_with_the_same_certificate);
        TEST_CASE(suite, a_rollback_drops_what_is_staged);
        TEST_CASE(suite, repairs_nothing_while_generations_cannot_be_read);
        TEST_CASE(suite, a_rollback_that_fails_names_the_directory);
        return test_run(suite);
}
