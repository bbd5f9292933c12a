#pragma once

/* A directory of rekeyd's own. */

#include "lib/util/files.h"

/* For functions below: no group besides those of this process. */
#define NO_GROUP ((gid_t)-1)

/*
 * Opens the directory PATH, making it with MODE where it is missing, and its parents with 0755, durably. It
 * must be a real directory that is owned by this user or root and that no stranger may write to: see
 * directory_admits_strangers(). Returns the descriptor, as from dir_open_at(), or -errno with a sentence.
 */
int directory_open(const char *path, mode_t mode, gid_t group, struct error *error);

/* The same for one that exists; -ENOENT where it does not. */
int directory_view(const char *path, gid_t group, struct error *error);

/*
 * Whether somebody may write to the open directory FD, of MODE and GID, who is a stranger: everybody but
 * root, its owner, and the members of its group where that is GROUP or a group of this process. kubelet gives
 * each volume such a group, as `fsGroup`, and the right to write. With an ACL that right may be somebody
 * else's.
 */
bool directory_admits_strangers(int fd, mode_t mode, gid_t gid, gid_t group);

/* The same of directory PATH as a verdict: 0, or -EPERM with a sentence. */
int directory_check_writers(int fd, gid_t group, const char *path, struct error *error);

/* Takes the right to write from the group of the open directory FD at PATH, where this user owns it.
 * *RET_CHANGE, owned, is a sentence where there was one, or untouched; may be NULL. 0 or -errno. */
int directory_tighten(int fd, const char *path, char **ret_change);
