#pragma once

/* Where everything is, for people and tests. */

#include "devconnector/server.h"

/* The first line of stdout: where everything is. A new object; NULL: no memory. */
json_t *server_describe(const struct server *server);
