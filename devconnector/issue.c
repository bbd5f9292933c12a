/*
 * A leaf as the Connector issues it: serial number 2, valid from this second on with no back-dating, not
 * clamped to the life of its CA, signed with the algorithm of the CSR. Faults change one thing each; a fault
 * that touches the reply and not the certificates is none of this file's business.
 */

#include "devconnector/issue.h"

#include <stdio.h>

#define SERIAL 2

void issued_clear(struct issued *issued) {
        pki_list_free(issued->client);
        pki_list_free(issued->chain);
        pki_list_free(issued->ca);
        *issued = (struct issued) { 0 };
}

static time_t now_sec(void) {
        return time(NULL);
}

/* How a leaf is to be, faults considered. */
struct plan {
        struct pki_request leaf;
        X509_NAME *wrong_subject; /* owned */
        const struct pki_pair *issuer;
        struct pki_pair intermediate; /* owned; the last of a long chain, its issuer then */
        pki_list *intermediates;      /* owned; nearest to the leaf first */
        bool foreign_ca;              /* the reply shows the stranger as CA */
        const struct pki_pair *stranger;
};

static void plan_clear(struct plan *plan) {
        X509_NAME_free(plan->wrong_subject);
        pki_pair_clear(&plan->intermediate);
        pki_list_free(plan->intermediates);
}

/* A chain of intermediates below the real CA, all with the stranger's key: eleven keys would take seconds. */
static int plan_long_chain(struct plan *plan, uint64_t n_certificates, struct error *error) {
        struct pki_pair parent = *plan->issuer;

        plan->intermediates = sk_X509_new_null();
        for (uint64_t i = 1; i + 2 <= n_certificates; i++) {
                _cleanup_(X509_NAME_freep) X509_NAME *name = NULL;
                char text[64];
                X509 *certificate;
                int r;

                snprintf(text, sizeof(text), "CN=Intermediate %u", (unsigned)i);
                r = pki_parse_name(text, &name, error);
                if (r < 0)
                        return r;
                r = pki_issue(&(struct pki_request) { .usage = PKI_CA,
                                                      .subject = name,
                                                      .key = plan->stranger->key,
                                                      .lifetime_usec = plan->leaf.lifetime_usec },
                              &parent, &certificate, error);
                if (r < 0)
                        return r;
                if (sk_X509_unshift(plan->intermediates, certificate) <= 0) {
                        X509_free(certificate);
                        return error_set_errno(error, -ENOMEM, "cannot issue a long chain");
                }
                parent = (struct pki_pair) { certificate, plan->stranger->key };
        }
        if (parent.certificate == plan->issuer->certificate)
                return 0;
        X509_up_ref(parent.certificate);
        EVP_PKEY_up_ref(parent.key);
        plan->intermediate = parent;
        plan->issuer = &plan->intermediate;
        return 0;
}

/* An intermediate below the real CA, with a key that TLS does not take. */
static int plan_weak_issuer(struct plan *plan, struct error *error) {
        _cleanup_(X509_NAME_freep) X509_NAME *name = NULL;
        int r;

        r = pki_parse_name("CN=Weak Intermediate", &name, error);
        if (r < 0)
                return r;
        r = pki_generate_key(1024, &plan->intermediate.key, error);
        if (r < 0)
                return r;
        r = pki_issue(&(struct pki_request) { .usage = PKI_CA,
                                              .subject = name,
                                              .key = plan->intermediate.key,
                                              .lifetime_usec = plan->leaf.lifetime_usec },
                      plan->issuer, &plan->intermediate.certificate, error);
        if (r < 0)
                return r;
        plan->issuer = &plan->intermediate;
        plan->intermediates = sk_X509_new_null();
        return plan->intermediates && pki_list_add(plan->intermediates, plan->issuer->certificate) == 0
                       ? 0
                       : error_set_errno(error, -ENOMEM, "cannot issue an intermediate");
}

