/*
 * inotify watches files, not paths: who watches a directory learns nothing when the one above it is moved
 * away. So all directories above a place are watched too, for that alone, once for all places below them. A
 * place, or a directory above it, that does not exist is awaited in the nearest one that does, which is then
 * watched for new names as well. No event says that a file system was mounted: /proc/self/mountinfo does.
 *
 * Whatever happens to a path has the places below it looked at again: watched by their path, which finds what
 * is there now. The kernel's number of the watch says whether it is the same as before. This takes one system
 * call for each place, and is done in turns of the loop.
 *
 * The kernel has limits for watches, and some directories may not be read. Nothing polls as long as all is
 * watched; for the sake of what is not, one timer has all looked at again.
 */

#include "daemon/loop/place.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "lib/util/log.h"

#define ABOVE_EVENTS (IN_DELETE_SELF | IN_MOVE_SELF | IN_DONT_FOLLOW)
#define AWAIT_EVENTS (IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define LINK_EVENTS  (IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define LOST         (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED | IN_Q_OVERFLOW)

/* Places that are looked at, and that are passed over, in one turn of the loop. */
#define LOOKS_A_TURN 64u
#define SKIPS_A_TURN 4096u

/* Mounts come in groups. */
#define MOUNTS_USEC (100 * USEC_PER_MSEC)

/* A directory above places, shared by all of them. */
struct ancestor {
        struct spot spot;            /* the entry itself, also where it is a link */
        struct inotify_watch target; /* what a link leads to, or who waits for a name; or not watched */
        struct roster *roster;
        unsigned n_refs, n_waiting; /* places and ancestors right below it; and those that are missing */
        unsigned round;             /* in which it was looked at */
        bool is_link;
        char path[];
};

/* All places of one loop. */
struct roster {
        sd_event *event;
        struct inotify *inotify; /* NULL: INOTIFY_PROBLEM */
        int inotify_problem;
        TAILQ_HEAD(, watched_place) places;
        void *ancestors;      /* a tree, by path */
        unsigned n_refs;      /* places, and who works with it */
        unsigned n_unwatched; /* spots with a problem */
        usec_t poll_usec;

        /* All places below PREFIX ("": everywhere) are looked at again, N_LEFT of all from CURSOR on. */
        sd_event_source *round_source;
        char *prefix; /* NULL: no round */
        struct watched_place *cursor;
        unsigned n_places, n_left;
        unsigned round; /* its number */
        bool is_poll;   /* who is not watched is told in any case */

        sd_event_source *poll, *mounts, *mounts_settled;
        struct roster *next; /* of another loop */
};

static struct roster *rosters;

/* --- Rounds --- */

static bool is_below(const char *path, const char *prefix) {
        size_t n = strlen(prefix);

        return strncmp(path, prefix, n) == 0 && (n == 0 || path[n] == '/' || path[n] == '\0');
}

/* For PREFIX and what is still pending. */
static void begin_round(struct roster *roster, const char *prefix) {
        char *copy;

        if (streq(prefix, "/") || (roster->prefix && !streq(prefix, roster->prefix)))
                prefix = "";
        copy = strdup(prefix);
        if (!copy) {
                log_error("cannot look for changed directories: out of memory");
                sd_event_exit(roster->event, EXIT_FAILURE);
                return;
        }
        free(roster->prefix);
        roster->prefix = copy;
        roster->n_left = roster->n_places;
        roster->round++;
        (void)sd_event_source_set_enabled(roster->round_source, SD_EVENT_ON);
}

/* --- Spots --- */

static void set_problem(struct roster *roster, struct spot *spot, int problem) {
        roster->n_unwatched -= spot->problem < 0;
        spot->problem = (int16_t)problem;
        roster->n_unwatched += spot->problem < 0;
        if (roster->n_unwatched == 0 || sd_event_source_get_enabled(roster->poll, NULL) > 0)
                return;
        if (sd_event_source_set_time_relative(roster->poll, roster->poll_usec) >= 0)
                (void)sd_event_source_set_enabled(roster->poll, SD_EVENT_ONESHOT);
}

static bool is_absence(int r) {
        return r == -ENOENT || r == -ENOTDIR || r == -ELOOP;
}

static void await_names(struct ancestor *ancestor);
static void await_no_names(struct ancestor *ancestor);

static int arm(struct roster *roster, struct inotify_watch *watch, const char *path, uint32_t mask) {
        return roster->inotify ? inotify_arm(roster->inotify, watch, path, mask) : roster->inotify_problem;
}

static void disarm(struct roster *roster, struct inotify_watch *watch) {
        if (roster->inotify)
                inotify_remove(roster->inotify, watch);
}

