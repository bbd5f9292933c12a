/* Exports to Secrets: what the options say together, which values there are, and what is applied. */

#include "lib/export/export-secret.h"

#include "lib/kube/kube-object.h"
#include "tests/test.h"
#include "tests/unit/export/exports.h"

#define SECRET(l) .secret = "shop/tls", .layout = (l), .access = ANYBODY

START_TEST(refuses_options_that_contradict) {
        static const struct {
                struct export export;
                const char *text;
        } cases[] = {
                { { .layout = EXPORT_TLS, .access = ANYBODY }, "'layout' is for a Secret" },
                { { .path = "/x", .layout = EXPORT_TLS, .access = ANYBODY }, "'layout' is for a Secret" },
                { { .secret = "tls", .layout = EXPORT_TLS, .access = ANYBODY },
                  "'secret' must be NAMESPACE/NAME" },
                { { .secret = "a/b/c", .layout = EXPORT_TLS, .access = ANYBODY },
                  "'secret' must be NAMESPACE/NAME" },
                { { .secret = "a/B", .layout = EXPORT_TLS, .access = ANYBODY },
                  "'secret' must be NAMESPACE/NAME" },
                { { SECRET(EXPORT_LAYOUT_NONE) }, "'secret' needs 'layout'" },
                { { SECRET(EXPORT_TLS), .path = "/x" }, "'path' is for a file" },
                { { SECRET(EXPORT_TLS), .format = EXPORT_DER }, "'format' is for a file" },
                { { SECRET(EXPORT_TLS), .n_contents = 1 }, "'contents' is for a file" },
                { { SECRET(EXPORT_TLS), .passphrase_file = "/x" }, "'passphrase_file' is for a file" },
                { { SECRET(EXPORT_TLS), .friendly_name = "x" }, "'friendly_name' is for a file" },
                { { SECRET(EXPORT_TLS), .legacy = true }, "'legacy' is for a file" },
                { { SECRET(EXPORT_TLS), .in_place = true }, "'in_place' is for a file" },
                { { .secret = "a/b", .layout = EXPORT_TLS, .access = { .uid = 0, .gid = (gid_t)-1 } },
                  "'owner' is for a file" },
                { { .secret = "a/b", .layout = EXPORT_TLS, .access = { .uid = (uid_t)-1, .gid = 0 } },
                  "'group' is for a file" },
                { { .secret = "a/b", .layout = EXPORT_TLS, .access = FILE_ACCESS(0600) },
                  "'mode' is for a file" },
                { { SECRET(EXPORT_KYMA), .ca_overlap_usec = 1 }, "'ca_overlap' has no effect" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;

                ck_assert_int_eq(export_validate(&cases[i].export, &error), -EINVAL);
                ck_assert_msg(has_prefix(error_text(&error), cases[i].text), "%zu: %s", i,
                              error_text(&error));
        }
        for (enum export_layout layout = EXPORT_TLS; layout < EXPORT_LAYOUT_MAX; layout++) {
                const struct export export = { SECRET(layout), .ca_overlap_usec = layout != EXPORT_KYMA };

                ck_assert_int_eq(export_validate(&export, NULL), 0);
                ck_assert_str_eq(export_name(&export), "shop/tls");
                ck_assert(!strempty(export_layout_names[layout]));
        }
}
END_TEST

static void assert_value(const struct export_values *values, size_t i, const char *key, const char *a,
                         const char *b, const char *c) {
        _cleanup_(freep) char *wanted = NULL;

        ck_assert_uint_gt(values->n, i);
        ck_assert_int_ge(asprintf(&wanted, "%s%s%s", a, b, c), 0);
        ck_assert_str_eq(values->items[i].key, key);
        ck_assert_str_eq(values->items[i].bytes.data, wanted);
        ck_assert_uint_eq(values->items[i].bytes.size, strlen(wanted));
}

START_TEST(values_of_each_layout) {
        _cleanup_(material_clear) struct material m = material_make(0);
        const struct export tls = { SECRET(EXPORT_TLS) }, kyma = { SECRET(EXPORT_KYMA) },
                            ca = { SECRET(EXPORT_ISTIO_CA) };
        _cleanup_(export_values_clear) struct export_values a = { 0 }, b = { 0 }, c = { 0 };

        ck_assert_int_eq(export_values_make(&tls, &m.set, &a, NULL), 0);
        ck_assert_uint_eq(a.n, 3);
        assert_value(&a, 0, "tls.key", m.key, "", "");
        assert_value(&a, 1, "tls.crt", m.leaf, m.intermediate, "");
        assert_value(&a, 2, "ca.crt", m.root, "", "");

        ck_assert_int_eq(export_values_make(&kyma, &m.set, &b, NULL), 0);
        ck_assert_uint_eq(b.n, 3);
        assert_value(&b, 0, "key", m.key, "", "");
        assert_value(&b, 1, "crt", m.leaf, "", "");
        assert_value(&b, 2, "crtChain", m.leaf, m.intermediate, m.root);

        ck_assert_int_eq(export_values_make(&ca, &m.set, &c, NULL), 0);
        ck_assert_uint_eq(c.n, 1);
        assert_value(&c, 0, "cacert", m.root, "", "");
}
END_TEST

/* An adopted pair may have come without its CA. */
START_TEST(without_a_ca) {
        static const struct {
                enum export_layout layout;
                int r;
                size_t n;
        } rows[] = { { EXPORT_TLS, 0, 2 }, { EXPORT_KYMA, 0, 2 }, { EXPORT_ISTIO_CA, -ENODATA, 0 } };
        _cleanup_(material_clear) struct material m = material_make(0);
        struct set set = m.set;

        set.ca_pem = NULL;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(export_values_clear) struct export_values values = { 0 };
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                const struct export export = { SECRET(rows[i].layout) };

                ck_assert_int_eq(export_values_make(&export, &set, &values, &error), rows[i].r);
                ck_assert_uint_eq(values.n, rows[i].n);
                if (rows[i].r < 0)
                        ck_assert_msg(
                                has_prefix(error_text(&error), "cannot make cacert of Secret shop/tls: "),
                                "%s", error_text(&error));
        }
}
END_TEST

