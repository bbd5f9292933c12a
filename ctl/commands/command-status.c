/* `rekeyctl status`: how things stand. overview.c has the table, watch.c the whole screen. */

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
                        return ctl_fail(ctl, CTL_USAGE,
                                        "--watch draws on a terminal; rekeyctl events prints what happens");
                return watch_run(ctl, source);
        }

        exit = source_list(source, ctl->arguments, ctl->n_arguments, &list);
        if (exit != CTL_OK)
                return exit;
        if (ctl_has(ctl, "json"))
                return print_json(ctl, list);
        if (overview_new(list, now_usec(CLOCK_REALTIME), source_is_offline(source), &overview) < 0 ||
            overview_print(overview, &ctl->term, ctl->n_arguments == 0 && !ctl_has(ctl, "all"), stdout) < 0)
                return ctl_fail(ctl, CTL_FAILED, "out of memory");
        return CTL_OK;
}

static const struct ctl_argument arguments[] = {
        { .name = "NAME", .kind = CTL_CERTIFICATE, .is_optional = true, .repeats = true },
};

static const struct ctl_option options[] = {
        { .name = "all",
          .letter = 'a',
          .help = "those that are fine as well, when they do not fit the screen" },
        { .name = "watch", .letter = 'w', .help = "stay, and draw anew whatever happens; Ctrl-C ends it" },
        { .name = "json", .letter = 'j', .help = "print what rekeyd answers, as JSON" },
};

const struct ctl_command command_status = {
        .name = "status",
        .section = CTL_INSPECT,
        .help = "show all certificates at a glance, or those named",
        .more = "What is wrong stands first, and is said below the table with the command that mends it. A\n"
                "cross marks a certificate that does not work, ! one that needs somebody, ~ one that rekeyd "
                "is\n"
                "working on, a tick one of which all is fine. Where no rekeyd runs, the files are read "
                "instead.",
        .arguments = arguments,
        .n_arguments = ELEMENTSOF(arguments),
        .options = options,
        .n_options = ELEMENTSOF(options),
        .run = run,
};
