#pragma once

/* The rows of the table of commands, one in each command-NAME.c. */

#include "ctl/command.h"

extern const struct ctl_command command_status;
extern const struct ctl_command command_version, command_help;
