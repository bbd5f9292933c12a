/*
 * The subject is known before a signature is spent: the Connector names it in its configuration, and a CSR
 * that was staged by an earlier attempt has it. So it is compared there and there; that the certificate has
 * the subject of its CSR is for the gate to see. lib/life/subject-rule.c decides.
 */

#include "daemon/certificate/subjects.h"

#include "daemon/certificate/gathered.h"
#include "lib/life/subject-rule.h"
#include "lib/x509/csr.h"

/* With thousands of sets at a start this would take a while, so it is done for an attempt, and where the set
 * is another one. What cannot be read is not compared either. */
int subjects_read(struct gathered *gathered) {
        const struct attempt_input *input = &gathered->input;
        _cleanup_(subject_freep) struct subject *subject = NULL;
        char fingerprint[FINGERPRINT_HEX];
        int r;

        if (!gathered->findings.set)
                return 0;
        hex_format(fingerprint, gathered->set.fingerprint, FINGERPRINT_SIZE);
        if (!input->may_renew && !gathered->adopted &&
            (strempty(input->fingerprint) || streq(input->fingerprint, fingerprint)))
                return 0;
        r = cert_subject(gathered->set.leaf, &subject, NULL);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        free(gathered->subject);
        gathered->findings.subject = gathered->subject = subject_canonical(subject);
        return gathered->subject ? 0 : -ENOMEM;
}

static int judge(const struct gathered *gathered, const char *next, struct error *error) {
        const struct subject_rule rule = {
                .name = gathered->config->name,
                .configured = gathered->config->subject,
                .last = gathered->subject ? gathered->subject : gathered->subjects.last,
                .accepted = gathered->subjects.accepted,
                .is_in_use = gathered->findings.set,
                .takes_any = gathered->input.takes_any_subject,
        };

        return subject_rule_judge(&rule, next, error);
}

/* NULL where there is nothing to read, or what is there cannot be. */
static struct subject *staged_subject(const struct stage *stage) {
        _cleanup_(cert_list_clear) struct cert_list certs = { 0 };
        struct subject *subject = NULL;

        if (stage->certificate_pem) {
                if (cert_list_parse(stage->certificate_pem, strnlen(stage->certificate_pem, CERT_PEM_MAX + 1),
                                    &certs, NULL) == 0)
                        (void)cert_subject(certs.items[0], &subject, NULL);
        } else if (stage->csr_pem)
                (void)csr_check(stage->csr_pem, strlen(stage->csr_pem), stage->key, &subject, NULL);
        return subject;
}

bool subjects_allow_staged(const struct gathered *gathered) {
        _cleanup_(subject_freep) struct subject *subject = staged_subject(&gathered->stage);
        _cleanup_(freep) char *next = NULL;
        int verdict;

        if (!subject)
                return true; /* what is damaged fails where it is used */
        next = subject_canonical(subject);
        if (!next)
                return false;
        verdict = judge(gathered, next, NULL);
        return verdict == SUBJECT_USUAL || verdict == SUBJECT_CHANGED;
}

int subjects_check_next(struct gathered *gathered, const struct subject *next) {
        struct outcome *outcome = &gathered->outcome;
        int verdict;

        free(gathered->next_subject);
        gathered->findings.next_subject = gathered->next_subject = subject_canonical(next);
        if (!gathered->next_subject)
                return error_set(&outcome->error, -ENOMEM, "out of memory");
        verdict = judge(gathered, gathered->next_subject, &outcome->error);
        if (verdict < 0)
                return verdict;
        outcome->is_other_subject = verdict == SUBJECT_CHANGED || verdict == SUBJECT_REFUSED;
        return verdict == SUBJECT_USUAL || verdict == SUBJECT_CHANGED ? 0 : -EPERM;
}
