/*
 * The directories that rekeyd writes to: its own, created where they are missing, and no other user may write
 * there. A link in the last component is refused, since another user could choose where keys end up.
 */

#include "lib/store/directory.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* For error texts; used by threads, so not getpwuid(). */
static const char *user_name(uid_t uid, char buffer[64]) {
        char strings[1024];
        struct passwd passwd, *found;

        if (getpwuid_r(uid, &passwd, strings, sizeof(strings), &found) == 0 && found)
                snprintf(buffer, 64, "'%.60s'", found->pw_name);
        else
                snprintf(buffer, 64, "%u", (unsigned)uid);
        return buffer;
}

static int check_directory(int fd, const char *path, struct error *error) {
        char user[64];
        struct stat st;

        if (fstat(fd, &st) < 0)
                return error_set_errno(error, -errno, "cannot examine directory %s", path);
        if (st.st_uid != geteuid() && st.st_uid != 0)
                return error_set(error, -EPERM,
                                 "will not use directory %s: it is owned by user %s, who could replace its "
                                 "files; run rekeyd as that user, or change the owner to rekeyd's user "
                                 "(`owner:` is for the files)",
                                 path, user_name(st.st_uid, user));
        if (st.st_mode & (S_IWGRP | S_IWOTH))
                return error_set(error, -EPERM,
                                 "will not use directory %s: its mode %04o lets other users write to it and "
                                 "replace its files; chmod go-w, or use a subdirectory",
                                 path, st.st_mode & 07777u);
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

int directory_open(const char *path, mode_t mode, struct error *error) {
        _cleanup_(fd_closep) int fd = -1;
        struct stat st;
        int r;

        fd = dir_open_at(AT_FDCWD, path);
        if (fd == -ENOENT) {
                r = make_directories(path, mode);
                if (r < 0)
                        return error_set_errno(error, r, "cannot create directory %s", path);
                fd = dir_open_at(AT_FDCWD, path);
        }
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
