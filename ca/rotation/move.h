#pragma once

/* One write: on condition, with an answer that may be lost, verified by reading. */

#include "ca/rotation/backend.h"

/*
 * Brings CONTENTS to BACKEND, where EXPECTED is the version to replace, and reads it back. *RET_VERSION
 * (which may be EXPECTED itself) is the version after. Where the answer of the write is lost, what is there
 * decides: CONTENTS is success. 0; -ESTALE where another writer was there, with a sentence; or what the write
 * failed with, which then wrote nothing.
 */
int move_write(struct backend *backend, const struct contents *contents, const char *expected,
               char ret_version[VERSION_MAX], struct error *error);
