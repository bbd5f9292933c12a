#pragma once

/* What happened, as JSON lines on stdout and as a list of recent calls. */

#include <event2/event.h>
#include <jansson.h>

#include "lib/util/macro.h"

#define EVENTS_CALLS_MAX 1000

struct events;

/* FD is where the lines go; borrowed. NULL: no memory. */
struct events *events_new(struct event_base *base, int fd);
struct events *events_free(struct events *events);
DEFINE_CLEANUP(struct events *, events_free);

/* Writes EVENT, a reference that is taken over and may be NULL after a failed json_pack(), as one line. A
 * call is also remembered. Never blocks: what the reader does not take is kept, and dropped past 4 MiB. */
void events_emit(struct events *events, json_t *event);

/* The last calls, newest last, as a new JSON array; NULL: no memory. */
json_t *events_calls(const struct events *events);