static int plan_fault(struct plan *plan, const struct fault *fault, struct error *error) {
        switch (fault_kind(fault)) {
        case FAULT_WRONG_KEY:
                plan->leaf.key = plan->stranger->key;
                return 0;
        case FAULT_WRONG_SUBJECT:
                if (pki_parse_name(fault_text(fault, "subject"), &plan->wrong_subject, error) < 0)
                        return error->code;
                plan->leaf.subject = plan->wrong_subject;
                return 0;
        case FAULT_EXPIRED_LEAF:
                plan->leaf.not_before_sec = now_sec() - (time_t)(fault_duration(fault, "by") / USEC_PER_SEC) -
                                            (time_t)(plan->leaf.lifetime_usec / USEC_PER_SEC);
                return 0;
        case FAULT_NOT_YET_VALID_LEAF:
                plan->leaf.not_before_sec = now_sec() + (time_t)(fault_duration(fault, "by") / USEC_PER_SEC);
                return 0;
        case FAULT_SHORT_LIFETIME:
                plan->leaf.lifetime_usec = fault_duration(fault, "lifetime");
                return 0;
        case FAULT_OTHER_CA:
                plan->issuer = plan->stranger;
                plan->foreign_ca = true;
                return 0;
        case FAULT_MIXED_CA:
                plan->issuer = plan->stranger;
                return 0;
        case FAULT_NO_CLIENT_AUTH:
                plan->leaf.usage = PKI_CLIENT_NO_AUTH;
                return 0;
        case FAULT_LONG_CHAIN:
                return plan_long_chain(plan, fault_number(fault, "certificates"), error);
        case FAULT_WEAK_DIGEST:
                plan->leaf.digest = NID_sha1;
                return 0;
        case FAULT_WEAK_ISSUER:
                return plan_weak_issuer(plan, error);
        default:
                return 0;
        }
}

static int append(pki_list *to, const pki_list *from) {
        for (int i = 0; from && i < sk_X509_num(from); i++)
                if (pki_list_add(to, sk_X509_value(from, i)) < 0)
                        return -ENOMEM;
        return 0;
}

static int add_leaf(const struct plan *plan, const struct pki_request *leaf, pki_list *to,
                    struct error *error) {
        X509 *certificate;
        int r;

        r = pki_issue(leaf, plan->issuer, &certificate, error);
        if (r < 0)
                return r;
        if (sk_X509_push(to, certificate) <= 0) {
                X509_free(certificate);
                return error_set_errno(error, -ENOMEM, "cannot issue a certificate");
        }
        return 0;
}

static int commit_plan(struct ca *ca, const struct plan *plan, const struct fault *fault,
                       struct issued *issued, struct error *error) {
        struct pki_request second = plan->leaf;
        int r;

        issued->client = sk_X509_new_null();
        issued->chain = sk_X509_new_null();
        issued->ca = sk_X509_new_null();
        if (!issued->client || !issued->chain || !issued->ca)
                return error_set_errno(error, -ENOMEM, "cannot issue a certificate");

        r = add_leaf(plan, &plan->leaf, issued->client, error);
        if (r < 0)
                return r;
        if (fault_is(fault, FAULT_TWO_LEAVES)) {
                second.key = plan->stranger->key;
                r = add_leaf(plan, &second, issued->client, error);
                if (r < 0)
                        return r;
        }

        if (plan->foreign_ca)
                r = pki_list_add(issued->ca, plan->stranger->certificate);
        else
                r = append(issued->ca, ca_chain(ca));
        if (r == 0)
                r = append(issued->chain, issued->client);
        if (r == 0)
                r = append(issued->chain, plan->intermediates);
        if (r == 0)
                r = append(issued->chain, issued->ca);
        return r < 0 ? error_set_errno(error, r, "cannot issue a certificate") : 0;
}

int issue_leaf(struct ca *ca, const struct signing_request *request, usec_t lifetime,
               const struct fault *fault, usec_t now, struct issued *ret, struct error *error) {
        _cleanup_(plan_clear) struct plan plan = { 0 };
        _cleanup_(issued_clear) struct issued issued = { 0 };
        const X509_ALGOR *algorithm;
        int r;

        X509_REQ_get0_signature(request->csr, NULL, &algorithm);
        plan.issuer = ca_issuer(ca, now);
        plan.leaf = (struct pki_request) {
                .usage = PKI_CLIENT,
                .subject = request->subject,
                .key = X509_REQ_get0_pubkey(request->csr),
                .serial = SERIAL,
                .lifetime_usec = lifetime,
                .like = algorithm,
        };
        if (fault) {
                plan.stranger = ca_stranger(ca);
                if (!plan.stranger)
                        return error_set_errno(error, -ENOMEM, "cannot create the CA for a fault");
                r = plan_fault(&plan, fault, error);
                if (r < 0)
                        return r;
        }
        r = commit_plan(ca, &plan, fault, &issued, error);
        if (r < 0)
                return r;
        *ret = issued;
        issued = (struct issued) { 0 };
        return 0;
}
