#pragma once

/* Help and completions, from the table of commands. */

#include <stdio.h>

#include "ctl/command.h"

/* On standard output; NULL: all commands. */
void help_print(const struct ctl_table *table, const struct ctl_command *command);

/* The completion script for a shell. 0, or -EINVAL for one that is not known. */
int completion_write(FILE *out, const struct ctl_table *table, const char *shell);
extern const char *const completion_shells[]; /* ends with NULL */
