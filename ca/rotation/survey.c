#include "ca/rotation/survey.h"

#include <stdarg.h>
#include <stdio.h>

#include "lib/x509/bundle.h"

const char *const finding_names[FINDING_MAX] = {
        [FINDING_NOTE] = "note",
        [FINDING_WRITER] = "writer",
        [FINDING_UNREAD] = "unread",
        [FINDING_WRONG] = "wrong",
};

void survey_clear(struct survey *survey) {
        cert_free(survey->ca);
        for (size_t i = 0; i < survey->n_findings; i++)
                free(survey->findings[i].text);
        free(survey->findings);
        *survey = (struct survey) { 0 };
}

int survey_add(struct survey *survey, enum finding_kind kind, const char *format, ...) {
        struct finding *grown = reallocarray(survey->findings, survey->n_findings + 1, sizeof(*grown));
        char *text = NULL;
        va_list args;
        int n;

        if (!grown)
                return -ENOMEM;
        survey->findings = grown;
        va_start(args, format);
        n = vasprintf(&text, format, args);
        va_end(args);
        if (n < 0)
                return -ENOMEM;
        survey->findings[survey->n_findings++] = (struct finding) { kind, text };
        return 0;
}

/* --- The signer --- */

static int survey_key(struct survey *survey, const char *name, const char *pem) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(key_freep) struct key *key = NULL;
        uint8_t its[SPKI_HASH_SIZE], of_certificate[SPKI_HASH_SIZE];

        if (key_parse(pem, strlen(pem), &key, &error) < 0)
                return survey_add(survey, FINDING_WRONG, "%s: the key cannot be read: %s", name,
                                  error_text(&error));
        if (!key_is_rsa(key))
                return survey_add(survey, FINDING_WRONG, "%s: the key is not RSA; a Connector crashes on it",
                                  name);
        key_spki(key, its);
        cert_spki(survey->ca, of_certificate);
        if (memcmp(its, of_certificate, sizeof(its)) != 0)
                return survey_add(survey, FINDING_WRONG, "%s: the key does not belong to the certificate",
                                  name);
        return 0;
}

static int survey_ca(struct survey *survey, const char *name, size_t n_certificates) {
        int r = 0;

        if (n_certificates > 1)
                r = survey_add(survey, FINDING_WRONG,
                               "%s: it has %zu certificates, and a Connector reads the first alone", name,
                               n_certificates);
        if (r == 0 && !cert_is_ca(survey->ca))
                r = survey_add(survey, FINDING_WRONG, "%s: the certificate is not one of a CA", name);
        if (r == 0 && !cert_is_self_signed(survey->ca))
                r = survey_add(survey, FINDING_WRONG,
                               "%s: the certificate is issued by another CA, which has to issue the next one",
                               name);
        return r;
}

static int survey_expiry(struct survey *survey, const char *name, usec_t leaf_lifetime, usec_t now) {
        const usec_t expiry = cert_not_after(survey->ca);
        char left[TIMESPAN_MAX], leaf[TIMESPAN_MAX];

        survey->has_reason = expiry < usec_add(now, leaf_lifetime);
        survey->reason = REASON_EXPIRING;
        if (expiry <= now)
                return survey_add(survey, FINDING_NOTE,
                                  "%s: the CA has expired; no leaf is accepted any more", name);
        if (!survey->has_reason)
                return 0;
        return survey_add(
                survey, FINDING_NOTE,
                "%s: the CA expires in %s, before a leaf that is issued now (%s): --reason expiring", name,
                format_timespan(left, expiry - now), format_timespan(leaf, leaf_lifetime));
}

int survey_signer(struct survey *survey, const char *name, const struct contents *signer,
                  usec_t leaf_lifetime, usec_t now) {
        const char *pem = signer->texts[SIGNER_CERTIFICATE];
        _cleanup_(cert_list_clear) struct cert_list list = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        int r;

        if (cert_bundle_parse(pem, strlen(pem), &list, &error) < 0)
                return survey_add(survey, FINDING_WRONG, "%s: the certificate cannot be read: %s", name,
                                  error_text(&error));
        survey->ca = take_ptr(list.items[0]);
        r = survey_ca(survey, name, list.n);
        if (r == 0)
                r = survey_key(survey, name, signer->texts[SIGNER_KEY]);
        if (r == 0)
                r = survey_expiry(survey, name, leaf_lifetime, now);
        return r;
}

