/*
 * Two inotify watches: one on the directory, for the links, and one on what `..data` leads to at the moment.
 * The second is what notices the most likely accident, a shell redirection to tls.key, which goes through the
 * link into the generation.
 */

#include "daemon/loop/set-watch.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "daemon/loop/inotify.h"
#include "lib/store/store.h"

#define DIRECTORY_EVENTS \
        (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define GENERATION_EVENTS \
        (IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB | IN_ONLYDIR)

struct set_watch {
        struct inotify *inotify;
        ino_t followed; /* the generation's directory that is watched; 0: none */
        void (*function)(void *userdata);
        void *userdata;
        struct inotify_watch directory, generation;
        char current[]; /* path of `..data` */
};

static void on_event(_unused_ uint32_t mask, void *userdata) {
        struct set_watch *watch = userdata;

        watch->function(watch->userdata);
}

int set_watch_new(sd_event *event, const char *directory, void (*function)(void *userdata), void *userdata,
                  struct set_watch **ret) {
        _cleanup_(set_watch_freep) struct set_watch *watch = NULL;
        size_t size = strlen(directory) + sizeof("/" STORE_CURRENT);
        int r;

        watch = calloc(1, sizeof(*watch) + size);
        if (!watch)
                return -ENOMEM;
        watch->function = function;
        watch->userdata = userdata;
        watch->directory.function = watch->generation.function = on_event;
        watch->directory.userdata = watch->generation.userdata = watch;
        snprintf(watch->current, size, "%s/" STORE_CURRENT, directory);

        r = inotify_get(event, &watch->inotify);
        if (r < 0)
                return r;
        r = inotify_add(watch->inotify, &watch->directory, directory, DIRECTORY_EVENTS);
        if (r < 0)
                return r;
        set_watch_follow(watch);

        *ret = take_ptr(watch);
        return 0;
}

void set_watch_follow(struct set_watch *watch) {
        struct stat st;
        ino_t current = stat(watch->current, &st) == 0 ? st.st_ino : 0;

        /* The number alone may be that of a directory that is gone, and its watch with it. */
        if (current == watch->followed && (current == 0 || watch->generation.wd > 0))
                return;
        watch->followed = current;
        inotify_remove(watch->inotify, &watch->generation);
        /* Without a current generation there is nothing to watch yet; the directory's own watch will report
         * it. */
        (void)inotify_add(watch->inotify, &watch->generation, watch->current, GENERATION_EVENTS);
}

struct set_watch *set_watch_free(struct set_watch *watch) {
        if (!watch)
                return NULL;
        if (watch->inotify) {
                inotify_remove(watch->inotify, &watch->directory);
                inotify_remove(watch->inotify, &watch->generation);
                inotify_unref(watch->inotify);
        }
        free(watch);
        return NULL;
}
