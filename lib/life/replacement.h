#pragma once

/* Why a set is replaced before its age makes it due: after a rotation of the CA that has signed it. */

#include "lib/util/error.h"
#include "lib/x509/issuers.h"

enum replacement {
        REPLACEMENT_NONE,
        REPLACEMENT_CERTIFICATE, /* it is issued under a CA certificate that is not trusted any more */
        REPLACEMENT_KEY,         /* on a CA whose key is not: nobody accepts the set any more */
        REPLACEMENT_AGE,         /* it was issued before a certain instant */
        REPLACEMENT_MAX,
};
extern const char *const replacement_names[REPLACEMENT_MAX]; /* "distrusted-ca"; NULL for REPLACEMENT_NONE */

/* What a Connector's configuration says; all is borrowed. */
struct replacement_rule {
        const char *connector;
        const char *const *distrust; /* texts of issuer_id_parse(), the last is NULL; NULL: none */
        usec_t issued_before;        /* CLOCK_REALTIME; 0: any time will do */
};

/* Why a set that is issued under ISSUERS (NULL: not known), with a leaf that is valid from NOT_BEFORE, is to
 * be replaced. A distrusted CA goes before the age; *RET_ISSUER is that CA, of ISSUERS, else NULL. */
enum replacement replacement_find(const struct replacement_rule *rule, const struct issuers *issuers,
                                  usec_t not_before, const struct issuer **ret_issuer);

/* From when on it is to be replaced, for schedule_replacement(): since SINCE, when that was first found; for
 * its age not before the instant that the rule names. */
usec_t replacement_from(const struct replacement_rule *rule, enum replacement replacement, usec_t since);

/* "its CA 'CN=Kyma' (sha256 46a6eadb...) is distrusted, see `distrust` of connector ucl"; owned, NULL when
 * memory is out or for REPLACEMENT_NONE. */
char *replacement_text(const struct replacement_rule *rule, enum replacement replacement,
                       const struct issuer *issuer);
