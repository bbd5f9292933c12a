#pragma once

/*
 * A rotation as tables: why it is done, and the phases that it goes through.
 *
 *                            expiring     certificate-compromised  key-compromised  new-key
 *   planned                                       nothing is changed
 *   staged    key            the old one  the old one              a new one        a new one
 *   trusted   bundle         new + old    new                      new              new + old
 *   signing   signer                     the new key and certificate
 *   renewing                                 the fleet renews
 *   retired   bundle         new          new                      new              new
 *
 * Trust comes before signing, always: a leaf of the new CA never meets a gateway that does not know it. From
 * trusted to renewing it can be rolled back: rolling-back, rolled-back. CAs of others stay in every bundle.
 */

#include "lib/util/macro.h"

enum reason {
        REASON_EXPIRING,
        REASON_CERTIFICATE_COMPROMISED,
        REASON_KEY_COMPROMISED,
        REASON_NEW_KEY,
        REASON_MAX,
};

enum phase {
        PHASE_PLANNED,
        PHASE_STAGED,
        PHASE_TRUSTED,
        PHASE_SIGNING,
        PHASE_RENEWING,
        PHASE_RETIRED,
        PHASE_ROLLING_BACK,
        PHASE_ROLLED_BACK, /* also of what was given up before its first write */
        PHASE_MAX,
};

struct reason_row {
        const char *name;
        const char *help;     /* one line */
        bool has_new_key;     /* the CA gets another key */
        bool replaces_bundle; /* the old CA leaves the bundle before the new one signs */
        bool costs_calls;     /* the leaves in use are rejected until they are enrolled again */
        const char *warning;  /* what this reason does not do, or costs; NULL: none */
};
extern const struct reason_row reason_rows[REASON_MAX];
int reason_parse(const char *name, enum reason *ret); /* 0 or -EINVAL */

extern const char *const phase_names[PHASE_MAX];
int phase_parse(const char *name, enum phase *ret); /* 0 or -EINVAL */

/* No key is kept any more, and another rotation may be planned. */
static inline bool phase_is_end(enum phase phase) {
        return phase == PHASE_RETIRED || phase == PHASE_ROLLED_BACK;
}

/* What a phase is reached by, and the tutorial's step for it ("Rotate the Root CA certificate and key" of
 * the Kyma Central Connector Service). */
struct step_row {
        const char *what[2]; /* without and with a new key */
        const char *why;
        const char *tutorial[REASON_MAX]; /* NULL: the tutorial has no such step */
};
extern const struct step_row step_rows[PHASE_RETIRED + 1];

/* What the step to PHASE does, and why; borrowed. */
const char *step_text(enum reason reason, enum phase phase);
const char *step_why(enum reason reason, enum phase phase);
