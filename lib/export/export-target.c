/*
 * Where an export is written. The directory is opened once, judged, and used by its descriptor from then on,
 * so that what was judged is what is written to. Directories above it are not judged, nor are they in the
 * store; a path may lead to its directory through symbolic links, but must not end in one.
 *
 * A sticky directory, such as /tmp, is refused like every other directory that any user can write to: before
 * the first export exists any user could put a file with another key under its name. A subdirectory is fine.
 *
 * The owner of the export may own the directory: that user gets the key in any case. So does the group of the
 * export, or a group of rekeyd's own, to which kubelet gives whole volumes. They could still offer
 * us a link to another user's file, so a file that is written in place has one name only, and belongs to
 * them, to root or to us.
 */

#include "lib/export/export-target.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/life/cause.h"
#include "lib/store/directory.h"
#include "lib/util/rights.h"
#include "lib/util/user.h"

/* As file_replace_at() names what it renames. */
static const char temporary_format[] = ".%s.rekeyd";

static const char mounted_advice[] = "it is a mount of its own, which cannot be replaced; mount its "
                                     "directory instead, or set 'in_place: true'";

void export_target_clear(struct export_target *target) {
        target->dir_fd = fd_close(target->dir_fd);
}

struct file_access export_access(const struct export *export) {
        struct file_access access = export->access;

        if (access.mode == 0)
                access.mode = export_has_key(export) ? 0600 : 0644;
        return access;
}

static bool may_own(const struct export *export, uid_t uid) {
        return uid == 0 || uid == geteuid() || (export->access.uid != (uid_t)-1 && uid == export->access.uid);
}

/* --- Opening --- */

/* STATX_MNT_ID is unknown to kernels before 5.8: there a rename of a mounted file fails with EBUSY. */
#define WANTED (STATX_BASIC_STATS | STATX_MNT_ID)

static int judge_directory(const struct export *export, struct export_target *target, const char *path,
                           struct error *error) {
        struct statx *stx = &target->directory;

        if (statx(target->dir_fd, "", AT_EMPTY_PATH, WANTED, stx) < 0)
                return error_set_errno(error, -errno, "cannot examine directory %s", path);
        if (!may_own(export, stx->stx_uid))
                return error_set(error, -EPERM,
                                 "directory %s is owned by user %u, who could replace the key; change its "
                                 "owner to root, or set that user as the export's 'owner'",
                                 path, stx->stx_uid);
        if (directory_admits_strangers(target->dir_fd, stx->stx_mode, stx->stx_gid, export->access.gid))
                return error_set(error, -EPERM,
                                 "the mode %04o of directory %s lets other users write to it and replace the "
                                 "key; chmod go-w, or use a subdirectory",
                                 stx->stx_mode & 07777u, path);
        if (stx->stx_attributes & STATX_ATTR_IMMUTABLE)
                return error_set(error, -EPERM, "directory %s is immutable; remove the flag with chattr -i",
                                 path);
        return 0;
}

static int open_directory(const struct export *export, struct export_target *target, struct error *error) {
        const char *slash = strrchr(export->path, '/');
        size_t length = slash == export->path ? 1 : (size_t)(slash - export->path);
        _cleanup_(freep) char *path = strndup(export->path, length);

        if (!path)
                return error_set(error, -ENOMEM, "out of memory");
        target->name = slash + 1;
        target->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (target->dir_fd < 0 && errno == ENOENT)
                return error_set(error, -ENOENT, "there is no directory %s; create it with the right owner",
                                 path);
        if (target->dir_fd < 0)
                return error_set_errno(error, -errno, "cannot open directory %s", path);
        return judge_directory(export, target, path, error);
}

static bool is_mounted(const struct export_target *target, const struct statx *file) {
        return (target->directory.stx_mask & file->stx_mask & STATX_MNT_ID) &&
               target->directory.stx_mnt_id != file->stx_mnt_id;
}

