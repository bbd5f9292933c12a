/*
 * The store: one directory, many generations, one link to the current one.
 *
 * Readers go through `..data`, a symbolic link that is only ever replaced by rename(), so they see the old
 * set or the new one and never a mixture. A generation directory gets its name by a rename as well, after all
 * that is in it was fsynced: a `..gen-N` that exists is complete, and one that is newer than the current is a
 * commit that a crash cut off after the verification. Opening the store finishes it. There is no other
 * recovery and no state besides the names.
 *
 * The store refuses directories that a stranger could write to: a user who can rename our links can hand
 * another key to every dependent.
 */

#include "lib/store/store-private.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "lib/protocol/connection.h"
#include "lib/store/directory.h"
#include "lib/util/parse.h"

const char *const store_public_names[] = { STORE_KEY, STORE_CERTIFICATE, STORE_CA, STORE_CONNECTION, NULL };
#define N_PUBLIC_NAMES (ELEMENTSOF(store_public_names) - 1)

/* More than any store comes to; a larger number is a stranger's, and has no next one in the end. */
#define NUMBER_MAX UINT64_C(999999999999)

const char *store_numbered_name(char buffer[NUMBERED_NAME_MAX], const char *prefix, uint64_t number) {
        snprintf(buffer, NUMBERED_NAME_MAX, "%s%06" PRIu64, prefix, number);
        return buffer;
}

static bool parse_numbered_name(const char *name, const char *prefix, uint64_t *ret_number) {
        char canonical[NUMBERED_NAME_MAX];
        uint64_t number;

        if (!has_prefix(name, prefix) || parse_unsigned(name + strlen(prefix), 0, NUMBER_MAX, &number) < 0)
                return false;
        if (!streq(store_numbered_name(canonical, prefix, number), name))
                return false;
        *ret_number = number;
        return true;
}

uint64_t store_next(const struct store *store) {
        return store->has_current ? store->current + 1 : 1;
}

bool store_is_empty(const struct store *store) {
        return !store->has_current;
}

/* --- Directory entries --- */

void generations_clear(struct generations *generations) {
        free(generations->numbers);
        *generations = (struct generations) { 0 };
}

static int compare_numbers(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return x < y ? -1 : x > y;
}

static int collect_generation(const char *name, void *userdata) {
        struct generations *generations = userdata;
        uint64_t number, *numbers;

        if (!parse_numbered_name(name, GENERATION_PREFIX, &number))
                return 0;
        numbers = reallocarray(generations->numbers, generations->n + 1, sizeof(*numbers));
        if (!numbers)
                return -ENOMEM;
        generations->numbers = numbers;
        generations->numbers[generations->n++] = number;
        return 0;
}

static void sort_generations(struct generations *generations) {
        if (generations->n > 0)
                qsort(generations->numbers, generations->n, sizeof(*generations->numbers), compare_numbers);
}

static int copy_generations(const struct generations *listed, struct generations *ret) {
        struct generations copy = { .n = listed->n };

        if (copy.n > 0) {
                copy.numbers = malloc(copy.n * sizeof(*copy.numbers));
                if (!copy.numbers)
                        return -ENOMEM;
                memcpy(copy.numbers, listed->numbers, copy.n * sizeof(*copy.numbers));
        }
        *ret = copy;
        return 0;
}

void store_forget_listing(struct store *store) {
        store->is_listed = store->has_no_stage = false;
        generations_clear(&store->listed);
}

int store_list_generations(const struct store *store, struct generations *ret) {
        _cleanup_(generations_clear) struct generations generations = { 0 };
        int r;

        if (store->is_listed)
                return copy_generations(&store->listed, ret);
        r = dir_for_each(store->fd, collect_generation, &generations);
        if (r < 0)
                return r;
        sort_generations(&generations);
        *ret = generations;
        generations = (struct generations) { 0 };
        return 0;
}

/* --- Opening --- */

void store_read_adopted(struct store *store) {
        char name[NUMBERED_NAME_MAX + sizeof("/" STORE_ADOPTED)];

        store->adopted = (struct file_access) { .uid = (uid_t)-1, .gid = (gid_t)-1 };
        if (store->has_current) {
                store_numbered_name(name, GENERATION_PREFIX, store->current);
                strcat(name, "/" STORE_ADOPTED);
                store->adopted = store_adopted_read(store->fd, name);
        }
        store_settle_access(store);
}

