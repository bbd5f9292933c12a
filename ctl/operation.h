#pragma once

/* The same request for one or many certificates, and its outcome. */

#include "ctl/ctl.h"

struct operation {
        const char *name;      /* the last part of the path, and `operation` of the event that ends it */
        const char *asked;     /* "renewal requested", for --no-wait */
        const char *try_again; /* the command, "rekeyctl renew %s"; for what to do after a failure; NULL: the
                                * message says all */
        bool is_quiet;         /* only what fails is printed */
        bool is_planned;       /* no event ends it, so nothing is waited for */
        json_t **body;         /* may be NULL; is released as soon as all requests are sent */
        const char *const *certificates;
        size_t n_certificates;
};

/* Asks, and waits for the end unless --no-wait says otherwise. CTL_OK; the exit status that all failures have
 * in common; or CTL_FAILED. Each outcome was printed. */
int operation_run(struct ctl *ctl, const struct operation *operation);
