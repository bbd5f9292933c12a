#pragma once

/* `rekeyctl status --watch`. */

#include "ctl/source.h"

/* Redraws until a signal ends it. An exit status. */
int watch_run(struct ctl *ctl, struct source *source);