int store_read_current(const struct store *store, uint64_t *ret_number) {
        _cleanup_(freep) char *target = NULL;
        int r;

        r = link_read_at(store->fd, STORE_CURRENT, &target);
        if (r < 0)
                return r == -EINVAL ? -EBADMSG : r;
        return parse_numbered_name(target, GENERATION_PREFIX, ret_number) ? 0 : -EBADMSG;
}

static int make_current(struct store *store, uint64_t number) {
        char name[NUMBERED_NAME_MAX];
        int r;

        r = link_replace_at(store->fd, store_numbered_name(name, GENERATION_PREFIX, number), STORE_CURRENT);
        if (r < 0)
                return r;
        store->has_current = true;
        store->current = number;
        return dir_sync(store->fd);
}

static bool is_temporary(const char *name) {
        return name[0] == '.' && has_suffix(name + 1, ".rekeyd") && !streq(name + 1, ".rekeyd");
}

static int remove_temporary(const char *name, void *userdata) {
        const int *dir_fd = userdata;

        return is_temporary(name) && unlinkat(*dir_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

/* What a crash left half-written in the stage would become part of the next generation: a token, say. */
static int clean_stage(const struct store *store, const char *name) {
        _cleanup_(fd_closep) int stage_fd = dir_open_at(store->fd, name);

        return stage_fd < 0 ? stage_fd : dir_for_each(stage_fd, remove_temporary, &stage_fd);
}

static int remove_litter(const char *name, void *userdata) {
        struct store *store = userdata;
        uint64_t number;

        if (!parse_numbered_name(name, STAGE_PREFIX, &number))
                return remove_temporary(name, &store->fd);
        if (number == store_next(store))
                return clean_stage(store, name);
        return dir_remove_at(store->fd, name);
}

/* Removes what is beyond `keep` and has been out of use for the time of grace: the successor's directory
 * shows since when. True: all of GENERATIONS are still there. */
static bool prune(const struct store *store, const struct generations *generations) {
        usec_t now = now_usec(CLOCK_REALTIME);
        bool is_whole = true;

        for (size_t i = 0; i + store->options.keep < generations->n; i++) {
                char name[NUMBERED_NAME_MAX], successor[NUMBERED_NAME_MAX];
                struct stat st;

                if (generations->numbers[i] == store->current)
                        continue;
                store_numbered_name(name, GENERATION_PREFIX, generations->numbers[i]);
                store_numbered_name(successor, GENERATION_PREFIX, generations->numbers[i + 1]);
                if (fstatat(store->fd, successor, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                if (usec_sub(now, (usec_t)st.st_ctim.tv_sec * USEC_PER_SEC) < store->options.grace_usec)
                        continue;
                (void)dir_remove_at(store->fd, name);
                is_whole = false;
        }
        return is_whole;
}

/* Everything in the directory, seen once: an inspection of a set at rest reads it only once. */
struct survey {
        struct generations generations;
        unsigned n_public; /* public names that are there, whatever they are */
        bool has_litter;   /* names that remove_litter() is about */
        bool has_stage;
};

static void survey_clear(struct survey *survey) {
        generations_clear(&survey->generations);
}

static bool is_public(const char *name) {
        for (const char *const *public = store_public_names; *public; public ++)
                if (streq(*public, name))
                        return true;
        return false;
}

static int survey_entry(const char *name, void *userdata) {
        struct survey *survey = userdata;

        survey->has_stage = survey->has_stage || has_prefix(name, STAGE_PREFIX);
        survey->has_litter = survey->has_litter || survey->has_stage || is_temporary(name);
        survey->n_public += is_public(name) ? 1 : 0;
        return collect_generation(name, &survey->generations);
}

/* Finishes what a crash interrupted. */
static int recover(struct store *store, struct error *error) {
        _cleanup_(survey_clear) struct survey survey = { 0 };
        struct generations *generations = &survey.generations;
        struct stat st;
        uint64_t newest;
        int r;

        r = store_read_current(store, &store->current);
        if (r < 0 && r != -ENOENT && r != -EBADMSG)
                return error_set_errno(error, r, "cannot read link %s/%s", store->path, STORE_CURRENT);
        store->has_current = r == 0;
        if (r == -EBADMSG && fstatat(store->fd, STORE_CURRENT, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISDIR(st.st_mode))
                return error_set(error, -EISDIR,
                                 "will not use %s/%s: it is a directory where a link is expected, as in a "
                                 "copy that followed links; remove it",
                                 store->path, STORE_CURRENT);

        r = dir_for_each(store->fd, survey_entry, &survey);
        if (r < 0)
                return error_set_errno(error, r, "cannot list directory %s", store->path);
        sort_generations(generations);

        if (generations->n > 0) {
                newest = generations->numbers[generations->n - 1];
                if (!store->has_current || newest > store->current) {
                        r = make_current(store, newest);
                        if (r < 0)
                                return error_set_errno(error, r,
                                                       "cannot make generation %" PRIu64 " current in %s",
                                                       newest, store->path);
                }
                if (survey.n_public < N_PUBLIC_NAMES) {
                        r = store_make_links(store, error);
                        if (r < 0)
                                return r;
                }
        }

        if (survey.has_litter) {
                r = dir_for_each(store->fd, remove_litter, store);
                if (r < 0)
                        return error_set_errno(error, r, "cannot clean up directory %s", store->path);
        }
        store->is_listed = prune(store, generations);
        if (store->is_listed) {
                store->listed = *generations;
                *generations = (struct generations) { 0 };
        }
        store->has_no_stage = !survey.has_stage;
        store_read_adopted(store);
        return 0;
}

int store_open(const char *path, const struct store_options *options, struct store **ret,
               struct error *error) {
        _cleanup_(store_closep) struct store *store = NULL;
        int r;

        store = calloc(1, sizeof(*store));
        if (!store)
                return error_set(error, -ENOMEM, "out of memory");
        store->fd = -1;
        store->options = *options;
        store->path = strdup(path);
        if (!store->path)
                return error_set(error, -ENOMEM, "out of memory");

        store->fd = directory_open(path, 0755, options->key_access.gid, error);
        if (store->fd < 0)
                return store->fd;
        if (flock(store->fd, LOCK_EX | LOCK_NB) < 0) {
                r = -errno;
                if (r == -EWOULDBLOCK)
                        return error_set(error, r, "another rekeyd is working on directory %s", path);
                return error_set_errno(error, r, "cannot lock directory %s", path);
        }
        r = recover(store, error);
        if (r < 0)
                return r;

        *ret = take_ptr(store);
        return 0;
}

struct store *store_close(struct store *store) {
        if (!store)
                return NULL;
        fd_close(store->fd);
        generations_clear(&store->listed);
        free(store->path);
        free(store);
        return NULL;
}

/* --- Making a set current --- */

int store_make_links(struct store *store, struct error *error) {
        bool made = false;
        int r;

        for (const char *const *name = store_public_names; *name; name++) {
                char target[64];

                snprintf(target, sizeof(target), "%s/%s", STORE_CURRENT, *name);
                if (symlinkat(target, store->fd, *name) == 0)
                        made = true;
                else if (errno != EEXIST)
                        return error_set_errno(error, -errno, "cannot create link %s/%s", store->path, *name);
        }
        if (!made)
                return 0;
        r = dir_sync(store->fd);
        if (r < 0)
                return error_set_errno(error, r, "cannot sync directory %s", store->path);
        return 0;
}

/*
 * The order is the invariant: whatever may fail for want of room comes before the first rename; the
 * generation is durable under its name before any link names it; the swap itself is one rename.
 */
int store_publish(struct store *store, const char *stage_name, uint64_t number, struct error *error) {
        static const char swap_name[] = ".data.rekeyd";
        char name[NUMBERED_NAME_MAX];
        int r;

        store_numbered_name(name, GENERATION_PREFIX, number);
        store_forget_listing(store);

        r = store_make_links(store, error);
        if (r < 0)
                return r;
        if ((unlinkat(store->fd, swap_name, 0) < 0 && errno != ENOENT) ||
            symlinkat(name, store->fd, swap_name) < 0)
                return error_set_errno(error, -errno, "cannot create link %s/%s", store->path, swap_name);

        if (renameat(store->fd, stage_name, store->fd, name) < 0) {
                r = error_set_errno(error, -errno, "cannot rename %s/%s to %s", store->path, stage_name,
                                    name);
                goto undo_link;
        }
        r = dir_sync(store->fd);
        if (r < 0) {
                error_set_errno(error, r, "cannot sync directory %s", store->path);
                goto undo_rename;
        }
        if (renameat(store->fd, swap_name, store->fd, STORE_CURRENT) < 0) {
                r = error_set_errno(error, -errno, "cannot replace link %s/%s", store->path, STORE_CURRENT);
                goto undo_rename;
        }
        store->has_current = true;
        store->current = number;

        /* From here on readers see the new set. That the swap is not durable yet is no reason to call it
         * failed: a power cut brings the old link back, and opening the store finishes the commit again. */
        (void)dir_sync(store->fd);
        return 0;

undo_rename:
        (void)renameat(store->fd, name, store->fd, stage_name);
undo_link:
        (void)unlinkat(store->fd, swap_name, 0);
        return r;
}

/* The new generation keeps the URLs of the current one unless `configuration` brought others. */
static int inherit_connection(const struct store *store, int stage_fd, struct error *error) {
        _cleanup_(freep) char *json = NULL;
        char name[NUMBERED_NAME_MAX + sizeof("/" STORE_CONNECTION)];
        size_t size;
        int r;

        if (!store->has_current || faccessat(stage_fd, STORE_CONNECTION, F_OK, 0) == 0)
                return 0;
        store_numbered_name(name, GENERATION_PREFIX, store->current);
        strcat(name, "/" STORE_CONNECTION);
        r = file_read_at(store->fd, name, FILE_NOFOLLOW, CONNECTION_JSON_MAX, &json, &size);
        if (r == 0)
                r = file_create_at(stage_fd, STORE_CONNECTION, json, size, store->options.public_access);
        if (r < 0 && r != -ENOENT)
                return error_set_errno(error, r, "cannot carry over %s/%s", store->path, name);
        return 0;
}

int store_commit(struct store *store, uint64_t *ret_generation, struct error *error) {
        static const char *const leftovers[] = { STAGE_CSR, STAGE_TOKEN };
        static const char *const required[] = { STORE_KEY, STORE_CERTIFICATE, STORE_CA };
        _cleanup_(generations_clear) struct generations generations = { 0 };
        _cleanup_(fd_closep) int stage_fd = -1;
        char stage_name[NUMBERED_NAME_MAX];
        uint64_t number = store_next(store);
        int r;

        stage_fd = dir_open_at(store->fd, store_numbered_name(stage_name, STAGE_PREFIX, number));
        if (stage_fd < 0)
                return error_set_errno(error, stage_fd, "cannot open %s/%s", store->path, stage_name);

        for (size_t i = 0; i < ELEMENTSOF(required); i++)
                if (faccessat(stage_fd, required[i], F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                        return error_set_errno(error, -errno, "cannot commit %s/%s: no %s", store->path,
                                               stage_name, required[i]);
        r = inherit_connection(store, stage_fd, error);
        if (r < 0)
                return r;
        r = store_adopted_create(store, stage_fd);
        if (r < 0)
                return error_set_errno(error, r, "cannot write %s/%s/" STORE_ADOPTED, store->path,
                                       stage_name);
        for (size_t i = 0; i < ELEMENTSOF(leftovers); i++)
                if (unlinkat(stage_fd, leftovers[i], 0) < 0 && errno != ENOENT)
                        return error_set_errno(error, -errno, "cannot remove %s/%s/%s", store->path,
                                               stage_name, leftovers[i]);
        if (fchmod(stage_fd, 0755) < 0)
                return error_set_errno(error, -errno, "cannot open %s/%s to readers", store->path,
                                       stage_name);
        r = dir_sync(stage_fd);
        if (r < 0)
                return error_set_errno(error, r, "cannot sync %s/%s", store->path, stage_name);

        r = store_publish(store, stage_name, number, error);
        if (r < 0)
                return r;
        if (store_list_generations(store, &generations) == 0)
                (void)prune(store, &generations);
        *ret_generation = number;
        return 0;
}
