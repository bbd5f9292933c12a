/* A pair that is handed over as texts: what is taken, and the sentence for what is not. */

#include "lib/store/handed.h"

#include "tests/unit/store/store-checks.h"

static char *key_text(const struct test_set *set) {
        const char *pem;
        size_t size;

        key_pem(set->key, &pem, &size);
        return strndup(pem, size);
}

static int read_texts(const char *key, const char *certificate, const char *ca, struct set *ret,
                      struct error *error) {
        const struct handed handed = {
                .key = { "/root/x.key", key },
                .certificate = { "/root/x.crt", certificate },
                .ca = { "/root/ca.crt", ca },
        };

        return handed_read(&handed, now_usec(CLOCK_REALTIME), ret, error);
}

START_TEST(a_pair_becomes_the_current_set) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(test_set_clear) struct test_set a = test_set_make(0), b = test_set_make(1);
        const struct test_set *const sets[] = { &a, &b };
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);

        for (uint64_t i = 0; i < ELEMENTSOF(sets); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                _cleanup_(freep) char *key = key_text(sets[i]);
                _cleanup_(set_clear) struct set set = { 0 };
                uint64_t generation = 99;

                ck_assert_msg(read_texts(key, sets[i]->certificate_pem, sets[i]->ca_pem, &set, &error) == 0,
                              "%s", error_text(&error));
                ck_assert_int_eq(handed_publish(store, &set, &generation, &error), 0);
                ck_assert_uint_eq(generation, i);
                assert_loads(store, i, sets[i]);
        }
}
END_TEST

/* Nothing but certificates is public, and neither order nor a key in the same file is an obstacle. */
START_TEST(one_file_may_have_it_all) {
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0);
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(freep) char *key = key_text(&set), *all = NULL;
        _cleanup_(set_clear) struct set read = { 0 };

        ck_assert_int_ge(asprintf(&all, "%s%s%s", set.ca_pem, key, set.certificate_pem), 0);
        ck_assert_msg(read_texts(all, all, NULL, &read, &error) == 0, "%s", error_text(&error));
        ck_assert_ptr_null(strstr(read.certificate_pem, "PRIVATE"));
        ck_assert_ptr_null(strstr(read.ca_pem, "PRIVATE"));
        ck_assert_int_eq(strncmp(read.certificate_pem, set.certificate_pem, strlen(set.certificate_pem)), 0);
}
END_TEST

START_TEST(each_mistake_has_its_sentence) {
        _cleanup_(test_set_clear) struct test_set a = test_set_make(0), b = test_set_make(1);
        _cleanup_(freep) char *key = key_text(&a), *other = key_text(&b);
        const struct {
                const char *key, *certificate, *ca, *text;
        } rows[] = {
                { "", a.certificate_pem, NULL, "cannot use /root/x.key: it holds no private key" },
                { a.certificate_pem, key, NULL, "cannot use /root/x.key: it holds no private key: it is a" },
                { key, key, NULL, "cannot use /root/x.crt: no certificate: it is a private key" },
                { key, "{\"a\":1}", NULL, "cannot use /root/x.crt: no certificate: it is JSON" },
                { key, a.certificate_pem, key, "cannot use /root/ca.crt: " },
                { other, a.certificate_pem, NULL, "/root/x.key and /root/x.crt do not belong together" },
                { key, a.certificate_pem, b.certificate_pem, "/root/x.crt does not verify to /root/ca.crt" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                struct set set = { 0 };

                ck_assert_int_lt(read_texts(rows[i].key, rows[i].certificate, rows[i].ca, &set, &error), 0);
                ck_assert_msg(strstr(error_text(&error), rows[i].text), "%s", error_text(&error));
                ck_assert_ptr_null(set.key);
                ck_assert_ptr_null(strstr(error_text(&error), "-----BEGIN"));
        }
}
END_TEST

START_TEST(files_of_another_origin_are_not_touched) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(test_set_clear) struct test_set a = test_set_make(0);
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(freep) char *key = key_text(&a);
        _cleanup_(set_clear) struct set set = { 0 };
        uint64_t generation;

        scratch_write(scratch, "tls.crt", "mine", 0644);
        ck_assert_int_eq(read_texts(key, a.certificate_pem, a.ca_pem, &set, &error), 0);
        ck_assert_int_eq(handed_publish(store, &set, &generation, &error), -EEXIST);
        ck_assert_ptr_nonnull(strstr(error_text(&error), "tls.crt is a file of another origin"));
        assert_list(scratch, "tls.crt");
}
END_TEST

TEST_MAIN("handed", a_pair_becomes_the_current_set, one_file_may_have_it_all, each_mistake_has_its_sentence,
          files_of_another_origin_are_not_touched)
