/* base64: what is refused, then RFC 4648's own examples and all lengths there and back. */

#include "lib/util/base64.h"

#include <errno.h>

#include "tests/test.h"

START_TEST(test_refused) {
        /* clang-format off */
        static const char *const cases[] = {
                /* no whole group, or padding where no group ends */
                "A", "AA", "AAA", "AAAAA", "=", "==", "===", "====", "A===",
                "AA=A", "=AAA", "AA==AAAA", "AAA=AAAA", "AAAA====",
                /* other alphabets, blanks and lines */
                "AAA*", "AAA ", "AAAA\n", "AAA\n", " AAA", "AA A", "AAA-", "AAA_", "AA\xc3\xa4",
                /* bits that belong to no byte */
                "AB==", "AAB=", "A/==", "AA9=", "Zh==", "Zm9=",
        };
        /* clang-format on */
        char *data = NULL;
        size_t size = 4711;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                ck_assert_msg(base64_decode(cases[i], strlen(cases[i]), &data, &size) == -EINVAL, "%s",
                              cases[i]);
                ck_assert_ptr_null(data);
                ck_assert_uint_eq(size, 4711);
        }
        ck_assert_int_eq(base64_decode("AAA\0", 4, &data, &size), -EINVAL);
}
END_TEST

START_TEST(test_known) {
        static const struct {
                const char *data, *text;
        } cases[] = {
                { "", "" },
                { "f", "Zg==" },
                { "fo", "Zm8=" },
                { "foo", "Zm9v" },
                { "foob", "Zm9vYg==" },
                { "fooba", "Zm9vYmE=" },
                { "foobar", "Zm9vYmFy" },
                { "-----BEGIN CERTIFICATE-----\n", "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==" },
                { "\xff\xef\xbe", "/+++" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(freep) char *text = NULL, *data = NULL;
                size_t size;

                ck_assert_int_eq(base64_encode(cases[i].data, strlen(cases[i].data), &text), 0);
                ck_assert_str_eq(text, cases[i].text);
                ck_assert_int_eq(base64_decode(text, strlen(text), &data, &size), 0);
                ck_assert_uint_eq(size, strlen(cases[i].data));
                ck_assert_str_eq(data, cases[i].data);
        }
}
END_TEST

START_TEST(test_there_and_back) {
        uint8_t bytes[768];

        for (size_t i = 0; i < sizeof(bytes); i++)
                bytes[i] = (uint8_t)(i * 37 + i / 256);

        for (size_t n = 0; n <= sizeof(bytes); n++) {
                _cleanup_(freep) char *text = NULL, *data = NULL;
                size_t size;

                ck_assert_int_eq(base64_encode(bytes, n, &text), 0);
                ck_assert_uint_eq(strlen(text), (n + 2) / 3 * 4);
                ck_assert_int_eq(base64_decode(text, strlen(text), &data, &size), 0);
                ck_assert_uint_eq(size, n);
                ck_assert_mem_eq(data, bytes, n);
                ck_assert_int_eq(data[n], 0);
        }
}
END_TEST

TEST_MAIN("base64", test_refused, test_known, test_there_and_back)