/* Watches what is at PATH now. Whether it is something else than before. */
static bool look_at_spot(struct roster *roster, struct spot *spot, const char *path) {
        const int before = spot->watch.wd;
        int r = arm(roster, &spot->watch, path, spot->mask);

        if (is_absence(r) && !spot->is_missing && spot->parent) {
                spot->is_missing = true;
                await_names(spot->parent);
                r = arm(roster, &spot->watch, path, spot->mask); /* it may have come meanwhile */
        }
        if (spot->is_missing && !is_absence(r)) {
                spot->is_missing = false;
                await_no_names(spot->parent);
        }
        if (r != 0)
                set_problem(roster, spot, r < 0 && !is_absence(r) ? r : 0);
        return spot->watch.wd != before;
}

static void clear_spot(struct roster *roster, struct spot *spot) {
        disarm(roster, &spot->watch);
        set_problem(roster, spot, 0);
        if (spot->is_missing) {
                spot->is_missing = false;
                await_no_names(spot->parent);
        }
}

/* --- Ancestors --- */

static void look_at_target(struct ancestor *ancestor) {
        struct roster *roster = ancestor->roster;
        uint32_t mask = ancestor->n_waiting > 0 ? AWAIT_EVENTS : LINK_EVENTS;
        int r;

        if (ancestor->n_waiting == 0 && !ancestor->is_link) {
                disarm(roster, &ancestor->target);
                if (ancestor->spot.watch.wd > 0)
                        set_problem(roster, &ancestor->spot, 0);
                return;
        }
        r = arm(roster, &ancestor->target, ancestor->path, mask);
        if (ancestor->spot.watch.wd > 0)
                set_problem(roster, &ancestor->spot,
                            r < 0 ? r : 0); /* of a link that leads nowhere as well */
}

static void await_names(struct ancestor *ancestor) {
        if (ancestor->n_waiting++ == 0)
                look_at_target(ancestor);
}

/* The kernel joins the masks of all who watch the same directory, and keeps them until the last one has gone:
 * without this, every new name in it would be an event for as long as rekeyd lives. What happened in between
 * is found by the round. */
static void await_no_names(struct ancestor *ancestor) {
        struct roster *roster = ancestor->roster;

        if (--ancestor->n_waiting > 0 || ancestor->spot.watch.wd == 0)
                return;
        disarm(roster, &ancestor->target);
        disarm(roster, &ancestor->spot.watch);
        (void)look_at_spot(roster, &ancestor->spot, ancestor->path);
        look_at_target(ancestor);
        begin_round(roster, ancestor->path);
}

static void look_at_ancestor(struct ancestor *ancestor) {
        struct roster *roster = ancestor->roster;
        struct stat st;

        if (ancestor->round == roster->round)
                return;
        ancestor->round = roster->round;
        if (ancestor->spot.parent)
                look_at_ancestor(ancestor->spot.parent);
        (void)look_at_spot(roster, &ancestor->spot, ancestor->path);
        ancestor->is_link = lstat(ancestor->path, &st) == 0 && S_ISLNK(st.st_mode);
        look_at_target(ancestor);
}

static void on_entry(struct inotify_watch *watch, uint32_t mask, _unused_ const char *name) {
        struct ancestor *ancestor = container_of(watch, struct ancestor, spot.watch);

        if (mask & LOST)
                begin_round(ancestor->roster, ancestor->path);
}

static void on_target(struct inotify_watch *watch, uint32_t mask, const char *name) {
        struct ancestor *ancestor = container_of(watch, struct ancestor, target);
        const char *path = streq(ancestor->path, "/") ? "" : ancestor->path;
        _cleanup_(freep) char *below = NULL;

        if (mask & LOST || asprintf(&below, "%s/%s", path, name) < 0)
                begin_round(ancestor->roster, ancestor->path);
        else if (mask & (IN_CREATE | IN_MOVED_TO))
                begin_round(ancestor->roster, below);
}

static int compare_ancestors(const void *a, const void *b) {
        return strcmp(((const struct ancestor *)a)->path, ((const struct ancestor *)b)->path);
}

static void release_ancestor(struct ancestor *ancestor) {
        struct roster *roster;

        if (!ancestor || --ancestor->n_refs > 0)
                return;
        roster = ancestor->roster;
        disarm(roster, &ancestor->target);
        clear_spot(roster, &ancestor->spot);
        (void)tdelete(ancestor, &roster->ancestors, compare_ancestors);
        release_ancestor(ancestor->spot.parent);
        free(ancestor);
}

