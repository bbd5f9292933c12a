#pragma once

/* The control API from the inside, for control*.c. */

#include <jansson.h>

#include "daemon/control/control.h"
#include "daemon/fleet/fleet.h"
#include "daemon/http/http-server.h"

#define CONTENT_JSON "application/json"

struct control {
        struct control_options options;
        struct http_server *control, *http;
        char *socket, *listen; /* where they listen; NULL: nowhere */
        gid_t group, read_group;
};

/* Answers that take a while or are long; each answers REQUEST. */
void control_reply_list(struct control *control, struct http_request *request);
void control_reply_details(struct control *control, struct http_request *request,
                           struct certificate *certificate);
void control_reply_history(struct control *control, struct http_request *request,
                           struct certificate *certificate);
void control_reply_events(struct control *control, struct http_request *request);
void control_reply_metrics(struct control *control, struct http_request *request);

/* JSON is taken over; NULL: memory is out. */
void control_reply_json(struct http_request *request, unsigned status, json_t *json);
