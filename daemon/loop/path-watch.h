#pragma once

/* Awaiting a file that does not exist yet. */

#include <systemd/sd-event.h>

#include "lib/util/macro.h"

struct path_watch;

typedef void (*watch_function_t)(void *userdata);

/*
 * Calls FUNCTION whenever something happens to PATH (absolute) or to a directory above it that does not exist
 * yet: the file appears, is replaced, is written and closed, or a link on the way changes as in a mounted
 * Kubernetes volume. It may be called without need; check before acting. 0 or -errno.
 */
int path_watch_new(sd_event *event, const char *path, watch_function_t function, void *userdata,
                   struct path_watch **ret);

/* May be called from the callback. Accepts NULL, returns NULL. */
struct path_watch *path_watch_free(struct path_watch *watch);
DEFINE_CLEANUP(struct path_watch *, path_watch_free);
