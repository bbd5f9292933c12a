/* Names: what the server refuses is refused before it gets into a path. */

#include "lib/kube/kube-name.h"

#include "tests/test.h"

static const char *long_text(char c, size_t n) {
        static char text[512];

        memset(text, c, n);
        text[n] = '\0';
        return text;
}

START_TEST(test_names) {
        static const struct {
                const char *text;
                bool namespace, name, key;
        } rows[] = {
                { "", false, false, false },         { "a", true, true, true },
                { "kyma-system", true, true, true }, { "0a", true, true, true },
                { "a.b", false, true, true },        { "a-.b", false, false, true },
                { "a.-b", false, false, true },      { "a..b", false, false, true },
                { ".a", false, false, true },        { "a.", false, false, true },
                { "-a", false, false, true },        { "a-", false, false, true },
                { "A", false, false, true },         { "a_b", false, false, true },
                { "a/b", false, false, false },      { "a%2fb", false, false, false },
                { "a b", false, false, false },      { "a?b", false, false, false },
                { "a\n", false, false, false },      { "\xc3\xa4", false, false, false },
                { ".", false, false, false },        { "..", false, false, false },
                { "..data", false, false, false },   { "tls.crt", false, true, true },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                ck_assert_msg(kube_is_namespace(rows[i].text) == rows[i].namespace, "namespace %s",
                              rows[i].text);
                ck_assert_msg(kube_is_name(rows[i].text) == rows[i].name, "name %s", rows[i].text);
                ck_assert_msg(kube_is_key(rows[i].text) == rows[i].key, "key %s", rows[i].text);
        }
        ck_assert(kube_is_namespace(long_text('a', KUBE_NAMESPACE_MAX)));
        ck_assert(!kube_is_namespace(long_text('a', KUBE_NAMESPACE_MAX + 1)));
        ck_assert(kube_is_name(long_text('a', KUBE_NAME_MAX)));
        ck_assert(!kube_is_name(long_text('a', KUBE_NAME_MAX + 1)));
        ck_assert(kube_is_key(long_text('a', KUBE_KEY_MAX)));
        ck_assert(!kube_is_key(long_text('a', KUBE_KEY_MAX + 1)));
}
END_TEST

START_TEST(test_pairs) {
        static const char *const refused[] = { "",      "a",   "/",   "a/",    "/a",
                                               "a/b/c", "A/b", "a/B", "a b/c", "a.b/c" };
        struct kube_name name;

        for (size_t i = 0; i < ELEMENTSOF(refused); i++)
                ck_assert_msg(kube_name_parse(refused[i], &name) == -EINVAL, "%s", refused[i]);
        ck_assert_int_eq(kube_name_parse("kyma-system/a.b", &name), 0);
        ck_assert_str_eq(name.namespace, "kyma-system");
        ck_assert_str_eq(name.name, "a.b");
        ck_assert_int_eq(kube_name_parse(long_text('a', 500), &name), -EINVAL);
}
END_TEST

TEST_MAIN("kube-name", test_names, test_pairs)
