#pragma once

/* What a place holds: one text, or a key and the certificate that belongs to it. */

#include "lib/util/macro.h"

#define CONTENTS_MAX 2

/* For the signer. A trust bundle and a state file have one text, the first. */
enum { SIGNER_KEY, SIGNER_CERTIFICATE };

/* Owned; NULL past the last. Whatever there is may be a key, so all is cleansed. */
struct contents {
        char *texts[CONTENTS_MAX];
};
void contents_clear(struct contents *contents);

/* Copies of A and B, which may be NULL. 0 or -ENOMEM; then *RET is empty. */
int contents_make(const char *a, const char *b, struct contents *ret);

bool contents_equal(const struct contents *a, const struct contents *b);

/* Each text is that of A or that of B: what a kill leaves of a place that is two files. Where A and B are
 * equal, no other is. */
bool contents_between(const struct contents *contents, const struct contents *a, const struct contents *b);
