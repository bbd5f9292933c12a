/*
 * Rights are part of the set: owner, group and mode of its files are what the configuration says, whatever
 * somebody has done to them, and whatever it said when they were made. Keys of older generations, which are
 * kept for a rollback, are held to the same, since a key that was too widely readable stays a key.
 *
 * A directory that its group may write to is nothing to refuse here: kubelet makes it so at every mount of a
 * volume (lib/store/directory.c). What is wide is narrowed again, with all files in it.
 *
 * What this user may not change is reported, and not tried again as long as it is the same: a file system may
 * accept each change and ignore it, and each change is an event for who watches.
 */

#include "lib/store/store-private.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/life/cause.h"
#include "lib/util/hash.h"
#include "lib/util/user.h"

void store_rights_clear(struct store_rights *rights) {
        free(rights->changes);
        error_clear(&rights->problem);
        *rights = (struct store_rights) { 0 };
}

/* One walk over the files. */
struct walk {
        const struct store *store;
        bool change;       /* else only look */
        bool is_lenient;   /* what is not configured is not known, and right */
        struct stat root;  /* the store's own directory */
        struct rights own; /* those of a new file */
        uint64_t hash;     /* of what is not right; HASH_INIT: all is */
        unsigned n_changed;
        bool was_exposed; /* a key that was changed was world-readable */
        struct store_rights *result;
};

static uint64_t hash_number(uint64_t hash, uint64_t number) {
        for (unsigned shift = 0; shift < 64; shift += 8)
                hash = hash_byte(hash, (uint8_t)(number >> shift));
        return hash;
}

/* ROOT is the directory of the store. */
static struct rights own_rights(const struct stat *root) {
        return (struct rights) {
                .uid = geteuid(),
                .gid = root->st_mode & S_ISGID ? root->st_gid : getegid(),
        };
}

int store_own_rights(const struct store *store, struct rights *ret) {
        struct stat st;

        if (fstat(store->fd, &st) < 0)
                return -errno;
        *ret = own_rights(&st);
        return 0;
}

static struct rights choose_target(const struct walk *walk, const struct rights *now,
                                   struct file_access wanted) {
        return rights_target(now, wanted, walk->is_lenient ? now : &walk->own);
}

/* What is visited: NAME in the directory FD, "." for that directory itself; in the store it is PATH, "." for
 * the store's own. */
struct spot {
        int fd;
        const char *name, *path;
        struct file_access wanted;
        bool is_key;
};

/* Owned by the caller; NULL when memory is out. */
static char *spot_path(const struct walk *walk, const struct spot *spot) {
        const bool is_root = streq(spot->path, ".");
        char *path;

        if (asprintf(&path, "%s%s%s", walk->store->path, is_root ? "" : "/", is_root ? "" : spot->path) < 0)
                return NULL;
        return path;
}

static int note_change(struct walk *walk, const struct spot *spot, const struct rights *before,
                       const struct rights *after) {
        _cleanup_(freep) char *path = NULL;
        char old[RIGHTS_TEXT], new[RIGHTS_TEXT];

        walk->was_exposed = walk->was_exposed || (spot->is_key && before->mode & S_IROTH);
        if (walk->n_changed++ > 0)
                return 0;
        path = spot_path(walk, spot);
        if (!path || asprintf(&walk->result->changes, "%s is now %s, and was %s", path,
                              rights_text(after, new), rights_text(before, old)) < 0) {
                walk->result->changes = NULL;
                return -ENOMEM;
        }
        return 0;
}

static void hash_problem(struct walk *walk, const char *path, const struct rights *now,
                         const struct rights *target) {
        walk->hash = hash_text(walk->hash, path);
        walk->hash = hash_number(walk->hash, now->uid);
        walk->hash = hash_number(walk->hash, now->gid);
        walk->hash = hash_number(walk->hash, now->mode | (now->has_acl ? 010000u : 0));
        walk->hash = hash_number(walk->hash, target->uid);
        walk->hash = hash_number(walk->hash, target->gid);
        walk->hash = hash_number(walk->hash, target->mode);
}

