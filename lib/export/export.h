#pragma once

/* Exports: extra copies of the current set, for dependents that cannot use its directory. */

#include "lib/store/store.h"

#define EXPORT_PASSPHRASE_MAX 1024u /* bytes of a passphrase file */

enum export_format {
        EXPORT_PEM,    /* the contents one after the other, in the order given */
        EXPORT_DER,    /* the key (PKCS#8) or the leaf */
        EXPORT_PKCS12, /* what Java calls a keystore */
        EXPORT_FORMAT_MAX,
};
extern const char *const export_format_names[EXPORT_FORMAT_MAX];

/* A certificate that is meant by two of them is written once, where it comes first. */
enum export_part {
        EXPORT_KEY,
        EXPORT_LEAF,
        EXPORT_CHAIN, /* the intermediates, none where a self-signed CA signed the leaf */
        EXPORT_CA,
        EXPORT_PART_MAX,
};
extern const char *const export_part_names[EXPORT_PART_MAX];

/* The values of a Kubernetes Secret, for those who read it. */
enum export_layout {
        EXPORT_LAYOUT_NONE, /* it is a file */
        EXPORT_TLS,  /* tls.key, tls.crt, ca.crt, of type kubernetes.io/tls: ingress controllers, most others
                      */
        EXPORT_KYMA, /* key, crt, crtChain: as Kyma's runtime agent writes them */
        EXPORT_ISTIO_CA, /* cacert: the CA alone, for the gateways of Istio */
        EXPORT_LAYOUT_MAX,
};
extern const char *const export_layout_names[EXPORT_LAYOUT_MAX];

/* One export as the configuration has it: a file, or a Secret, for which only LAYOUT and ca_overlap count.
 * Strings are borrowed. */
struct export {
        const char *path;   /* absolute; the directory exists; NULL: SECRET is set */
        const char *secret; /* "NAMESPACE/NAME" */
        enum export_layout layout;
        enum export_format format;
        enum export_part contents[EXPORT_PART_MAX];
        size_t n_contents;           /* 0: key, leaf, chain; not for DER */
        const char *passphrase_file; /* PKCS#12 only, required there: its first line */
        const char *friendly_name;   /* PKCS#12 only: Java's alias, the certificate's name unless asked
                                        otherwise; NULL: none */
        usec_t ca_overlap_usec; /* with EXPORT_CA: how long an old CA stays in it; see set.old_ca_pem; 0: not
                                 */
        struct file_access access; /* mode 0: 0600 with a key in it, else 0644 */
        bool legacy;               /* PKCS#12 only: 3DES and SHA-1, for Java before 8u301 and 11.0.12 */
        bool in_place;             /* overwrite a file that is there instead of replacing it; not atomic */
};

/* What it is called in texts: the path, or the "NAMESPACE/NAME". Borrowed. */
static inline const char *export_name(const struct export *export) {
        return export->secret ? export->secret : export->path;
}

/*
 * What the options say together; touches no file. The text begins with the option, "'contents' must be ...".
 * An export with a key in it must keep others out. 0 or -EINVAL.
 *
 * All other functions here are for files; export-secret.h is for Secrets.
 */
int export_validate(const struct export *export, struct error *error);

/*
 * Finds out whether the export could be written, before a new certificate is requested: all that
 * export_write() refuses, the passphrase file, the right to write there and to give files to that owner and
 * group, and room; with SET, which may be NULL, also whether it has what the export is made of. Leaves
 * nothing behind and removes what a crash left; a file that is written in place gets its owner, group and
 * mode here already. *RET_WARNING, owned, is a sentence or NULL: the passphrase is world-readable. 0 or
 * -errno. May block on the disk: not for the loop's thread.
 */
int export_check(const struct export *export, const struct set *set, char **ret_warning, struct error *error);

/* The same of what can be seen without a change, while others may write the export: for a configuration that
 * is not in use yet. Room is not looked for. */
int export_foresee(const struct export *export, char **ret_warning, struct error *error);

/*
 * Whether the file holds what export_write() would write, for the same people: PEM and DER byte for byte; a
 * PKCS#12 file, which is salted, opens with the passphrase and has the same key, certificates, name and
 * algorithms. False as well when that is unknown: export_write() then has the reason.
 */
bool export_is_current(const struct export *export, const struct set *set);

/* The same with the reason: 1 where it is current; 0 where the file has something else in it; or -errno with
 * a sentence: -ENOENT where there is none, -ESTALE where it is not for the same people, -EACCES where this
 * user may not read it or its passphrase, -ENOKEY for an export of the key and a SET without one. Read-only.
 */
int export_compare(const struct export *export, const struct set *set, struct error *error);

/*
 * Writes the export. The file is replaced by a rename, so that readers see the old or the new one, durably,
 * with its owner, group and mode set before the first byte.
 *
 * Refused with a sentence: a directory that another user than root, this process's user and the export's
 * owner could write to; a path that is not a regular file, in particular a symbolic link, whose target may be
 * another user's; a file that is mounted by itself (a bind mount of one file in a container), which no rename
 * can replace, unless `in_place` is set.
 *
 * In place, a reader may see half of it, and after a crash all readers may, until it is written again:
 * export_is_current() notices. A reader that has the old file open keeps it. It is refused for files with
 * several names. Where there is no file, one is made as above. 0; -ENODATA when the set lacks what the export
 * is made of; or -errno.
 */
int export_write(const struct export *export, const struct set *set, struct error *error);
