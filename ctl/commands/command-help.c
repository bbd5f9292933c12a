/* `rekeyctl help`: what --help says, and more of one command. */

#include "ctl/ctl.h"
#include "ctl/help.h"

static int run_help(struct ctl *ctl) {
        help_print(ctl->table, ctl->n_arguments > 0 ? ctl_find_command(ctl->table, ctl->arguments[0]) : NULL);
        return CTL_OK;
}

static const struct ctl_argument help_arguments[] = {
        { .name = "COMMAND", .kind = CTL_COMMAND, .is_optional = true },
};

const struct ctl_command command_help = {
        .name = "help",
        .section = CTL_OTHER,
        .help = "explain a command",
        .arguments = help_arguments,
        .n_arguments = ELEMENTSOF(help_arguments),
        .run = run_help,
};