/* --- Bundles --- */

static bool has(const struct cert_list *list, size_t n, const struct cert *cert) {
        for (size_t i = 0; i < n; i++)
                if (cert_equal(list->items[i], cert))
                        return true;
        return false;
}

static int survey_members(struct survey *survey, const char *name, const struct cert_list *list, usec_t now) {
        int r = 0;

        for (size_t i = 0; i < list->n && r == 0; i++) {
                _cleanup_(freep) char *subject = cert_subject_text(list->items[i]);

                if (has(list, i, list->items[i]))
                        r = survey_add(survey, FINDING_NOTE, "%s: %s is there twice", name, subject);
                else if (cert_not_after(list->items[i]) <= now)
                        r = survey_add(survey, FINDING_NOTE, "%s: %s has expired", name, subject);
        }
        return r;
}

int survey_trust(struct survey *survey, const char *name, const struct contents *trust, usec_t now) {
        const char *pem = trust->texts[0];
        _cleanup_(cert_list_clear) struct cert_list list = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        int r = 0;

        if (cert_bundle_parse(pem, strlen(pem), &list, &error) < 0)
                return survey_add(survey, FINDING_WRONG, "%s: the bundle cannot be read: %s", name,
                                  error_text(&error));
        if (bundle_count_strict(pem) != list.n)
                r = survey_add(
                        survey, FINDING_WRONG,
                        "%s: OpenSSL reads %zu of its %zu certificates: two are in one line, or one is "
                        "damaged",
                        name, bundle_count_strict(pem), list.n);
        if (r == 0 && survey->ca && !has(&list, list.n, survey->ca))
                r = survey_add(
                        survey, FINDING_WRONG,
                        "%s: the bundle does not have the CA that signs; its leaves are rejected there",
                        name);
        return r < 0 ? r : survey_members(survey, name, &list, now);
}

/* --- The new certificate --- */

int survey_times(enum reason reason, const struct cert *old, usec_t lifetime, usec_t leaf_lifetime,
                 usec_t skew, usec_t now, usec_t *ret_not_before, usec_t *ret_not_after,
                 struct error *error) {
        const usec_t before = usec_sub(now, skew);
        usec_t after;
        char text[TIMESPAN_MAX];

        if (lifetime == 0)
                lifetime = skew + (cert_not_after(old) == USEC_INFINITY
                                           ? 3650 * USEC_PER_DAY
                                           : usec_sub(cert_not_after(old), cert_not_before(old)));
        after = usec_add(before, lifetime);
        if (after < usec_add(now, leaf_lifetime))
                return error_set(
                        error, -EINVAL,
                        "the new CA certificate would live for %s, and expire before the leaves that it "
                        "issues; set ca_lifetime",
                        format_timespan(text, lifetime));
        if (reason == REASON_EXPIRING && after <= cert_not_after(old) && cert_not_after(old) != USEC_INFINITY)
                return error_set(error, -EINVAL,
                                 "the new CA certificate would expire before the old one; set ca_lifetime");
        *ret_not_before = before;
        *ret_not_after = after;
        return 0;
}

int survey_judge(const struct survey *survey, bool takes_over, struct error *error) {
        for (size_t i = 0; i < survey->n_findings; i++) {
                const struct finding *finding = &survey->findings[i];

                if (finding->kind == FINDING_WRONG)
                        return error_set(error, -EPERM, "cannot begin a rotation: %s", finding->text);
                if (finding->kind != FINDING_NOTE && !takes_over)
                        return error_set(error, -EPERM,
                                         "cannot begin a rotation: %s; with --take-over it is written anyway",
                                         finding->text);
        }
        return 0;
}
