#pragma once

/* Users in error texts. */

#include <sys/types.h>

#include "lib/util/error.h"

#define USER_NAME_MAX 64

/* "'orders'", or its number where it has no name. Safe in threads; it may wait for a directory service. */
const char *user_name(uid_t uid, char buffer[USER_NAME_MAX]);

/* Whether this process is in group GID: its own or a supplementary one. */
bool user_is_in_group(gid_t gid);

/* ERROR is about a missing right: its text says which user lacks it. All other errors stay as they are. */
void error_name_user(struct error *error);
