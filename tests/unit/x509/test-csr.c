#include "lib/x509/csr.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "tests/support/x509.h"
#include "tests/test.h"

static const char subject_text[] = "O=Org,OU=OrgUnit,L=locality,ST=province,C=DE,CN=7defcb65";

static struct key *key_number(unsigned i) {
        _cleanup_(freep) char *pem = x509_key_pem(x509_key(i));
        struct key *key;

        ck_assert_int_eq(key_parse(pem, strlen(pem), &key, NULL), 0);
        return key;
}

static struct subject *parsed(const char *text) {
        struct subject *subject;

        ck_assert_int_eq(subject_parse(text, &subject, NULL), 0);
        return subject;
}

static char *made(const struct key *key) {
        _cleanup_(subject_freep) struct subject *subject = parsed(subject_text);
        char *pem;

        ck_assert_int_eq(csr_make(key, subject, &pem, NULL), 0);
        return pem;
}

static X509_REQ *request(const char *pem) {
        BIO *bio = BIO_new_mem_buf(pem, -1);
        X509_REQ *request = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);

        ck_assert_ptr_nonnull(request);
        BIO_free(bio);
        return request;
}

START_TEST(test_make_refuses_a_subject_that_x509_cannot_hold) {
        _cleanup_(key_freep) struct key *key = key_number(0);
        _cleanup_(subject_freep) struct subject *subject = parsed("C=DEU,CN=x");
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        char *pem = NULL;

        ck_assert_int_eq(csr_make(key, subject, &pem, &error), -EINVAL);
        ck_assert_ptr_null(pem);
        ck_assert_str_eq(error_text(&error),
                         "the subject's C is 'DEU': a country is two letters, as in C=DE");
}
END_TEST

/* What Connectors issue beyond the bounds of X.520, 64 characters for most, must come back as it is: as many
 * of each kind of string, also of more bytes than characters. */
START_TEST(test_subjects_beyond_the_bounds) {
        static const struct {
                const char *name;
                size_t size;
                const char *character;
        } rows[] = {
                { "CN", 64, "c" },      { "CN", 65, "c" },           { "CN", 200, "c" },
                { "OU", 100, "o" },     { "O", 300, "\xc3\xa4" },    { "L", 129, "l" },
                { "ST", 129, "s" },     { "serialNumber", 80, "7" }, { "emailAddress", 140, "e" },
                { "UID", 300, "u" },    { "DC", 70, "d" },           { "title", 65, "\xe2\x82\xac" },
                { "street", 200, "x" },
        };
        _cleanup_(key_freep) struct key *key = key_number(0);

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(subject_freep) struct subject *subject = NULL, *back = NULL;
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                _cleanup_(freep) char *pem = NULL;
                char text[2048] = "O=SAP SE, Walldorf,";

                strcat(strcat(text, rows[i].name), "=");
                for (size_t k = 0; k < rows[i].size; k++)
                        strcat(text, rows[i].character);
                subject = parsed(text);
                ck_assert_msg(csr_make(key, subject, &pem, &error) == 0, "%s of %zu: %s", rows[i].name,
                              rows[i].size, error_text(&error));
                ck_assert_int_eq(csr_check(pem, strlen(pem), key, &back, NULL), 0);
                ck_assert(subject_equal(subject, back));
        }
}
END_TEST

/* Within the bounds each string has the type that OpenSSL gives it. */
START_TEST(test_strings_have_the_types_of_x520) {
        static const struct {
                int nid, type;
        } rows[] = {
                { NID_countryName, V_ASN1_PRINTABLESTRING },  { NID_organizationName, V_ASN1_UTF8STRING },
                { NID_commonName, V_ASN1_UTF8STRING },        { NID_serialNumber, V_ASN1_PRINTABLESTRING },
                { NID_pkcs9_emailAddress, V_ASN1_IA5STRING }, { NID_domainComponent, V_ASN1_IA5STRING },
        };
        _cleanup_(key_freep) struct key *key = key_number(0);
        _cleanup_(subject_freep) struct subject *subject =
                parsed("C=DE,O=Org,CN=c,serialNumber=7,E=a@example.com,DC=d");
        _cleanup_(freep) char *pem = NULL;
        X509_REQ *made_request;

        ck_assert_int_eq(csr_make(key, subject, &pem, NULL), 0);
        made_request = request(pem);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                X509_NAME *name = X509_REQ_get_subject_name(made_request);
                const int at = X509_NAME_get_index_by_NID(name, rows[i].nid, -1);

                ck_assert_int_eq(ASN1_STRING_type(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at))),
                                 rows[i].type);
        }
        X509_REQ_free(made_request);
}
END_TEST

START_TEST(test_check_refuses) {
        static const struct {
                const char *pem;
                const char *error;
        } cases[] = {
                { "", "there is no CSR" },
                { "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "there is no CSR" },
                { "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
                  "the CSR is damaged" },
                { "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n", "the PEM of the CSR is damaged" },
        };
        _cleanup_(key_freep) struct key *key = key_number(0);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                struct subject *subject = NULL;

                ck_assert_int_eq(csr_check(cases[i].pem, strlen(cases[i].pem), key, &subject, &error),
                                 -EINVAL);
                ck_assert_ptr_null(subject);
                ck_assert_msg(has_prefix(error_text(&error), cases[i].error), "%s", error_text(&error));
                ck_assert_uint_eq(ERR_peek_error(), 0);
        }
}
END_TEST

