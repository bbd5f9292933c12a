#include "ca/place/files.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "ca/place/pair.h"
#include "ca/place/part.h"
#include "ca/place/swap.h"
#include "lib/x509/cert.h"

#define PREFIX   "files:"
#define LOCK_MAX (NAME_MAX + 1)

struct files {
        struct backend base;
        char *directory;
        char *names[CONTENTS_MAX];
        size_t n;
        mode_t mode;
        int lock_fd;
};

static struct files *of(struct backend *backend) {
        return container_of(backend, struct files, base);
}

static int open_directory(const struct files *files, struct error *error) {
        const int fd = open(files->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? error_set_errno(error, -errno, "cannot open the directory %s", files->directory) : fd;
}

/* --- Reading --- */

static int read_all(const struct files *files, int dir_fd, struct contents *ret, struct error *error) {
        size_t size;
        int r;

        for (size_t i = 0; i < files->n; i++) {
                r = file_read_at(dir_fd, files->names[i], FILE_FOLLOW, PART_MAX, &ret->texts[i], &size);
                if (r < 0)
                        return error_set_errno(error, r, "cannot read %s/%s", files->directory,
                                               files->names[i]);
                if (strlen(ret->texts[i]) != size)
                        return error_set(error, -EINVAL, "%s/%s is no text: it has a zero byte",
                                         files->directory, files->names[i]);
        }
        return 0;
}

static int files_read(struct backend *backend, struct contents *ret, char ret_version[VERSION_MAX],
                      struct error *error) {
        const struct files *files = of(backend);
        _cleanup_(contents_clear) struct contents contents = { 0 };
        _cleanup_(fd_closep) int dir_fd = open_directory(files, error);
        int r;

        if (dir_fd < 0)
                return dir_fd;
        r = read_all(files, dir_fd, &contents, error);
        if (r == 0)
                r = swap_version(&contents, ret_version);
        if (r < 0)
                return r;
        *ret = contents;
        contents = (struct contents) { 0 };
        return 0;
}

/* --- Writing --- */

static int files_write(struct backend *backend, const struct contents *contents, const char *expected,
                       struct error *error) {
        const struct files *files = of(backend);
        _cleanup_(fd_closep) int dir_fd = open_directory(files, error);
        int r;

        if (dir_fd < 0)
                return dir_fd;
        r = swap_files(&(struct swap) { .dir_fd = dir_fd,
                                        .names = (const char *const *)files->names,
                                        .n = files->n,
                                        .mode = files->mode,
                                        .contents = contents },
                       expected);
        return r < 0 && r != -ESTALE
                       ? error_set_errno(error, r, "cannot replace files in %s", files->directory)
                       : r;
}

static bool is_known(const char *text, size_t i, const struct contents *const *known, size_t n) {
        for (size_t k = 0; k < n; k++) /* what was not written to its end is the beginning of one */
                if (known[k]->texts[i] && strncmp(known[k]->texts[i], text, strlen(text)) == 0)
                        return true;
        return false;
}

struct tidying {
        const struct files *files;
        const struct contents *const *known;
        size_t n;
        int dir_fd;
        struct error *error;
};

/* A link of ours that leads nowhere any more is read as no file, or as a loop. */
static int check_left(void *userdata, const char *path, size_t i) {
        const struct tidying *tidying = userdata;
        const struct files *files = tidying->files;
        char *text = NULL;
        bool knows;
        int r;

        r = part_read(tidying->dir_fd, path, &text);
        if (r < 0 && r != -ELOOP)
                return error_set_errno(tidying->error, r,
                                       "cannot read %s/%s, which an interrupted write has left",
                                       files->directory, path);
        knows = !text || !tidying->known || is_known(text, i, tidying->known, tidying->n);
        free_secret(text);
        return knows ? 0
                     : error_set(tidying->error, -ESTALE,
                                 "%s/%s has what another writer had in %s when it was replaced; put it back "
                                 "or remove it",
                                 files->directory, path, files->names[i]);
}

static int tidy_file(struct tidying *tidying, size_t i) {
        const struct files *files = tidying->files;
        char name[NAME_MAX + 1];
        int r;

        r = part_name_beside(files->names[i], name);
        if (r == 0)
                r = check_left(tidying, name, i);
        if (r < 0)
                return r;
        return unlinkat(tidying->dir_fd, name, 0) < 0 && errno != ENOENT
                       ? error_set_errno(tidying->error, -errno, "cannot remove %s/%s", files->directory,
                                         name)
                       : 0;
}

/* The directory of links goes last. */
static int tidy_pair(struct tidying *tidying) {
        const char *const *names = (const char *const *)tidying->files->names;
        int r;

        r = pair_clear(tidying->dir_fd, names, check_left, tidying);
        return r < 0 && r != -ESTALE
                       ? error_set_errno(tidying->error, r, "cannot tidy %s", tidying->files->directory)
                       : r;
}

static int files_tidy(struct backend *backend, const struct contents *const *known, size_t n,
                      struct error *error) {
        const struct files *files = of(backend);
        _cleanup_(fd_closep) int dir_fd = open_directory(files, error);
        struct tidying tidying = { .files = files, .known = known, .n = n, .dir_fd = dir_fd, .error = error };
        const bool is_pair = files->n == PAIR_FILES;
        int r = 0;

        if (dir_fd < 0)
                return dir_fd;
        if (is_pair)
                r = pair_settle(dir_fd, (const char *const *)files->names);
        if (r < 0)
                return error_set_errno(error, r, "cannot tidy %s", files->directory);
        for (size_t i = 0; i < files->n && r == 0; i++)
                r = tidy_file(&tidying, i);
        return r == 0 && is_pair ? tidy_pair(&tidying) : r;
}

/* --- What is in the way of a write --- */

static int files_check_rights(struct backend *backend, struct error *error) {
        const struct files *files = of(backend);
        _cleanup_(fd_closep) int dir_fd = open_directory(files, error);
        struct stat st;

        if (dir_fd < 0)
                return dir_fd;
        if (faccessat(dir_fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
                return error_set_errno(error, -errno, "no file can be replaced in %s", files->directory);
        for (size_t i = 0; i < files->n; i++) {
                if (fstatat(dir_fd, files->names[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue; /* reading says so */
                if (faccessat(dir_fd, files->names[i], R_OK, AT_EACCESS) < 0)
                        return error_set_errno(error, -errno, "%s/%s cannot be read", files->directory,
                                               files->names[i]);
                if (geteuid() != 0 && st.st_uid != geteuid())
                        return error_set(
                                error, -EPERM,
                                "%s/%s belongs to user %u, and only root can replace it and keep that",
                                files->directory, files->names[i], st.st_uid);
        }
        return 0;
}

/* A write of ours that was interrupted has left it. */
static bool is_ours(const struct files *files, size_t i, const char *target) {
        return files->n == PAIR_FILES && pair_is_link((const char *const *)files->names, i, target);
}

/* A link is what a kubelet, or rekeyd, makes of a directory that it swaps. */
static int files_find_writer(struct backend *backend, char **ret, struct error *error) {
        const struct files *files = of(backend);
        _cleanup_(fd_closep) int dir_fd = open_directory(files, error);

        if (dir_fd < 0)
                return dir_fd;
        for (size_t i = 0; i < files->n; i++) {
                _cleanup_(freep) char *target = NULL;

                if (link_read_at(dir_fd, files->names[i], &target) == 0 && !is_ours(files, i, target))
                        return asprintf(ret, "%s/%s is a symbolic link to %s: another program replaces it",
                                        files->directory, files->names[i], target) < 0
                                       ? -ENOMEM
                                       : 0;
        }
        *ret = NULL;
        return 0;
}

/* --- One operator at a time --- */

static void read_holder(int fd, char ret[64]) {
        const ssize_t n = pread(fd, ret, 63, 0);

        ret[n > 0 ? n : 0] = '\0';
        ret[strcspn(ret, "\n")] = '\0';
}

static int lock_taken(int fd, const char *directory, const char *name, struct error *error) {
        char holder[64];

        read_holder(fd, holder);
        return error_set(error, -EBUSY, "another rekeyca is at work%s%s: it holds %s/%s",
                         *holder ? " as " : "", holder, directory, name);
}

static int write_holder(int fd) {
        char text[64];
        const int n = snprintf(text, sizeof(text), "process %d\n", (int)getpid());

        return ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n ? -errno : 0;
}

static int files_lock(struct backend *backend, struct error *error) {
        struct files *files = of(backend);
        _cleanup_(fd_closep) int dir_fd = open_directory(files, error), fd = -1;
        char name[LOCK_MAX];
        int r;

        if (dir_fd < 0)
                return dir_fd;
        if ((size_t)snprintf(name, sizeof(name), "%s.lock", files->names[0]) >= sizeof(name))
                return error_set_errno(error, -ENAMETOOLONG, "cannot lock %s", files->names[0]);
        fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return error_set_errno(error, -errno, "cannot open %s/%s", files->directory, name);
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK
                               ? lock_taken(fd, files->directory, name, error)
                               : error_set_errno(error, -errno, "cannot lock %s/%s", files->directory, name);
        r = write_holder(fd);
        if (r < 0)
                return error_set_errno(error, r, "cannot write %s/%s", files->directory, name);
        files->lock_fd = take_fd(&fd);
        return 0;
}

/* --- Making one --- */

static void files_free(struct backend *backend) {
        struct files *files = of(backend);

        for (size_t i = 0; i < CONTENTS_MAX; i++)
                free(files->names[i]);
        free(files->directory);
        free(files->base.name);
        fd_close(files->lock_fd);
        free(files);
}

static const struct backend_ops files_ops = {
        .read = files_read,
        .write = files_write,
        .tidy = files_tidy,
        .check_rights = files_check_rights,
        .find_writer = files_find_writer,
        .lock = files_lock,
        .free = files_free,
};

/* The directory of PATH and its name in it. */
static int split(struct files *files, const char *path, size_t i, struct error *error) {
        const char *slash = strrchr(path, '/');
        _cleanup_(freep) char *directory = NULL;

        if (path[0] != '/' || slash[1] == '\0')
                return error_set(error, -EINVAL, "'%s' must be an absolute path of a file", path);
        directory = slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
        files->names[i] = strdup(slash + 1);
        if (!directory || !files->names[i])
                return error_set_errno(error, -ENOMEM, "cannot use %s", path);
        if (files->directory && !streq(files->directory, directory))
                return error_set(error, -EINVAL, "'%s' must be in the same directory as the key", path);
        if (!files->directory)
                files->directory = take_ptr(directory);
        return 0;
}

int files_new(const char *name, const char *const *paths, size_t n, mode_t mode, struct backend **ret,
              struct error *error) {
        struct files *files = calloc(1, sizeof(*files));
        _cleanup_(backend_freep) struct backend *owned = NULL;
        int r;

        if (!files)
                return error_set_errno(error, -ENOMEM, "cannot use %s", name);
        files->base.ops = &files_ops;
        files->lock_fd = -1;
        files->mode = mode;
        owned = &files->base;
        files->base.name = strdup(name);
        if (!files->base.name)
                return error_set_errno(error, -ENOMEM, "cannot use %s", name);
        for (; files->n < n; files->n++) {
                r = split(files, paths[files->n], files->n, error);
                if (r < 0)
                        return r;
        }
        *ret = take_ptr(owned);
        return 0;
}

int files_parse(const char *spec, size_t n, mode_t mode, struct backend **ret, struct error *error) {
        _cleanup_(freep) char *copy = NULL;
        const char *paths[CONTENTS_MAX] = { 0 };
        char *comma;

        if (!has_prefix(spec, PREFIX))
                return error_set(error, -EINVAL, "'%s' must begin with " PREFIX, spec);
        copy = strdup(spec + strlen(PREFIX));
        if (!copy)
                return error_set_errno(error, -ENOMEM, "cannot use %s", spec);
        comma = strchr(copy, ',');
        paths[0] = copy;
        if (comma) {
                *comma = '\0';
                paths[1] = comma + 1;
        }
        if ((n == 2) != (comma != NULL) || (comma && strchr(comma + 1, ',')))
                return error_set(
                        error, -EINVAL, "'%s' must have %s", spec,
                        n == 2 ? "two paths, of the key and of the certificate, with a comma between them"
                               : "one path");
        return files_new(spec, paths, n, mode, ret, error);
}
