#include "ca/rotation/survey.h"

#include <openssl/evp.h>

#include "tests/support/x509.h"
#include "tests/test.h"

#define LEAF (90 * USEC_PER_DAY)

static struct contents signer_of(const struct x509_cert *cert, EVP_PKEY *key) {
        _cleanup_(freep) char *pem = x509_key_pem(key);
        struct contents contents;

        ck_assert_int_eq(contents_make(pem, cert->pem, &contents), 0);
        return contents;
}

static void assert_found(const struct survey *survey, enum finding_kind kind, const char *text) {
        for (size_t i = 0; i < survey->n_findings; i++)
                if (survey->findings[i].kind == kind && strstr(survey->findings[i].text, text))
                        return;
        ck_abort_msg("no finding '%s'; the first is '%s'", text,
                     survey->n_findings > 0 ? survey->findings[0].text : "none");
}

static void look(struct survey *survey, const struct contents *signer, const struct contents *trust) {
        ck_assert_int_eq(survey_signer(survey, "signer", signer, LEAF, X509_NOW), 0);
        if (trust)
                ck_assert_int_eq(survey_trust(survey, "bundle", trust, X509_NOW), 0);
}

static void assert_signer(const struct x509_cert *cert, EVP_PKEY *key, enum finding_kind kind,
                          const char *text) {
        _cleanup_(contents_clear) struct contents signer = signer_of(cert, key);
        _cleanup_(survey_clear) struct survey survey = { 0 };

        look(&survey, &signer, NULL);
        assert_found(&survey, kind, text);
        ck_assert_int_eq(survey_judge(&survey, true, NULL), kind == FINDING_WRONG ? -EPERM : 0);
}

START_TEST(a_signer_that_is_wrong) {
        _cleanup_(x509_cert_clear) struct x509_cert ca = x509_make(&(struct x509_options) { .ca = true });
        _cleanup_(x509_cert_clear) struct x509_cert root =
                x509_make(&(struct x509_options) { .ca = true, .subject = "CN=Root", .key = x509_key(2) });
        _cleanup_(x509_cert_clear) struct x509_cert below =
                x509_make(&(struct x509_options) { .ca = true, .issuer = &root });
        _cleanup_(x509_cert_clear) struct x509_cert leaf =
                x509_make(&(struct x509_options) { .key = x509_key(1) });
        struct x509_cert several = { .pem = X509_JOIN(&ca, &root) }, none = { .pem = (char *)"" };
        EVP_PKEY *curve = EVP_EC_gen("P-256");

        assert_signer(&ca, x509_key(2), FINDING_WRONG, "does not belong to the certificate");
        assert_signer(&ca, curve, FINDING_WRONG, "not RSA");
        assert_signer(&below, x509_key(1), FINDING_WRONG, "issued by another CA");
        assert_signer(&leaf, x509_key(1), FINDING_WRONG, "not one of a CA");
        assert_signer(&several, x509_key(1), FINDING_WRONG, "reads the first alone");
        assert_signer(&none, x509_key(1), FINDING_WRONG, "cannot be read");
        EVP_PKEY_free(curve);
        free(several.pem);
}
END_TEST

START_TEST(an_expiry_names_its_reason) {
        _cleanup_(x509_cert_clear) struct x509_cert soon =
                x509_make(&(struct x509_options) { .ca = true, .not_after = X509_NOW + 30 * USEC_PER_DAY });
        _cleanup_(x509_cert_clear) struct x509_cert past =
                x509_make(&(struct x509_options) { .ca = true, .not_after = X509_NOW - USEC_PER_HOUR });
        _cleanup_(x509_cert_clear) struct x509_cert fresh = x509_make(&(struct x509_options) { .ca = true });
        _cleanup_(contents_clear) struct contents signer = signer_of(&fresh, x509_key(1));
        _cleanup_(survey_clear) struct survey survey = { 0 };

        assert_signer(&soon, x509_key(1), FINDING_NOTE, "--reason expiring");
        assert_signer(&past, x509_key(1), FINDING_NOTE, "has expired");
        look(&survey, &signer, NULL);
        ck_assert_uint_eq(survey.n_findings, 0);
        ck_assert(!survey.has_reason);
}
END_TEST

