#pragma once

/* A name server for this process and its children, which answers when the test tells it to, or never. */

#include "lib/util/macro.h"
#include "lib/util/time.h"

#define NAME_SERVER_ADDRESS "192.0.2.7" /* of every name that it answers for */

/* In a mount namespace of its own, with a resolv.conf and an nsswitch.conf that name this server alone, and a
 * long time-out. Returns its socket, or -1 after test_skip() where that is not allowed. */
int name_server_open(void);

/* Awaits a query for addresses of kind A and stores whose, at most 255 characters. False after USEC. Queries
 * of other kinds are answered: there are none. With ANSWER it is answered, too. */
bool name_server_await(int fd, bool answer, usec_t usec, char ret_name[256]);
