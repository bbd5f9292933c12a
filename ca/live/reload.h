#pragma once

/* Having a gateway load its bundle. */

#include "lib/util/error.h"

/* Whether SPEC is for reload_run(): "unit:NAME", by systemctl reload-or-restart, or "command:PROGRAM
 * ARGUMENTS", without a shell. 0 or -EINVAL with a sentence. */
int reload_check(const char *spec, struct error *error);

/* Runs it and awaits its end; what it prints goes to standard error. 0 or -EIO with a sentence. */
int reload_run(const char *spec, struct error *error);