/* What the name means now, as far as it must not be written to. */
static int judge_file(const struct export *export, struct export_target *target, struct error *error) {
        _cleanup_(freep) char *link = NULL;
        struct statx stx;

        if (statx(target->dir_fd, target->name, AT_SYMLINK_NOFOLLOW, WANTED, &stx) < 0)
                return errno == ENOENT ? 0 : error_set_errno(error, -errno, "cannot examine it");
        target->exists = true;

        if (S_ISLNK(stx.stx_mode)) {
                (void)link_read_at(target->dir_fd, target->name, &link);
                return error_set(error, -ELOOP,
                                 "it is a symbolic link to %s, which another user may own; name that file in "
                                 "'path', or remove the link",
                                 link ? link : "something");
        }
        if (!S_ISREG(stx.stx_mode))
                return error_set(error, -EINVAL, "it exists and is %s instead of a file",
                                 S_ISDIR(stx.stx_mode) ? "a directory" : "a device, a pipe or a socket");
        if (stx.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND))
                return error_set(error, -EPERM, "the file is immutable; remove the flag with chattr -ia");
        if (!export->in_place && is_mounted(target, &stx))
                return error_set(error, -EBUSY, "%s", mounted_advice);
        return 0;
}

int export_target_open(const struct export *export, struct export_target *ret, struct error *error) {
        _cleanup_(export_target_clear) struct export_target target = { .dir_fd = -1 };
        int r;

        r = open_directory(export, &target, error);
        if (r < 0)
                return r;
        r = judge_file(export, &target, error);
        if (r < 0)
                return r;

        *ret = target;
        target.dir_fd = -1;
        return 0;
}

/* --- Reading --- */

/* An owner or group that is not configured is the one that a new file would get; a file that is kept keeps
 * them. */
static struct rights choose_target(const struct export *export, const struct export_target *target,
                                   const struct rights *now) {
        const struct file_access wanted = export_access(export);
        const bool passes_on = target->directory.stx_mode & S_ISGID;
        struct rights rights = { .uid = wanted.uid, .gid = wanted.gid, .mode = wanted.mode };

        if (rights.uid == (uid_t)-1)
                rights.uid = export->in_place ? now->uid : geteuid();
        if (rights.gid == (gid_t)-1)
                rights.gid = export->in_place ? now->gid : passes_on ? target->directory.stx_gid : getegid();
        return rights;
}

int export_target_read(const struct export *export, const struct export_target *target,
                       struct export_bytes *ret) {
        _cleanup_(fd_closep) int fd = -1;
        struct rights now, wanted;
        int r;

        fd = file_open_at(target->dir_fd, target->name, FILE_NOFOLLOW);
        if (fd < 0)
                return fd;
        r = rights_read(fd, &now);
        if (r < 0)
                return r;
        wanted = choose_target(export, target, &now);
        if (!rights_equal(&now, &wanted))
                return -ESTALE;
        return fd_read_all(fd, EXPORT_SIZE_MAX, &ret->data, &ret->size);
}

/* --- Writing --- */

/* Where errno alone does not lead an operator to the fix. */
static int explain(const struct export *export, int r, struct error *error) {
        _cleanup_(freep) char *directory = NULL;
        char name[USER_NAME_MAX];

        if (r == -EBUSY || r == -EXDEV)
                return error_set(error, r, "%s", mounted_advice);
        if (r == -EACCES)
                return error_set_errno(error, r, "rekeyd runs as user %s, who may not write there",
                                       user_name(geteuid(), name));
        error_set(error, r, "%s", error_code_text(r));
        directory = strndup(export->path, (size_t)(strrchr(export->path, '/') - export->path));
        if (error && directory)
                (void)cause_explain(directory, export->access.uid, export->access.gid, error);
        return r;
}

/* Only what differs, since an owner without rights may do that much. */
static int give_away(int fd, const struct export *export) {
        const struct file_access access = export_access(export);
        struct rights now, wanted;
        int r;

        r = rights_read(fd, &now);
        if (r < 0)
                return r;
        wanted = (struct rights) {
                .uid = access.uid != (uid_t)-1 ? access.uid : now.uid,
                .gid = access.gid != (gid_t)-1 ? access.gid : now.gid,
                .mode = access.mode,
        };
        return rights_change(fd, &now, &wanted);
}

/* Claims room for SIZE bytes, so that a full disk shows before the first byte is changed. */
static int claim_room(int fd, size_t size) {
        if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size) == 0)
                return 0;
        return errno == EOPNOTSUPP || errno == ENOSYS ? 0 : -errno;
}

