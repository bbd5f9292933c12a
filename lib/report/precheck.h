#pragma once

/* What will fail later on this machine, found while nothing depends on it: the files, rights and programs
 * that a configuration names, judged with the rights of this process. No network. */

#include "lib/config/config.h"

enum precheck_kind {
        PRECHECK_DROP_IN,    /* files beside the drop-ins that are not read; not of a certificate */
        PRECHECK_TRUST,      /* the file of `trust` */
        PRECHECK_DIRECTORY,  /* can be written to */
        PRECHECK_SPACE,      /* on its file system */
        PRECHECK_RIGHTS,     /* `owner` and `group` can be set */
        PRECHECK_IMPORT,     /* the pair, and whether it can be renewed */
        PRECHECK_EXPORT,     /* and its passphrase file */
        PRECHECK_DEPENDENT,  /* the program or file that `notify` names */
        PRECHECK_KUBERNETES, /* the API server, and what rekeyd may do there: not found here, but added */
        PRECHECK_MAX,
};
extern const char *const precheck_names[PRECHECK_MAX];

/* What is said of one of config->unread. */
#define PRECHECK_UNREAD \
        "%s is not read: the names of drop-ins end in .yaml or .yml; fix: rename it, or move it elsewhere"

/* One result. */
struct precheck {
        enum precheck_kind kind;
        const char *connector, *certificate; /* which it is about, borrowed from the config; NULL: neither */
        bool is_problem;
        char *text; /* what is right, or wrong: one sentence, without the name */
};

struct prechecks {
        struct precheck *items;
        size_t n, n_problems, n_allocated;
};
void prechecks_clear(struct prechecks *prechecks);

/* One more: RESULT, whose text is taken over in any case. 0 or -ENOMEM, also where the text is NULL. */
int prechecks_add(struct prechecks *prechecks, const struct precheck *result);

enum precheck_depth {
        PRECHECK_QUICK, /* problems only, without a look at the files of certificates, which an inspection has
                           anyway */
        PRECHECK_ALL,   /* as an inspection would find them, too; nothing is changed */
};

/* Checks what CONFIG names: for CERTIFICATE and its Connector, or for all where that is NULL. 0, -ENOENT:
 * there is no such certificate, or -ENOMEM. May block on the disk: not for the loop's thread. */
int precheck_run(const struct config *config, const char *certificate, enum precheck_depth depth,
                 struct prechecks *ret);
