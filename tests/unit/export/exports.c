/* Sets to export, and what every test of exports asserts. */

#include "tests/unit/export/exports.h"

#include <check.h>
#include <openssl/err.h>

#include "tests/support/scratch.h"
#include "tests/support/x509.h"

struct material material_make(unsigned i) {
        _cleanup_(x509_cert_clear) struct x509_cert root =
                x509_make(&(struct x509_options) { .ca = true, .key = x509_key(3), .subject = "CN=root" });
        _cleanup_(x509_cert_clear) struct x509_cert intermediate = x509_make(&(struct x509_options) {
                .ca = true, .issuer = &root, .key = x509_key(2), .subject = "CN=intermediate" });
        _cleanup_(x509_cert_clear) struct x509_cert leaf = x509_make(&(struct x509_options) {
                .issuer = &intermediate, .key = x509_key(i), .subject = "O=Org,CN=orders" });
        _cleanup_(cert_list_clear) struct cert_list certs = { 0 };
        struct material m = { .key = x509_key_pem(x509_key(i)),
                              .leaf = strdup(leaf.pem),
                              .intermediate = strdup(intermediate.pem),
                              .root = strdup(root.pem) };

        ck_assert_int_eq(key_parse(m.key, strlen(m.key), &m.set.key, NULL), 0);
        m.set.certificate_pem = X509_JOIN(&leaf, &intermediate);
        m.set.ca_pem = strdup(root.pem);
        ck_assert_int_eq(cert_list_parse(leaf.pem, strlen(leaf.pem), &certs, NULL), 0);
        m.set.leaf = take_ptr(certs.items[0]);
        cert_spki(m.set.leaf, m.set.spki);
        cert_fingerprint(m.set.leaf, m.set.fingerprint);
        return m;
}

void material_clear(struct material *m) {
        set_clear(&m->set);
        free(m->key);
        free(m->leaf);
        free(m->intermediate);
        free(m->root);
}

struct export pem_to(const char *path) {
        return (struct export) { .path = path, .format = EXPORT_PEM, .access = ANYBODY };
}

struct export pkcs12_to(const char *path, const char *passphrase_file) {
        return (struct export) { .path = path,
                                 .format = EXPORT_PKCS12,
                                 .passphrase_file = passphrase_file,
                                 .friendly_name = "orders",
                                 .access = ANYBODY };
}

void assert_written(const struct export *export, const struct set *set) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        ck_assert_msg(export_write(export, set, &error) == 0, "%s", error_text(&error));
        ck_assert(export_is_current(export, set));
        ck_assert_uint_eq(ERR_peek_error(), 0);
}

void assert_export_error(const struct error *error, const char *text, const char *path) {
        ck_assert_msg(strstr(error_text(error), text) != NULL, "'%s' instead of '%s'", error_text(error),
                      text);
        ck_assert_msg(strstr(error_text(error), path) != NULL, "no %s in '%s'", path, error_text(error));
        ck_assert_msg(has_prefix(error_text(error), "cannot write export "), "%s", error_text(error));
        ck_assert_msg(strstr(error_text(error), "sesame") == NULL &&
                              strstr(error_text(error), "BEGIN") == NULL,
                      "a secret: %s", error_text(error));
}

void assert_refused(const struct export *export, const struct set *set, int code, const char *text) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        char *warning = NULL;

        ck_assert(!export_is_current(export, set));
        ck_assert_int_eq(export_check(export, set, &warning, &error), code);
        ck_assert_ptr_null(warning);
        assert_export_error(&error, text, export->path);
        error_clear(&error);
        ck_assert_int_eq(export_write(export, set, &error), code);
        assert_export_error(&error, text, export->path);
}

void assert_checks(const struct export *export) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        char *warning = NULL;

        ck_assert_msg(export_check(export, NULL, &warning, &error) == 0, "%s", error_text(&error));
        ck_assert_ptr_null(warning);
}

void assert_list(const char *directory, const char *expected) {
        _cleanup_(freep) char *list = scratch_list(directory);

        ck_assert_str_eq(list, expected);
}

void assert_file(const char *directory, const char *name, const char *expected) {
        _cleanup_(freep) char *text = scratch_read(directory, name);

        ck_assert_msg(text != NULL, "no %s", name);
        ck_assert_str_eq(text, expected);
}
