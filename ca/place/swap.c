/*
 * There is no write on condition for files, but there is an exchange of two names, after which both files are
 * in one's hand. What was displaced is compared then, instead of what was there before: nobody can write in
 * between. File systems without the exchange compare before a rename, with a gap of microseconds.
 */

#include "ca/place/swap.h"

#include <fcntl.h>
#include <stdio.h>

#include "ca/place/pair.h"
#include "ca/place/part.h"
#include "lib/x509/digest.h"

int swap_version(const struct contents *contents, char ret[VERSION_MAX]) {
        char hashes[CONTENTS_MAX * FINGERPRINT_HEX] = "", *end = hashes;
        int r;

        ret[0] = '\0';
        for (size_t i = 0; i < CONTENTS_MAX; i++) {
                if (!contents->texts[i])
                        continue;
                r = digest_text(contents->texts[i], end);
                if (r < 0)
                        return r;
                end += strlen(end);
        }
        return *hashes ? digest_text(hashes, ret) : 0;
}

/* One file of a swap. */
struct part {
        const char *name;
        char beside[NAME_MAX + 1];
        char *before; /* NULL: there was none */
        bool is_changed, is_exchanged;
};

struct parts {
        struct part items[CONTENTS_MAX];
};

static void parts_clear(struct parts *parts) {
        for (size_t i = 0; i < CONTENTS_MAX; i++)
                free_secret(parts->items[i].before);
}

/* --- Beside the old files --- */

static int prepare(const struct swap *swap, struct part *part, const char *text) {
        int r;

        r = part_name_beside(part->name, part->beside);
        if (r < 0)
                return r;
        if (part->before && streq(part->before, text))
                return 0;
        r = file_create_at(swap->dir_fd, part->beside, text, strlen(text),
                           part_access(swap->dir_fd, part->name, swap->mode));
        part->is_changed = r == 0;
        return r;
}

static int read_before(const struct swap *swap, struct parts *ret, const char *expected) {
        struct contents now = { 0 }; /* borrows */
        char version[VERSION_MAX];
        int r;

        for (size_t i = 0; i < swap->n; i++) {
                ret->items[i].name = swap->names[i];
                r = part_read(swap->dir_fd, swap->names[i], &ret->items[i].before);
                if (r < 0)
                        return r;
                now.texts[i] = ret->items[i].before;
        }
        r = swap_version(&now, version);
        return r < 0 ? r : streq(version, expected) ? 0 : -ESTALE;
}

/* --- The renames --- */

static int exchange(const struct swap *swap, struct part *part) {
        if (renameat2(swap->dir_fd, part->beside, swap->dir_fd, part->name,
                      part->before ? RENAME_EXCHANGE : RENAME_NOREPLACE) == 0) {
                part->is_exchanged = true;
                return 0;
        }
        if (errno == EEXIST || errno == ENOENT)
                return -ESTALE; /* made or removed by another writer */
        if (errno != EINVAL)
                return -errno;
        return renameat(swap->dir_fd, part->beside, swap->dir_fd, part->name) < 0 ? -errno : 0;
}

/* What was displaced must be what was read. */
static int check_displaced(const struct swap *swap, const struct part *part) {
        return part->is_exchanged && part->before ? part_check(swap->dir_fd, part->beside, part->before) : 0;
}

static void take_back(const struct swap *swap, const struct part *part) {
        if (part->is_exchanged && part->before)
                (void)renameat2(swap->dir_fd, part->beside, swap->dir_fd, part->name, RENAME_EXCHANGE);
}

static void remove_beside(const struct swap *swap, const struct parts *parts) {
        for (size_t i = 0; i < swap->n; i++)
                if (parts->items[i].is_changed)
                        (void)unlinkat(swap->dir_fd, parts->items[i].beside, 0);
}

static int exchange_all(const struct swap *swap, struct parts *parts) {
        int r = 0;

        for (size_t i = 0; i < swap->n && r == 0; i++)
                if (parts->items[i].is_changed)
                        r = exchange(swap, &parts->items[i]);
        for (size_t i = 0; i < swap->n && r == 0; i++)
                r = check_displaced(swap, &parts->items[i]);
        for (size_t i = 0; i < swap->n && r < 0; i++)
                take_back(swap, &parts->items[i]);
        return r;
}

static int write_all(const struct swap *swap, struct parts *parts) {
        int r = 0;

        for (size_t i = 0; i < swap->n && r == 0; i++)
                r = prepare(swap, &parts->items[i], swap->contents->texts[i]);
        if (r == 0)
                r = exchange_all(swap, parts);
        remove_beside(swap, parts);
        return r < 0 ? r : dir_sync(swap->dir_fd);
}

/* --- Both at once --- */

static bool is_pair(const struct swap *swap, const struct parts *parts) {
        bool is = swap->n == PAIR_FILES;

        for (size_t i = 0; i < swap->n && is; i++)
                is = parts->items[i].before && !streq(parts->items[i].before, swap->contents->texts[i]);
        return is;
}

static int write_pair(const struct swap *swap, const struct parts *parts) {
        const struct contents before = { { parts->items[0].before, parts->items[1].before } };

        return pair_swap(swap->dir_fd, swap->names, &before, swap->contents);
}

int swap_files(const struct swap *swap, const char *expected) {
        _cleanup_(parts_clear) struct parts parts = { 0 };
        int r;

        r = read_before(swap, &parts, expected);
        if (r < 0)
                return r;
        r = is_pair(swap, &parts) ? write_pair(swap, &parts) : -EOPNOTSUPP;
        return r == -EOPNOTSUPP ? write_all(swap, &parts) : r;
}
