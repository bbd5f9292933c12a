/*
 * Rights of files. The order of the calls is the point: the mode is narrowed before the owner, the group or
 * the ACL changes, and widened after. A mask goes with the mode, so a narrowed mode binds the ACL as well,
 * and when the ACL goes, its mask, which is left as the group's bits, is no wider than what is wanted.
 */

#include "lib/util/rights.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "lib/util/text-stream.h"

#define MODE_BITS 07777u

static struct rights of_stat(const struct stat *st) {
        return (struct rights) { .uid = st->st_uid, .gid = st->st_gid, .mode = st->st_mode & MODE_BITS };
}

int rights_read(int fd, struct rights *ret) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        *ret = of_stat(&st);
        ret->has_acl = fgetxattr(fd, FILE_ACL, NULL, 0) > 0;
        return 0;
}

/* Not a device, nor a pipe, which would make a reader wait. */
static int open_at(int dir_fd, const char *name, int flags) {
        int fd = openat(dir_fd, name, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

int rights_read_at(int dir_fd, const char *name, struct rights *ret) {
        _cleanup_(fd_closep) int fd = -1;
        struct stat st;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (S_ISLNK(st.st_mode))
                return -ELOOP;
        if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
                return -ENXIO;
        *ret = of_stat(&st);
        /* An ACL gives nothing that its mask, the group's bits, does not let through. */
        if (!((st.st_mode >> 3 & 07u) & ~(st.st_mode & 07u)))
                return 0;
        fd = open_at(dir_fd, name, O_RDONLY);
        if (fd == -EACCES || fd == -EPERM)
                return 0;
        return fd < 0 ? fd : rights_read(fd, ret);
}

/* The xattr is a version and entries of tag, permissions and id, little-endian: linux/posix_acl_xattr.h. */
static mode_t group_of_acl(const uint8_t *acl, size_t size) {
        enum { HEADER = 4, ENTRY = 8, TAG_GROUP = 0x04, TAG_MASK = 0x10 };
        unsigned group = 0, mask = 07;

        for (size_t at = HEADER; at + ENTRY <= size; at += ENTRY) {
                const unsigned tag = acl[at] | (unsigned)acl[at + 1] << 8, allowed = acl[at + 2] & 07u;

                if (tag == TAG_GROUP)
                        group = allowed;
                else if (tag == TAG_MASK)
                        mask = allowed;
        }
        return (mode_t)(group & mask) << 3;
}

int rights_read_base_at(int dir_fd, const char *name, struct rights *ret) {
        _cleanup_(fd_closep) int fd = -1;
        struct rights rights;
        uint8_t acl[4096];
        ssize_t size;
        int r;

        r = rights_read_at(dir_fd, name, &rights);
        if (r < 0)
                return r;
        if (rights.has_acl) {
                fd = open_at(dir_fd, name, O_RDONLY);
                size = fd < 0 ? -1 : fgetxattr(fd, FILE_ACL, acl, sizeof(acl));
                rights.mode &= ~(mode_t)S_IRWXG;
                rights.mode |= size > 0 ? group_of_acl(acl, (size_t)size) : 0;
        }
        *ret = rights;
        return 0;
}

struct rights rights_target(const struct rights *rights, struct file_access wanted,
                            const struct rights *own) {
        const bool is_group_alike = (wanted.mode >> 3 & 07u) == (wanted.mode & 07u);
        struct rights target = { .uid = wanted.uid, .gid = wanted.gid, .mode = wanted.mode };

        if (target.uid == (uid_t)-1)
                target.uid = rights->uid == 0 ? 0 : own->uid;
        if (target.gid == (gid_t)-1)
                target.gid = is_group_alike ? rights->gid : own->gid;
        return target;
}

bool rights_equal(const struct rights *a, const struct rights *b) {
        return a->uid == b->uid && a->gid == b->gid && a->mode == b->mode && a->has_acl == b->has_acl;
}

bool rights_are_wider(const struct rights *rights, const struct rights *target) {
        return rights->mode & ~target->mode || rights->has_acl || rights->uid != target->uid ||
               (rights->gid != target->gid && rights->mode & S_IRWXG);
}

int rights_change(int fd, const struct rights *rights, const struct rights *target) {
        const bool moves = rights->uid != target->uid || rights->gid != target->gid;
        mode_t mode = rights->mode;
        int r;

        if ((moves || rights->has_acl) && mode & ~target->mode) {
                mode &= target->mode;
                if (fchmod(fd, mode) < 0)
                        return -errno;
        }
        if (moves && fchown(fd, rights->uid != target->uid ? target->uid : (uid_t)-1,
                            rights->gid != target->gid ? target->gid : (gid_t)-1) < 0)
                return -errno;
        if (rights->has_acl) {
                r = fd_drop_acl(fd);
                if (r < 0)
                        return r;
        }
        /* fchown() takes the special bits away. */
        if (moves)
                mode &= ~(mode_t)(S_ISUID | S_ISGID);
        return mode != target->mode && fchmod(fd, target->mode) < 0 ? -errno : 0;
}

/* This user's own file, made readable for it again. By its descriptor, since chmod() would follow a link that
 * is put there meanwhile. */
static int open_own(int dir_fd, const char *name) {
        _cleanup_(fd_closep) int path_fd = open_at(dir_fd, name, O_PATH);
        char path[sizeof("/proc/self/fd/") + 16];
        struct stat st;

        if (path_fd < 0)
                return path_fd;
        if (fstat(path_fd, &st) < 0)
                return -errno;
        if (st.st_uid != geteuid() || st.st_mode & S_IRUSR || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
                return -EACCES;
        snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
        if (chmod(path, (st.st_mode & MODE_BITS) | S_IRUSR) < 0)
                return -errno;
        return open_at(dir_fd, name, O_RDONLY);
}

int rights_change_at(int dir_fd, const char *name, const struct rights *rights, const struct rights *target) {
        _cleanup_(fd_closep) int fd = open_at(dir_fd, name, O_RDONLY);

        if (fd == -EACCES)
                fd = open_own(dir_fd, name);
        return fd < 0 ? fd : rights_change(fd, rights, target);
}

/* --- Texts --- */

/* For texts; used by threads, so not getpwuid(). */
static const char *user_text(uid_t uid, char buffer[40]) {
        struct passwd passwd, *found;
        char strings[1024];

        if (getpwuid_r(uid, &passwd, strings, sizeof(strings), &found) == 0 && found)
                snprintf(buffer, 40, "%.32s", found->pw_name);
        else
                snprintf(buffer, 40, "%u", (unsigned)uid);
        return buffer;
}

static const char *group_text(gid_t gid, char buffer[40]) {
        struct group group, *found;
        char strings[4096];

        if (getgrgid_r(gid, &group, strings, sizeof(strings), &found) == 0 && found)
                snprintf(buffer, 40, "%.32s", found->gr_name);
        else
                snprintf(buffer, 40, "%u", (unsigned)gid);
        return buffer;
}

const char *rights_text(const struct rights *rights, char buffer[RIGHTS_TEXT]) {
        char user[40], group[40];

        snprintf(buffer, RIGHTS_TEXT, "%04o %s:%s%s", (unsigned)rights->mode, user_text(rights->uid, user),
                 group_text(rights->gid, group), rights->has_acl ? " with an ACL" : "");
        return buffer;
}

char *rights_commands(const struct rights *rights, const struct rights *target, const char *name) {
        char user[40], group[40];
        const char *separator = "";
        char *text = NULL;
        size_t size;
        FILE *out = text_stream_open(&text, &size);

        if (!out)
                return NULL;
        user_text(target->uid, user);
        group_text(target->gid, group);
        if (rights->has_acl) {
                fprintf(out, "setfacl -b %s", name);
                separator = " && ";
        }
        if (rights->uid != target->uid) {
                fprintf(out, "%schown %s:%s %s", separator, user, group, name);
                separator = " && ";
        } else if (rights->gid != target->gid) {
                fprintf(out, "%schgrp %s %s", separator, group, name);
                separator = " && ";
        }
        if (rights->mode != target->mode || rights->has_acl)
                fprintf(out, "%schmod %04o %s", separator, (unsigned)target->mode, name);
        if (fclose(out) != 0) {
                free(text);
                return NULL;
        }
        return text;
}
