#pragma once

/* The running Connector for development: two endpoints and the admin listener around one event loop. */

#include <event2/event.h>
#include <event2/http.h>

#include "devconnector/connector.h"
#include "devconnector/events.h"
#include "devconnector/tls.h"

struct call;

/* Embedded state that the files server, call and admin share. */
struct server {
        const struct settings *settings; /* borrowed */
        int dir_fd;
        struct event_base *base;
        struct event *signals[2];
        struct connector connector;
        struct faults *faults;
        struct events *events;
        struct tls_endpoint *tls[ENDPOINT_MAX];
        struct evhttp *endpoints[ENDPOINT_MAX];
        struct evhttp *admin;
        char *admin_url;
        struct call *calls; /* that have not been answered yet */
};

/* Opens everything and listens. 0 or -errno. */
int server_open(struct server *server, const struct settings *settings, struct error *error);

/* Says that it is ready and serves until SIGTERM or SIGINT. */
int server_run(struct server *server, struct error *error);
void server_close(struct server *server);
