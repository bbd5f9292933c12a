#pragma once

/* What tests of exports share: sets with an intermediate, plain exports, and what is always asserted. */

#include "lib/export/export.h"

/* The leaf of key I of x509_key(), which an intermediate (key 2) signed, and a root (key 3) signed that. */
struct material {
        struct set set;
        char *key, *leaf, *intermediate, *root; /* PEM */
};
struct material material_make(unsigned i);
void material_clear(struct material *material);

/* No owner, no group, and the standard mode. */
#define ANYBODY \
        { .uid = (uid_t)-1, .gid = (gid_t)-1, .mode = 0 }

/* Key, leaf and chain; PATH is borrowed. */
struct export pem_to(const char *path);
struct export pkcs12_to(const char *path, const char *passphrase_file);

#define PASSPHRASE "open sesame, please"

/* The export can be written, and is current then. */
void assert_written(const struct export *export, const struct set *set);

/* The check finds nothing, and warns of nothing. */
void assert_checks(const struct export *export);

/* Check and write agree about CODE and TEXT, name the path and no secret, and the file is not current either.
 */
void assert_refused(const struct export *export, const struct set *set, int code, const char *text);
void assert_export_error(const struct error *error, const char *text, const char *path);

/* The names in DIRECTORY, sorted, and what is in one of its files. */
void assert_list(const char *directory, const char *expected);
void assert_file(const char *directory, const char *name, const char *expected);
