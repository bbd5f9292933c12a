/* JSON from outside: each limit from both sides, and that nothing of a document leaks into its error. */

#include "lib/util/json.h"

#include <sys/resource.h>

#include "tests/test.h"

#define SIZE_LIMIT 1000

static int parse(const char *text, size_t size, struct error *error) {
        _cleanup_(json_decrefp) json_t *root = NULL;

        return json_read(text, size, SIZE_LIMIT, &root, error);
}

START_TEST(test_refused) {
        static const struct {
                const char *text, *error;
        } cases[] = {
                { "", "it is empty" },
                { "   ", "it is not JSON at line 1, column 3: " },
                { "hello", "it is not JSON at line 1, column 5: the syntax is wrong" },
                { "<html>", "it is not JSON at line 1, column 1: " },
                { "{", "it is not JSON at line 1, column 1: it ends too early" },
                { "{\"a\":\n  \"se", "it ends too early" },
                { "{\"a\":1,\"a\":2}", "a key occurs twice" },
                { "{\"x\":{\"a\":1,\"a\":2}}", "a key occurs twice" },
                { "{\"a\":\"\\u0000\"}", "a string holds a NUL" },
                { "{\"a\\u0000b\":1}", "a string holds a NUL" },
                { "{\"a\":\"\xff\"}", "a string is not UTF-8" },
                { "{\"a\":\"\xed\xa0\x80\"}", "a string is not UTF-8" },
                { "{\"a\":1e999}", "a number is too large" },
                { "{} {}", "something follows its end" },
                { "{}x", "something follows its end" },
                { "{\"a\":'b'}", "the syntax is wrong" },
                { "{\"a\":1,}", "the syntax is wrong" },
                { "[]", "it is not a JSON object" },
                { "[{\"a\":1}]", "it is not a JSON object" },
                { "\"text\"", "the syntax is wrong" },
                { "null", "the syntax is wrong" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                json_t *root = NULL;

                ck_assert_int_eq(json_read(cases[i].text, strlen(cases[i].text), SIZE_LIMIT, &root, &error),
                                 -EINVAL);
                ck_assert_ptr_null(root);
                ck_assert_msg(strstr(error_text(&error), cases[i].error), "case %zu: %s", i,
                              error_text(&error));
        }

        /* A NUL between values, which a C string would not show */
        ck_assert_int_eq(parse("{}\0", 3, NULL), -EINVAL);
        ck_assert_int_eq(parse("{\"a\"\0:1}", 8, NULL), -EINVAL);
        ck_assert_int_eq(parse("{\"a\":\"b\0c\"}", 11, NULL), -EINVAL);
}
END_TEST

START_TEST(test_quotes_nothing) {
        static const char *const cases[] = {
                "{\"token\":\"SECRET\"",
                "{\"token\":\"SECRET",
                "{\"token\":SECRET}",
                "{\"SECRET\" \"x\"}",
                "{\"SECRET\":1,\"SECRET\":2}",
                "{\"token\":\"SECRET\xff\"}",
                "SECRET",
                "{\"token\":\"SECRET\"}SECRET",
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;

                ck_assert_int_eq(parse(cases[i], strlen(cases[i]), &error), -EINVAL);
                ck_assert_msg(!strstr(error_text(&error), "SECRET"), "%s", error_text(&error));
        }
}
END_TEST

START_TEST(test_size) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        char text[SIZE_LIMIT + 1];

        memset(text, ' ', sizeof(text));
        memcpy(text, "{}", 2);
        ck_assert_int_eq(parse(text, SIZE_LIMIT, &error), 0);
        ck_assert_int_eq(parse(text, SIZE_LIMIT + 1, &error), -EINVAL);
        ck_assert_str_eq(error_text(&error), "it is too large (1001 bytes, at most 1000)");
}
END_TEST

/* N levels: an object around lists. */
static size_t nest(char *text, size_t n, const char *inside) {
        size_t size = 0;

        size += (size_t)sprintf(text + size, "{\"a\":%s", inside);
        for (size_t i = 1; i < n; i++)
                text[size++] = '[';
        for (size_t i = 1; i < n; i++)
                text[size++] = ']';
        text[size++] = '}';
        return size;
}

START_TEST(test_depth) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        char text[SIZE_LIMIT];
        size_t size;

        ck_assert_int_eq(parse(text, nest(text, JSON_DEPTH_MAX, ""), &error), 0);
        ck_assert_int_eq(parse(text, nest(text, JSON_DEPTH_MAX + 1, ""), &error), -EINVAL);
        ck_assert_str_eq(error_text(&error), "it is nested too deeply (33 levels, at most 32)");

        /* Brackets in strings do not count, also behind escaped quotes; many one after the other are not
         * deep. */
        size = (size_t)sprintf(
                text,
                "{\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\":\"{{{{\\\"{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{\\\\\"}");
        ck_assert_int_eq(parse(text, size, &error), 0);
        size = (size_t)sprintf(
                text, "{\"a\":[[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],"
                      "[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[]]}");
        ck_assert_int_eq(parse(text, size, &error), 0);

        /* A string that only looks closed hides no depth. */
        ck_assert_int_eq(parse(text, nest(text, 40, "\"\\\\\","), &error), -EINVAL);
        ck_assert_msg(strstr(error_text(&error), "nested too deeply"), "%s", error_text(&error));
}
END_TEST

START_TEST(formatted) {
        _cleanup_(json_decrefp) json_t *root = json_pack("{s:i, s:[s]}", "a", 1, "b", "c");
        char *compact = json_format(root, JSON_COMPACT),
             *any = json_format(json_array_get(json_object_get(root, "b"), 0), JSON_ENCODE_ANY);

        ck_assert_str_eq(compact, "{\"a\":1,\"b\":[\"c\"]}");
        ck_assert_str_eq(any, "\"c\"");
        ck_assert_ptr_null(json_format(json_object_get(root, "a"), JSON_COMPACT));
        free(compact);
        free(any);
}
END_TEST

/* For a key there is no room, for what follows it there is. */
START_TEST(no_key_is_left_out) {
        enum { SIZE = 64 << 20 };
        _cleanup_(json_decrefp) json_t *root = json_object();
        struct rlimit before, limit;
        char *key, *text;

        if (test_is_instrumented()) {
                test_skip("no_key_is_left_out: %s", test_is_instrumented());
                return;
        }
        key = calloc(1, SIZE + 1);
        memset(key, 'a', SIZE);
        json_object_set_new(root, key, json_integer(1));
        ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
        limit = before;
        limit.rlim_cur = 2ul * SIZE + SIZE / 2;
        ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
        text = json_format(root, JSON_COMPACT);
        ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
        ck_assert_ptr_null(text);
        text = json_format(root, JSON_COMPACT);
        ck_assert_uint_eq(strlen(text), SIZE + strlen("{\"\":1}"));
        free(text);
        free(key);
}
END_TEST

TEST_MAIN("json", test_refused, test_quotes_nothing, test_size, test_depth, formatted, no_key_is_left_out)
