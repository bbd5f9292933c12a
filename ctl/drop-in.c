/*
 * rekeyd may read its configuration at any moment, so a file is there whole or not at all: it is written
 * under a name with a dot in front, which rekeyd passes over, and renamed. What somebody else has written is
 * never replaced, and never removed.
 */

#include "ctl/drop-in.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/util/files.h"

#define DROP_IN_MAX (64u * 1024)

char *drop_in_path(const struct ctl *ctl, const char *name) {
        const char *config = ctl_config_path(ctl), *slash = strrchr(config, '/');
        char *path;

        return asprintf(&path, "%.*sconf.d/%s.yaml", slash ? (int)(slash - config + 1) : 0, config, name) < 0
                       ? NULL
                       : path;
}

/* The folder of PATH, made where it is missing, and the hidden name in it. */
struct spot {
        int dir_fd;
        const char *name;
        char hidden[256];
};

static void spot_clear(struct spot *spot) {
        fd_close(spot->dir_fd);
}

static int explain(const char *what, const char *path, int r, struct error *error) {
        return error_set_errno(error, r, "cannot %s %s%s", what, path,
                               r == -EACCES || r == -EPERM ? " as this user; use sudo" : "");
}

static int find_spot(const char *path, bool may_make, struct spot *ret, struct error *error) {
        const char *slash = strrchr(path, '/');
        _cleanup_(freep) char *folder = strndup(path, slash ? (size_t)(slash - path) : 0);

        ret->dir_fd = -1;
        if (!folder || !slash)
                return error_set(error, -ENOMEM, "out of memory");
        if (may_make && mkdir(folder, 0755) < 0 && errno != EEXIST)
                return explain("create", folder, -errno, error);
        ret->dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (ret->dir_fd < 0)
                return explain("open", folder, -errno, error);
        ret->name = slash + 1;
        snprintf(ret->hidden, sizeof(ret->hidden), ".%s.rekeyctl", ret->name);
        return 0;
}

/* One rename; NEW must not exist. */
static int move(const struct spot *spot, const char *old, const char *new) {
        int r;

        if (renameat2(spot->dir_fd, old, spot->dir_fd, new, RENAME_NOREPLACE) < 0)
                return -errno;
        r = dir_sync(spot->dir_fd);
        return r;
}

int drop_in_write(const char *path, const char *text, struct error *error) {
        _cleanup_(spot_clear) struct spot spot = { .dir_fd = -1 };
        int r;

        r = find_spot(path, true, &spot, error);
        if (r < 0)
                return r;
        (void)unlinkat(spot.dir_fd, spot.hidden, 0); /* of a run that was cut off */
        r = file_create_at(spot.dir_fd, spot.hidden, text, strlen(text), FILE_ACCESS(0644));
        if (r < 0)
                return explain("write", path, r, error);
        r = move(&spot, spot.hidden, spot.name);
        if (r < 0)
                (void)unlinkat(spot.dir_fd, spot.hidden, 0);
        return r < 0 ? explain("write", path, r, error) : 0;
}

int drop_in_is_ours(const char *path) {
        _cleanup_(freep) char *text = NULL;
        int r;

        r = file_read_at(AT_FDCWD, path, FILE_NOFOLLOW, DROP_IN_MAX, &text, NULL);
        if (r == -ENOENT || r == -ELOOP || r == -EFBIG)
                return 0;
        return r < 0 ? r : has_prefix(text, DROP_IN_MARK);
}

/* By the error that a second definition gives: "the first is in FILE:LINE". */
char *drop_in_find(const struct ctl *ctl, const char *name) {
        static const char before[] = "is defined twice; the first is in ";
        _cleanup_(config_errors_clear) struct config_errors errors = { 0 };
        _cleanup_(config_freep) struct config *config = NULL;
        _cleanup_(freep) char *text = NULL;

        if (asprintf(&text, "certificates: {'%s': {}}\n", name) < 0) {
                text = NULL;
                return NULL;
        }
        (void)config_load_with(ctl_config_path(ctl), "-", text, &config, &errors);
        for (size_t i = 0; i < errors.n; i++) {
                const char *found = strstr(errors.items[i], before);

                if (found && strstr(errors.items[i], name))
                        return strdup(found + strlen(before));
        }
        return NULL;
}

static int rename_one(const char *path, bool hides, struct error *error) {
        _cleanup_(spot_clear) struct spot spot = { .dir_fd = -1 };
        int r;

        r = find_spot(path, false, &spot, error);
        if (r < 0)
                return r;
        if (hides)
                (void)unlinkat(spot.dir_fd, spot.hidden, 0);
        r = hides ? move(&spot, spot.name, spot.hidden) : move(&spot, spot.hidden, spot.name);
        return r < 0 ? explain(hides ? "remove" : "restore", path, r, error) : 0;
}

int drop_in_hide(const char *path, struct error *error) {
        return rename_one(path, true, error);
}

int drop_in_restore(const char *path, struct error *error) {
        return rename_one(path, false, error);
}

static int unlink_one(const char *path, bool is_hidden, struct error *error) {
        _cleanup_(spot_clear) struct spot spot = { .dir_fd = -1 };
        int r;

        r = find_spot(path, false, &spot, error);
        if (r < 0)
                return r;
        if (unlinkat(spot.dir_fd, is_hidden ? spot.hidden : spot.name, 0) < 0)
                return explain("remove", path, -errno, error);
        (void)dir_sync(spot.dir_fd);
        return 0;
}

int drop_in_remove(const char *path, struct error *error) {
        return unlink_one(path, false, error);
}

int drop_in_forget(const char *path, struct error *error) {
        return unlink_one(path, true, error);
}
