#pragma once

/* Files of /etc that are the test's own, for this process and its children. */

#include "lib/util/macro.h"

/* Enters a mount namespace. False after test_skip() where that is not allowed. */
bool mounts_enter(const char *what);

/* Puts a file with TEXT in the place of TARGET, which must be there. */
void mounts_put(const char *text, const char *target);
