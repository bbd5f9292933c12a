/* Exports: what the options say together, and what is written. */

#include "lib/export/export.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <sys/stat.h>

#include "tests/support/scratch.h"
#include "tests/support/x509.h"
#include "tests/test.h"
#include "tests/unit/export/exports.h"

/* --- Options --- */

START_TEST(refuses_options_that_contradict) {
        static const struct {
                struct export export;
                const char *text;
        } cases[] = {
                { { .path = NULL }, "'path' must be the absolute path" },
                { { .path = "relative/x.pem" }, "'path' must be the absolute path" },
                { { .path = "x.pem" }, "'path' must be the absolute path" },
                { { .path = "/" }, "'path' must be the absolute path" },
                { { .path = "/srv/" }, "'path' must be the absolute path" },
                { { .path = "/srv/.." }, "'path' must be the absolute path" },
                { { .path = "/x", .n_contents = 5 }, "each of key, leaf, chain and ca once" },
                { { .path = "/x", .contents = { EXPORT_LEAF, EXPORT_LEAF }, .n_contents = 2 },
                  "must not name leaf twice" },
                { { .path = "/x", .format = EXPORT_DER }, "[key] or [leaf] with format der" },
                { { .path = "/x", .format = EXPORT_DER, .contents = { EXPORT_CA }, .n_contents = 1 },
                  "[key] or [leaf] with format der" },
                { { .path = "/x",
                    .format = EXPORT_DER,
                    .contents = { EXPORT_KEY, EXPORT_LEAF },
                    .n_contents = 2 },
                  "[key] or [leaf] with format der" },
                { { .path = "/x", .format = EXPORT_PKCS12 }, "'passphrase_file' is missing" },
                { { .path = "/x",
                    .format = EXPORT_PKCS12,
                    .passphrase_file = "/p",
                    .contents = { EXPORT_LEAF, EXPORT_CHAIN },
                    .n_contents = 2 },
                  "both key and leaf with format pkcs12" },
                { { .path = "/x", .passphrase_file = "/p" }, "'passphrase_file' is for format pkcs12 only" },
                { { .path = "/x", .ca_overlap_usec = 1 },
                  "'ca_overlap' has no effect: 'contents' has no ca" },
                { { .path = "/x", .friendly_name = "n" }, "'friendly_name' is for format pkcs12 only" },
                { { .path = "/x", .legacy = true }, "'legacy' is for format pkcs12 only, not for pem" },
                { { .path = "/x", .access = { .mode = 0644 } }, "not give other users access to the key" },
                { { .path = "/x", .access = { .mode = 0602 } }, "not give other users access to the key" },
                { { .path = "/x",
                    .format = EXPORT_PKCS12,
                    .passphrase_file = "/p",
                    .access = { .mode = 0604 } },
                  "not give other users access to the key" },
                { { .path = "/x", .access = { .mode = 0700 } }, "without execute and special bits" },
                { { .path = "/x", .access = { .mode = 02640 } }, "without execute and special bits" },
                { { .path = "/x", .access = { .mode = 0060 } }, "let the owner read" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;

                ck_assert_msg(export_validate(&cases[i].export, &error) == -EINVAL, "case %zu", i);
                ck_assert_msg(strstr(error_text(&error), cases[i].text) != NULL, "case %zu: %s", i,
                              error_text(&error));
                ck_assert_int_eq(export_validate(&cases[i].export, NULL), -EINVAL);
        }
}
END_TEST

START_TEST(names_are_complete) {
        for (size_t i = 0; i < EXPORT_FORMAT_MAX; i++)
                ck_assert(!strempty(export_format_names[i]));
        for (size_t i = 0; i < EXPORT_PART_MAX; i++)
                ck_assert(!strempty(export_part_names[i]));
}
END_TEST

/* --- What the set lacks --- */

START_TEST(refuses_what_the_set_lacks) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        _cleanup_(freep) char *path = scratch_path(scratch, "x.pem");
        struct export export = pem_to(path);

        free(take_ptr(m.set.ca_pem));
        export.contents[0] = EXPORT_CA;
        export.n_contents = 1;
        assert_refused(&export, &m.set, -ENODATA, "has no CA");
        assert_checks(&export); /* which knows of no set */

        free(m.set.certificate_pem);
        m.set.certificate_pem = strdup(m.leaf);
        export.contents[0] = EXPORT_CHAIN;
        assert_refused(&export, &m.set, -ENODATA, "the leaf has no intermediates");
        assert_list(scratch, "");

        /* With something beside it, it may be empty: the leaf of a root needs no chain. */
        export.n_contents = 0;
        assert_written(&export, &m.set);
}
END_TEST

