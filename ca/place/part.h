#pragma once

/* One file of a place: its text, what takes its place, and with which rights. */

#include <limits.h>

#include "lib/util/files.h"

#define PART_MAX (4u * 1024 * 1024) /* bytes of its text */

/* What NAME is called while it is prepared, or after it was displaced. 0 or -ENAMETOOLONG. */
int part_name_beside(const char *name, char ret[NAME_MAX + 1]);

/* *RET: its text, owned and to be cleansed; NULL where there is no file. 0 or -errno. */
int part_read(int dir_fd, const char *name, char **ret);

/* Whether it is TEXT. 0, -ESTALE where it is another one, or -errno. */
int part_check(int dir_fd, const char *name, const char *text);

/* Owner and mode of what takes the place of NAME; MODE where there is none. */
struct file_access part_access(int dir_fd, const char *name, mode_t mode);
