/* The table of commands. To add one: write command-NAME.c with its row, declare the row in commands.h, and
 * name it here and in meson.build. */

#include "ctl/commands.h"

const struct ctl_command *const ctl_commands[] = {
        &command_status,
        &command_version,
        &command_help,
};
const size_t n_ctl_commands = ELEMENTSOF(ctl_commands);
