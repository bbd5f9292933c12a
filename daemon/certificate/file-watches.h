#pragma once

/* Files beside a set that are to be as they were last seen: exports, and the passphrases of exports. */

#include <systemd/sd-event.h>

#include "lib/config/config.h"

struct file_watches;

/*
 * Watches the files of CONFIG's exports, whose paths are copied: CHANGED is called when one of them is gone,
 * comes back or is another one than was seen. What else happens in their directories is no news. A program
 * that changes or takes away an export each time that it is notified of it would keep rekeyd busy: so calls
 * that follow each other have a distance that doubles, from a second to an hour, and begins anew after a
 * quiet hour.
 *
 * *RET is NULL where there are no exports. 0 or -ENOMEM.
 */
int file_watches_new(sd_event *event, const struct config_certificate *config,
                     void (*changed)(void *userdata), void *userdata, struct file_watches **ret);

/* Accepts NULL, returns NULL. */
struct file_watches *file_watches_free(struct file_watches *watches);
DEFINE_CLEANUP(struct file_watches *, file_watches_free);

/* What is there now is seen. To be called before the files are checked: what changes after that is then an
 * event. Accepts NULL. */
void file_watches_note(struct file_watches *watches);

/* While files are checked and written nothing is told; what has changed by the end is told then. Both accept
 * NULL. */
void file_watches_pause(struct file_watches *watches);
void file_watches_resume(struct file_watches *watches);

/* The export PATH is as rekeyd has written it, and that is seen. Accepts NULL. */
void file_watches_settle(struct file_watches *watches, const char *path);

/* The distance after DISTANCE_USEC (0: none yet), when the last call was QUIET_USEC ago. Pure. */
usec_t file_watches_next_distance(usec_t distance_usec, usec_t quiet_usec);
