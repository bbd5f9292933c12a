#include "lib/x509/successor.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "lib/x509/cert-write.h"
#include "lib/x509/chain.h"
#include "tests/support/x509.h"
#include "tests/test.h"

static struct cert *cert_of(const struct x509_cert *made) {
        _cleanup_(cert_list_clear) struct cert_list list = { 0 };

        ck_assert_int_eq(cert_list_parse(made->pem, strlen(made->pem), &list, NULL), 0);
        return take_ptr(list.items[0]);
}

static struct key *key_of(EVP_PKEY *handle) {
        _cleanup_(freep) char *pem = x509_key_pem(handle);
        struct key *key;

        ck_assert_int_eq(key_parse(pem, strlen(pem), &key, NULL), 0);
        return key;
}

static const struct successor_terms terms = {
        .not_before = X509_NOW - 5 * USEC_PER_MINUTE,
        .not_after = X509_NOW + 5000 * USEC_PER_DAY,
};

static struct cert *make(const struct cert *old, EVP_PKEY *handle) {
        _cleanup_(key_freep) struct key *key = key_of(handle);
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct cert *new = NULL;

        ck_assert_msg(successor_make(old, key, &terms, &new, &error) == 0, "%s", error_text(&error));
        ck_assert_uint_eq(ERR_peek_error(), 0);
        return new;
}

static void assert_refused(const struct x509_options *options, EVP_PKEY *handle, const char *expected) {
        _cleanup_(x509_cert_clear) struct x509_cert made = x509_make(options);
        _cleanup_(cert_freep) struct cert *old = cert_of(&made), *new = NULL;
        _cleanup_(key_freep) struct key *key = key_of(handle);
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        ck_assert_int_eq(successor_make(old, key, &terms, &new, &error), -EINVAL);
        ck_assert_ptr_null(new);
        ck_assert_msg(strstr(error_text(&error), expected), "'%s' instead of '%s'", error_text(&error),
                      expected);
}

START_TEST(what_cannot_be_made_again_is_refused) {
        _cleanup_(x509_cert_clear) struct x509_cert root =
                x509_make(&(struct x509_options) { .ca = true, .subject = "CN=Root", .key = x509_key(2) });
        EVP_PKEY *curve = EVP_EC_gen("P-256");

        assert_refused(&(struct x509_options) { .key = x509_key(1) }, x509_key(1), "no basicConstraints");
        assert_refused(&(struct x509_options) { .ca = true, .issuer = &root }, x509_key(1),
                       "another CA has issued it");
        assert_refused(&(struct x509_options) { .ca = true, .key = curve }, curve, "not RSA");
        assert_refused(&(struct x509_options) { .ca = true }, curve, "not RSA");
        EVP_PKEY_free(curve);
}
END_TEST

static void assert_same_extension(const struct cert *a, const struct cert *b, int nid, bool same) {
        X509 *x = cert_handle(a), *y = cert_handle(b);
        const int i = X509_get_ext_by_NID(x, nid, -1), k = X509_get_ext_by_NID(y, nid, -1);
        const ASN1_OCTET_STRING *v, *w;

        ck_assert_int_eq(i, k);
        if (i < 0)
                return;
        v = X509_EXTENSION_get_data(X509_get_ext(x, i));
        w = X509_EXTENSION_get_data(X509_get_ext(y, k));
        ck_assert_msg((ASN1_OCTET_STRING_cmp(v, w) == 0) == same, "extension %s", OBJ_nid2sn(nid));
        ck_assert_int_eq(X509_EXTENSION_get_critical(X509_get_ext(x, i)),
                         X509_EXTENSION_get_critical(X509_get_ext(y, k)));
}

static void assert_name_bytes(const struct cert *a, const struct cert *b) {
        const unsigned char *x, *y;
        size_t n, m;

        ck_assert_int_eq(X509_NAME_get0_der(X509_get_subject_name(cert_handle(a)), &x, &n), 1);
        ck_assert_int_eq(X509_NAME_get0_der(X509_get_subject_name(cert_handle(b)), &y, &m), 1);
        ck_assert_mem_eq(x, y, n);
        ck_assert_int_eq(X509_NAME_get0_der(X509_get_issuer_name(cert_handle(b)), &y, &m), 1);
        ck_assert_mem_eq(x, y, n);
}

