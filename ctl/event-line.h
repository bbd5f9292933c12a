#pragma once

/* One event of rekeyd-api(7), as a line for people. */

#include "ctl/ctl.h"

/* "2026-11-20 18:06:53 UTC  renewed            orders: renewed: generation 43" on standard output; WITH_NAME
 * where the certificate does not go without saying. Long messages are broken to the width of the terminal. */
void event_print_line(const struct ctl *ctl, const json_t *event, bool with_name);
