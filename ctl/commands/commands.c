/* The table of commands, in the order of the help. To add one: write command-NAME.c with its row, declare the
 * row in commands.h, and name it here and in meson.build. */

#include "ctl/commands/commands.h"

/* clang-format off */
const struct ctl_command *const ctl_commands[] = {
        &command_status,
        &command_show,
        &command_history,
        &command_events,
        &command_check,
        &command_check_config,
        &command_renew,
        &command_enrol,
        &command_revoke,
        &command_rollback,
        &command_notify,
        &command_reload,
        &command_version,
        &command_help,
        &command_completion,
        &command_complete,
};
/* clang-format on */
const size_t n_ctl_commands = ELEMENTSOF(ctl_commands);