START_TEST(a_bundle_that_is_wrong) {
        _cleanup_(x509_cert_clear) struct x509_cert ca = x509_make(&(struct x509_options) { .ca = true });
        _cleanup_(x509_cert_clear) struct x509_cert other =
                x509_make(&(struct x509_options) { .ca = true, .subject = "CN=Other", .key = x509_key(2) });
        _cleanup_(contents_clear) struct contents signer = signer_of(&ca, x509_key(1));
        _cleanup_(freep) char *twice = X509_JOIN(&ca, &ca), *glued = NULL;
        const struct {
                char *pem;
                enum finding_kind kind;
                const char *text;
        } cases[] = {
                { other.pem, FINDING_WRONG, "does not have the CA that signs" },
                { twice, FINDING_NOTE, "is there twice" },
                { (char *)"", FINDING_WRONG, "cannot be read" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const struct contents trust = { { cases[i].pem } };
                _cleanup_(survey_clear) struct survey survey = { 0 };

                look(&survey, &signer, &trust);
                assert_found(&survey, cases[i].kind, cases[i].text);
        }
        ck_assert_int_ge(asprintf(&glued, "%.*s%s", (int)strlen(ca.pem) - 1, ca.pem, other.pem), 0);
        _cleanup_(survey_clear) struct survey survey = { 0 };
        look(&survey, &signer, &(struct contents) { { glued } });
        ck_assert_int_eq(survey_judge(&survey, true, NULL), -EPERM);
}
END_TEST

START_TEST(another_writer_is_taken_over_by_word_only) {
        _cleanup_(survey_clear) struct survey survey = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        ck_assert_int_eq(survey_add(&survey, FINDING_WRITER, "%s is a link", "ca.crt"), 0);
        ck_assert_int_eq(survey_judge(&survey, false, &error), -EPERM);
        ck_assert_ptr_nonnull(strstr(error_text(&error), "--take-over"));
        ck_assert_int_eq(survey_judge(&survey, true, NULL), 0);
}
END_TEST

START_TEST(a_new_certificate_outlives_what_it_issues) {
        _cleanup_(x509_cert_clear) struct x509_cert made =
                x509_make(&(struct x509_options) { .ca = true, .not_after = X509_NOW + 30 * USEC_PER_DAY });
        _cleanup_(contents_clear) struct contents signer = signer_of(&made, x509_key(1));
        _cleanup_(survey_clear) struct survey survey = { 0 };
        const usec_t skew = 5 * USEC_PER_MINUTE;
        usec_t from = 0, to = 0;

        look(&survey, &signer, NULL);
        ck_assert_int_eq(survey_times(REASON_EXPIRING, survey.ca, 89 * USEC_PER_DAY, LEAF, skew, X509_NOW,
                                      &from, &to, NULL),
                         -EINVAL);
        ck_assert_int_eq(survey_times(REASON_EXPIRING, survey.ca, 20 * USEC_PER_DAY, USEC_PER_DAY, skew,
                                      X509_NOW, &from, &to, NULL),
                         -EINVAL);
        ck_assert_int_eq(
                survey_times(REASON_EXPIRING, survey.ca, 0, USEC_PER_DAY, skew, X509_NOW, &from, &to, NULL),
                0);
        ck_assert_uint_eq(from, X509_NOW - skew);
        ck_assert_int_eq(survey_times(REASON_NEW_KEY, survey.ca, 20 * USEC_PER_DAY, USEC_PER_DAY, skew,
                                      X509_NOW, &from, &to, NULL),
                         0);
        ck_assert_int_eq(
                survey_times(REASON_EXPIRING, survey.ca, 0, USEC_PER_DAY, skew, X509_NOW, &from, &to, NULL),
                0);
        ck_assert_uint_eq(to - X509_NOW, 31 * USEC_PER_DAY); /* as long as the old one */
        ck_assert_int_eq(survey_times(REASON_EXPIRING, survey.ca, 3650 * USEC_PER_DAY, LEAF, skew, X509_NOW,
                                      &from, &to, NULL),
                         0);
}
END_TEST

TEST_MAIN("ca-survey", a_signer_that_is_wrong, an_expiry_names_its_reason, a_bundle_that_is_wrong,
          another_writer_is_taken_over_by_word_only, a_new_certificate_outlives_what_it_issues)
