/* After a failure there are few things to do, and the class of the failure says which. verdict.c has the same
 * for how a certificate stands; here it is about what was just tried. */

#include "ctl/remedy.h"

#include <stdio.h>

#include "ctl/text.h"
#include "ctl/view.h"

static const struct row {
        const char *event, *failure; /* NULL: any */
        const char *text;
        const char *command; /* NULL: what was tried; "" none */
} rows[] = {
        { "over-budget", NULL, "what makes it renew again and again shows", "rekeyctl history %s" },
        { "failed", "transient", "whether and when rekeyd tries again by itself shows",
          "rekeyctl status %s" },
        { "failed", "refused", "ask those who run the Connector, and then", NULL },
        { "failed", "rejected", "get a new one-time token, and then", "rekeyctl enrol %s" },
        { "failed", "bad-reply", "if it stays so, ask those who run the Connector, and tell them what shows",
          "rekeyctl history %s" },
        { "failed", "local", "mend that, and then", NULL },
        { "failed", NULL, "how it stands shows", "rekeyctl show %s" },
};

static bool applies(const struct row *row, const json_t *event) {
        return streq_null(row->event, view_string(event, "event")) &&
               (!row->failure || streq_null(row->failure, view_string(event, "failure")));
}

char *remedy_find(const json_t *event, const char *name, const char *try_again) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *command = NULL;
                char *text = NULL;

                if (!applies(&rows[i], event))
                        continue;
                command = text_fill(rows[i].command ? rows[i].command : try_again, name);
                if (!command)
                        return NULL;
                return asprintf(&text, "%s: %s", rows[i].text, command) < 0 ? NULL : text;
        }
        return NULL;
}
