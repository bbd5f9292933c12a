/* `rekeyctl revoke`: it cannot be undone, so the operator has to confirm exactly this certificate. */

#include <stdio.h>

#include "ctl/change.h"
#include "ctl/operation.h"
#include "ctl/terminal/format.h"
#include "ctl/terminal/question.h"
#include "ctl/terminal/table.h"
#include "ctl/view.h"

static const struct table_column columns[] = { { .title = NULL }, { .title = NULL } };

static int print_certificate(const struct ctl *ctl, const json_t *details) {
        const struct term term = term_detect(STDERR_FILENO);
        _cleanup_(table_freep) struct table *table = table_new(&term, columns, ELEMENTSOF(columns));
        const char *subject = view_string(json_object_get(details, "set"), "subject");
        char moment[MOMENT_MAX];
        struct view view;
        const struct {
                const char *title, *text;
        } rows[] = {
                { "certificate", ctl->arguments[0] },
                { "subject", subject ? subject : "unknown" },
                { "fingerprint", view_string(details, "fingerprint") },
        };

        view_read(details, &view);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                table_row(table);
                table_cell(table, TERM_FAINT, "%s", rows[i].title);
                table_cell(table, TERM_PLAIN, "%s", rows[i].text ? rows[i].text : "none");
        }
        table_row(table);
        table_cell(table, TERM_FAINT, "valid until");
        table_cell(table, TERM_PLAIN, "%s", format_moment(moment, view.not_after, now_usec(CLOCK_REALTIME)));
        return table_print(table, stderr, 2);
}

static int confirm(struct ctl *ctl) {
        _cleanup_(json_decrefp) json_t *details = NULL;
        int exit;

        if (!question_is_possible())
                return ctl_fail(ctl, CTL_USAGE,
                                "revoke: no terminal to ask for confirmation; to revoke the certificate of "
                                "%s anyway: rekeyctl revoke --yes %s",
                                ctl->arguments[0], ctl->arguments[0]);
        exit = change_read(ctl, ctl->arguments[0], &details);
        if (exit != CTL_OK)
                return exit;
        if (print_certificate(ctl, details) < 0)
                return ctl_fail(ctl, CTL_FAILED, "out of memory");
        if (!question_confirm(
                    "This cannot be undone, and a new certificate needs a one-time token. Revoke it?"))
                return ctl_fail(ctl, CTL_FAILED, "nothing was revoked");
        return CTL_OK;
}

static int run(struct ctl *ctl) {
        bool is_waiting;
        int exit;

        if (!change_wants_wait(ctl, &is_waiting))
                return CTL_USAGE;
        if (!ctl_has(ctl, "yes")) {
                exit = confirm(ctl);
                if (exit != CTL_OK)
                        return exit;
        }
        return operation_run(ctl, &(struct operation) {
                                          .name = "revoke",
                                          .asked = "revocation requested",
                                          .try_again = "rekeyctl revoke %s",
                                          .certificates = ctl->arguments,
                                          .n_certificates = 1,
                                  });
}

static const struct ctl_argument arguments[] = {
        { .name = "NAME", .kind = CTL_CERTIFICATE },
};

static const struct ctl_option options[] = {
        { .name = "yes", .letter = 'y', .help = "do not ask for confirmation" },
        CHANGE_OPTIONS,
};

const struct ctl_command command_revoke = {
        .name = "revoke",
        .section = CTL_CHANGE,
        .help = "revoke the current certificate at the Connector",
        .more = "Shows the certificate and asks for confirmation first; without a terminal --yes is "
                "required. The files and open connections stay, but the certificate can no longer be "
                "renewed: `rekeyctl enrol` gets a new one with a one-time token.",
        .arguments = arguments,
        .n_arguments = ELEMENTSOF(arguments),
        .options = options,
        .n_options = ELEMENTSOF(options),
        .run = run,
};
