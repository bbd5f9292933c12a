#pragma once

/* Answers that take a while or are long; each answers REQUEST. OPTIONS are borrowed until then. */

#include <jansson.h>

#include "daemon/control/control.h"
#include "daemon/fleet/fleet.h"
#include "daemon/http/http-server.h"

void control_reply_list(const struct control_options *options, struct http_request *request);
void control_reply_details(const struct control_options *options, struct http_request *request,
                           struct certificate *certificate);
void control_reply_history(const struct control_options *options, struct http_request *request,
                           struct certificate *certificate);
void control_reply_events(const struct control_options *options, struct http_request *request);

/* Reads the configuration as a reload would, and tells what is wrong with it and what will fail later; for
 * the certificate that the query names, if it names one. */
void control_reply_precheck(const struct control_options *options, struct http_request *request);

/* CONNECTIONS: how many peers the control socket has. */
void control_reply_metrics(const struct control_options *options, struct http_request *request,
                           unsigned connections);

/* JSON is taken over; NULL: memory is out. */
void control_reply_json(struct http_request *request, unsigned status, json_t *json);
