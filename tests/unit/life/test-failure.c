/* The names of the failure classes: one for each, all different. */

#include "lib/life/failure.h"

#include "tests/test.h"

START_TEST(test_names) {
        for (size_t i = 0; i < FAILURE_MAX; i++) {
                ck_assert_ptr_nonnull(failure_names[i]);
                ck_assert_str_ne(failure_names[i], "");
                for (size_t j = 0; j < i; j++)
                        ck_assert_str_ne(failure_names[i], failure_names[j]);
        }
}
END_TEST

START_TEST(test_values) {
        /* They share an int with 0 and -errno. */
        ck_assert_int_eq(FAILURE_NONE, 0);
        for (int i = FAILURE_NONE + 1; i < FAILURE_MAX; i++)
                ck_assert_int_gt(i, 0);
        ck_assert_str_eq(failure_names[FAILURE_BAD_REPLY], "bad-reply");
}
END_TEST

TEST_MAIN("failure", test_names, test_values)
