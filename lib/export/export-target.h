#pragma once

/* Where it is written. For export*.c. */

#include <sys/stat.h>

#include "lib/export/export-content.h"

#define EXPORT_SIZE_MAX (1024u * 1024) /* of a file that is compared: larger than any set */

struct export_target {
        int dir_fd;
        const char *name; /* in the directory; borrowed from the path */
        struct statx directory;
        bool exists;
};
void export_target_clear(struct export_target *target);

/* Owner, group and mode, with the standard mode filled in. */
struct file_access export_access(const struct export *export);

/* Opens the directory and refuses what must not be written to. */
int export_target_open(const struct export *export, struct export_target *ret, struct error *error);

/* Tries, without a trace, whether SIZE bytes could be written. */
int export_target_try(const struct export *export, const struct export_target *target, size_t size,
                      struct error *error);

/* The same by what the rights say, without a change: no litter is removed, no file is made or given away. */
int export_target_foresee(const struct export *export, const struct export_target *target,
                          struct error *error);

int export_target_write(const struct export *export, const struct export_target *target,
                        const struct export_bytes *bytes, struct error *error);

/* The file's bytes, if its owner, group and mode are as asked and it has no ACL; -ESTALE if not. */
int export_target_read(const struct export *export, const struct export_target *target,
                       struct export_bytes *ret);
