#pragma once

/* The control API of a rekeyd that only exists as a script: answers, and events after them, on a Unix socket.
 * It runs in a thread of the test. */

#include "lib/util/macro.h"

struct fake_api;

/* Listens at "control.sock" in DIRECTORY. Until something else is said, all is answered with 404, and the
 * events with a hello and nothing after it. */
struct fake_api *fake_api_new(const char *directory);
struct fake_api *fake_api_free(struct fake_api *api);
DEFINE_CLEANUP(struct fake_api *, fake_api_free);

const char *fake_api_socket(const struct fake_api *api);

/*
 * How REQUEST, "GET /v1/certificates" with the query if there is one, is answered from now on: with STATUS,
 * and BODY as JSON. Status 0 closes the connection without a word. All is copied.
 */
void fake_api_answer(struct fake_api *api, const char *request, unsigned status, const char *body);

/* The same, with EVENTS, whole lines, told to all who listen as soon as it was answered. */
void fake_api_answer_then(struct fake_api *api, const char *request, unsigned status, const char *body,
                          const char *events);

/* The header that goes with the answers to REQUEST, "Retry-After: 60". */
void fake_api_header(struct fake_api *api, const char *request, const char *header);

/* Tells LINES to all who listen; ends all streams. */
void fake_api_tell(struct fake_api *api, const char *lines);
void fake_api_hang_up(struct fake_api *api);

/* Waits until there were N requests that begin with REQUEST, "POST /v1/reload"; aborts the test when they do
 * not come. */
void fake_api_await(struct fake_api *api, const char *request, unsigned n);

/* All requests up to now, a line each: method, path and body. Owned. */
char *fake_api_requests(struct fake_api *api);
