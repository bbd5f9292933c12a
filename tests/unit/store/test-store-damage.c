/* Whatever bit of a set is another one: it loads all the same, or its files are to blame. Damage that was
 * taken for a fault of the machine would never be repaired. */

#include <stdio.h>

#include "lib/store/store-private.h"
#include "lib/util/files.h"
#include "tests/unit/store/store-checks.h"

/* From byte to byte: odd, so that all four letters of a group in base64 have their turn. */
#define STEP (5 * test_step(11))

static void damage_file(const char *name) {
        _cleanup_(scratch_freep) char *path = scratch_new();
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0);
        _cleanup_(store_closep) struct store *store = test_store_open(path);
        _cleanup_(freep) char *file = NULL, *data = NULL;
        size_t size;
        unsigned n_damaged = 0;

        test_set_commit(store, &set);
        ck_assert_int_gt(asprintf(&file, "%s/..data/%s", path, name), 0);
        ck_assert_int_eq(file_read_at(AT_FDCWD, file, FILE_FOLLOW, 65536, &data, &size), 0);
        for (size_t i = 0; i < size; i += STEP)
                for (unsigned bit = 0; bit < 8; bit++) {
                        _cleanup_(set_clear) struct set loaded = { 0 };
                        _cleanup_(error_clear) struct error error = ERROR_INIT;
                        FILE *out = fopen(file, "w");
                        int r;

                        ck_assert_ptr_nonnull(out);
                        data[i] = (char)(data[i] ^ 1 << bit);
                        ck_assert_uint_eq(fwrite(data, 1, size, out), size);
                        fclose(out);
                        data[i] = (char)(data[i] ^ 1 << bit);
                        r = store_load(store, &loaded, &error);
                        ck_assert_msg(r == 0 || r == -EBADMSG, "%s, byte %zu, bit %u: %s: %s", name, i, bit,
                                      strerrorname_np(-r), error_text(&error));
                        n_damaged += r < 0;
                }
        test_report("%s: %zu bytes, %u damages found", name, size, n_damaged);
}

START_TEST(a_bit_of_the_key) {
        damage_file(STORE_KEY);
}
END_TEST

START_TEST(a_bit_of_the_certificate) {
        damage_file(STORE_CERTIFICATE);
}
END_TEST

START_TEST(a_bit_of_the_anchors) {
        damage_file(STORE_CA);
}
END_TEST

TEST_MAIN("store-damage", a_bit_of_the_key, a_bit_of_the_certificate, a_bit_of_the_anchors)
