/* Numbers that spread what would else happen at once. */

#include "daemon/loop/backoff.h"

#include "tests/test.h"

#define N 4096u

START_TEST(numbers_are_spread) {
        unsigned n_of[16] = { 0 };
        uint32_t before = random_number();

        for (unsigned i = 0; i < N; i++) {
                const uint32_t number = random_number();

                ck_assert_uint_ne(number, before);
                before = number;
                n_of[number >> 28]++;
        }
        for (unsigned i = 0; i < ELEMENTSOF(n_of); i++) { /* 256 each, on average; +- 8 standard deviations */
                ck_assert_uint_gt(n_of[i], 128);
                ck_assert_uint_lt(n_of[i], 384);
        }
}
END_TEST

int main(void) {
        Suite *suite = suite_create("backoff");

        TEST_CASE(suite, numbers_are_spread);
        return test_run(suite);
}
