#pragma once

/* What changes something: operations upon a certificate, and a reload; and what waits for an inspection. Each
 * answers REQUEST. */

#include "daemon/control/control.h"
#include "daemon/fleet/fleet.h"
#include "daemon/http/http-server.h"

#define CONTROL_BODY_MAX 65536u

struct asked;

/* Those that wait for an inspection; they end with the server that they came by. OPTIONS are borrowed. */
struct control_asks {
        const struct control_options *options;
        struct asked *first;
};

/* OPERATION_NONE: asks for the details. */
void control_ask(struct control_asks *asks, struct http_request *request, struct certificate *certificate,
                 enum operation operation);

/* The files of certificate NAME were inspected, or could not be. */
void control_asks_note_inspected(struct control_asks *asks, const char *name, bool has_failed);

/* True: it is accepted. */
bool control_ask_reload(struct http_request *request);
