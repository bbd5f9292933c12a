#pragma once

/* The admin listener: plain HTTP and JSON on loopback, for people with curl and for tests. */

#include "devconnector/server.h"

/* Takes over a request that arrived at the admin listener. */
void admin_start(struct server *server, struct evhttp_request *request);
