#pragma once

/* Which subject the next certificate may have: that of the one before it, unless somebody asks for another.
 */

#include "lib/util/error.h"
#include "lib/x509/subject.h"

/* Texts are canonical, as subject_canonical() has them; all are borrowed, and NULL where there is none. */
struct subject_rule {
        const char *name;       /* of the certificate */
        const char *configured; /* `subject`, in the Connector's form: it decides alone */
        const char *last;       /* of the set in use, or of the last one that was */
        const char *accepted;   /* an operator has accepted it */
        bool is_in_use;         /* `last` is */
        bool takes_any;         /* an operator hands in a token of whichever client */
};

enum subject_verdict {
        SUBJECT_USUAL,   /* the one that is known; or the first one */
        SUBJECT_CHANGED, /* another, and somebody has asked for it */
        SUBJECT_REFUSED, /* another, and nobody has, but somebody may */
        SUBJECT_BARRED,  /* not the one that is configured */
};

/* NEXT is what the Connector names. A verdict, with a sentence for the last two; or -ENOMEM, or -EINVAL for a
 * `configured` that is none. */
int subject_rule_judge(const struct subject_rule *rule, const char *next, struct error *error);
