/* `rekeyctl check`: a plugin for Nagios, Icinga and whatever else runs those. plugin.c has the judgement. */

#include <stdio.h>

#include "ctl/plugin.h"
#include "ctl/source.h"
#include "ctl/terminal/text.h"

/* There is one line, and it goes to standard output, whatever has happened. */
static int unknown(const char *sentence) {
        _cleanup_(freep) char *clean = text_clean(sentence, false);

        for (char *p = clean; p && (p = strchr(p, '|'));)
                *p = '/';
        printf("REKEYD UNKNOWN - %s\n", clean ? clean : "out of memory");
        return PLUGIN_UNKNOWN;
}

static int run(struct ctl *ctl) {
        _cleanup_(source_freep) struct source *source = source_new(ctl);
        _cleanup_(json_decrefp) json_t *list = NULL;
        _cleanup_(freep) char *line = NULL;
        const struct plugin_limits limits = {
                .warning_usec = ctl_usec(ctl, "warning"),
                .critical_usec = ctl_usec(ctl, "critical"),
        };
        int status;

        if (limits.warning_usec > 0 && limits.warning_usec < limits.critical_usec)
                return unknown("--warning must not be shorter than --critical");
        if (!source)
                return unknown("out of memory");
        source_be_quiet(source);
        if (source_list(source, ctl->arguments, ctl->n_arguments, &list) != CTL_OK)
                return unknown(source_error(source));
        if (json_array_size(list) == 0)
                return unknown("the configuration has no certificates");
        status = plugin_judge(list, now_usec(CLOCK_REALTIME), source_is_offline(source), &limits, &line);
        if (status < 0)
                return unknown("out of memory");
        printf("REKEYD %s\n", line);
        return status;
}

static const struct ctl_argument arguments[] = {
        { .name = "NAME", .kind = CTL_CERTIFICATE, .is_optional = true, .repeats = true },
};

static const struct ctl_option options[] = {
        { .name = "warning",
          .letter = 'w',
          .kind = CTL_DURATION,
          .argument = "TIME",
          .min = USEC_PER_SEC,
          .max = 36500 * USEC_PER_DAY,
          .help = "warn when less than TIME is left (14d, less for short lifetimes)" },
        { .name = "critical",
          .letter = 'k',
          .kind = CTL_DURATION,
          .argument = "TIME",
          .min = USEC_PER_SEC,
          .max = 36500 * USEC_PER_DAY,
          .help = "critical when less than TIME is left (3d, less for short lifetimes)" },
};

const struct ctl_command command_check = {
        .name = "check",
        .section = CTL_INSPECT,
        .help = "check all certificates, or those named, as a monitoring plugin",
        .more = "Prints one line with performance data. Exits with 0 (OK), 1 (WARNING: a certificate needs "
                "attention, little time is left, or rekeyd is not running), 2 (CRITICAL: a certificate does "
                "not work, or soon will not) or 3 (UNKNOWN: the state cannot be determined). The default "
                "thresholds are 14d and 3d, but at most half and a tenth of the time between the planned "
                "renewal and the expiry.",
        .arguments = arguments,
        .n_arguments = ELEMENTSOF(arguments),
        .options = options,
        .n_options = ELEMENTSOF(options),
        .usage_exit = PLUGIN_UNKNOWN,
        .run = run,
};