START_TEST(it_is_the_old_one_with_another_number_and_other_times) {
        _cleanup_(x509_cert_clear) struct x509_cert made =
                x509_make(&(struct x509_options) { .ca = true,
                                                   .subject = "C=DE,O=Org,CN=Kyma",
                                                   .key_usage = "critical,digitalSignature,"
                                                                "keyEncipherment,keyCertSign" });
        _cleanup_(cert_freep) struct cert *old = cert_of(&made), *new = make(old, x509_key(1));
        _cleanup_(freep) char *serial = cert_serial_text(new);

        assert_name_bytes(old, new);
        assert_same_extension(old, new, NID_subject_key_identifier, true);
        assert_same_extension(old, new, NID_authority_key_identifier, true);
        assert_same_extension(old, new, NID_basic_constraints, true);
        assert_same_extension(old, new, NID_key_usage, true);
        ck_assert_uint_eq(cert_not_before(new), terms.not_before);
        ck_assert_uint_eq(cert_not_after(new), terms.not_after);
        ck_assert_uint_eq(strlen(serial), 32);
        ck_assert(cert_is_self_signed(new) && cert_is_ca(new) && !cert_equal(old, new));
        ck_assert(successor_carries(old, new));
}
END_TEST

START_TEST(another_key_has_another_identifier) {
        _cleanup_(x509_cert_clear) struct x509_cert made =
                x509_make(&(struct x509_options) { .ca = true, .subject = "CN=Kyma" });
        _cleanup_(cert_freep) struct cert *old = cert_of(&made), *new = make(old, x509_key(3));

        assert_name_bytes(old, new);
        assert_same_extension(old, new, NID_subject_key_identifier, false);
        assert_same_extension(old, new, NID_authority_key_identifier, false);
        assert_same_extension(old, new, NID_key_usage, true);
        ck_assert(cert_is_self_signed(new));
        ck_assert(!successor_carries(old, new));
}
END_TEST

/* Its own serial number would be wrong in the new one, and OpenSSL would not take that as its issuer. */
START_TEST(a_serial_number_in_the_authority_goes) {
        _cleanup_(x509_cert_clear) struct x509_cert made = x509_make(
                &(struct x509_options) { .ca = true, .authority_key_id = "keyid:always,issuer:always" });
        _cleanup_(cert_freep) struct cert *old = cert_of(&made), *new = make(old, x509_key(1));

        assert_same_extension(old, new, NID_authority_key_identifier, false);
        ck_assert(cert_is_self_signed(new));
        ck_assert(successor_carries(old, new));
}
END_TEST

/* What was found with the tutorial's commands: a typed name may be encoded in another way. */
START_TEST(the_encoding_of_the_name_survives) {
        _cleanup_(x509_cert_clear) struct x509_cert made = x509_make(&(struct x509_options) { .ca = true });
        _cleanup_(cert_freep) struct cert *old = NULL, *new = NULL;
        X509_NAME *name = X509_NAME_new();
        BIO *bio = BIO_new(BIO_s_mem());
        struct x509_cert printable = { 0 };
        char *data;
        long size;

        X509_NAME_add_entry_by_txt(name, "CN", V_ASN1_PRINTABLESTRING, (unsigned char *)"Kyma", -1, -1, 0);
        X509_set_subject_name(made.handle, name);
        X509_set_issuer_name(made.handle, name);
        X509_NAME_free(name);
        X509_sign(made.handle, made.key, EVP_sha256());
        PEM_write_bio_X509(bio, made.handle);
        size = BIO_get_mem_data(bio, &data);
        printable.pem = strndup(data, (size_t)size);
        BIO_free(bio);

        old = cert_of(&printable);
        new = make(old, x509_key(1));
        assert_name_bytes(old, new);
        free(printable.pem);
}
END_TEST

static void assert_verifies(const struct x509_cert *leaf, const struct cert *anchor, bool expected) {
        _cleanup_(cert_freep) struct cert *cert = cert_of(leaf);
        struct cert *items[] = { (struct cert *)anchor };
        const struct cert_list anchors = { items, 1 }, none = { 0 };

        ck_assert_int_eq(chain_verify(cert, &none, &anchors, X509_NOW, NULL), expected ? 0 : -EKEYREJECTED);
}

START_TEST(old_leaves_verify_to_the_new_one_alone) {
        _cleanup_(x509_cert_clear) struct x509_cert made =
                x509_make(&(struct x509_options) { .ca = true, .subject = "CN=Kyma" });
        _cleanup_(x509_cert_clear) struct x509_cert leaf =
                x509_make(&(struct x509_options) { .issuer = &made });
        _cleanup_(cert_freep) struct cert *old = cert_of(&made), *same = make(old, x509_key(1)),
                                          *other = make(old, x509_key(3));

        assert_verifies(&leaf, old, true);
        assert_verifies(&leaf, same, true);
        assert_verifies(&leaf, other, false);
}
END_TEST

TEST_MAIN("successor", what_cannot_be_made_again_is_refused,
          it_is_the_old_one_with_another_number_and_other_times, another_key_has_another_identifier,
          a_serial_number_in_the_authority_goes, the_encoding_of_the_name_survives,
          old_leaves_verify_to_the_new_one_alone)
