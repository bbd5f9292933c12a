/*
 * A rotation of the CA, seen from a set. The operator says which CA is not trusted any more, or from when on
 * all is new; what follows for a set is found anew each time, from the set itself. So nothing is pending: a
 * set that was replaced in the meantime, by whomever, is not replaced again, and what is taken out of the
 * configuration is forgotten.
 */

#include "lib/life/replacement.h"

#include <stdio.h>

#include "lib/util/quote.h"

const char *const replacement_names[REPLACEMENT_MAX] = {
        [REPLACEMENT_CERTIFICATE] = "distrusted-ca",
        [REPLACEMENT_KEY] = "distrusted-ca-key",
        [REPLACEMENT_AGE] = "issued-before",
};

enum replacement replacement_find(const struct replacement_rule *rule, const struct issuers *issuers,
                                  usec_t not_before, const struct issuer **ret_issuer) {
        bool is_key = false;

        *ret_issuer = issuers_find(issuers, rule->distrust, &is_key);
        if (*ret_issuer)
                return is_key ? REPLACEMENT_KEY : REPLACEMENT_CERTIFICATE;
        return not_before < rule->issued_before ? REPLACEMENT_AGE : REPLACEMENT_NONE;
}

usec_t replacement_from(const struct replacement_rule *rule, enum replacement replacement, usec_t since) {
        if (replacement == REPLACEMENT_NONE)
                return 0;
        /* What is said of the future holds when it has come: before, a new set would be as old as this one.
         */
        return replacement == REPLACEMENT_AGE && since < rule->issued_before ? rule->issued_before : since;
}

char *replacement_text(const struct replacement_rule *rule, enum replacement replacement,
                       const struct issuer *issuer) {
        char hex[FINGERPRINT_HEX], when[TIMESTAMP_MAX], *text = NULL;
        int n = -1;

        switch (replacement) {
        case REPLACEMENT_CERTIFICATE:
                n = asprintf(&text,
                             "its CA '%s' (sha256 %.16s...) is distrusted, see `distrust` of connector %s",
                             quoted(issuer->subject), hex_format(hex, issuer->fingerprint, FINGERPRINT_SIZE),
                             rule->connector);
                break;
        case REPLACEMENT_KEY:
                n = asprintf(&text,
                             "the key of its CA '%s' (spki:%.16s...) is distrusted, see `distrust` of "
                             "connector %s",
                             quoted(issuer->subject), hex_format(hex, issuer->spki, SPKI_HASH_SIZE),
                             rule->connector);
                break;
        case REPLACEMENT_AGE:
                n = asprintf(&text, "it was issued before %s, see `renew_issued_before` of connector %s",
                             format_timestamp(when, rule->issued_before), rule->connector);
                break;
        case REPLACEMENT_NONE:
        case REPLACEMENT_MAX:
                break;
        }
        return n < 0 ? NULL : text;
}
