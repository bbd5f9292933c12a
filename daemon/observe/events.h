#pragma once

/* Events, for the event streams and for the history: a log line that has a message id is an event as well. */

#include "daemon/observe/state-file.h"
#include "lib/util/log.h"

struct events;

/* 0 or -ENOMEM. */
int events_new(struct events **ret);

/* Subscriptions must have ended. Accepts NULL, returns NULL. */
struct events *events_free(struct events *events);
DEFINE_CLEANUP(struct events *, events_free);

/*
 * Logs the line as log_fields() does, and sends it to all event streams, whatever log.level is. A line of the
 * priorities above LOG_DEBUG is also kept in HISTORY (may be NULL), if MESSAGE_ID is one of those for the
 * history. EVENTS may be NULL.
 */
void events_emit(struct events *events, struct state_file *state_file, int priority, const char *message_id,
                 const struct log_field *fields, size_t n_fields, const char *format, ...) _printf_(7, 8);

/* EVENT, such as "step": for those who watch only. */
void events_stream(struct events *events, const char *event, const struct log_field *fields, size_t n_fields,
                   const char *message);

/* The name of the event that MESSAGE_ID is; "message" for one that has none. */
const char *events_name(const char *message_id);

/* One who watches. WAKE is called from events_emit(), when there is something to read after there was not. */
struct watcher;

/* CERTIFICATE, copied, may be NULL: everything. 0 or -ENOMEM. */
int watcher_new(struct events *events, const char *certificate, void (*wake)(void *userdata), void *userdata,
                struct watcher **ret);
struct watcher *watcher_free(struct watcher *watcher);

/* Up to MAX bytes of lines into BUFFER; 0: nothing now; -1: the end, since this one has read too slowly and
 * got a `lost` line. */
ssize_t watcher_read(struct watcher *watcher, char *buffer, size_t max);
