#include "ca/place/pair.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "ca/place/part.h"

#define BEFORE "before"
#define AFTER  "after"
#define NOW    "now"

static const char *const sides[] = { BEFORE, AFTER };

struct pair {
        int dir_fd;
        const char *const *names;
        char room[NAME_MAX + 1]; /* our directory */
        int room_fd;
};

static void pair_end(struct pair *pair) {
        fd_close(pair->room_fd);
}

static int name_room(const char *const *names, char ret[NAME_MAX + 1]) {
        const int n = snprintf(ret, NAME_MAX + 1, ".%s.rekeyca.d", names[0]);

        return n < 0 || n > NAME_MAX ? -ENAMETOOLONG : 0;
}

static int write_target(const char *const *names, size_t i, char ret[PATH_MAX]) {
        char room[NAME_MAX + 1];
        int r, n;

        r = name_room(names, room);
        if (r < 0)
                return r;
        n = snprintf(ret, PATH_MAX, "%s/" NOW "/%s", room, names[i]);
        return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

bool pair_is_link(const char *const names[PAIR_FILES], size_t i, const char *target) {
        char ours[PATH_MAX];

        return write_target(names, i, ours) == 0 && streq(ours, target);
}

/* --- Our directory --- */

/* With the rights of the directory around it, so that who reads there can follow the links. */
static int make_directory(const struct pair *pair, int in_fd, const char *name) {
        const struct file_access access = part_access(pair->dir_fd, ".", 0700);
        _cleanup_(fd_closep) int fd = -1;

        if (mkdirat(in_fd, name, 0700) < 0)
                return -errno;
        fd = dir_open_at(in_fd, name);
        if (fd < 0)
                return fd;
        return fchown(fd, access.uid, access.gid) < 0 || fchmod(fd, access.mode) < 0 ? -errno : 0;
}

static int write_side(const struct pair *pair, const char *side, const struct contents *contents) {
        _cleanup_(fd_closep) int fd = -1;
        int r;

        r = make_directory(pair, pair->room_fd, side);
        if (r < 0)
                return r;
        fd = dir_open_at(pair->room_fd, side);
        if (fd < 0)
                return fd;
        for (size_t i = 0; i < PAIR_FILES && r == 0; i++)
                r = file_create_at(fd, pair->names[i], contents->texts[i], strlen(contents->texts[i]),
                                   part_access(pair->dir_fd, pair->names[i], 0600));
        return r < 0 ? r : dir_sync(fd);
}

static int prepare(struct pair *pair, const struct contents *before, const struct contents *after) {
        int r;

        r = make_directory(pair, pair->dir_fd, pair->room);
        if (r < 0)
                return r;
        pair->room_fd = dir_open_at(pair->dir_fd, pair->room);
        if (pair->room_fd < 0)
                return pair->room_fd;
        r = write_side(pair, BEFORE, before);
        if (r == 0)
                r = write_side(pair, AFTER, after);
        if (r == 0 && symlinkat(BEFORE, pair->room_fd, NOW) < 0)
                r = -errno;
        return r < 0 ? r : dir_sync(pair->room_fd);
}

/* Nothing leads into it any more. */
static int remove_room(struct pair *pair) {
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(sides) && r == 0; i++)
                r = dir_remove_at(pair->room_fd, sides[i]);
        if (r == 0)
                r = dir_remove_at(pair->dir_fd, pair->room);
        return r < 0 ? r : dir_sync(pair->dir_fd);
}

/* --- From files to links, and back --- */

static int exchange(int from_fd, const char *from, int to_fd, const char *to) {
        if (renameat2(from_fd, from, to_fd, to, RENAME_EXCHANGE) == 0)
                return 0;
        return errno == EINVAL ? -EOPNOTSUPP : errno == ENOENT ? -ESTALE : -errno;
}

static int make_link(const struct pair *pair, size_t i, const char *beside) {
        char target[PATH_MAX];
        int r;

        r = write_target(pair->names, i, target);
        if (r < 0)
                return r;
        if (symlinkat(target, pair->dir_fd, beside) == 0)
                return 0;
        return errno == EPERM ? -EOPNOTSUPP : -errno; /* symlink(2): the file system has none */
}

/* What is displaced stays beside, and must be what was read. */
static int lead_to_room(const struct pair *pair, size_t i, const char *text) {
        char beside[NAME_MAX + 1];
        int r;

        r = part_name_beside(pair->names[i], beside);
        if (r == 0)
                r = make_link(pair, i, beside);
        if (r < 0)
                return r;
        r = exchange(pair->dir_fd, beside, pair->dir_fd, pair->names[i]);
        if (r == 0) {
                r = part_check(pair->dir_fd, beside, text);
                if (r < 0)
                        (void)exchange(pair->dir_fd, beside, pair->dir_fd, pair->names[i]);
        }
        if (r < 0)
                (void)unlinkat(pair->dir_fd, beside, 0);
        return r;
}

static bool is_led(const struct pair *pair, int dir_fd, const char *path, size_t i) {
        _cleanup_(freep) char *target = NULL;

        return link_read_at(dir_fd, path, &target) == 0 && pair_is_link(pair->names, i, target);
}

