/*
 * inotify can only watch what exists. So the nearest directory above the file that exists is watched, and
 * after each event the question is asked again: is there a nearer one now? The last watch is on the file's
 * own directory, never on the file, because files are replaced by rename.
 */

#include "daemon/loop/path-watch.h"

#include <errno.h>
#include <sys/inotify.h>
#include <sys/stat.h>

struct path_watch {
        sd_event *event;
        sd_event_source *source;
        char *path;
        char *directory; /* the one that is watched */
        watch_function_t function;
        void *userdata;
};

#define WATCH_EVENTS \
        (IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

/* The nearest directory above PATH that exists; at worst "/". */
static char *nearest_directory(const char *path) {
        char *directory = strdup(path);
        struct stat st;

        while (directory) {
                char *slash = strrchr(directory, '/');

                if (!slash || slash == directory) {
                        free(directory);
                        return strdup("/");
                }
                *slash = '\0';
                if (stat(directory, &st) == 0 && S_ISDIR(st.st_mode))
                        break;
        }
        return directory;
}

static int on_event(sd_event_source *source, const struct inotify_event *event, void *userdata);

/* Watches the nearest directory, unless it is watched already. AGAIN: what is watched is gone or moved. */
static int watch_arm(struct path_watch *watch, bool again) {
        _cleanup_(freep) char *directory = NULL;
        sd_event_source *source = NULL;
        int r;

        for (;;) {
                free(directory);
                directory = nearest_directory(watch->path);
                if (!directory)
                        return -ENOMEM;
                if (!again && watch->directory && streq(directory, watch->directory))
                        return 0;
                again = false;

                r = sd_event_add_inotify(watch->event, &source, directory, WATCH_EVENTS, on_event, watch);
                if (r == -ENOENT)
                        continue; /* gone since the last check: its parent then */
                if (r < 0)
                        return r;
                sd_event_source_disable_unref(watch->source);
                watch->source = source;
                free(watch->directory);
                watch->directory = take_ptr(directory);
                /* Something nearer may have come while we armed: ask once more. */
        }
}

static int on_event(_unused_ sd_event_source *source, const struct inotify_event *event, void *userdata) {
        struct path_watch *watch = userdata;

        (void)watch_arm(watch, event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED));
        watch->function(watch->userdata);
        return 0;
}

int path_watch_new(sd_event *event, const char *path, watch_function_t function, void *userdata,
                   struct path_watch **ret) {
        _cleanup_(path_watch_freep) struct path_watch *watch = NULL;
        int r;

        watch = calloc(1, sizeof(*watch));
        if (!watch)
                return -ENOMEM;
        watch->event = sd_event_ref(event);
        watch->function = function;
        watch->userdata = userdata;
        watch->path = strdup(path);
        if (!watch->path)
                return -ENOMEM;
        r = watch_arm(watch, false);
        if (r < 0)
                return r;

        *ret = take_ptr(watch);
        return 0;
}

struct path_watch *path_watch_free(struct path_watch *watch) {
        if (!watch)
                return NULL;
        sd_event_source_disable_unref(watch->source);
        sd_event_unref(watch->event);
        free(watch->directory);
        free(watch->path);
        free(watch);
        return NULL;
}
