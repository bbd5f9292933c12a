#pragma once

/* Completions for fish; see completion.c. */

#include <stdio.h>

#include "ctl/command.h"

void completion_write_fish(FILE *out, const struct ctl_table *table);