/* R is why NOW could not be changed; 0: it was not tried, or was in vain. */
static void note_problem(struct walk *walk, const struct spot *spot, const struct rights *now,
                         const struct rights *target, int r) {
        _cleanup_(freep) char *path = NULL, *commands = NULL, *why = NULL, *fix = NULL;
        const bool needs_right = r == -EPERM && now->gid != target->gid;
        char is[RIGHTS_TEXT], should[RIGHTS_TEXT], group[USER_NAME_MAX];

        hash_problem(walk, spot->path, now, target);
        if (walk->result->problem.code != 0)
                return;
        path = spot_path(walk, spot);
        commands = path ? rights_commands(now, target, path) : NULL;
        if (r < 0 && asprintf(&why, ", and could not be changed: %s%s%s", error_code_text(r),
                              needs_right ? ", since the service is not in group " : "",
                              needs_right ? group_name(target->gid, group) : "") < 0)
                why = NULL;
        fix = needs_right && why ? cause_fix_group(target->gid) : NULL;
        if (!path || !commands || (needs_right && !fix)) {
                error_set(&walk->result->problem, -ENOMEM, "out of memory");
                return;
        }
        error_set(&walk->result->problem, r < 0 ? r : -EPERM, "%s: %s is %s instead of %s%s; %s%s%s",
                  spot->is_key && rights_are_wider(now, target)
                          ? "users who should not can read a key"
                          : "the files do not have the configured rights",
                  path, rights_text(now, is), rights_text(target, should),
                  why            ? why
                  : walk->change ? ", and stays so where it is stored"
                                 : "",
                  fix ? fix : "fix", fix ? "; until then: " : ": ", commands);
}

static int visit(struct walk *walk, const struct spot *spot) {
        struct rights before, after, target;
        int r;

        r = rights_read_at(spot->fd, spot->name, &before);
        if (r < 0)
                return 0; /* missing, or no file: reading it says so */
        target = choose_target(walk, &before, spot->wanted);
        if (rights_equal(&before, &target))
                return 0;
        if (!walk->change) {
                note_problem(walk, spot, &before, &target, 0);
                return 0;
        }
        r = rights_change_at(spot->fd, spot->name, &before, &target);
        if (rights_read_at(spot->fd, spot->name, &after) < 0)
                return 0;
        if (!rights_equal(&after, &target))
                note_problem(walk, spot, &after, &target, r);
        return rights_equal(&after, &before) ? 0 : note_change(walk, spot, &before, &after);
}

/* --- What is visited --- */

/* A generation, or the stage: a directory in the store. */
struct folder {
        char name[NUMBERED_NAME_MAX];
        bool is_there;
        bool is_wide;  /* its group or others may write there: of the files in it more is visited then */
        bool is_right; /* nothing is to be changed, nor to be looked at again */
        int fd;        /* -1: nobody else can put another one in its place, so its name will do */
};

static void folder_clear(struct folder *folder) {
        folder->fd = fd_close(folder->fd);
}

static int visit_file(struct walk *walk, const struct folder *folder, const char *name,
                      struct file_access wanted) {
        char path[NUMBERED_NAME_MAX + 32];
        struct spot spot = { folder->fd, name, path, wanted, streq(name, STORE_KEY) };

        snprintf(path, sizeof(path), "%s/%s", folder->name, name);
        if (spot.fd < 0) {
                spot.fd = walk->store->fd;
                spot.name = path;
        }
        return visit(walk, &spot);
}

/* By its name, since it need not be readable. */
static int visit_folder(struct walk *walk, const struct folder *folder, mode_t mode) {
        const struct spot spot = { walk->store->fd, folder->name, folder->name, FILE_ACCESS(mode), false };

        return folder->is_right ? 0 : visit(walk, &spot);
}

/* One that this user owns and may not read, MODE lets it. */
static int open_folder(struct walk *walk, mode_t mode, struct folder *folder) {
        int fd = dir_open_at(walk->store->fd, folder->name);
        int r;

        if (fd == -EACCES) {
                r = visit_folder(walk, folder, mode);
                if (r < 0)
                        return r;
                fd = dir_open_at(walk->store->fd, folder->name);
        }
        folder->is_there = fd >= 0;
        folder->fd = fd < 0 ? -1 : fd;
        return 0;
}

