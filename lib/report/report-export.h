#pragma once

/* What rekeyd knows of exports to Secrets. A file can be looked at by others; a Secret only by who may call
 * the API server. */

#include "lib/export/export.h"
#include "lib/util/time.h"

/* Strings are owned. */
struct report_export {
        char *secret; /* "NAMESPACE/NAME"; with the layout, which export it is */
        enum export_layout layout;
        bool is_known, is_current; /* the second: it has the current set, as far as the first holds */
        uint64_t generation;       /* that it has, where it is current; else that it should have */
        usec_t written_at;         /* CLOCK_REALTIME; 0: not since rekeyd started */
        usec_t next_attempt;       /* CLOCK_REALTIME; 0: none is planned */
        char *error;               /* why it could not be read or written; NULL: it could */
};

struct report_exports {
        struct report_export *items;
        size_t n;
};
void report_exports_clear(struct report_exports *exports);

/* 0, or -ENOMEM with *RET empty. */
int report_exports_copy(const struct report_exports *from, struct report_exports *ret);

/* What is known of EXPORT, a Secret; NULL: nothing. EXPORTS may be NULL. */
const struct report_export *report_exports_find(const struct report_exports *exports,
                                                const struct export *export);
