#pragma once

/* What readers of a certificate's directory find, byte for byte: to tell that a failure changed nothing. */

#include "lib/util/time.h"

enum { SNAPSHOT_FILES = 4 };

struct snapshot {
        char *generation;            /* what `..data` points to; NULL where there is no set */
        char *files[SNAPSHOT_FILES]; /* tls.key, tls.crt, ca.crt, connection.json; NULL where missing */
};

/* Reads the set in DIRECTORY by the names that readers use. */
struct snapshot snapshot_take(const char *directory);
void snapshot_clear(struct snapshot *snapshot);

/* NULL when A and B are the same set, or the name of what differs first. */
const char *snapshot_difference(const struct snapshot *a, const struct snapshot *b);

/* NULL when key, leaf and chain belong together, or what is wrong. *RET_EXPIRY: notAfter of the leaf; may be
 * NULL. */
const char *snapshot_mismatch(const struct snapshot *snapshot, usec_t *ret_expiry);

/* The staged key in DIRECTORY as PEM, owned by the caller; NULL when nothing is staged. */
char *staged_key(const char *directory);
