#pragma once

/* Having rekeyd reload its configuration. */

#include "ctl/ctl.h"

enum reload_mode {
        RELOAD_NO_WAIT, /* nothing is printed but errors */
        RELOAD_WAIT,
        RELOAD_QUIET, /* waits, and success is not printed */
};

/* Asks, and waits for the result as MODE says; errors of the configuration are printed as they are.
 * CTL_OK; CTL_FAILED where rekeyd has refused the configuration; another exit status, after it has printed
 * the error, where nothing was asked or the result is unknown. */
int reload_run(struct ctl *ctl, enum reload_mode mode);