/* --- What is written --- */

START_TEST(pem_in_every_order) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        const char *const parts[EXPORT_PART_MAX] = {
                [EXPORT_KEY] = m.key,
                [EXPORT_LEAF] = m.leaf,
                [EXPORT_CHAIN] = m.intermediate,
                [EXPORT_CA] = m.root,
        };
        _cleanup_(freep) char *path = scratch_path(scratch, "x.pem");
        unsigned n_written = 0;

        /* All numbers of up to four digits below four are all lists there can be. */
        for (size_t n = 1; n <= EXPORT_PART_MAX; n++)
                for (unsigned code = 0; code < 1u << (2 * n); code++) {
                        struct export export = pem_to(path);
                        char expected[16384] = "";

                        export.n_contents = n;
                        for (size_t i = 0; i < n; i++) {
                                export.contents[i] = code >> (2 * i) & 3;
                                strcat(expected, parts[export.contents[i]]);
                        }
                        if (export_validate(&export, NULL) < 0)
                                continue;
                        assert_written(&export, &m.set);
                        assert_file(scratch, "x.pem", expected);
                        n_written++;
                }
        ck_assert_uint_eq(n_written, 4 + 12 + 24 + 24);
        assert_list(scratch, "x.pem");
}
END_TEST

START_TEST(a_certificate_is_written_once) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        _cleanup_(freep) char *path = scratch_path(scratch, "x.pem"), *expected = NULL;
        struct export export = pem_to(path);

        /* As Connectors send it: the CA is an intermediate and in both. Adopted files have comments, too. */
        free(m.set.certificate_pem);
        free(m.set.ca_pem);
        ck_assert_int_ge(asprintf(&m.set.certificate_pem, "my leaf\n%s\nand so on\n%s%s%s", m.leaf, m.leaf,
                                  m.intermediate, m.root),
                         0);
        ck_assert_int_ge(asprintf(&m.set.ca_pem, "%s%s", m.intermediate, m.root), 0);
        export.n_contents = 4;
        memcpy(export.contents, (enum export_part[]) { EXPORT_LEAF, EXPORT_CHAIN, EXPORT_KEY, EXPORT_CA },
               sizeof(export.contents));
        assert_written(&export, &m.set);
        ck_assert_int_ge(asprintf(&expected, "%s%s%s%s", m.leaf, m.intermediate, m.key, m.root), 0);
        assert_file(scratch, "x.pem", expected);
}
END_TEST

START_TEST(der_of_key_and_leaf) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        _cleanup_(freep) char *path = scratch_path(scratch, "x.der"), *key_der = NULL, *leaf_der = NULL;
        struct export export = { .path = path, .format = EXPORT_DER, .n_contents = 1, .access = ANYBODY };
        const unsigned char *end;
        struct stat st;
        EVP_PKEY *key;
        size_t size;
        X509 *leaf;

        export.contents[0] = EXPORT_KEY;
        assert_written(&export, &m.set);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0600);
        ck_assert_int_eq(file_read_at(AT_FDCWD, path, FILE_NOFOLLOW, 8192, &key_der, &size), 0);
        end = (const unsigned char *)key_der;
        key = d2i_AutoPrivateKey(NULL, &end, (long)size);
        ck_assert_ptr_nonnull(key);
        ck_assert_ptr_eq(end, key_der + size);
        ck_assert_int_eq(EVP_PKEY_eq(key, x509_key(0)), 1);
        EVP_PKEY_free(key);
        ERR_clear_error(); /* d2i_AutoPrivateKey() tries several forms */

        export.contents[0] = EXPORT_LEAF;
        ck_assert(!export_is_current(&export, &m.set));
        assert_written(&export, &m.set);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0644);
        ck_assert_int_eq(file_read_at(AT_FDCWD, path, FILE_NOFOLLOW, 8192, &leaf_der, &size), 0);
        end = (const unsigned char *)leaf_der;
        leaf = d2i_X509(NULL, &end, (long)size);
        ck_assert_ptr_nonnull(leaf);
        ck_assert_ptr_eq(end, leaf_der + size);
        ck_assert_int_eq(X509_cmp(leaf, cert_handle(m.set.leaf)), 0);
        X509_free(leaf);
}
END_TEST

