/* `rekeyctl history`: what has happened to one certificate, over restarts. */

#include <stdio.h>

#include "ctl/event-line.h"
#include "ctl/source.h"

static int run(struct ctl *ctl) {
        _cleanup_(source_freep) struct source *source = source_new(ctl);
        _cleanup_(json_decrefp) json_t *events = NULL, *answer = NULL;
        const uint64_t max = ctl_number(ctl, "lines");
        json_t *event;
        size_t i;
        int exit;

        if (!source)
                return CTL_FAILED;
        exit = source_history(source, ctl->arguments[0], &events);
        if (exit != CTL_OK)
                return exit;
        while (max > 0 && json_array_size(events) > max)
                json_array_remove(events, 0);
        if (ctl_has(ctl, "json")) {
                answer = json_pack("{s:O}", "events", events);
                return answer ? ctl_print_json(ctl, answer) : ctl_fail(ctl, CTL_FAILED, "out of memory");
        }
        if (json_array_size(events) == 0)
                ctl_print(ctl, "%s has no history yet.", ctl->arguments[0]);
        json_array_foreach(events, i, event) event_print_line(ctl, event, false);
        return CTL_OK;
}

static const struct ctl_argument arguments[] = { { .name = "NAME", .kind = CTL_CERTIFICATE } };

static const struct ctl_option options[] = {
        { .name = "lines",
          .letter = 'n',
          .kind = CTL_NUMBER,
          .argument = "N",
          .min = 1,
          .max = 1000000,
          .help = "show only the last N events" },
        { .name = "json", .letter = 'j', .help = "print rekeyd's answer as JSON" },
};

const struct ctl_command command_history = {
        .name = "history",
        .section = CTL_INSPECT,
        .help = "show the history of a certificate",
        .arguments = arguments,
        .n_arguments = ELEMENTSOF(arguments),
        .options = options,
        .n_options = ELEMENTSOF(options),
        .run = run,
};
