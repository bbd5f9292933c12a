#pragma once

/* Files, relative to a directory descriptor, durable when a function says so. */

#include <stddef.h>
#include <sys/types.h>

#include "lib/util/error.h"

/* For the beginning of main(): opens /dev/null for those of standard input, output and error that are closed,
 * so that no other file gets their numbers. What is used as before still fails as before: reading the input,
 * writing the output. 0 or -errno. */
int fd_reserve_standard(void);

/* Opens a directory for reading, so that it can also be fsynced and flocked. Follows no symbolic
 * link in the last component. Returns the descriptor or -errno (-ELOOP or -ENOTDIR for a link). */
int dir_open_at(int dir_fd, const char *name);

/* fsync() on a directory: what was renamed, linked or removed in it before is durable after. 0 or -errno. */
int dir_sync(int dir_fd);

/* Opens a regular file for reading. With NOFOLLOW a symbolic link gives -ELOOP; anything that is not a
 * regular file gives -ENXIO, a directory -EISDIR. Never blocks on a FIFO. Returns the descriptor or -errno.
 */
enum file_links { FILE_NOFOLLOW, FILE_FOLLOW };
int file_open_at(int dir_fd, const char *name, enum file_links links);

/* Reads all of FD, at most MAX bytes. *RET_DATA is owned by the caller and has a NUL after its last byte.
 * 0, -EFBIG when there is more than MAX, or -errno. Reads into one buffer that is never reallocated, so a
 * caller that must cleanse it has no stale copies. */
int fd_read_all(int fd, size_t max, char **ret_data, size_t *ret_size);

/* Writes all SIZE bytes of DATA, in as many calls as it takes. 0 or -errno. */
int fd_write_all(int fd, const char *data, size_t size);

/* file_open_at() and fd_read_all(). */
int file_read_at(int dir_fd, const char *name, enum file_links links, size_t max, char **ret_data,
                 size_t *ret_size);

/* Who may read a file: -1 leaves the owner or the group as the process has it. */
struct file_access {
        uid_t uid;
        gid_t gid;
        mode_t mode;
};
#define FILE_ACCESS(m)                                          \
        (struct file_access) {                                  \
                .uid = (uid_t)-1, .gid = (gid_t)-1, .mode = (m) \
        }

/* What distinguishes one version of a file from the next; all zero for none. */
struct file_identity {
        uint64_t device, inode, size;
        uint64_t modified_nsec; /* since 1970, modulo 2^64: to be compared only */
};

/* Follows symbolic links. 0, or -errno with *RET all zero. */
int file_identify(int dir_fd, const char *name, struct file_identity *ret);
bool file_identity_equal(const struct file_identity *a, const struct file_identity *b);

/* One number for it, never 0, to keep where only equality matters. */
uint64_t file_identity_hash(const struct file_identity *identity);

/* Where Linux shows POSIX ACLs: acl(5). One that says no more than the mode is not stored. */
#define FILE_ACL "system.posix_acl_access"

/* Removes the ACL of the open FD; its mask stays as the group's bits of the mode. 0, also where there is
 * none, or -errno. */
int fd_drop_acl(int fd);

/* Creates NAME, which must not exist (-EEXIST), writes it and fsyncs it. Owner and mode are set before the
 * first byte is written, and an ACL that the directory gives to new files is removed. On failure the file is
 * removed again. The directory is not synced. */
int file_create_at(int dir_fd, const char *name, const void *data, size_t size, struct file_access access);

/* Replaces or creates NAME atomically: temporary file, fsync, rename. The directory is not synced. */
int file_put_at(int dir_fd, const char *name, const void *data, size_t size, struct file_access access);

/* The same without any fsync: for what nobody misses after a power cut, which may leave it empty. */
int file_note_at(int dir_fd, const char *name, const void *data, size_t size, struct file_access access);

/* Replaces or creates NAME atomically and durably: file_put_at(), and an fsync of the directory. */
int file_replace_at(int dir_fd, const char *name, const void *data, size_t size, struct file_access access);

/* Makes NAME a symbolic link to TARGET by one rename, whatever NAME was (not a directory). The directory is
 * not synced. */
int link_replace_at(int dir_fd, const char *target, const char *name);

/* The target of the symbolic link NAME, owned by the caller. -EINVAL when it is not a link. */
int link_read_at(int dir_fd, const char *name, char **ret_target);

/* Calls FUNCTION with the name of each entry of DIR_FD but "." and "..", which it may remove, until it
 * returns a negative value. 0, that value, or -errno. One at a time: it moves the offset of DIR_FD. */
int dir_for_each(int dir_fd, int (*function)(const char *name, void *userdata), void *userdata);

/* Removes the directory NAME and the files in it; a directory in it gives -ENOTEMPTY. 0 also when there is
 * none. */
int dir_remove_at(int dir_fd, const char *name);
