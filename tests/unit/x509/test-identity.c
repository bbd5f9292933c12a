/* Certificate and key in a TLS context. */

#include "lib/x509/identity.h"

#include <openssl/ssl.h>

#include "lib/x509/cert.h"
#include "tests/support/x509.h"
#include "tests/test.h"

static struct key *key_of(EVP_PKEY *handle) {
        _cleanup_(freep) char *pem = x509_key_pem(handle);
        struct key *key;

        ck_assert_int_eq(key_parse(pem, strlen(pem), &key, NULL), 0);
        return key;
}

static int use(SSL_CTX *tls, EVP_PKEY *handle, const char *pem, struct error *error) {
        _cleanup_(key_freep) struct key *key = key_of(handle);

        return identity_use(tls, key, pem, error);
}

START_TEST(what_is_no_certificate_is_refused) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

        ck_assert_int_eq(use(tls, x509_key(0), "no PEM", &error), -EINVAL);
        ck_assert_ptr_nonnull(strstr(error_text(&error), "client certificate cannot be used"));
        ck_assert_ptr_null(SSL_CTX_get0_certificate(tls));
        SSL_CTX_free(tls);
}
END_TEST

START_TEST(the_key_of_another_is_refused) {
        _cleanup_(x509_cert_clear) struct x509_cert leaf = x509_make(&(struct x509_options) { 0 });
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

        ck_assert_int_eq(use(tls, x509_key(1), leaf.pem, &error), -EKEYREJECTED);
        ck_assert_ptr_nonnull(strstr(error_text(&error), "key values mismatch"));
        ck_assert_ptr_null(SSL_CTX_get0_privatekey(tls));
        SSL_CTX_free(tls);
}
END_TEST

START_TEST(what_is_too_weak_is_refused) {
        _cleanup_(x509_cert_clear) struct x509_cert leaf = x509_make(&(struct x509_options) { 0 });
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

        SSL_CTX_set_security_level(tls, 5);
        ck_assert_int_eq(use(tls, x509_key(0), leaf.pem, &error), -EKEYREJECTED);
        ck_assert_ptr_nonnull(strstr(error_text(&error), "key too small"));
        SSL_CTX_free(tls);
}
END_TEST

START_TEST(leaf_chain_and_key_are_presented) {
        _cleanup_(x509_cert_clear) struct x509_cert ca = x509_make(&(struct x509_options) { .ca = true }),
                                                    leaf = x509_make(
                                                            &(struct x509_options) { .issuer = &ca });
        _cleanup_(freep) char *pem = X509_JOIN(&leaf, &ca);
        SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
        STACK_OF(X509) *chain = NULL;

        ck_assert_int_eq(use(tls, x509_key(0), pem, NULL), 0); /* the key outlives its owner */
        ck_assert_int_eq(X509_cmp(SSL_CTX_get0_certificate(tls), leaf.handle), 0);
        ck_assert_int_eq(EVP_PKEY_eq(SSL_CTX_get0_privatekey(tls), x509_key(0)), 1);
        ck_assert_int_eq(SSL_CTX_check_private_key(tls), 1);
        ck_assert_int_eq((int)SSL_CTX_get0_chain_certs(tls, &chain), 1);
        ck_assert_int_eq(sk_X509_num(chain), 1);
        ck_assert_int_eq(X509_cmp(sk_X509_value(chain, 0), ca.handle), 0);
        SSL_CTX_free(tls);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("identity");

        x509_key(1);
        TEST_CASE(suite, what_is_no_certificate_is_refused);
        TEST_CASE(suite, the_key_of_another_is_refused);
        TEST_CASE(suite, what_is_too_weak_is_refused);
        TEST_CASE(suite, leaf_chain_and_key_are_presented);
        return test_run(suite);
}
