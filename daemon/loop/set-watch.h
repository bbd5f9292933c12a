#pragma once

/* Notices changes of a certificate's files by other programs. */

#include <systemd/sd-event.h>

#include "lib/util/macro.h"

struct set_watch;

/* Calls FUNCTION when a name appears in, vanishes from or is replaced in DIRECTORY, or a file of the current
 * generation is written to, changed or removed. rekeyd's own changes count too; the caller inspects the
 * files, and finds nothing to do. 0; -ENOENT when there is no such directory yet; -errno. */
int set_watch_new(sd_event *event, const char *directory, void (*function)(void *userdata), void *userdata,
                  struct set_watch **ret);

/* Watches the files of the generation that is current now, if that is another one. */
void set_watch_follow(struct set_watch *watch);

/* May be called from the callback. Accepts NULL, returns NULL. */
struct set_watch *set_watch_free(struct set_watch *watch);
DEFINE_CLEANUP(struct set_watch *, set_watch_free);
