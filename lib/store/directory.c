/*
 * The directories that rekeyd writes to: its own, created where they are missing, and no stranger may write
 * there. A link in the last component is refused, since another user could choose where keys end up.
 *
 * A group that this process is in, or that is to read the key in any case, is no stranger. Such a group may
 * write where kubelet has mounted a volume with `fsGroup`, which it does to all that is in it, at every
 * mount. To refuse that would lock rekeyd out of what it has made itself. So the right is taken away again,
 * where this user owns the directory; the root of a volume, which root owns, stays as it is.
 */

#include "lib/store/directory.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/util/rights.h"
#include "lib/util/user.h"

static bool is_friend(gid_t gid, gid_t group) {
        return gid == group || user_is_in_group(gid);
}

bool directory_admits_strangers(int fd, mode_t mode, gid_t gid, gid_t group) {
        struct rights rights;

        if (mode & S_IWOTH)
                return true;
        if (!(mode & S_IWGRP))
                return false;
        return rights_read(fd, &rights) < 0 || rights.has_acl || !is_friend(gid, group);
}

static int judge_writers(int fd, const struct stat *st, gid_t group, const char *path, struct error *error) {
        char which[64] = "";

        if (!directory_admits_strangers(fd, st->st_mode, st->st_gid, group))
                return 0;
        if (!(st->st_mode & S_IWOTH) && is_friend(st->st_gid, group))
                snprintf(which, sizeof(which), " (by an ACL)");
        else if (!(st->st_mode & S_IWOTH))
                snprintf(which, sizeof(which), " (group %u is not one of rekeyd's)", (unsigned)st->st_gid);
        return error_set(error, -EPERM,
                         "will not use directory %s: its mode %04o lets other users write to it and replace "
                         "its files%s; chmod go-w, or use a subdirectory",
                         path, st->st_mode & 07777u, which);
}

int directory_check_writers(int fd, gid_t group, const char *path, struct error *error) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return error_set_errno(error, -errno, "cannot examine directory %s", path);
        return judge_writers(fd, &st, group, path, error);
}

static int check_directory(int fd, gid_t group, const char *path, struct error *error) {
        char user[USER_NAME_MAX];
        struct stat st;

        if (fstat(fd, &st) < 0)
                return error_set_errno(error, -errno, "cannot examine directory %s", path);
        if (st.st_uid != geteuid() && st.st_uid != 0)
                return error_set(error, -EPERM,
                                 "will not use directory %s: it is owned by user %s, who could replace its "
                                 "files; run rekeyd as that user, or change the owner to rekeyd's user "
                                 "(`owner:` is for the files)",
                                 path, user_name(st.st_uid, user));
        return judge_writers(fd, &st, group, path, error);
}

int directory_tighten(int fd, const char *path, char **ret_change) {
        char before[RIGHTS_TEXT];
        struct rights rights;
        int r;

        r = rights_read(fd, &rights);
        if (r < 0 || rights.uid != geteuid() || !(rights.mode & S_IWGRP))
                return r;
        if (fchmod(fd, rights.mode & ~(mode_t)S_IWGRP) < 0)
                return -errno;
        if (ret_change &&
            asprintf(ret_change, "directory %s is now %04o, and was %s", path,
                     (unsigned)(rights.mode & ~(mode_t)S_IWGRP), rights_text(&rights, before)) < 0)
                return -ENOMEM;
        return 0;
}

/* mkdir -p, durable: each directory that is made is synced into its parent. */
static int make_directories(const char *path, mode_t mode) {
        _cleanup_(freep) char *copy = strdup(path);

        if (!copy)
                return -ENOMEM;

        for (char *slash = copy;;) {
                _cleanup_(fd_closep) int parent_fd = -1;
                char *end = strchr(slash + 1, '/'), *name;

                if (end)
                        *end = '\0';
                if (mkdir(copy, end ? 0755 : mode) < 0) {
                        if (errno != EEXIST)
                                return -errno;
                } else {
                        name = strrchr(copy, '/');
                        *name = '\0';
                        parent_fd = open(*copy ? copy : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                        *name = '/';
                        if (parent_fd < 0)
                                return -errno;
                        if (fsync(parent_fd) < 0)
                                return -errno;
                }
                if (!end)
                        return 0;
                *end = '/';
                slash = end;
        }
}

/* FD is what opening PATH has come to. Takes it over. */
static int take_directory(int opened_fd, gid_t group, const char *path, struct error *error) {
        _cleanup_(fd_closep) int fd = opened_fd;
        struct stat st;
        int r;

        if (fd == -ELOOP || fd == -ENOTDIR)
                return error_set(error, fd, "will not use %s: it is %s, and a real directory is needed", path,
                                 lstat(path, &st) == 0 && S_ISLNK(st.st_mode) ? "a symbolic link"
                                                                              : "not a directory");
        if (fd < 0)
                return error_set_errno(error, fd, "cannot open directory %s", path);
        r = check_directory(fd, group, path, error);
        if (r < 0)
                return r;
        return take_fd(&fd);
}

int directory_open(const char *path, mode_t mode, gid_t group, struct error *error) {
        int fd, r;

        fd = dir_open_at(AT_FDCWD, path);
        if (fd == -ENOENT) {
                r = make_directories(path, mode);
                if (r < 0)
                        return error_set_errno(error, r, "cannot create directory %s", path);
                fd = dir_open_at(AT_FDCWD, path);
        }
        return take_directory(fd, group, path, error);
}

int directory_view(const char *path, gid_t group, struct error *error) {
        return take_directory(dir_open_at(AT_FDCWD, path), group, path, error);
}
