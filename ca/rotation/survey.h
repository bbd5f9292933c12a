#pragma once

/* What is wrong with a signer and its bundles before anything is written, and which reason fits. Pure. */

#include "ca/rotation/contents.h"
#include "ca/rotation/phase.h"
#include "lib/util/error.h"
#include "lib/util/time.h"
#include "lib/x509/cert.h"

enum finding_kind {
        FINDING_NOTE,   /* good to know */
        FINDING_WRITER, /* another program writes there: refused unless the operator takes over */
        FINDING_UNREAD, /* no gateway is known to read it: refused in the same way */
        FINDING_WRONG,  /* must be put right first */
        FINDING_MAX,
};
extern const char *const finding_names[FINDING_MAX];

struct finding {
        enum finding_kind kind;
        char *text; /* one sentence */
};

struct survey {
        struct cert *ca; /* the first certificate of the signer; NULL: unreadable */
        struct finding *findings;
        size_t n_findings;
        bool has_reason; /* one of the reasons fits what was found */
        enum reason reason;
};
void survey_clear(struct survey *survey);

/* One more; 0 or -ENOMEM. */
int survey_add(struct survey *survey, enum finding_kind kind, const char *format, ...) _printf_(3, 4);

/* The signer called NAME. LEAF_LIFETIME is the longest that it issues. 0 or -ENOMEM. */
int survey_signer(struct survey *survey, const char *name, const struct contents *signer,
                  usec_t leaf_lifetime, usec_t now);

/* A bundle, after the signer. 0 or -ENOMEM. */
int survey_trust(struct survey *survey, const char *name, const struct contents *trust, usec_t now);

/* Times for a CA certificate after OLD: notBefore is back-dated by SKEW; LIFETIME 0 is that of OLD,
 * from now on. 0; or
 * -EINVAL where it would not outlive a leaf, or, for an expiring CA, OLD. */
int survey_times(enum reason reason, const struct cert *old, usec_t lifetime, usec_t leaf_lifetime,
                 usec_t skew, usec_t now, usec_t *ret_not_before, usec_t *ret_not_after, struct error *error);

/* 0, or -EPERM with the first finding that prevents a rotation. */
int survey_judge(const struct survey *survey, bool takes_over, struct error *error);
