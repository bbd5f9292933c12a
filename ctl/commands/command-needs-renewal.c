/* `rekeyctl needs-renewal`: one question for scripts, answered by the exit status. */

#include <stdio.h>

#include "ctl/source.h"
#include "ctl/terminal/format.h"
#include "ctl/view.h"

enum { NEEDED = 0, NOT_NEEDED = 1, UNDECIDED = 2 };

/* Why it does, NULL: it does not. */
static const char *find_reason(const struct view *view, usec_t now, usec_t within_usec, bool by_expiry) {
        const usec_t until = usec_add(now, within_usec);

        if (view->knowledge == SET_NONE)
                return "there is no certificate";
        if (view->is_revoked)
                return "it is revoked";
        if (view->not_after <= now)
                return "it has expired";
        if (streq_null(view->failure, "rejected"))
                return "the Connector rejects it";
        if (by_expiry)
                return view->not_after <= until ? "it expires within that time" : NULL;
        return view->renew_at > 0 && view->renew_at <= now ? "it is due" : NULL;
}

static int answer(const struct ctl *ctl, const json_t *details) {
        const usec_t now = now_usec(CLOCK_REALTIME);
        _cleanup_(json_decrefp) json_t *json = NULL;
        char moment[MOMENT_MAX];
        const char *reason;
        struct view view;

        view_read(details, &view);
        if (view.knowledge != SET_NONE && view.knowledge != SET_KNOWN)
                return ctl_fail(ctl, UNDECIDED, "%s: the set is not known: %s", ctl->arguments[0],
                                view.problem ? view.problem : "it was not inspected yet");
        reason = find_reason(&view, now, ctl_usec(ctl, "expires-within"), ctl_has(ctl, "expires-within"));
        if (ctl_has(ctl, "json")) {
                json = json_pack("{s:s, s:b, s:s?, s:O?, s:O?}", "certificate", ctl->arguments[0],
                                 "needs_renewal", reason != NULL, "reason", reason, "not_after",
                                 json_object_get(details, "not_after"), "renew_at",
                                 json_object_get(details, "renew_at"));
                if (ctl_print_json(ctl, json) != CTL_OK)
                        return UNDECIDED;
        } else if (reason)
                ctl_print(ctl, "%s: yes: %s", ctl->arguments[0], reason);
        else
                ctl_print(ctl, "%s: no: valid until %s", ctl->arguments[0],
                          format_moment(moment, view.not_after, now));
        return reason ? NEEDED : NOT_NEEDED;
}

static int run(struct ctl *ctl) {
        _cleanup_(source_freep) struct source *source = source_new(ctl);
        _cleanup_(json_decrefp) json_t *details = NULL;
        int exit;

        if (!source)
                return UNDECIDED;
        exit = source_details(source, ctl->arguments[0], &details);
        /* 1 is an answer here. */
        if (exit != CTL_OK)
                return exit == CTL_FAILED ? UNDECIDED : exit;
        return answer(ctl, details);
}

static const struct ctl_argument arguments[] = {
        { .name = "NAME", .kind = CTL_CERTIFICATE },
};

static const struct ctl_option options[] = {
        { .name = "expires-within",
          .kind = CTL_DURATION,
          .argument = "DURATION",
          .help = "whether it expires within that time, instead of whether it is due" },
        { .name = "json", .letter = 'j', .help = "print the answer as JSON" },
};

const struct ctl_command command_needs_renewal = {
        .name = "needs-renewal",
        .section = CTL_INSPECT,
        .help = "report by exit status whether a renewal is due",
        .more = "0: yes, or there is no usable certificate; 1: no; 2: that cannot be determined; others as "
                "for all commands. rekeyd renews automatically; this is for scripts.",
        .arguments = arguments,
        .n_arguments = ELEMENTSOF(arguments),
        .options = options,
        .n_options = ELEMENTSOF(options),
        .run = run,
};