/* The one of the first SIZE bytes of PATH, with a reference; 0 or -ENOMEM. */
static int find_ancestor(struct roster *roster, const char *path, size_t size, struct ancestor **ret) {
        struct ancestor *ancestor, **node;
        int r;

        ancestor = calloc(1, sizeof(*ancestor) + size + 1);
        if (!ancestor)
                return -ENOMEM;
        memcpy(ancestor->path, path, size);
        node = tsearch(ancestor, &roster->ancestors, compare_ancestors);
        if (!node) {
                free(ancestor);
                return -ENOMEM;
        }
        if (*node != ancestor) {
                free(ancestor);
                (*node)->n_refs++;
                *ret = *node;
                return 0;
        }
        ancestor->roster = roster;
        ancestor->n_refs = 1;
        ancestor->round = roster->round - 1;
        ancestor->spot.mask = ABOVE_EVENTS;
        ancestor->spot.watch.function = on_entry;
        ancestor->target.function = on_target;
        if (size > 1) {
                const char *slash = memrchr(path, '/', size);

                r = find_ancestor(roster, path, slash == path ? 1 : (size_t)(slash - path),
                                  &ancestor->spot.parent);
                if (r < 0) {
                        release_ancestor(ancestor);
                        return r;
                }
        }
        look_at_ancestor(ancestor);
        *ret = ancestor;
        return 0;
}

/* --- The roster --- */

static bool look_at_place(struct roster *roster, struct watched_place *place) {
        look_at_ancestor(place->spot.parent);
        return look_at_spot(roster, &place->spot, place->path);
}

static void open_inotify(struct roster *roster) {
        if (!roster->inotify)
                roster->inotify_problem = inotify_get(roster->event, &roster->inotify);
}

static void unref_roster(struct roster *roster) {
        struct roster **link = &rosters;

        if (!roster || --roster->n_refs > 0)
                return;
        while (*link != roster)
                link = &(*link)->next;
        *link = roster->next;
        sd_event_source_disable_unref(roster->round_source);
        sd_event_source_disable_unref(roster->poll);
        sd_event_source_disable_unref(roster->mounts);
        sd_event_source_disable_unref(roster->mounts_settled);
        inotify_unref(roster->inotify);
        sd_event_unref(roster->event);
        free(roster->prefix);
        free(roster);
}

static void end_round(struct roster *roster) {
        free(take_ptr(roster->prefix));
        roster->is_poll = false;
        (void)sd_event_source_set_enabled(roster->round_source, SD_EVENT_OFF);
}

static int on_round(_unused_ sd_event_source *source, void *userdata) {
        struct roster *roster = userdata;
        unsigned n_looks = 0, n_skips = 0;

        roster->n_refs++;
        while (roster->n_left > 0 && n_looks < LOOKS_A_TURN && n_skips < SKIPS_A_TURN) {
                struct watched_place *place = roster->cursor ? roster->cursor : TAILQ_FIRST(&roster->places);
                bool must_tell;

                roster->n_left = place ? roster->n_left - 1 : 0;
                if (!place)
                        break;
                roster->cursor = TAILQ_NEXT(place, link);
                if (!is_below(place->path, roster->prefix)) {
                        n_skips++;
                        continue;
                }
                n_looks++;
                must_tell = roster->is_poll && place->spot.problem < 0;
                if (look_at_place(roster, place) || must_tell)
                        place->changed(place);
        }
        if (roster->n_left == 0)
                end_round(roster);
        unref_roster(roster);
        return 0;
}

static int on_poll(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        struct roster *roster = userdata;

        if (roster->n_unwatched == 0)
                return 0;
        open_inotify(roster);
        roster->is_poll = true;
        begin_round(roster, "");
        (void)sd_event_source_set_time_relative(roster->poll, roster->poll_usec);
        return sd_event_source_set_enabled(roster->poll, SD_EVENT_ONESHOT);
}

static int on_mounts(_unused_ sd_event_source *source, _unused_ int fd, _unused_ uint32_t revents,
                     void *userdata) {
        struct roster *roster = userdata;

        if (sd_event_source_get_enabled(roster->mounts_settled, NULL) > 0)
                return 0;
        (void)sd_event_source_set_time_relative(roster->mounts_settled, MOUNTS_USEC);
        return sd_event_source_set_enabled(roster->mounts_settled, SD_EVENT_ONESHOT);
}

static int on_mounts_settled(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        begin_round(userdata, "");
        return 0;
}

/* proc(5): the file becomes ready, with an error, when a mount comes or goes. */
static int watch_mounts(struct roster *roster) {
        _cleanup_(fd_closep) int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
        int r;

        if (fd < 0) {
                log_warning("mounted file systems are noticed late: cannot watch /proc/self/mountinfo: %s",
                            strerrordesc_np(errno));
                return 0;
        }
        r = sd_event_add_io(roster->event, &roster->mounts, fd, EPOLLPRI, on_mounts, roster);
        if (r < 0)
                return r;
        (void)sd_event_source_set_io_fd_own(roster->mounts, true);
        (void)take_fd(&fd);
        return 0;
}

