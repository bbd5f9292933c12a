#pragma once

/*
 * Where a signer, a trust bundle or a state file is kept: files, or Secrets of a cluster. The engine knows
 * this table only. Nothing here decides; a back-end reads, and writes on condition.
 */

#include "ca/rotation/contents.h"
#include "lib/util/error.h"

#define VERSION_MAX 80 /* the hash of files, the resourceVersion of a Secret; "" for what is not there */

struct backend;

struct backend_ops {
        /* 0 with what is there and its version; -ENOENT; or another -errno with a sentence. */
        int (*read)(struct backend *backend, struct contents *ret, char ret_version[VERSION_MAX],
                    struct error *error);

        /*
         * Writes all of CONTENTS, where the version there is still EXPECTED ("": nothing is there). 0;
         * -ESTALE where it is another one, and then nothing was written; anything else says nothing of what
         * was written.
         */
        int (*write)(struct backend *backend, const struct contents *contents, const char *expected,
                     struct error *error);

        /* Removes what an interrupted write has left. It is one of the N KNOWN contents, or else -ESTALE with
         * a sentence that names it; with KNOWN NULL it may be anything. NULL: nothing is ever left. */
        int (*tidy)(struct backend *backend, const struct contents *const *known, size_t n,
                    struct error *error);

        /* Whether a write would be allowed, without a trace. 0, or -errno with a sentence. */
        int (*check_rights)(struct backend *backend, struct error *error);

        /* *RET: a clause that names another writer, owned, or NULL. 0 or -errno. */
        int (*find_writer)(struct backend *backend, char **ret, struct error *error);

        /* *RET: a clause where nobody is known to read the bundle, owned, or NULL. 0, or -errno where it
         * cannot be found out, with a sentence. NULL: no back-end knows its readers. */
        int (*find_doubt)(struct backend *backend, char **ret, struct error *error);

        /* Keeps other operators out until the back-end is freed; for state files only. 0, or -EBUSY with a
         * sentence that names the holder. */
        int (*lock)(struct backend *backend, struct error *error);

        void (*free)(struct backend *backend);
};

struct backend {
        const struct backend_ops *ops;
        char *name; /* as on the command line, "files:/etc/ca/ca.key,/etc/ca/ca.crt"; owned */
};

static inline struct backend *backend_free(struct backend *backend) {
        if (backend)
                backend->ops->free(backend);
        return NULL;
}
DEFINE_CLEANUP(struct backend *, backend_free);
