#pragma once

/* The rows of the table of commands, one in each command-NAME.c. */

#include "ctl/command.h"

extern const struct ctl_command command_status, command_show, command_history, command_check;
extern const struct ctl_command command_check_config, command_version, command_help;
extern const struct ctl_command command_completion, command_complete;
extern const struct ctl_command command_renew, command_enrol, command_revoke, command_rollback;
extern const struct ctl_command command_notify, command_reload, command_events;