static int start_roster(struct roster *roster) {
        int r;

        r = sd_event_add_defer(roster->event, &roster->round_source, on_round, roster);
        if (r >= 0)
                r = sd_event_source_set_enabled(roster->round_source, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time(roster->event, &roster->poll, CLOCK_MONOTONIC, 0, 0, on_poll, roster);
        if (r >= 0)
                r = sd_event_source_set_enabled(roster->poll, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time(roster->event, &roster->mounts_settled, CLOCK_MONOTONIC, 0, 0,
                                      on_mounts_settled, roster);
        if (r >= 0)
                r = sd_event_source_set_enabled(roster->mounts_settled, SD_EVENT_OFF);
        if (r >= 0)
                r = watch_mounts(roster);
        return r < 0 ? r : 0;
}

static int get_roster(sd_event *event, struct roster **ret) {
        struct roster *roster = rosters;
        int r;

        while (roster && roster->event != event)
                roster = roster->next;
        if (roster) {
                roster->n_refs++;
                *ret = roster;
                return 0;
        }
        roster = calloc(1, sizeof(*roster));
        if (!roster)
                return -ENOMEM;
        roster->event = sd_event_ref(event);
        roster->n_refs = 1;
        roster->poll_usec = PLACE_POLL_USEC;
        TAILQ_INIT(&roster->places);
        roster->next = rosters;
        rosters = roster;
        open_inotify(roster);
        r = start_roster(roster);
        if (r < 0) {
                unref_roster(roster);
                return r;
        }
        *ret = roster;
        return 0;
}

/* --- Places --- */

static void on_place(struct inotify_watch *watch, uint32_t mask, _unused_ const char *name) {
        struct watched_place *place = container_of(watch, struct watched_place, spot.watch);

        if (mask & LOST)
                (void)place_look(place);
        place->changed(place);
}

int place_watch(sd_event *event, struct watched_place *place, const char *path, uint32_t mask,
                bool with_link) {
        const char *slash = strrchr(path, '/');
        size_t size = with_link ? strlen(path) : slash == path ? 1 : (size_t)(slash - path);
        struct roster *roster;
        int r;

        r = get_roster(event, &roster);
        if (r < 0)
                return r;
        place->spot = (struct spot) { .watch.function = on_place, .mask = mask };
        place->path = path;
        r = find_ancestor(roster, path, size, &place->spot.parent);
        if (r < 0) {
                unref_roster(roster);
                return r;
        }
        TAILQ_INSERT_TAIL(&roster->places, place, link);
        roster->n_places++;
        (void)look_at_spot(roster, &place->spot, path);
        return 0;
}

void place_unwatch(struct watched_place *place) {
        struct ancestor *parent = place->spot.parent;
        struct roster *roster;

        if (!parent)
                return;
        roster = parent->roster;
        if (roster->cursor == place)
                roster->cursor = TAILQ_NEXT(place, link);
        TAILQ_REMOVE(&roster->places, place, link);
        roster->n_places--;
        clear_spot(roster, &place->spot);
        place->spot.parent = NULL;
        release_ancestor(parent);
        unref_roster(roster);
}

bool place_look(struct watched_place *place) {
        return look_at_spot(place->spot.parent->roster, &place->spot, place->path);
}

int place_problem(const struct watched_place *place) {
        return place->spot.problem;
}

void place_set_problem(struct watched_place *place, int problem) {
        set_problem(place->spot.parent->roster, &place->spot, problem);
}

const char *place_problem_text(int problem) {
        return problem == -ENOSPC   ? "the limit fs.inotify.max_user_watches is reached"
               : problem == -EMFILE ? "the limit fs.inotify.max_user_instances is reached"
                                    : strerrordesc_np(-problem);
}

const char *place_problem_fix(int problem) {
        return problem == -ENOSPC   ? "sysctl fs.inotify.max_user_watches=1048576"
               : problem == -EMFILE ? "sysctl fs.inotify.max_user_instances=1024"
                                    : NULL;
}

struct inotify *place_inotify(const struct watched_place *place) {
        return place->spot.parent->roster->inotify;
}

void place_set_poll(sd_event *event, usec_t usec) {
        for (struct roster *roster = rosters; roster; roster = roster->next)
                if (roster->event == event) {
                        roster->poll_usec = usec;
                        (void)sd_event_source_set_time_relative(roster->poll, usec);
                }
}

void place_tidy(char *path) {
        char *out = path;

        assert(path[0] == '/');
        for (const char *in = path; *in;) {
                size_t n = strspn(in, "/");

                in += n;
                n = strcspn(in, "/");
                if (n == 0 || (n == 1 && in[0] == '.')) {
                        in += n;
                        continue;
                }
                *out++ = '/';
                memmove(out, in, n);
                out += n;
                in += n;
        }
        if (out == path)
                *out++ = '/';
        *out = '\0';
}
