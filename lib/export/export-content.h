#pragma once

/* What is written: the bytes of an export. For export*.c. */

#include "lib/export/export.h"

/* Bytes that may be a key or a passphrase: cleansed before they are freed. */
struct export_bytes {
        char *data;
        size_t size;
};
void export_bytes_clear(struct export_bytes *bytes);

/* What the export is made of: `contents`, or what stands for none. */
size_t export_contents(const struct export *export, enum export_part ret[EXPORT_PART_MAX]);
bool export_has_key(const struct export *export);

/* PEM or DER of SET. 0, -ENODATA when the set lacks a part, or -errno. */
int export_encode(const struct export *export, const struct set *set, struct export_bytes *ret,
                  struct error *error);

/* The certificates that an export is made of, each once, in its order. */
struct export_certs {
        struct cert_list own, ca; /* of tls.crt and ca.crt */
        struct cert_list old;     /* CAs that are out of use */
        const struct cert *items[3 * CERT_LIST_MAX];
        size_t n;
};
void export_certs_clear(struct export_certs *certs);
int export_certs_load(const struct export *export, const struct set *set, struct export_certs *ret,
                      struct error *error);