START_TEST(test_check_refuses_too_much) {
        _cleanup_(key_freep) struct key *key = key_number(0);
        _cleanup_(freep) char *big = calloc(1, CSR_PEM_MAX + 1);
        struct subject *subject = NULL;

        ck_assert_int_eq(csr_check(big, CSR_PEM_MAX + 1, key, &subject, NULL), -EINVAL);
}
END_TEST

START_TEST(test_check_refuses_another_key) {
        _cleanup_(key_freep) struct key *key = key_number(0), *other = key_number(1);
        _cleanup_(freep) char *pem = made(key);
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct subject *subject = NULL;

        ck_assert_int_eq(csr_check(pem, strlen(pem), other, &subject, &error), -EKEYREJECTED);
        ck_assert_ptr_null(subject);
        ck_assert_str_eq(error_text(&error), "the CSR is for another key than the staged one");
}
END_TEST

START_TEST(test_check_refuses_a_broken_signature) {
        _cleanup_(key_freep) struct key *key = key_number(0);
        _cleanup_(freep) char *pem = made(key), *forged = NULL;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        X509_REQ *req = request(pem);
        struct subject *subject = NULL;
        unsigned char *der = NULL;
        BIO *bio = BIO_new(BIO_s_mem());
        int size = i2d_X509_REQ(req, &der);
        char *data;

        der[size - 1] ^= 1; /* the last byte of the signature */
        ck_assert_int_gt(PEM_write_bio(bio, PEM_STRING_X509_REQ, "", der, size), 0);
        size = (int)BIO_get_mem_data(bio, &data);
        forged = strndup(data, (size_t)size);

        ck_assert_int_eq(csr_check(forged, strlen(forged), key, &subject, &error), -EKEYREJECTED);
        ck_assert_msg(has_prefix(error_text(&error), "the CSR is not signed by its own key"), "%s",
                      error_text(&error));
        OPENSSL_free(der);
        X509_REQ_free(req);
        BIO_free(bio);
}
END_TEST

START_TEST(test_make_refuses_a_damaged_key) {
        _cleanup_(freep) char *damaged = x509_damaged_key_pem(x509_key(0), x509_key(1)), *pem = NULL;
        _cleanup_(subject_freep) struct subject *subject = parsed(subject_text);
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(key_freep) struct key *key = NULL;

        ck_assert_int_eq(key_parse(damaged, strlen(damaged), &key, NULL), 0);
        ck_assert_int_eq(csr_make(key, subject, &pem, &error), -EKEYREJECTED);
        ck_assert_ptr_null(pem);
        ck_assert_msg(has_prefix(error_text(&error), "the private key is damaged"), "%s", error_text(&error));
}
END_TEST

START_TEST(test_make_and_check) {
        _cleanup_(key_freep) struct key *key = key_number(0);
        _cleanup_(subject_freep) struct subject *subject = NULL, *asked = parsed(subject_text);
        _cleanup_(freep) char *pem = made(key), *text = NULL;

        ck_assert(has_prefix(pem, "-----BEGIN CERTIFICATE REQUEST-----\n"));
        ck_assert_int_eq(csr_check(pem, strlen(pem), key, &subject, NULL), 0);
        ck_assert(subject_equal(asked, subject));
        text = subject_format(subject);
        ck_assert_str_eq(text, subject_text); /* also in the order asked for */
}
END_TEST

/* The Connector takes the signature algorithm over into the certificate, and drops what else is asked for. */
START_TEST(test_what_the_request_holds) {
        _cleanup_(key_freep) struct key *key = key_number(0);
        _cleanup_(freep) char *pem = made(key);
        X509_REQ *req = request(pem);

        ck_assert_int_eq(X509_REQ_get_signature_nid(req), NID_sha256WithRSAEncryption);
        ck_assert_int_eq(X509_REQ_get_version(req), X509_REQ_VERSION_1);
        ck_assert_int_eq(X509_REQ_get_attr_count(req), 0);
        X509_REQ_free(req);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("csr");

        x509_key(1);
        TEST_CASE(suite, test_make_refuses_a_subject_that_x509_cannot_hold);
        TEST_CASE(suite, test_subjects_beyond_the_bounds);
        TEST_CASE(suite, test_strings_have_the_types_of_x520);
        TEST_CASE(suite, test_check_refuses);
        TEST_CASE(suite, test_check_refuses_too_much);
        TEST_CASE(suite, test_check_refuses_another_key);
        TEST_CASE(suite, test_check_refuses_a_broken_signature);
        TEST_CASE(suite, test_make_and_check);
        TEST_CASE(suite, test_make_refuses_a_damaged_key);
        TEST_CASE(suite, test_what_the_request_holds);
        return test_run(suite);
}
