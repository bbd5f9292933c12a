/* `rekeyctl check-config`: every mistake in a configuration, with its line, before it is given to rekeyd. */

#include <stdio.h>

#include "ctl/ctl.h"
#include "ctl/terminal/text.h"

static int run(struct ctl *ctl) {
        _cleanup_(config_errors_clear) struct config_errors errors = { 0 };
        _cleanup_(config_freep) struct config *config = NULL;
        const char *path = ctl->n_arguments > 0 ? ctl->arguments[0] : ctl_config_path(ctl);
        int r;

        r = config_load(path, &config, &errors);
        for (size_t i = 0; i < errors.n; i++) {
                _cleanup_(freep) char *clean = text_clean(errors.items[i], ctl->term.is_utf8);

                /* Without the program's name in front: editors know "file:line:column:". */
                fprintf(stderr, "%s\n", clean ? clean : "out of memory");
        }
        if (r == -ENOMEM)
                return ctl_fail(ctl, CTL_FAILED, "out of memory");
        if (r < 0)
                return ctl_fail(ctl, CTL_FAILED, "%zu error%s; rekeyd would keep its current configuration",
                                errors.n, errors.n == 1 ? "" : "s");
        ctl_print(ctl, "%s is valid: %zu certificate%s, %zu connector%s.", path, config->n_certificates,
                  config->n_certificates == 1 ? "" : "s", config->n_connectors,
                  config->n_connectors == 1 ? "" : "s");
        return CTL_OK;
}

static const struct ctl_argument arguments[] = {
        { .name = "FILE", .kind = CTL_FILE, .is_optional = true },
};

const struct ctl_command command_check_config = {
        .name = "check-config",
        .section = CTL_OTHER,
        .help = "report every error in the configuration, or in FILE",
        .more = "The drop-ins in conf.d beside the file are read as well. Nothing is changed, and rekeyd is "
                "not contacted.",
        .arguments = arguments,
        .n_arguments = ELEMENTSOF(arguments),
        .run = run,
};
