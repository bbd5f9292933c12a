#include "ca/rotation/carry.h"

#include "lib/x509/chain.h"
#include "lib/x509/leaf.h"

#define LEAF_LIFETIME (10 * USEC_PER_MINUTE)

static int make_leaf(const struct carry_ca *ca, const struct key *leaf_key, usec_t now, struct cert_list *ret,
                     struct error *error) {
        _cleanup_(subject_freep) struct subject *subject = NULL;
        _cleanup_(freep) char *pem = NULL;
        int r;

        r = subject_parse("CN=rekeyca-check", &subject, error);
        if (r < 0)
                return r;
        r = leaf_make(&(struct leaf_terms) { .issuer = ca->cert,
                                             .issuer_key = ca->key,
                                             .key = leaf_key,
                                             .subject = subject,
                                             .mark = LEAF_BY_KEY,
                                             .not_before = usec_sub(now, USEC_PER_MINUTE),
                                             .not_after = now + LEAF_LIFETIME },
                      &pem, error);
        return r < 0 ? r : cert_list_parse(pem, strlen(pem), ret, error);
}

int carry_check(const struct carry_ca *ca, const struct key *leaf_key, const char *bundle_pem, usec_t now,
                struct error *error) {
        _cleanup_(cert_list_clear) struct cert_list leaf = { 0 }, anchors = { 0 };
        const struct cert_list none = { 0 };
        int r;

        r = make_leaf(ca, leaf_key, now, &leaf, error);
        if (r == 0)
                r = cert_bundle_parse(bundle_pem, strlen(bundle_pem), &anchors, error);
        if (r < 0)
                return r;
        r = chain_verify(leaf.items[0], &none, &anchors, now, NULL);
        return r == -EKEYREJECTED ? 0 : r < 0 ? r : 1;
}
