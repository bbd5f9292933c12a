#pragma once

/* Awaiting a file that does not exist yet, or noticing that one is gone. */

#include <systemd/sd-event.h>

#include "lib/util/macro.h"

struct path_watch;

typedef void (*watch_function_t)(void *userdata);

enum path_events {
        PATH_COMES, /* the file appears, is replaced, is written and closed, or a link on the way changes as
                       in a mounted Kubernetes volume */
        PATH_GOES,  /* the file appears, is replaced or removed */
};

/*
 * Calls FUNCTION when that happens at PATH (absolute), or its directory is there, gone, or another one. It
 * may be called without need; check before acting. What cannot be watched is looked at from time to time; see
 * path_watch_problem(). 0 or -ENOMEM.
 */
int path_watch_new(sd_event *event, const char *path, enum path_events events, watch_function_t function,
                   void *userdata, struct path_watch **ret);

/* -errno for which it cannot be watched at present; 0. */
int path_watch_problem(const struct path_watch *watch);

/* May be called from the callback. Accepts NULL, returns NULL. */
struct path_watch *path_watch_free(struct path_watch *watch);
DEFINE_CLEANUP(struct path_watch *, path_watch_free);
