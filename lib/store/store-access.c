/*
 * A pair that is adopted has readers: by its group, as a rule. They keep their rights, also over renewals, as
 * long as the configuration does not say who is to read the key. So what was adopted is written down beside
 * the files of the generation, and goes on from one generation to the next.
 */

#include "lib/store/store-private.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#define NOTHING                                    \
        (struct file_access) {                     \
                .uid = (uid_t)-1, .gid = (gid_t)-1 \
        }

#define TEXT_MAX 96

static bool is_nothing(const struct file_access *access) {
        return access->uid == (uid_t)-1 && access->gid == (gid_t)-1 && access->mode == 0;
}

static mode_t key_mode(mode_t mode) {
        return (mode & (S_IRUSR | S_IWUSR | S_IRGRP)) | S_IRUSR;
}

/* An id of -1 is 4294967295 here, which no file has. */
static const char *format(const struct file_access *access, char buffer[TEXT_MAX]) {
        snprintf(buffer, TEXT_MAX, "uid %" PRIu32 "\ngid %" PRIu32 "\nmode %04o\n", (uint32_t)access->uid,
                 (uint32_t)access->gid, (unsigned)access->mode);
        return buffer;
}

struct file_access store_adopted_read(int dir_fd, const char *name) {
        _cleanup_(freep) char *text = NULL;
        char canonical[TEXT_MAX];
        struct file_access access;
        uint32_t uid, gid;
        unsigned mode;

        if (file_read_at(dir_fd, name, FILE_NOFOLLOW, TEXT_MAX - 1, &text, NULL) < 0 ||
            sscanf(text, "uid %" SCNu32 " gid %" SCNu32 " mode %o", &uid, &gid, &mode) != 3)
                return NOTHING;
        access = (struct file_access) { .uid = uid, .gid = gid, .mode = mode };
        if (!streq(text, format(&access, canonical)) || (mode != 0 && mode != key_mode(mode)))
                return NOTHING;
        return access;
}

/* One that is there is of a commit that was cut off, and says the same. */
int store_adopted_create(const struct store *store, int dir_fd) {
        char text[TEXT_MAX];
        int r;

        if (is_nothing(&store->adopted))
                return 0;
        format(&store->adopted, text);
        r = file_create_at(dir_fd, STORE_ADOPTED, text, strlen(text), FILE_ACCESS(0644));
        return r == -EEXIST ? 0 : r;
}

void store_adopt_rights(struct store *store, const struct rights *original, const struct rights *own) {
        const struct file_access *options = &store->options.key_access;
        const mode_t mode = key_mode(original->mode);

        store->adopted = NOTHING;
        if (options->uid == (uid_t)-1 && original->uid != own->uid)
                store->adopted.uid = original->uid;
        if (options->gid == (gid_t)-1 && original->gid != own->gid && mode & S_IRGRP)
                store->adopted.gid = original->gid;
        if (options->mode == 0 && mode != 0600)
                store->adopted.mode = mode;
        store_settle_access(store);
}

static struct file_access complete(struct file_access options, const struct file_access *adopted) {
        if (options.uid == (uid_t)-1)
                options.uid = adopted->uid;
        if (options.gid == (gid_t)-1)
                options.gid = adopted->gid;
        if (options.mode == 0)
                options.mode = adopted->mode != 0 ? adopted->mode : 0600;
        return options;
}

void store_settle_access(struct store *store) {
        store->key_access = complete(store->options.key_access, &store->adopted);
}

int store_create_key(const struct store *store, const struct key *key, int dir_fd, struct error *error) {
        const struct file_access nothing = NOTHING;
        int r;

        r = key_create_at(key, dir_fd, STORE_KEY, store->key_access, error);
        if ((r == -EPERM || r == -EINVAL) && !is_nothing(&store->adopted)) {
                error_clear(error);
                r = key_create_at(key, dir_fd, STORE_KEY, complete(store->options.key_access, &nothing),
                                  error);
        }
        return r;
}
