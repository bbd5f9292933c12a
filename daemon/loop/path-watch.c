/* The directory is watched, never the file, because files are replaced by rename. */

#include "daemon/loop/path-watch.h"

#include <errno.h>

#include "daemon/loop/place.h"

struct path_watch {
        struct watched_place place;
        watch_function_t function;
        void *userdata;
        char directory[];
};

static const uint32_t masks[] = {
        [PATH_COMES] = IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ATTRIB,
        [PATH_GOES] = IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE,
};

static void on_change(struct watched_place *place) {
        struct path_watch *watch = container_of(place, struct path_watch, place);

        watch->function(watch->userdata);
}

int path_watch_new(sd_event *event, const char *path, enum path_events events, watch_function_t function,
                   void *userdata, struct path_watch **ret) {
        _cleanup_(path_watch_freep) struct path_watch *watch = NULL;
        size_t size = strlen(path) + 1;
        char *slash;
        int r;

        watch = calloc(1, sizeof(*watch) + size);
        if (!watch)
                return -ENOMEM;
        watch->place.changed = on_change;
        watch->function = function;
        watch->userdata = userdata;
        memcpy(watch->directory, path, size);
        place_tidy(watch->directory);
        slash = strrchr(watch->directory, '/');
        slash[slash == watch->directory ? 1 : 0] = '\0';
        r = place_watch(event, &watch->place, watch->directory,
                        masks[events] | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR, true);
        if (r < 0)
                return r;

        *ret = take_ptr(watch);
        return 0;
}

int path_watch_problem(const struct path_watch *watch) {
        return place_problem(&watch->place);
}

struct path_watch *path_watch_free(struct path_watch *watch) {
        if (!watch)
                return NULL;
        place_unwatch(&watch->place);
        free(watch);
        return NULL;
}