/* --- Is it current? --- */

START_TEST(tells_a_file_that_is_not_current) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0), other = material_make(1);
        _cleanup_(freep) char *path = scratch_path(scratch, "x.pem"), *text = NULL, *copy = NULL;
        struct export export = pem_to(path);

        ck_assert(!export_is_current(&export, &m.set));
        assert_written(&export, &m.set);
        ck_assert(!export_is_current(&export, &other.set));
        text = scratch_read(scratch, "x.pem");
        ck_assert_int_ge(asprintf(&copy, "%s\n", text), 0);
        scratch_write(scratch, "x.pem", copy, 0600);
        ck_assert(!export_is_current(&export, &m.set));
        copy[strlen(text) - 1] = '\0';
        scratch_write(scratch, "x.pem", copy, 0600);
        ck_assert(!export_is_current(&export, &m.set));
        text[100] ^= 1;
        scratch_write(scratch, "x.pem", text, 0600);
        ck_assert(!export_is_current(&export, &m.set));
        text[100] ^= 1;
        scratch_write(scratch, "x.pem", text, 0640);
        ck_assert(!export_is_current(&export, &m.set));
        scratch_write(scratch, "x.pem", text, 0600);
        ck_assert(export_is_current(&export, &m.set));
}
END_TEST

/* Before and after a change of the CA; what is in both is written once, and what is no certificate not at
 * all. */
START_TEST(an_old_ca_stays_beside_the_new_one) {
        _cleanup_(scratch_freep) char *directory = scratch_new();
        _cleanup_(material_clear) struct material material = material_make(0);
        _cleanup_(x509_cert_clear) struct x509_cert old =
                x509_make(&(struct x509_options) { .ca = true, .subject = "CN=Old", .key = x509_key(4) });
        _cleanup_(freep) char *path = scratch_path(directory, "ca.pem"), *before = NULL, *expected = NULL;
        struct export export = { .path = path,
                                 .contents = { EXPORT_CA },
                                 .n_contents = 1,
                                 .access = ANYBODY,
                                 .ca_overlap_usec = 1 };

        assert_written(&export, &material.set);
        before = scratch_read(directory, "ca.pem");
        ck_assert_ptr_nonnull(before);
        ck_assert_int_ge(asprintf(&expected, "%s%s", before, old.pem), 0);

        for (unsigned is_glued = 0; is_glued < 2; is_glued++) {
                _cleanup_(freep) char *text = NULL;

                ck_assert_int_ge(
                        asprintf(&text, "# old\n%s%s%s", old.pem, is_glued ? "" : "\n", material.root), 0);
                material.set.old_ca_pem = text;
                ck_assert(is_glued ? export_is_current(&export, &material.set)
                                   : !export_is_current(&export, &material.set));
                assert_written(&export, &material.set);
                assert_file(directory, "ca.pem", expected);
        }

        export.ca_overlap_usec = 0; /* not in this one */
        ck_assert(!export_is_current(&export, &material.set));
        export.ca_overlap_usec = 1;
        material.set.old_ca_pem = "nothing that could be read";
        assert_written(&export, &material.set);
        assert_file(directory, "ca.pem", before);
        material.set.old_ca_pem = NULL;
        ck_assert(export_is_current(&export, &material.set));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("export");

        x509_key(3);
        TEST_CASE(suite, refuses_options_that_contradict);
        TEST_CASE(suite, names_are_complete);
        TEST_CASE(suite, refuses_what_the_set_lacks);
        TEST_CASE(suite, pem_in_every_order);
        TEST_CASE(suite, a_certificate_is_written_once);
        TEST_CASE(suite, an_old_ca_stays_beside_the_new_one);
        TEST_CASE(suite, der_of_key_and_leaf);
        TEST_CASE(suite, tells_a_file_that_is_not_current);
        return test_run(suite);
}
