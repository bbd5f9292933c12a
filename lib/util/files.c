/*
 * Files that survive a power cut. The pieces are small on purpose: the store composes them in the order that
 * its invariants need, and the tests fail each of them. Temporary names are fixed, so that what a crash
 * leaves behind is found and replaced by the next attempt instead of piling up.
 */

#include "lib/util/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "lib/util/hash.h"

int fd_close(int fd) {
        if (fd >= 0) {
                int saved = errno;

                /* Linux frees the descriptor even when close() reports an error; what matters was fsynced. */
                (void)close(fd);
                errno = saved;
        }
        return -1;
}

int fd_reserve_standard(void) {
        /* An output that nobody gets is a failure of rekeyctl; complaints that nobody hears are none. */
        static const int modes[] = {
                [STDIN_FILENO] = O_WRONLY, [STDOUT_FILENO] = O_RDONLY, [STDERR_FILENO] = O_WRONLY
        };

        for (int fd = 0; fd < (int)ELEMENTSOF(modes); fd++) {
                if (fcntl(fd, F_GETFD) >= 0)
                        continue;
                if (errno != EBADF || open("/dev/null", modes[fd] | O_NOCTTY) < 0) /* the lowest: FD */
                        return -errno;
        }
        return 0;
}

int dir_open_at(int dir_fd, const char *name) {
        int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

int dir_sync(int dir_fd) {
        return fsync(dir_fd) < 0 ? -errno : 0;
}

static int open_file(int dir_fd, const char *name, enum file_links links, struct stat *ret_st) {
        _cleanup_(fd_closep) int fd = -1;
        struct stat st;

        fd = openat(dir_fd, name,
                    O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (links == FILE_NOFOLLOW ? O_NOFOLLOW : 0));
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        *ret_st = st;
        if (!S_ISREG(st.st_mode))
                return S_ISDIR(st.st_mode) ? -EISDIR : -ENXIO; /* as open() has it for a socket */
        return take_fd(&fd);
}

int file_open_at(int dir_fd, const char *name, enum file_links links) {
        struct stat st;

        return open_file(dir_fd, name, links, &st);
}

/* ST is FD's, seen since it was opened. */
static int read_all(int fd, const struct stat *st, size_t max, char **ret_data, size_t *ret_size) {
        char *data;
        size_t size = 0, room;

        if (st->st_size > 0 && (uint64_t)st->st_size > max)
                return -EFBIG;

        /* Files in /proc and /sys say 0, and a file may grow: read up to the limit in any case. */
        room = S_ISREG(st->st_mode) && st->st_size > 0 ? (size_t)st->st_size + 1 : max + 1;
        data = malloc(room + 1);
        if (!data)
                return -ENOMEM;

        for (;;) {
                ssize_t n = read(fd, data + size, room - size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n > 0 && size + (size_t)n == room && room <= max) {
                        /* It grows while it is read. */
                        char *grown = malloc(max + 2);

                        if (grown) {
                                size += (size_t)n;
                                memcpy(grown, data, size);
                        }
                        explicit_bzero(data, room);
                        free(data);
                        if (!grown)
                                return -ENOMEM;
                        data = grown;
                        room = max + 1;
                        continue;
                }
                if (n < 0 || (n > 0 && size + (size_t)n == room)) {
                        int r = n < 0 ? -errno : -EFBIG;

                        explicit_bzero(data, room);
                        free(data);
                        return r;
                }
                size += (size_t)n;
                /* As large as it was said to be, and no more was there: a second call would only say so. */
                if (n == 0 || (S_ISREG(st->st_mode) && size > 0 && size == (size_t)st->st_size))
                        break;
        }

        data[size] = '\0';
        *ret_data = data;
        if (ret_size)
                *ret_size = size;
        return 0;
}

int fd_read_all(int fd, size_t max, char **ret_data, size_t *ret_size) {
        struct stat st;

        return fstat(fd, &st) < 0 ? -errno : read_all(fd, &st, max, ret_data, ret_size);
}

int file_read_at(int dir_fd, const char *name, enum file_links links, size_t max, char **ret_data,
                 size_t *ret_size) {
        _cleanup_(fd_closep) int fd = -1;
        struct stat st = { 0 };

        fd = open_file(dir_fd, name, links, &st);
        if (fd < 0)
                return fd;
        return read_all(fd, &st, max, ret_data, ret_size);
}

int file_identify(int dir_fd, const char *name, struct file_identity *ret) {
        struct stat st;

        *ret = (struct file_identity) { 0 };
        if (fstatat(dir_fd, name, &st, 0) < 0)
                return -errno;
        *ret = (struct file_identity) {
                .device = st.st_dev,
                .inode = st.st_ino,
                .size = (uint64_t)st.st_size,
                .modified_nsec = (uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec,
        };
        return 0;
}

bool file_identity_equal(const struct file_identity *a, const struct file_identity *b) {
        return a->device == b->device && a->inode == b->inode && a->size == b->size &&
               a->modified_nsec == b->modified_nsec;
}

uint64_t file_identity_hash(const struct file_identity *identity) {
        const uint64_t parts[] = { identity->device, identity->inode, identity->size,
                                   identity->modified_nsec };
        uint64_t hash = HASH_INIT;

        for (size_t i = 0; i < ELEMENTSOF(parts); i++)
                for (unsigned shift = 0; shift < 64; shift += 8)
                        hash = hash_byte(hash, (uint8_t)(parts[i] >> shift));
        return hash != 0 ? hash : 1;
}

int fd_write_all(int fd, const char *data, size_t size) {
        while (size > 0) {
                ssize_t n = write(fd, data, size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                data += n;
                size -= (size_t)n;
        }
        return 0;
}

int fd_drop_acl(int fd) {
        if (fremovexattr(fd, FILE_ACL) == 0)
                return 0;
        return errno == ENODATA || errno == EOPNOTSUPP || errno == ENOSYS ? 0 : -errno;
}

static int create(int dir_fd, const char *name, const void *data, size_t size, struct file_access access,
                  bool is_durable) {
        _cleanup_(fd_closep) int fd = -1;
        int r = 0;

        fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;

        r = fd_drop_acl(fd); /* which the mode 0600 keeps from having an effect */
        if (r == 0 && (access.uid != (uid_t)-1 || access.gid != (gid_t)-1) &&
            fchown(fd, access.uid, access.gid) < 0)
                r = -errno;
        if (r == 0 && fchmod(fd, access.mode) < 0)
                r = -errno;
        if (r == 0)
                r = fd_write_all(fd, data, size);
        if (r == 0 && is_durable && fsync(fd) < 0)
                r = -errno;
        if (r < 0)
                (void)unlinkat(dir_fd, name, 0);
        return r;
}

int file_create_at(int dir_fd, const char *name, const void *data, size_t size, struct file_access access) {
        return create(dir_fd, name, data, size, access, true);
}

static int temporary_name(const char *name, char ret[NAME_MAX + 1]) {
        int n = snprintf(ret, NAME_MAX + 1, ".%s.rekeyd", name);

        return n < 0 || n > NAME_MAX ? -ENAMETOOLONG : 0;
}

static int put(int dir_fd, const char *name, const void *data, size_t size, struct file_access access,
               bool is_durable) {
        char temporary[NAME_MAX + 1];
        int r;

        r = temporary_name(name, temporary);
        if (r < 0)
                return r;
        if (unlinkat(dir_fd, temporary, 0) < 0 && errno != ENOENT)
                return -errno;
        r = create(dir_fd, temporary, data, size, access, is_durable);
        if (r < 0)
                return r;
        if (renameat(dir_fd, temporary, dir_fd, name) < 0) {
                r = -errno;
                (void)unlinkat(dir_fd, temporary, 0);
                return r;
        }
        return 0;
}

int file_put_at(int dir_fd, const char *name, const void *data, size_t size, struct file_access access) {
        return put(dir_fd, name, data, size, access, true);
}

int file_note_at(int dir_fd, const char *name, const void *data, size_t size, struct file_access access) {
        return put(dir_fd, name, data, size, access, false);
}

int file_replace_at(int dir_fd, const char *name, const void *data, size_t size, struct file_access access) {
        int r = file_put_at(dir_fd, name, data, size, access);

        return r < 0 ? r : dir_sync(dir_fd);
}

int link_replace_at(int dir_fd, const char *target, const char *name) {
        char temporary[NAME_MAX + 1];
        int r;

        r = temporary_name(name, temporary);
        if (r < 0)
                return r;
        if (unlinkat(dir_fd, temporary, 0) < 0 && errno != ENOENT)
                return -errno;
        if (symlinkat(target, dir_fd, temporary) < 0)
                return -errno;
        if (renameat(dir_fd, temporary, dir_fd, name) < 0) {
                r = -errno;
                (void)unlinkat(dir_fd, temporary, 0);
                return r;
        }
        return 0;
}

int link_read_at(int dir_fd, const char *name, char **ret_target) {
        char target[PATH_MAX];
        ssize_t n;
        char *copy;

        n = readlinkat(dir_fd, name, target, sizeof(target));
        if (n < 0)
                return -errno;
        if ((size_t)n == sizeof(target))
                return -ENAMETOOLONG;
        copy = strndup(target, (size_t)n);
        if (!copy)
                return -ENOMEM;
        *ret_target = copy;
        return 0;
}

/* Not by readdir(): another descriptor and 32 KiB of heap for a handful of names. */
int dir_for_each(int dir_fd, int (*function)(const char *name, void *userdata), void *userdata) {
        _Alignas(struct dirent64) char buffer[4096];
        ssize_t n;

        if (lseek(dir_fd, 0, SEEK_SET) < 0)
                return -errno;
        while ((n = getdents64(dir_fd, buffer, sizeof(buffer))) > 0)
                for (const char *p = buffer; p < buffer + n;) {
                        const struct dirent64 *entry = (const struct dirent64 *)(const void *)p;
                        int r;

                        p += entry->d_reclen;
                        if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
                                continue;
                        r = function(entry->d_name, userdata);
                        if (r < 0)
                                return r;
                }
        return n < 0 ? -errno : 0;
}

static int remove_file(const char *name, void *userdata) {
        const int *dir_fd = userdata;

        if (unlinkat(*dir_fd, name, 0) < 0)
                return errno == EISDIR ? -ENOTEMPTY : -errno;
        return 0;
}

int dir_remove_at(int dir_fd, const char *name) {
        _cleanup_(fd_closep) int fd = -1;
        int r;

        fd = dir_open_at(dir_fd, name);
        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        r = dir_for_each(fd, remove_file, &fd);
        if (r < 0)
                return r;
        return unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}
