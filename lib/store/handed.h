#pragma once

/* A pair that an operator hands over as texts: read, checked, and made current. */

#include "lib/store/store.h"

/* PEM, as somebody has it. NAME is what errors call it: "the key", or the path of its file. */
struct handed_text {
        const char *name;
        const char *text; /* NULL: there is none */
};

/* All is borrowed. The certificates may include intermediates, in any order; CA is optional. */
struct handed {
        struct handed_text key, certificate, ca;
};

/*
 * Reads HANDED as a set: the leaf goes first, and what is no certificate is left out. Takes what import
 * takes, and no pair that does not match, or that does not verify to its CA at any time. NOW chooses among
 * several certificates of the key. Copies of the key are cleansed. 0; -EINVAL or -EBADMSG with a sentence;
 * -ENOMEM.
 */
int handed_read(const struct handed *handed, usec_t now, struct set *ret, struct error *error);

/*
 * Makes SET, from handed_read(), the current generation: 0 in an empty store, else the next one. What was
 * staged is dropped. Files of another origin in the directory are not touched: -EEXIST. 0 or -errno with a
 * sentence; RET is the number.
 */
int handed_publish(struct store *store, const struct set *set, uint64_t *ret, struct error *error);
