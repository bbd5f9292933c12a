/* Texts that people hand over, and the text that is published in their place. */

#include "lib/x509/cert-write.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tests/support/x509.h"
#include "tests/test.h"

#define KEY_BODY "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"

static struct x509_cert leaf_cert, ca_cert;

static char *joined(const char *const *parts, size_t n) {
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        for (size_t i = 0; i < n && parts[i]; i++)
                fputs(parts[i], out);
        fclose(out);
        return text;
}

/* PEM without its last N bytes. */
static char *cut(const char *pem, size_t n) {
        return strndup(pem, strlen(pem) - n);
}

static char *with_crlf(const char *pem) {
        char *text = calloc(2, strlen(pem) + 1), *at = text;

        for (; *pem; pem++) {
                if (*pem == '\n')
                        *at++ = '\r';
                *at++ = *pem;
        }
        return text;
}

/* As `openssl x509 -trustout -addtrust clientAuth` writes it. */
static char *trusted(const struct x509_cert *cert) {
        X509 *copy = X509_dup(cert->handle);
        BIO *bio = BIO_new(BIO_s_mem());
        char *data, *text;
        long size;

        ck_assert_int_eq(X509_add1_trust_object(copy, OBJ_nid2obj(NID_client_auth)), 1);
        ck_assert_int_eq(X509_alias_set1(copy, (const unsigned char *)"mine", 4), 1);
        ck_assert_int_eq(PEM_write_bio_X509_AUX(bio, copy), 1);
        size = BIO_get_mem_data(bio, &data);
        text = strndup(data, (size_t)size);
        BIO_free(bio);
        X509_free(copy);
        return text;
}

/* Whatever comes with them or in whichever form, these two certificates come out, and nothing else. */
START_TEST(only_certificates_are_written) {
        _cleanup_(freep) char *expected = X509_JOIN(&leaf_cert, &ca_cert), *glued = cut(leaf_cert.pem, 1),
                              *unended = cut(ca_cert.pem, 1), *crlf = with_crlf(expected),
                              *aux = trusted(&leaf_cert);
        const char *const texts[][6] = {
                { expected },
                { crlf },
                { "\xef\xbb\xbf", expected },
                { "\xef\xbb\xbf", crlf },
                { glued, ca_cert.pem },
                { glued, unended },
                { "\xef\xbb\xbf", glued, unended },
                { aux, ca_cert.pem },
                { "subject=CN = orders\n", leaf_cert.pem, "\n\nissuer=CN = CA\n", ca_cert.pem, "the end\n" },
                { leaf_cert.pem, KEY_BODY "\n", ca_cert.pem, KEY_BODY "\n" },
                { "-----BEGIN PRIVATE KEY----\n" KEY_BODY "\n-----END PRIVATE KEY----\n", expected },
                { expected, "-----BEGIN PRIVATE KEY -----\n" KEY_BODY "\n-----END PRIVATE KEY -----\n" },
                { expected, "-----BEGIN PRIVATE KEY-----\n" KEY_BODY },
                { "Private-Key: (2048 bit)\nprime1:\n    00:d9\n", expected },
                { "-----BEGIN PRIVATE KEY-----\n" KEY_BODY "\n", expected },
                { "# -----BEGIN CERTIFICATE-----\n# TUlJ\n# -----END CERTIFICATE-----\n", expected },
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_(freep) char *text = joined(texts[i], ELEMENTSOF(texts[i])), *written = NULL;
                _cleanup_(error_clear) struct error error = ERROR_INIT;

                ck_assert_msg(cert_text_rewrite(text, &written, &error) == 0, "%zu: %s", i,
                              error_text(&error));
                ck_assert_msg(streq(written, expected), "%zu: %s", i, written);
                ck_assert_msg(cert_text_is_clean(text) == streq(text, expected), "%zu", i);
                ck_assert(cert_text_is_clean(written));
                ck_assert_uint_eq(ERR_peek_error(), 0);
        }
}
END_TEST

START_TEST(what_is_not_clean) {
        static const char *const texts[] = {
                "",
                "\n",
                "-----BEGIN CERTIFICATE-----\n",
                "-----BEGIN CERTIFICATE-----\nTUlJ\n",
                "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
                "-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----",
                "-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----\n\n",
                "-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----\nTUlJ\n",
                "-----BEGIN CERTIFICATE-----\nTUl=\nTUlJ\n-----END CERTIFICATE-----\n",
                "-----BEGIN CERTIFICATE-----\nTU lJ\n-----END CERTIFICATE-----\n",
                "-----BEGIN CERTIFICATE-----\nX: y\n\nTUlJ\n-----END CERTIFICATE-----\n",
                " -----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----\n",
                "-----BEGIN TRUSTED CERTIFICATE-----\nTUlJ\n-----END TRUSTED CERTIFICATE-----\n",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                ck_assert_msg(!cert_text_is_clean(texts[i]), "%zu", i);
        ck_assert(cert_text_is_clean("-----BEGIN CERTIFICATE-----\nTUlJ\nTUk=\n-----END CERTIFICATE-----\n"));
}
END_TEST

/* Trust settings follow the certificate in its block. Elsewhere nothing may. */
START_TEST(bytes_after_a_certificate) {
        static const char *const labels[] = { "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE" };
        unsigned char *der = NULL;
        int size = i2d_X509(leaf_cert.handle, &der);
        unsigned char *more = calloc(1, (size_t)size + 2);

        memcpy(more, der, (size_t)size);
        for (size_t i = 0; i < ELEMENTSOF(labels); i++)
                for (int extra = 0; extra < 3; extra++) {
                        _cleanup_(freep) char *text = NULL, *written = NULL;
                        BIO *bio = BIO_new(BIO_s_mem());
                        char *data;
                        long n;

                        ck_assert_int_gt(PEM_write_bio(bio, labels[i], "", more, size + extra), 0);
                        n = BIO_get_mem_data(bio, &data);
                        text = strndup(data, (size_t)n);
                        BIO_free(bio);
                        ck_assert_int_eq(cert_text_rewrite(text, &written, NULL),
                                         i == 2 || extra == 0 ? 0 : -EINVAL);
                        if (written)
                                ck_assert_str_eq(written, leaf_cert.pem);
                }
        free(more);
        OPENSSL_free(der);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("cert-write");

        ca_cert = x509_make(&(struct x509_options) { .ca = true });
        leaf_cert = x509_make(&(struct x509_options) { .issuer = &ca_cert });
        TEST_CASE(suite, only_certificates_are_written);
        TEST_CASE(suite, what_is_not_clean);
        TEST_CASE(suite, bytes_after_a_certificate);
        return test_run(suite);
}
