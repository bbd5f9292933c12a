#pragma once

/* One inotify instance for many watches. */

#include <sys/inotify.h>
#include <systemd/sd-event.h>

#include "lib/util/macro.h"

struct inotify;

/* Embedded in the owner; {.function, .userdata} is ready. FUNCTION gets the mask of each event, and
 * IN_Q_OVERFLOW when the kernel has dropped some; it may add and remove any watch, this one too. */
struct inotify_watch {
        void (*function)(uint32_t mask, void *userdata);
        void *userdata;

        /* Private to inotify.c. */
        int wd; /* 0: not watched */
        struct inotify_watch *next;
};

/* The instance of the loop EVENT, made for the first who asks. A new reference; 0 or -errno. */
int inotify_get(sd_event *event, struct inotify **ret);

/* Gives the reference back. Accepts NULL, returns NULL. */
struct inotify *inotify_unref(struct inotify *inotify);

/* Watches what PATH leads to for MASK (inotify(7)). WATCH is not watched yet, and stays where it is while it
 * is. 0; -ENOENT, -ENOTDIR with IN_ONLYDIR, -ENOSPC when the user's watches are used up, or another -errno.
 */
int inotify_add(struct inotify *inotify, struct inotify_watch *watch, const char *path, uint32_t mask);

/* Does nothing to one that is not watched, or whose object is gone. */
void inotify_remove(struct inotify *inotify, struct inotify_watch *watch);
