#include "lib/report/report-export.h"

#include <errno.h>

void report_exports_clear(struct report_exports *exports) {
        for (size_t i = 0; i < exports->n; i++) {
                free(exports->items[i].secret);
                free(exports->items[i].error);
        }
        free(exports->items);
        *exports = (struct report_exports) { 0 };
}

static int copy(const char *from, char **ret) {
        *ret = from ? strdup(from) : NULL;
        return from && !*ret ? -ENOMEM : 0;
}

int report_exports_copy(const struct report_exports *from, struct report_exports *ret) {
        struct report_exports made = { .items = calloc(from->n + 1, sizeof(*made.items)) };
        int r = made.items ? 0 : -ENOMEM;

        for (; r == 0 && made.n < from->n; made.n++) {
                struct report_export *item = &made.items[made.n];
                const struct report_export *source = &from->items[made.n];

                *item = *source;
                item->error = NULL;
                r = copy(source->secret, &item->secret);
                if (r == 0)
                        r = copy(source->error, &item->error);
        }
        if (r < 0) {
                report_exports_clear(&made);
                made = (struct report_exports) { 0 };
        }
        *ret = made;
        return r;
}

const struct report_export *report_exports_find(const struct report_exports *exports,
                                                const struct export *export) {
        for (size_t i = 0; exports && i < exports->n; i++)
                if (exports->items[i].layout == export->layout &&
                    streq(exports->items[i].secret, export->secret))
                        return &exports->items[i];
        return NULL;
}
