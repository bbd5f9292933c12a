#pragma once

/* Randomness, and the back-off of what has no expiry. */

#include "lib/life/schedule.h"

/* A random number, or 0 where the kernel has none yet: it only spreads. */
uint32_t random_number(void);

/* How long to wait after the N-th FAILURE in a row, where nothing expires meanwhile. */
usec_t backoff_for_ever(enum failure failure, unsigned n);
