#pragma once

/* What somebody is to do after what he has asked for has failed. */

#include <jansson.h>

/* By the EVENT that says so; TRY_AGAIN is the command with "%s" for the name. Owned; NULL when memory is
 * out. */
char *remedy_find(const json_t *event, const char *name, const char *try_again);
