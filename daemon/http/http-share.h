#pragma once

/* Who gets a connection when there are many. For http-*.c. */

#include "daemon/http/http-connection.h"

/* Whose CONNECTION is, which is not in a list yet. */
void share_identify(struct http_connection *connection);

/* Ends what must give way to CONNECTION, which is not in a list yet. False: it must go itself. */
bool share_make_room(const struct http_connection *connection);

/* Ends the least of all connections; false where there is none. */
bool share_give_one(struct http_server *server);
