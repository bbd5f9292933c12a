#pragma once

/* Notices changes of a certificate's files by other programs. */

#include <systemd/sd-event.h>

#include "lib/util/macro.h"

struct set_watch;

/* From the first set_watch_follow() on, calls FUNCTION when a name appears in, vanishes from or is replaced
 * in DIRECTORY, a file of the current generation is written to, changed or removed, or DIRECTORY is there,
 * gone, or another one: it may be missing yet, be moved, or be mounted. rekeyd's own changes count too; the
 * caller inspects the files, and finds nothing to do. What cannot be watched is reported from time to time;
 * see set_watch_problem(). Watches nothing yet: memory can be had before it is needed. 0 or -ENOMEM. */
int set_watch_new(sd_event *event, const char *directory, void (*function)(void *userdata), void *userdata,
                  struct set_watch **ret);

/* Watches the directory and the generation that are there now. 0, or, at the first time, -ENOMEM: it watches
 * nothing. */
int set_watch_follow(struct set_watch *watch);

/* -errno for which not all of it can be watched at present; 0. */
int set_watch_problem(const struct set_watch *watch);

/* May be called from the callback. Accepts NULL, returns NULL. */
struct set_watch *set_watch_free(struct set_watch *watch);
DEFINE_CLEANUP(struct set_watch *, set_watch_free);
