/* `rekeyctl status`: the status. overview.c has the table, watch.c the whole screen. */

#include <stdio.h>

#include "ctl/overview.h"
#include "ctl/source.h"
#include "ctl/watch.h"

static int print_json(const struct ctl *ctl, json_t *list) {
        _cleanup_(json_decrefp) json_t *answer = json_pack("{s:O}", "certificates", list);

        return answer ? ctl_print_json(ctl, answer) : ctl_fail(ctl, CTL_FAILED, "out of memory");
}

static int run(struct ctl *ctl) {
        _cleanup_(overview_freep) struct overview *overview = NULL;
        _cleanup_(source_freep) struct source *source = source_new(ctl);
        _cleanup_(json_decrefp) json_t *list = NULL;
        int exit;

        if (!source)
                return CTL_FAILED;
        if (ctl_has(ctl, "watch")) {
                if (!ctl->term.is_terminal || ctl_has(ctl, "json"))
                        return ctl_fail(
                                ctl, CTL_USAGE,
                                "--watch needs a terminal; to print events elsewhere: rekeyctl events");
                return watch_run(ctl, source);
        }

        exit = source_list(source, ctl->arguments, ctl->n_arguments, &list);
        if (exit != CTL_OK)
                return exit;
        if (ctl_has(ctl, "json"))
                return print_json(ctl, list);
        if (overview_new(list, now_usec(CLOCK_REALTIME), source_is_offline(source), &overview) < 0)
                return ctl_fail(ctl, CTL_FAILED, "out of memory");
        if (ctl_has(ctl, "wide"))
                overview_widen(overview);
        if (overview_print(overview, &ctl->term, ctl->n_arguments == 0 && !ctl_has(ctl, "all"), stdout) < 0)
                return ctl_fail(ctl, CTL_FAILED, "out of memory");
        return CTL_OK;
}

static const struct ctl_argument arguments[] = {
        { .name = "NAME", .kind = CTL_CERTIFICATE, .is_optional = true, .repeats = true },
};

static const struct ctl_option options[] = {
        { .name = "all",
          .letter = 'a',
          .help = "also show the certificates that are OK when they do not fit on the screen" },
        { .name = "wide", .help = "also show the subject and the issuer of each" },
        { .name = "watch",
          .letter = 'w',
          .help = "keep running, and redraw after every change; Ctrl-C ends it" },
        { .name = "json", .letter = 'j', .help = "print rekeyd's answer as JSON" },
};

const struct ctl_command command_status = {
        .name = "status",
        .section = CTL_INSPECT,
        .help = "show an overview of all certificates, or of those named",
        .more = "Problems come first; below the table, each has an explanation and the command that fixes "
                "it. A cross marks a certificate that does not work, ! one that needs attention, ~ one that "
                "rekeyd is working on, a tick one that is OK. If rekeyd is not running, the files are read "
                "instead.",
        .arguments = arguments,
        .n_arguments = ELEMENTSOF(arguments),
        .options = options,
        .n_options = ELEMENTSOF(options),
        .run = run,
};
