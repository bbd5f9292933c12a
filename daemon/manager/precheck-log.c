/* The service runs all the same: what works goes on working, and the operator hears now what would fail at
 * the next renewal, or with a one-time token under way. */

#include "daemon/manager/precheck-log.h"

#include "daemon/observe/events.h"
#include "daemon/observe/messages.h"

#define LINES_MAX 20u

void precheck_log(const struct prechecks *prechecks, struct events *events) {
        unsigned n = 0;

        for (size_t i = 0; i < prechecks->n && n < LINES_MAX; i++) {
                const struct precheck *item = &prechecks->items[i];

                if (!item->is_problem)
                        continue;
                n++;
                events_emit(events, NULL, LOG_WARNING, MESSAGE_WARNING, NULL, 0, "%s%s: %s",
                            item->certificate || !item->connector ? "" : "connector ",
                            item->certificate ? item->certificate
                            : item->connector ? item->connector
                                              : "configuration",
                            item->text);
        }
        if (prechecks->n_problems > n)
                events_emit(events, NULL, LOG_WARNING, MESSAGE_WARNING, NULL, 0,
                            "configuration: %zu more problems; fix: rekeyctl check-config",
                            prechecks->n_problems - n);
}
