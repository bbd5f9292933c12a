/* `rekeyctl enrol`: a first certificate, or a new one after the end of the last, by a one-time token. */

#include <stdio.h>

#include "ctl/change.h"
#include "ctl/operation.h"
#include "ctl/terminal/question.h"
#include "ctl/token.h"
#include "ctl/view.h"
#include "lib/util/json.h"

/* {"token": "..."} in memory that is cleansed when it is freed, as that of all that json_read() makes. */
static json_t *make_body(const struct ctl *ctl, const char *token) {
        json_t *body;

        if (json_read("{}", 2, 2, &body, NULL) < 0)
                return NULL;
        if (json_object_set_new(body, "token", json_string(token)) < 0 ||
            (ctl_has(ctl, "force") && json_object_set_new(body, "force", json_true()) < 0)) {
                json_decref(body);
                return NULL;
        }
        return body;
}

/* As rekeyd sees it: a rejected certificate is not usable, however long it is valid. */
static bool can_be_used(const json_t *details) {
        return json_is_true(json_object_get(details, "usable")) &&
               !streq_null(view_string(details, "state"), "waiting-for-token") &&
               !streq_null(view_string(details, "failure"), "rejected");
}

/* Before an operator types a token: whether rekeyd runs, has this certificate, and would take the token. */
static int look_up(struct ctl *ctl) {
        _cleanup_(json_decrefp) json_t *details = NULL;
        int exit;

        exit = change_read(ctl, ctl->arguments[0], &details);
        if (exit == CTL_OK && can_be_used(details) && !ctl_has(ctl, "force"))
                return ctl_fail(ctl, CTL_NOT_NOW, "%s has a usable certificate; renew it, or use --force",
                                ctl->arguments[0]);
        return exit;
}

static int run(struct ctl *ctl) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(json_decrefp) json_t *body = NULL;
        const char *file = ctl->n_arguments > 1 ? "-" : ctl_text(ctl, "token-file");
        bool is_waiting;
        char *token;
        int r, exit;

        if (ctl->n_arguments > 1 && !streq(ctl->arguments[1], "-"))
                return ctl_fail(ctl, CTL_USAGE,
                                "enrol: a one-time token must not be an argument, since every user of this "
                                "machine can read it there; use --token-file, or -");
        if (ctl->n_arguments > 1 && ctl_has(ctl, "token-file"))
                return ctl_fail(ctl, CTL_USAGE, "enrol: --token-file and - contradict each other");
        if (!change_wants_wait(ctl, &is_waiting))
                return CTL_USAGE;
        if (!file && question_is_possible()) {
                exit = look_up(ctl);
                if (exit != CTL_OK)
                        return exit;
        }
        r = token_read(file, ctl->arguments[0], ctl_usec(ctl, "timeout"), &token, &error);
        if (r < 0)
                return ctl_fail(ctl,
                                r == -ENOTTY   ? CTL_USAGE
                                : r == -EACCES ? CTL_DENIED
                                               : CTL_FAILED,
                                "%s", error_text(&error));
        body = make_body(ctl, token);
        free_secret(token);
        if (!body)
                return ctl_fail(ctl, CTL_FAILED, "out of memory");

        return operation_run(ctl, &(struct operation) {
                                          .name = "enrol",
                                          .asked = "enrolment requested",
                                          .try_again = "rekeyctl enrol %s",
                                          .body = &body,
                                          .certificates = ctl->arguments,
                                          .n_certificates = 1,
                                  });
}

static const struct ctl_argument arguments[] = {
        { .name = "NAME", .kind = CTL_CERTIFICATE },
        { .name = "-", .kind = CTL_TEXT, .is_optional = true },
};

static const struct ctl_option options[] = {
        { .name = "token-file",
          .kind = CTL_FILE,
          .argument = "FILE",
          .help = "read the one-time token from FILE; - is standard input" },
        { .name = "force",
          .letter = 'f',
          .help = "enrol even if the certificate is usable, or the token another client's" },
        CHANGE_OPTIONS,
};

const struct ctl_command command_enrol = {
        .name = "enrol",
        .section = CTL_CHANGE,
        .help = "get a certificate with a one-time token",
        .more = "Without --token-file and -, rekeyctl prompts for the token on the terminal and does not "
                "show it. The token is never an argument: every user of the machine could read it there.",
        .arguments = arguments,
        .n_arguments = ELEMENTSOF(arguments),
        .options = options,
        .n_options = ELEMENTSOF(options),
        .run = run,
};
