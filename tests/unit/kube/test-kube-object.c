/* Secrets as JSON: what is changed, and that all else stays. */

#include "lib/kube/kube-object.h"

#include "lib/util/json.h"
#include "tests/test.h"

static json_t *load(const char *text) {
        json_t *root;

        ck_assert_int_eq(json_read(text, strlen(text), KUBE_OBJECT_MAX, &root, NULL), 0);
        return root;
}

static const char *const secret_text =
        "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"n\",\"namespace\":\"s\",\"uid\":"
        "\"u\","
        "\"resourceVersion\":\"7\",\"labels\":{\"a\":\"b\"},\"annotations\":{\"x\":\"y\"}},\"type\":"
        "\"Opaque\","
        "\"data\":{\"a\":\"YWJj\",\"empty\":\"\",\"bad\":\"?\",\"number\":1},\"immutable\":false}";

START_TEST(test_read) {
        _cleanup_(json_decrefp) json_t *secret = load(secret_text), *empty = load("{}");
        _cleanup_(freep) char *data = NULL, *nothing = NULL;
        size_t size;

        ck_assert_str_eq(kube_object_version(secret), "7");
        ck_assert_str_eq(kube_object_uid(secret), "u");
        ck_assert_str_eq(kube_object_name(secret), "n");
        ck_assert_str_eq(kube_object_namespace(secret), "s");
        ck_assert_str_eq(kube_object_annotation(secret, "x"), "y");
        ck_assert_ptr_null(kube_object_annotation(secret, "z"));
        ck_assert_str_eq(kube_secret_type(secret), "Opaque");
        ck_assert(kube_object_is_kind(secret, "Secret") && !kube_object_is_kind(secret, "Lease"));
        ck_assert_int_eq(kube_secret_get(secret, "a", &data, &size), 0);
        ck_assert_uint_eq(size, 3);
        ck_assert_str_eq(data, "abc");
        ck_assert_int_eq(kube_secret_get(secret, "empty", &nothing, &size), 0);
        ck_assert_uint_eq(size, 0);
        ck_assert_int_eq(kube_secret_get(secret, "bad", &data, &size), -EINVAL);
        ck_assert_int_eq(kube_secret_get(secret, "number", &data, &size), -EINVAL);
        ck_assert_int_eq(kube_secret_get(secret, "none", &data, &size), -ENOENT);

        ck_assert(!kube_object_version(empty) && !kube_object_annotation(empty, "x") &&
                  !kube_secret_type(empty));
        ck_assert(!kube_object_is_kind(empty, "Secret") && !kube_object_version(NULL));
        ck_assert_int_eq(kube_secret_get(empty, "a", &data, &size), -ENOENT);
}
END_TEST

START_TEST(test_compared) {
        _cleanup_(json_decrefp) json_t *secret = load(secret_text);

        ck_assert(kube_secret_has(secret, "a", "abc"));
        ck_assert(!kube_secret_has(secret, "a", "abd") && !kube_secret_has(secret, "a", "ab"));
        ck_assert(!kube_secret_has(secret, "a", "abcd") && !kube_secret_has(secret, "a", NULL));
        ck_assert(kube_secret_has(secret, "none", NULL) && !kube_secret_has(secret, "none", ""));
        ck_assert(kube_secret_has(secret, "empty", "") && !kube_secret_has(secret, "bad", NULL));
}
END_TEST

START_TEST(test_changed) {
        _cleanup_(json_decrefp) json_t *secret = load(secret_text);
        _cleanup_(json_decrefp) json_t *wanted =
                load("{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"n\",\"namespace\":"
                     "\"s\",\"uid\":"
                     "\"u\",\"resourceVersion\":\"7\",\"labels\":{\"a\":\"b\"},\"annotations\":{\"new\":"
                     "\"1\"}},\"type\":"
                     "\"Opaque\",\"data\":{\"a\":\"AAE=\",\"empty\":\"\",\"number\":1,\"tls.crt\":\"eA==\"},"
                     "\"immutable\":false}");

        ck_assert_int_eq(kube_secret_set(secret, "a", "\0\1", 2), 0);
        ck_assert_int_eq(kube_secret_set(secret, "bad", NULL, 0), 0);
        ck_assert_int_eq(kube_secret_set(secret, "none", NULL, 0), 0);
        ck_assert_int_eq(kube_secret_set(secret, "tls.crt", "x", 1), 0);
        ck_assert_int_eq(kube_secret_set(secret, "../x", "x", 1), -EINVAL);
        ck_assert_int_eq(kube_object_annotate(secret, "x", NULL), 0);
        ck_assert_int_eq(kube_object_annotate(secret, "new", "1"), 0);
        ck_assert(json_equal(secret, wanted));
}
END_TEST

START_TEST(test_new) {
        _cleanup_(json_decrefp) json_t *secret = kube_secret_new("s", "n", NULL),
                                       *typed = kube_secret_new("s", "n", "T");
        _cleanup_(json_decrefp) json_t *bare = json_object();

        ck_assert(!kube_secret_type(secret) && !kube_object_version(secret));
        ck_assert_str_eq(kube_object_name(secret), "n");
        ck_assert_str_eq(kube_object_namespace(secret), "s");
        ck_assert_str_eq(kube_secret_type(typed), "T");
        ck_assert_int_eq(kube_object_annotate(bare, "a", "b"), 0);
        ck_assert_str_eq(kube_object_annotation(bare, "a"), "b");
}
END_TEST

TEST_MAIN("kube-object", test_read, test_compared, test_changed, test_new)
