#pragma once

/* One HTTP call at an endpoint, from its arrival to its answer. */

#include "devconnector/server.h"

#define CALL_PATH "/connector/graphql"

/* Takes over a request that arrived at an endpoint. */
void call_start(struct server *server, struct evhttp_request *request);

/* Releases all held calls. Returns how many there were. */
size_t call_release_held(struct server *server);
