#pragma once

/* Log entries in systemd's journal, with their fields. */

#include "lib/util/log.h"

extern const struct log_journal journald;