static int open_in_place(const struct export *export, const struct export_target *target,
                         struct error *error) {
        _cleanup_(fd_closep) int fd = -1;
        struct stat st;
        int r;

        fd = openat(target->dir_fd, target->name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0)
                return explain(export, -errno, error);
        if (fstat(fd, &st) < 0)
                return explain(export, -errno, error);
        if (!S_ISREG(st.st_mode))
                return error_set(error, -EINVAL, "it is no longer a file");
        if (!may_own(export, st.st_uid))
                return error_set(error, -EPERM,
                                 "the file is owned by user %u, who may have it open and could read the new "
                                 "key; change its owner to root, or set that user as the export's 'owner'",
                                 (unsigned)st.st_uid);
        if (st.st_nlink != 1)
                return error_set(
                        error, -EMLINK,
                        "the file has %ju names (hard links), and 'in_place: true' would change it under "
                        "all of them; copy it, and put the copy in its place",
                        (uintmax_t)st.st_nlink);
        r = give_away(fd, export);
        if (r < 0)
                return explain(export, r, error);
        return take_fd(&fd);
}

static int overwrite(int fd, const struct export_bytes *bytes) {
        for (size_t done = 0; done < bytes->size;) {
                ssize_t n = write(fd, bytes->data + done, bytes->size - done);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                done += (size_t)n;
        }
        if (ftruncate(fd, (off_t)bytes->size) < 0 || fsync(fd) < 0)
                return -errno;
        return 0;
}

static int write_in_place(const struct export *export, const struct export_target *target,
                          const struct export_bytes *bytes, struct error *error) {
        _cleanup_(fd_closep) int fd = -1;
        int r;

        fd = open_in_place(export, target, error);
        if (fd < 0)
                return fd;
        r = claim_room(fd, bytes->size);
        if (r < 0)
                return explain(export, r, error);
        r = overwrite(fd, bytes);
        if (r < 0)
                return error_set_errno(error, r,
                                       "writing it in place failed and leaves it half written until the next "
                                       "attempt");
        return 0;
}

int export_target_write(const struct export *export, const struct export_target *target,
                        const struct export_bytes *bytes, struct error *error) {
        int r;

        if (export->in_place && target->exists)
                return write_in_place(export, target, bytes, error);
        r = file_replace_at(target->dir_fd, target->name, bytes->data, bytes->size, export_access(export));
        return r < 0 ? explain(export, r, error) : 0;
}

/* --- Trying --- */

static int remove_litter(const struct export_target *target) {
        char name[NAME_MAX + 1];
        int n = snprintf(name, sizeof(name), temporary_format, target->name);

        if (n < 0 || n > NAME_MAX)
                return -ENAMETOOLONG;
        return unlinkat(target->dir_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

/* A file without a name: it needs every right that a real one needs, no reader sees it, and no crash leaves
 * it behind. */
static int try_new_file(const struct export *export, const struct export_target *target, size_t size) {
        _cleanup_(fd_closep) int fd = -1;
        int r;

        fd = openat(target->dir_fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
        if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) /* NFS: then the main thing only */
                return faccessat(target->dir_fd, ".", W_OK | X_OK, AT_EACCESS) < 0 ? -errno : 0;
        if (fd < 0)
                return -errno;
        r = give_away(fd, export);
        if (r < 0)
                return r;
        return claim_room(fd, size);
}

int export_target_try(const struct export *export, const struct export_target *target, size_t size,
                      struct error *error) {
        int r;

        if (export->in_place && target->exists) {
                int fd = open_in_place(export, target, error);

                fd_close(fd);
                return fd < 0 ? fd : 0;
        }
        r = remove_litter(target);
        if (r == -ENAMETOOLONG)
                return error_set(error, r, "the name of its file must be at most %zu bytes long",
                                 (size_t)NAME_MAX - (sizeof(temporary_format) - 1 - strlen("%s")));
        if (r == 0)
                r = try_new_file(export, target, size);
        return r < 0 ? explain(export, r, error) : 0;
}

int export_target_foresee(const struct export *export, const struct export_target *target,
                          struct error *error) {
        const bool in_place = export->in_place && target->exists;
        int r;

        r = faccessat(target->dir_fd, in_place ? target->name : ".", in_place ? W_OK : W_OK | X_OK,
                      AT_EACCESS) < 0
                    ? -errno
                    : 0;
        if (r == 0 && !(user_may_set_owner(export->access.uid) && user_may_set_group(export->access.gid)))
                r = -EPERM;
        return r < 0 ? explain(export, r, error) : 0;
}
