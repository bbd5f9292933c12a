#pragma once

/* A directory of rekeyd's own. */

#include "lib/util/files.h"

/*
 * Opens the directory PATH, making it with MODE where it is missing, and its parents with 0755, durably. It
 * must be a real directory that is owned by this user or root and that no other user may write to. Returns
 * the descriptor, as from dir_open_at(), or -errno with a sentence.
 */
int directory_open(const char *path, mode_t mode, struct error *error);

/* The same for one that exists; -ENOENT where it does not. */
int directory_view(const char *path, struct error *error);

/* Whether the MODE of directory PATH lets no other user write there. 0, or -EPERM with a sentence. */
int directory_check_mode(mode_t mode, const char *path, struct error *error);