/* A link is none: what it leads to may be another user's. */
static int find_folder(struct walk *walk, const char *prefix, uint64_t number, mode_t mode,
                       struct folder *ret) {
        struct stat st;

        *ret = (struct folder) { .fd = -1 };
        store_numbered_name(ret->name, prefix, number);
        if (fstatat(walk->store->fd, ret->name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
                return 0;
        ret->is_there = true;
        ret->is_wide = st.st_mode & (S_IWGRP | S_IWOTH);
        /* The group may do what everybody may, so an ACL could give nothing, and any group is right. */
        ret->is_right = (st.st_mode & 07777u) == mode && (mode >> 3 & 07u) == (mode & 07u) &&
                        (st.st_uid == 0 || st.st_uid == walk->own.uid);
        return walk->root.st_mode & S_IWGRP ? open_folder(walk, mode, ret) : 0;
}

/* The key first: of several changes and problems, the first is told. The directory last: that it is wide is
 * why all files are visited, if need be in the next walk. */
static int visit_generation(struct walk *walk, uint64_t number, bool is_current) {
        static const char *const hidden[] = { STORE_ADOPTED, STORE_COPY_OF };
        const struct store_options *options = &walk->store->options;
        _cleanup_(folder_clear) struct folder folder = { .fd = -1 };
        int r;

        r = find_folder(walk, GENERATION_PREFIX, number, 0755, &folder);
        if (r < 0 || !folder.is_there)
                return r;
        r = visit_file(walk, &folder, STORE_KEY, walk->store->key_access);
        if (!is_current && !folder.is_wide)
                return r;
        for (const char *const *name = store_public_names; r == 0 && *name; name++)
                if (!streq(*name, STORE_KEY))
                        r = visit_file(walk, &folder, *name, options->public_access);
        for (size_t i = 0; r == 0 && folder.is_wide && i < ELEMENTSOF(hidden); i++)
                r = visit_file(walk, &folder, hidden[i], FILE_ACCESS(0644));
        return r < 0 ? r : visit_folder(walk, &folder, 0755);
}

/* It becomes a generation with the key as it is. */
static int visit_stage(struct walk *walk) {
        _cleanup_(folder_clear) struct folder folder = { .fd = -1 };
        int r;

        if (walk->store->has_no_stage)
                return 0;
        r = find_folder(walk, STAGE_PREFIX, store_next(walk->store), 0700, &folder);
        if (r < 0 || !folder.is_there)
                return r;
        r = visit_file(walk, &folder, STORE_KEY, walk->store->key_access);
        return r < 0 || !folder.is_wide ? r : visit_folder(walk, &folder, 0700);
}

/* The store's own directory. That of root stays as it is, since this user cannot change it. */
static int visit_root(struct walk *walk) {
        const struct stat *st = &walk->root;
        const struct spot spot = {
                .fd = walk->store->fd,
                .name = ".",
                .path = ".",
                .wanted = { st->st_uid, st->st_gid, st->st_mode & 07777u & ~(mode_t)S_IWGRP },
        };

        if (walk->is_lenient || st->st_uid != geteuid() || !(st->st_mode & S_IWGRP))
                return 0;
        return visit(walk, &spot);
}

static int visit_all(struct walk *walk, const struct generations *generations) {
        const struct store *store = walk->store;
        int r;

        walk->hash = HASH_INIT;
        r = store->has_current ? visit_generation(walk, store->current, true) : 0;
        for (size_t i = generations->n; r == 0 && i-- > 0;)
                if (!store->has_current || generations->numbers[i] != store->current)
                        r = visit_generation(walk, generations->numbers[i], false);
        if (r == 0)
                r = visit_stage(walk);
        if (r == 0)
                r = visit_root(walk);
        walk->result->unchanged = walk->hash != HASH_INIT ? walk->hash : 0;
        return r;
}

/* What the first change is followed by. */
static int complete_changes(struct walk *walk) {
        char more[64] = "";
        char *text;

        if (walk->n_changed == 0)
                return 0;
        if (walk->n_changed > 1)
                snprintf(more, sizeof(more), "; %u more file%s changed", walk->n_changed - 1,
                         walk->n_changed == 2 ? "" : "s");
        if (asprintf(&text, "%s%s%s", walk->result->changes, more,
                     walk->was_exposed ? "; every user could read the key, which may be disclosed" : "") < 0)
                return -ENOMEM;
        free(walk->result->changes);
        walk->result->changes = text;
        return 0;
}

static int walk_through(const struct store *store, bool change, bool is_lenient, uint64_t known,
                        struct store_rights *ret) {
        _cleanup_(generations_clear) struct generations generations = { 0 };
        _cleanup_(store_rights_clear) struct store_rights result = { 0 };
        struct walk walk = { .store = store, .is_lenient = is_lenient, .result = &result };
        int r;

        r = fstat(store->fd, &walk.root) < 0 ? -errno : 0;
        if (r == 0)
                walk.own = own_rights(&walk.root);
        if (r == 0)
                r = store_list_generations(store, &generations);
        if (r == 0)
                r = visit_all(&walk, &generations);
        if (r == 0 && change && result.unchanged != 0 && result.unchanged != known) {
                error_clear(&result.problem);
                walk.change = true;
                r = visit_all(&walk, &generations);
                if (r == 0)
                        r = complete_changes(&walk);
        }
        if (r < 0)
                return r;
        *ret = result;
        result = (struct store_rights) { 0 };
        return 0;
}

int store_put_rights(const struct store *store, uint64_t known, struct store_rights *ret) {
        return walk_through(store, true, false, known, ret);
}

int store_examine_rights(const struct store *store, struct error *ret) {
        _cleanup_(store_rights_clear) struct store_rights rights = { 0 };
        int r;

        r = walk_through(store, false, true, 0, &rights);
        if (r == 0 && rights.unchanged != 0)
                error_move(ret, &rights.problem);
        return r;
}
