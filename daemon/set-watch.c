/*
 * Two inotify watches: one on the directory, for the links, and one on what `..data` leads to at the moment.
 * The second is what notices the most likely accident, a shell redirection to tls.key, which goes through the
 * link into the generation.
 */

#include "daemon/set-watch.h"

#include <errno.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "lib/store.h"

#define DIRECTORY_EVENTS \
        (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define GENERATION_EVENTS \
        (IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB | IN_ONLYDIR)

struct set_watch {
        sd_event *event;
        char *current;  /* path of `..data` */
        ino_t followed; /* the generation's directory that is watched; 0: none */
        void (*function)(void *userdata);
        void *userdata;
        sd_event_source *directory_source, *generation_source;
};

static int on_event(_unused_ sd_event_source *source, _unused_ const struct inotify_event *event,
                    void *userdata) {
        struct set_watch *watch = userdata;

        watch->function(watch->userdata);
        return 0;
}

int set_watch_new(sd_event *event, const char *directory, void (*function)(void *userdata), void *userdata,
                  struct set_watch **ret) {
        _cleanup_(set_watch_freep) struct set_watch *watch = NULL;
        int r;

        watch = calloc(1, sizeof(*watch));
        if (!watch)
                return -ENOMEM;
        watch->event = sd_event_ref(event);
        watch->function = function;
        watch->userdata = userdata;
        if (asprintf(&watch->current, "%s/%s", directory, STORE_CURRENT) < 0) {
                watch->current = NULL;
                return -ENOMEM;
        }
        r = sd_event_add_inotify(event, &watch->directory_source, directory, DIRECTORY_EVENTS, on_event,
                                 watch);
        if (r < 0)
                return r;
        set_watch_follow(watch);

        *ret = take_ptr(watch);
        return 0;
}

void set_watch_follow(struct set_watch *watch) {
        struct stat st;
        ino_t current = stat(watch->current, &st) == 0 ? st.st_ino : 0;

        if (current == watch->followed)
                return;
        watch->followed = current;
        watch->generation_source = sd_event_source_disable_unref(watch->generation_source);
        /* Without a current generation there is nothing to watch yet; the directory's own watch will tell. */
        (void)sd_event_add_inotify(watch->event, &watch->generation_source, watch->current, GENERATION_EVENTS,
                                   on_event, watch);
}

struct set_watch *set_watch_free(struct set_watch *watch) {
        if (!watch)
                return NULL;
        sd_event_source_disable_unref(watch->directory_source);
        sd_event_source_disable_unref(watch->generation_source);
        sd_event_unref(watch->event);
        free(watch->current);
        free(watch);
        return NULL;
}
