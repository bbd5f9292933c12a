#pragma once

/* Users and groups: their names in error texts, and what this process may do with them. */

#include <sys/types.h>

#include "lib/util/error.h"

#define USER_NAME_MAX 64

/* "'orders'", or its number where it has no name. Safe in threads; it may wait for a directory service. */
const char *user_name(uid_t uid, char buffer[USER_NAME_MAX]);

/* Whether this process is in group GID: its own or a supplementary one. */
bool user_is_in_group(gid_t gid);

/* "orders", as a unit would have it, or its number. */
const char *group_name(gid_t gid, char buffer[USER_NAME_MAX]);

/* Whether this process may give a file of its own to group GID, or to user UID: (gid_t)-1 and (uid_t)-1,
 * which change nothing, are allowed. */
bool user_may_set_group(gid_t gid);
bool user_may_set_owner(uid_t uid);

/* ERROR is about a missing right: its text says which user lacks it. All other errors stay as they are. */
void error_name_user(struct error *error);
