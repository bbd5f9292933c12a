/* `rekeyctl reload`: reloads the configuration, and prints all of its errors. */

#include "ctl/change.h"
#include "ctl/reload.h"

static int run(struct ctl *ctl) {
        bool is_waiting;
        int exit;

        if (!change_wants_wait(ctl, &is_waiting))
                return CTL_USAGE;
        exit = reload_run(ctl, is_waiting ? RELOAD_WAIT : RELOAD_NO_WAIT);
        if (exit == CTL_OK && !is_waiting)
                ctl_print(ctl, "reload requested");
        return exit;
}

static const struct ctl_option options[] = {
        CHANGE_OPTIONS,
};

const struct ctl_command command_reload = {
        .name = "reload",
        .section = CTL_CHANGE,
        .help = "make rekeyd reload its configuration",
        .more = "Prints each error as FILE:LINE:COLUMN; then the old configuration stays in use. `rekeyctl "
                "check-config` finds errors without rekeyd.",
        .options = options,
        .n_options = ELEMENTSOF(options),
        .run = run,
};
