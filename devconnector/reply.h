#pragma once

/* HTTP replies of the endpoints, whole or cut short. */

#include <event2/http.h>

#include "lib/util/macro.h"

#define REPLY_JSON         "application/json"
#define REPLY_JSON_CHARSET "application/json;charset=UTF-8"

/* Replies longer than this come chunked, as from Go. */
#define REPLY_WHOLE_MAX 2048

/* Sends a whole reply and gives the request up. CONTENT_TYPE may be NULL; BODY is copied. */
void reply_send(struct evhttp_request *request, unsigned status, const char *content_type, const char *body,
                size_t size);

/* Sends the first half of BODY, which has at least two bytes, under a header that promises all of it, chunked
 * or with its length, and calls SENT once it has left; not when the connection ends before. */
void reply_cut(struct evhttp_request *request, unsigned status, const char *body, size_t size, bool chunked,
               void (*sent)(struct evhttp_connection *connection, void *userdata), void *userdata);
