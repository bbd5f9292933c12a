/*
 * Rights are part of the set: owner, group and mode of its files are what the configuration says, whatever
 * somebody has done to them, and whatever it said when they were made. Keys of older generations, which are
 * kept for a rollback, are held to the same, since a key that was too widely readable stays a key.
 *
 * What this user may not change is reported, and not tried again as long as it is the same: a file system may
 * accept each change and ignore it, and each change is an event for who watches.
 */

#include "lib/store/store-private.h"

#include <stdio.h>
#include <sys/stat.h>

#include "lib/util/hash.h"

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

int store_own_rights(const struct store *store, struct rights *ret) {
        struct stat st;

        if (fstat(store->fd, &st) < 0)
                return -errno;
        *ret = (struct rights) { .uid = geteuid(), .gid = st.st_mode & S_ISGID ? st.st_gid : getegid() };
        return 0;
}

static struct rights choose_target(const struct walk *walk, const struct rights *now,
                                   struct file_access wanted) {
        return rights_target(now, wanted, walk->is_lenient ? now : &walk->own);
}

static int note_change(struct walk *walk, const char *name, bool is_key, const struct rights *before,
                       const struct rights *after) {
        char old[RIGHTS_TEXT], new[RIGHTS_TEXT];

        walk->was_exposed = walk->was_exposed || (is_key && before->mode & S_IROTH);
        if (walk->n_changed++ > 0)
                return 0;
        if (asprintf(&walk->result->changes, "%s/%s is now %s, and was %s", walk->store->path, name,
                     rights_text(after, new), rights_text(before, old)) < 0) {
                walk->result->changes = NULL;
                return -ENOMEM;
        }
        return 0;
}

/* R is why NOW could not be changed; 0: it was not tried, or was in vain. */
static void note_problem(struct walk *walk, const char *name, bool is_key, const struct rights *now,
                         const struct rights *target, int r) {
        _cleanup_(freep) char *path = NULL, *commands = NULL, *why = NULL;
        const bool needs_right = r == -EPERM && now->gid != target->gid;
        char is[RIGHTS_TEXT], should[RIGHTS_TEXT];

        walk->hash = hash_text(walk->hash, name);
        walk->hash = hash_number(walk->hash, now->uid);
        walk->hash = hash_number(walk->hash, now->gid);
        walk->hash = hash_number(walk->hash, now->mode | (now->has_acl ? 010000u : 0));
        walk->hash = hash_number(walk->hash, target->uid);
        walk->hash = hash_number(walk->hash, target->gid);
        walk->hash = hash_number(walk->hash, target->mode);
        if (walk->result->problem.code != 0)
                return;
        if (asprintf(&path, "%s/%s", walk->store->path, name) < 0)
                path = NULL;
        commands = path ? rights_commands(now, target, path) : NULL;
        if (r < 0 &&
            asprintf(&why, ", and could not be changed: %s%s", error_code_text(r),
                     needs_right ? " (without CAP_CHOWN, rekeyd can set only groups that its user is in)"
                                 : "") < 0)
                why = NULL;
        if (!path || !commands) {
                error_set(&walk->result->problem, -ENOMEM, "out of memory");
                return;
        }
        error_set(&walk->result->problem, r < 0 ? r : -EPERM, "%s: %s is %s instead of %s%s; fix: %s",
                  is_key && rights_are_wider(now, target) ? "users who should not can read a key"
                                                          : "the files do not have the configured rights",
                  path, rights_text(now, is), rights_text(target, should),
                  why            ? why
                  : walk->change ? ", and stays so where it is stored"
                                 : "",
                  commands);
}

static int visit(struct walk *walk, const char *name, struct file_access wanted, bool is_key) {
        struct rights before, after, target;
        int r;

        r = rights_read_at(walk->store->fd, name, &before);
        if (r < 0)
                return 0; /* missing, or no file: reading it says so */
        target = choose_target(walk, &before, wanted);
        if (rights_equal(&before, &target))
                return 0;
        if (!walk->change) {
                note_problem(walk, name, is_key, &before, &target, 0);
                return 0;
        }
        r = rights_change_at(walk->store->fd, name, &before, &target);
        if (rights_read_at(walk->store->fd, name, &after) < 0)
                return 0;
        if (!rights_equal(&after, &target))
                note_problem(walk, name, is_key, &after, &target, r);
        return rights_equal(&after, &before) ? 0 : note_change(walk, name, is_key, &before, &after);
}

static int visit_file(struct walk *walk, const char *prefix, uint64_t number, const char *file) {
        const struct store *store = walk->store;
        const bool is_key = streq(file, STORE_KEY);
        char directory[NUMBERED_NAME_MAX], name[NUMBERED_NAME_MAX + 32];

        snprintf(name, sizeof(name), "%s/%s", store_numbered_name(directory, prefix, number), file);
        return visit(walk, name, is_key ? store->key_access : store->options.public_access, is_key);
}

/* The key first: of several changes and problems, the first is told. */
static int visit_current(struct walk *walk) {
        const uint64_t number = walk->store->current;
        char directory[NUMBERED_NAME_MAX];
        int r = 0;

        for (const char *const *name = store_public_names; r == 0 && *name; name++)
                r = visit_file(walk, GENERATION_PREFIX, number, *name);
        if (r < 0)
                return r;
        store_numbered_name(directory, GENERATION_PREFIX, number);
        return visit(walk, directory, FILE_ACCESS(0755), false);
}

static int visit_all(struct walk *walk, const struct generations *generations) {
        int r;

        walk->hash = HASH_INIT;
        r = walk->store->has_current ? visit_current(walk) : 0;
        for (size_t i = generations->n; r == 0 && i-- > 0;)
                if (!walk->store->has_current || generations->numbers[i] != walk->store->current)
                        r = visit_file(walk, GENERATION_PREFIX, generations->numbers[i], STORE_KEY);
        if (r == 0) /* it becomes a generation as it is */
                r = visit_file(walk, STAGE_PREFIX, store_next(walk->store), STORE_KEY);
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

        r = store_own_rights(store, &walk.own);
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
