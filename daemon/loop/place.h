#pragma once

/* Watching what is at a path, through all that may happen to the path itself: it is missing yet, it or a
 * directory above it is moved away or replaced, a file system is mounted over it, or away from it. */

#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "daemon/loop/inotify.h"
#include "lib/util/time.h"

/* What cannot be watched is reported this often instead, as if it had changed. */
#define PLACE_POLL_USEC (5 * USEC_PER_MINUTE)

struct ancestor;

/* One entry of a path, and what is there at present. Private to place.c. */
struct spot {
        struct inotify_watch watch;
        struct ancestor *parent;
        uint32_t mask;
        int16_t problem; /* -errno for which it is not watched; 0: none */
        bool is_missing;
};

/* Embedded in the owner; {.changed} is ready. */
struct watched_place {
        /* Something else is at the path, or nothing is, or it is there again; or an event (inotify(7)) of
         * what is there. It may be called without need, and may unwatch any place, this one too. */
        void (*changed)(struct watched_place *place);

        /* Private to place.c. */
        struct spot spot;
        const char *path;
        TAILQ_ENTRY(watched_place) link;
};

/* Watches PATH, which is absolute, tidy and borrowed, for MASK (inotify(7)). WITH_LINK: where PATH itself is
 * a symbolic link, another one in its place counts as well. What cannot be watched is no failure: see
 * place_problem(). 0 or -ENOMEM. */
int place_watch(sd_event *event, struct watched_place *place, const char *path, uint32_t mask,
                bool with_link);

/* Does nothing to one that is not watched. */
void place_unwatch(struct watched_place *place);

/* Since place_watch(), as long as it was not unwatched. */
static inline bool place_is_watched(const struct watched_place *place) {
        return place->spot.parent;
}

/* Watches what is there now. Whether it is something else than before. */
bool place_look(struct watched_place *place);

/* -errno for which not all that belongs to it is watched; 0: all is, or will be as soon as it exists. And the
 * owner's own, of more watches that belong to it, which holds until the place is another one. */
int place_problem(const struct watched_place *place);
void place_set_problem(struct watched_place *place, int problem);

/* The cause, "the limit fs.inotify.max_user_watches is reached", and the command against it, or NULL. */
const char *place_problem_text(int problem);
const char *place_problem_fix(int problem);

/* For more watches of the owner's; NULL while there is none. Borrowed. */
struct inotify *place_inotify(const struct watched_place *place);

/* What cannot be watched is reported every USEC from now on, for tests. */
void place_set_poll(sd_event *event, usec_t usec);

/* PATH without empty components and `.`, in place. */
void place_tidy(char *path);
