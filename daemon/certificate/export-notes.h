#pragma once

/* What the last run over the exports has left: of Secrets, where they stand; of all, the first error. */

#include "daemon/certificate/core.h"
#include "lib/report/report-export.h"

struct exports_run;

struct export_notes {
        struct report_exports secrets;
        char *error;       /* of the first export that could not be written; NULL: none */
        unsigned n_failed; /* as many could not be written */
};
void export_notes_clear(struct export_notes *notes);

/* How many exports of RUN are not what they should be. */
unsigned export_notes_count(const struct exports_run *run, const struct core *core);

/* Takes the results of RUN, NULL for none, before it is freed; what failed is tried again in WAIT_USEC, 0:
 * not. When memory is out, less is known. */
void export_notes_take(struct export_notes *notes, const struct exports_run *run, const struct core *core,
                       usec_t wait_usec);
