#pragma once

/* The commands of rekeyctl, made from the list in meson.build. */

#include "ctl/command.h"

extern const struct ctl_table commands;
