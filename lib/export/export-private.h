#pragma once

/* Shared by the files of export; nobody else includes it. */

#include <sys/stat.h>

#include "lib/export/export.h"

#define EXPORT_SIZE_MAX (1024u * 1024) /* of a file that is compared: larger than any set */

/* Bytes that may be a key or a passphrase: cleansed before they are freed. */
struct export_bytes {
        char *data;
        size_t size;
};
void export_bytes_clear(struct export_bytes *bytes);

/* --- What is written: export-content.c --- */

/* What the export is made of: `contents`, or what stands for none. */
size_t export_contents(const struct export *export, enum export_part ret[EXPORT_PART_MAX]);
bool export_has_key(const struct export *export);

/* PEM or DER of SET. 0, -ENODATA when the set lacks a part, or -errno. */
int export_encode(const struct export *export, const struct set *set, struct export_bytes *ret,
                  struct error *error);

/* The certificates that an export is made of, each once, in its order. */
struct export_certs {
        struct cert_list own, ca; /* of tls.crt and ca.crt */
        const struct cert *items[2 * CERT_LIST_MAX];
        size_t n;
};
void export_certs_clear(struct export_certs *certs);
int export_certs_load(const struct export *export, const struct set *set, struct export_certs *ret,
                      struct error *error);

/* --- PKCS#12: export-pkcs12.c --- */

int export_pkcs12_encode(const struct export *export, const struct set *set, const char *passphrase,
                         struct export_bytes *ret, struct error *error);

/* Whether FILE, opened with PASSPHRASE, is what export_pkcs12_encode() makes, but for the salt. */
bool export_pkcs12_equal(const struct export *export, const struct set *set, const char *passphrase,
                         const struct export_bytes *file);

/* --- Where it is written: export-target.c --- */

struct export_target {
        int dir_fd;
        const char *name; /* in the directory; borrowed from the path */
        struct statx directory;
        bool exists;
};
void export_target_clear(struct export_target *target);

/* Owner, group and mode, with the standard mode filled in. */
struct file_access export_access(const struct export *export);

/* Opens the directory and refuses what must not be written to. */
int export_target_open(const struct export *export, struct export_target *ret, struct error *error);

/* Tries, without a trace, whether SIZE bytes could be written. */
int export_target_try(const struct export *export, const struct export_target *target, size_t size,
                      struct error *error);

int export_target_write(const struct export *export, const struct export_target *target,
                        const struct export_bytes *bytes, struct error *error);

/* The file's bytes, if its owner, group and mode are as asked; -ESTALE if they are not. */
int export_target_read(const struct export *export, const struct export_target *target,
                       struct export_bytes *ret);
