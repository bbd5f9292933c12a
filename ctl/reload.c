/*
 * A reload ends with one event; before it there is one for each error. All of them go to whoever listens, so
 * the stream is opened before the request is sent.
 */

#include "ctl/reload.h"

#include <stdio.h>

#include "ctl/change.h"
#include "ctl/follow.h"
#include "ctl/terminal/text.h"
#include "ctl/view.h"

/* As it is, "FILE:LINE:COLUMN: ...", so that editors find the place. */
static void print_mistake(const struct ctl *ctl, const char *message) {
        _cleanup_(freep) char *clean = text_clean(message, ctl->term.is_utf8);

        fprintf(stderr, "%s\n", clean ? clean : "out of memory");
}

static bool is_last(const json_t *event) {
        return json_is_true(json_object_get(event, "final")) ||
               streq_null(view_string(event, "operation"), "reload");
}

/* An exit status when it has ended, or -1. */
static int take_event(const struct ctl *ctl, const json_t *event, bool is_quiet) {
        const char *name = view_string(event, "event"), *message = view_string(event, "message");

        if (!name || !message)
                return -1;
        if (streq(name, "reloaded")) {
                if (!is_quiet)
                        ctl_print(ctl, "%s", message);
                return CTL_OK;
        }
        if (streq(name, "not-reloaded")) {
                if (is_last(event))
                        return ctl_fail(ctl, CTL_FAILED, "%s", message);
                print_mistake(ctl, message);
        } else if (streq(name, "warning") && !view_string(event, "certificate"))
                ctl_warn(ctl, "%s", message);
        return -1;
}

static int follow_to_end(const struct ctl *ctl, struct follow *follow, bool is_quiet) {
        for (;;) {
                _cleanup_(json_decrefp) json_t *event = NULL;
                const enum follow_result result = follow_next(follow, USEC_INFINITY, &event);
                int exit;

                if (result == FOLLOW_EVENT) {
                        exit = take_event(ctl, event, is_quiet);
                        if (exit >= 0)
                                return exit;
                } else if (result != FOLLOW_NOTHING)
                        return ctl_fail(ctl, follow_exit(result), "no result of the reload: %s",
                                        follow_reason(result));
        }
}

int reload_run(struct ctl *ctl, enum reload_mode mode) {
        _cleanup_(follow_end) struct follow follow = { 0 };
        int exit = CTL_OK;

        if (mode != RELOAD_NO_WAIT)
                exit = follow_begin(ctl, NULL, &follow);
        if (exit == CTL_OK)
                exit = change_ask(ctl, "POST", "/v1/reload", NULL, NULL);
        if (exit != CTL_OK)
                return exit;
        return mode == RELOAD_NO_WAIT ? CTL_OK : follow_to_end(ctl, &follow, mode == RELOAD_QUIET);
}