START_TEST(an_old_ca_stays) {
        _cleanup_(material_clear) struct material m = material_make(0), old = material_make(1);
        _cleanup_(export_values_clear) struct export_values with = { 0 }, without = { 0 };
        struct export export = { SECRET(EXPORT_ISTIO_CA), .ca_overlap_usec = 1 };

        m.set.old_ca_pem = old.intermediate;
        ck_assert_int_eq(export_values_make(&export, &m.set, &with, NULL), 0);
        assert_value(&with, 0, "cacert", m.root, old.intermediate, "");
        export.ca_overlap_usec = 0;
        ck_assert_int_eq(export_values_make(&export, &m.set, &without, NULL), 0);
        assert_value(&without, 0, "cacert", m.root, "", "");
}
END_TEST

START_TEST(compared_and_applied) {
        _cleanup_(material_clear) struct material m = material_make(0), other = material_make(1);
        const struct export tls = { SECRET(EXPORT_TLS) };
        _cleanup_(export_values_clear) struct export_values values = { 0 }, next = { 0 };
        _cleanup_(json_decrefp) json_t *made = NULL, *theirs = kube_secret_new("shop", "tls", "Opaque"),
                                       *ours = NULL;

        ck_assert_int_eq(export_values_make(&tls, &m.set, &values, NULL), 0);
        ck_assert_int_eq(export_values_make(&tls, &other.set, &next, NULL), 0);
        ck_assert_int_eq(export_values_apply(&tls, &values, NULL, &made), 0);
        ck_assert_str_eq(kube_secret_type(made), "kubernetes.io/tls");
        ck_assert_str_eq(kube_object_namespace(made), "shop");
        ck_assert_str_eq(kube_object_name(made), "tls");
        ck_assert(export_values_are_in(&values, made) && !export_values_are_in(&next, made));
        ck_assert_int_eq(kube_secret_set(made, "more", "x", 1), 0);
        ck_assert(export_values_are_in(&values, made));
        ck_assert_int_eq(kube_secret_set(made, "ca.crt", NULL, 0), 0);
        ck_assert(!export_values_are_in(&values, made));

        /* Nothing but our values, and the type that it has. */
        ck_assert_int_eq(kube_secret_set(theirs, "more", "x", 1), 0);
        ck_assert_int_eq(kube_object_annotate(theirs, "a", "b"), 0);
        ck_assert_int_eq(export_values_apply(&tls, &values, theirs, &ours), 0);
        ck_assert_str_eq(kube_secret_type(ours), "Opaque");
        ck_assert(kube_secret_has(ours, "more", NULL) && !kube_object_annotation(ours, "a"));
}
END_TEST

TEST_MAIN("export-secret", refuses_options_that_contradict, values_of_each_layout, without_a_ca,
          an_old_ca_stays, compared_and_applied)
