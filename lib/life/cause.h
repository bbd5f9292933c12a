#pragma once

/* What has made an attempt fail, as far as somebody can mend it, and how. The class of a failure
 * (lib/life/failure.h) says what rekeyd does next; the cause says what its operator does. */

#include <sys/types.h>

#include "lib/util/error.h"

enum cause {
        CAUSE_NONE = 0, /* nothing that one of the others names */

        /* The way to the Connector. */
        CAUSE_DNS,
        CAUSE_NO_LISTENER,
        CAUSE_UNREACHABLE,
        CAUSE_TIMEOUT,
        CAUSE_PROXY,

        /* Its TLS. */
        CAUSE_TLS,
        CAUSE_UNTRUSTED,
        CAUSE_SERVER_EXPIRED,
        CAUSE_SERVER_NAME,
        CAUSE_CLOCK,

        /* What it was asked with. */
        CAUSE_TRUST_FILE,
        CAUSE_URL,
        CAUSE_TOKEN,

        /* This machine's files. */
        CAUSE_DISK_FULL,
        CAUSE_READ_ONLY,
        CAUSE_GROUP,
        CAUSE_OWNER,
        CAUSE_RIGHTS,
        CAUSE_MAX,
};

/* As the state file, the API and the log spell them; that of CAUSE_NONE is "none". */
extern const char *const cause_names[CAUSE_MAX];

/* The cause of that NAME; CAUSE_NONE for NULL and for one that is not known. */
enum cause cause_by_name(const char *name);

/* What a system call's -errno CODE means of this machine's files; CAUSE_NONE for all others. */
enum cause cause_of_errno(int code);

/* How to mend it. */
struct mend {
        const char *text; /* an imperative, without a full stop; NULL: no advice */
        const char
                *command; /* that mends it, or shows what does; "%s" is the certificate's name; NULL: none */
};
const struct mend *cause_mend(enum cause cause);

/* What to put into the unit of the service, and how, "fix: systemctl edit rekeyd, with ..."; owned, NULL when
 * memory is out. A directory that is not there yet is cut to what there is of it; for one on a file system
 * that is read-only itself, "fix: mount -o remount,rw ...". */
char *cause_fix_directory(const char *path);
char *cause_fix_group(gid_t gid);
char *cause_fix_owner(void);

/* ERROR is about files below PATH, which are to have GID and UID, -1 for any: names the fix where the service
 * lacks a right that only its unit can give. The cause, which may be a closer one than cause_of_errno() has.
 */
enum cause cause_explain(const char *path, uid_t uid, gid_t gid, struct error *error);
