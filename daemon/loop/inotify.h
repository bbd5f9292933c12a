#pragma once

/* One inotify instance for many watches. */

#include <sys/inotify.h>
#include <systemd/sd-event.h>

#include "lib/util/macro.h"

struct inotify;

/* Embedded in the owner; {.function} is ready. FUNCTION gets the mask of each event, with the name within the
 * directory or "", and IN_Q_OVERFLOW when the kernel has dropped some; it may arm and remove any watch, this
 * one too. */
struct inotify_watch {
        void (*function)(struct inotify_watch *watch, uint32_t mask, const char *name);

        /* Private to inotify.c. */
        int wd; /* 0: not watched */
        struct inotify_watch *next;
};

/* The instance of the loop EVENT, made for the first who asks. A new reference; 0 or -errno. */
int inotify_get(sd_event *event, struct inotify **ret);

/* Gives the reference back. Accepts NULL, returns NULL. */
struct inotify *inotify_unref(struct inotify *inotify);

/* Watches what PATH leads to for MASK (inotify(7)); WATCH stays where it is while it is watched. 0: it leads
 * to what WATCH was on before; 1: to something else. -ENOENT, -ENOTDIR with IN_ONLYDIR, -ENOSPC when the
 * user's watches are used up, or another -errno: nothing is watched. */
int inotify_arm(struct inotify *inotify, struct inotify_watch *watch, const char *path, uint32_t mask);

/* Does nothing to one that is not watched, or whose object is gone. */
void inotify_remove(struct inotify *inotify, struct inotify_watch *watch);