static int settle_one(const struct pair *pair, size_t i) {
        char path[PATH_MAX];
        int r;

        if (!is_led(pair, pair->dir_fd, pair->names[i], i))
                return 0;
        snprintf(path, sizeof(path), NOW "/%s", pair->names[i]);
        r = exchange(pair->room_fd, path, pair->dir_fd, pair->names[i]);
        if (r < 0)
                return r;
        if (is_led(pair, pair->room_fd, path, i))
                return 0;
        return exchange(pair->room_fd, path, pair->dir_fd, pair->names[i]); /* another writer was faster */
}

static int settle(const struct pair *pair) {
        int r = 0;

        for (size_t i = 0; i < PAIR_FILES && r == 0; i++)
                r = settle_one(pair, i);
        return r < 0 ? r : dir_sync(pair->dir_fd);
}

/* --- The one rename --- */

static int lead_to(const struct pair *pair, const char *side) {
        int r;

        r = link_replace_at(pair->room_fd, side, NOW);
        return r < 0 ? r : dir_sync(pair->room_fd);
}

/* Nobody has replaced a link; who writes into a file instead has written through it. */
static int check_before(const struct pair *pair, const struct contents *before) {
        char path[PATH_MAX];
        int r = 0;

        for (size_t i = 0; i < PAIR_FILES && r == 0; i++) {
                snprintf(path, sizeof(path), BEFORE "/%s", pair->names[i]);
                r = is_led(pair, pair->dir_fd, pair->names[i], i)
                            ? part_check(pair->room_fd, path, before->texts[i])
                            : -ESTALE;
        }
        return r;
}

static int change(const struct pair *pair, const struct contents *before) {
        int r = 0;

        for (size_t i = 0; i < PAIR_FILES && r == 0; i++)
                r = lead_to_room(pair, i, before->texts[i]);
        if (r == 0)
                r = dir_sync(pair->dir_fd);
        if (r < 0)
                return r;
        r = lead_to(pair, AFTER);
        if (r == 0)
                r = check_before(pair, before);
        if (r < 0)
                (void)lead_to(pair, BEFORE);
        return r;
}

static void remove_displaced(const struct pair *pair) {
        char beside[NAME_MAX + 1];

        for (size_t i = 0; i < PAIR_FILES; i++)
                if (part_name_beside(pair->names[i], beside) == 0)
                        (void)unlinkat(pair->dir_fd, beside, 0);
}

/* Where the names cannot be made plain, all stays for the next run. */
static int finish(struct pair *pair, int r) {
        int q;

        if (pair->room_fd < 0)
                return r;
        q = settle(pair);
        if (q < 0)
                return r < 0 ? r : q;
        remove_displaced(pair);
        q = remove_room(pair);
        return r < 0 ? r : q;
}

int pair_swap(int dir_fd, const char *const names[PAIR_FILES], const struct contents *before,
              const struct contents *after) {
        _cleanup_(pair_end) struct pair pair = { .dir_fd = dir_fd, .names = names, .room_fd = -1 };
        int r;

        r = name_room(names, pair.room);
        if (r < 0)
                return r;
        r = prepare(&pair, before, after);
        if (r == 0)
                r = change(&pair, before);
        return finish(&pair, r);
}

/* --- After an interruption --- */

/* -ENOENT: there is none, so there is nothing to do. */
static int open_room(struct pair *pair) {
        int r;

        r = name_room(pair->names, pair->room);
        if (r < 0)
                return r;
        pair->room_fd = dir_open_at(pair->dir_fd, pair->room);
        return pair->room_fd < 0 ? pair->room_fd : 0;
}

int pair_settle(int dir_fd, const char *const names[PAIR_FILES]) {
        _cleanup_(pair_end) struct pair pair = { .dir_fd = dir_fd, .names = names, .room_fd = -1 };
        int r;

        r = open_room(&pair);
        if (r == -ENOENT)
                return 0;
        return r < 0 ? r : settle(&pair);
}

static int call_for_side(const struct pair *pair, const char *side,
                         int (*function)(void *userdata, const char *path, size_t i), void *userdata) {
        char path[PATH_MAX];
        int r = 0;

        for (size_t i = 0; i < PAIR_FILES && r == 0; i++) {
                if (snprintf(path, sizeof(path), "%s/%s/%s", pair->room, side, pair->names[i]) >=
                    (int)sizeof(path))
                        return -ENAMETOOLONG;
                r = function(userdata, path, i);
        }
        return r;
}

int pair_clear(int dir_fd, const char *const names[PAIR_FILES],
               int (*function)(void *userdata, const char *path, size_t i), void *userdata) {
        _cleanup_(pair_end) struct pair pair = { .dir_fd = dir_fd, .names = names, .room_fd = -1 };
        int r;

        r = open_room(&pair);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        for (size_t i = 0; i < ELEMENTSOF(sides) && r == 0; i++)
                r = call_for_side(&pair, sides[i], function, userdata);
        return r < 0 ? r : remove_room(&pair);
}
