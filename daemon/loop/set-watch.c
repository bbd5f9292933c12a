/*
 * Two inotify watches: one on the directory, for the links, and one on what `..data` leads to at the moment.
 * The second is what notices the most likely accident, a shell redirection to tls.key, which goes through the
 * link into the generation.
 */

#include "daemon/loop/set-watch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "daemon/loop/place.h"
#include "lib/store/store.h"

#define DIRECTORY_EVENTS \
        (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define GENERATION_EVENTS \
        (IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB | IN_ONLYDIR)

struct set_watch {
        struct watched_place place; /* the directory */
        struct inotify_watch generation;
        sd_event *event; /* borrowed */
        void (*function)(void *userdata);
        void *userdata;
        char directory[];
};

/* Without a current generation there is nothing to watch yet; the directory's own watch will report it. */
static void follow_generation(struct set_watch *watch) {
        struct inotify *inotify = place_inotify(&watch->place);
        char current[PATH_MAX];
        int r;

        if (!inotify)
                return; /* the place knows */
        snprintf(current, sizeof(current), "%s/" STORE_CURRENT, watch->directory);
        r = inotify_arm(inotify, &watch->generation, current, GENERATION_EVENTS);
        if (r == 1 || r == -ENOENT || r == -ENOTDIR)
                r = 0;
        if (r < 0 || watch->place.spot.watch.wd > 0)
                place_set_problem(&watch->place, r);
}

static void on_directory(struct watched_place *place) {
        struct set_watch *watch = container_of(place, struct set_watch, place);

        follow_generation(watch);
        watch->function(watch->userdata);
}

static void on_generation(struct inotify_watch *generation, _unused_ uint32_t mask,
                          _unused_ const char *name) {
        struct set_watch *watch = container_of(generation, struct set_watch, generation);

        watch->function(watch->userdata);
}

int set_watch_follow(struct set_watch *watch) {
        int r = 0;

        if (place_is_watched(&watch->place))
                (void)place_look(&watch->place);
        else
                r = place_watch(watch->event, &watch->place, watch->directory, DIRECTORY_EVENTS, false);
        if (r == 0)
                follow_generation(watch);
        return r;
}

int set_watch_new(sd_event *event, const char *directory, void (*function)(void *userdata), void *userdata,
                  struct set_watch **ret) {
        size_t size = strlen(directory) + 1;
        struct set_watch *watch;

        watch = calloc(1, sizeof(*watch) + size);
        if (!watch)
                return -ENOMEM;
        watch->place.changed = on_directory;
        watch->generation.function = on_generation;
        watch->event = event;
        watch->function = function;
        watch->userdata = userdata;
        memcpy(watch->directory, directory, size);
        place_tidy(watch->directory);
        *ret = watch;
        return 0;
}

int set_watch_problem(const struct set_watch *watch) {
        return place_problem(&watch->place);
}

struct set_watch *set_watch_free(struct set_watch *watch) {
        if (!watch)
                return NULL;
        if (watch->generation.wd > 0)
                inotify_remove(place_inotify(&watch->place), &watch->generation);
        place_unwatch(&watch->place);
        free(watch);
        return NULL;
}
