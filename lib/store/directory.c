/*
 * The directories that rekeyd writes to: its own, created where they are missing, and no other user may write
 * there. A link in the last component is refused, since another user could choose where keys end up.
 */

#include "lib/store/directory.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/util/user.h"

int directory_check_mode(mode_t mode, const char *path, struct error *error) {
        if (!(mode & (S_IWGRP | S_IWOTH)))
                return 0;
        return error_set(error, -EPERM,
                         "will not use directory %s: its mode %04o lets other users write to it and replace "
                         "its files; chmod go-w, or use a subdirectory",
                         path, mode & 07777u);
}

static int check_directory(int fd, const char *path, struct error *error) {
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
        return directory_check_mode(st.st_mode, path, error);
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
static int take_directory(int opened_fd, const char *path, struct error *error) {
        _cleanup_(fd_closep) int fd = opened_fd;
        struct stat st;
        int r;

        if (fd == -ELOOP || fd == -ENOTDIR)
                return error_set(error, fd, "will not use %s: it is %s, and a real directory is needed", path,
                                 lstat(path, &st) == 0 && S_ISLNK(st.st_mode) ? "a symbolic link"
                                                                              : "not a directory");
        if (fd < 0)
                return error_set_errno(error, fd, "cannot open directory %s", path);
        r = check_directory(fd, path, error);
        if (r < 0)
                return r;
        return take_fd(&fd);
}

int directory_open(const char *path, mode_t mode, struct error *error) {
        int fd, r;

        fd = dir_open_at(AT_FDCWD, path);
        if (fd == -ENOENT) {
                r = make_directories(path, mode);
                if (r < 0)
                        return error_set_errno(error, r, "cannot create directory %s", path);
                fd = dir_open_at(AT_FDCWD, path);
        }
        return take_directory(fd, path, error);
}

int directory_view(const char *path, struct error *error) {
        return take_directory(dir_open_at(AT_FDCWD, path), path, error);
}
