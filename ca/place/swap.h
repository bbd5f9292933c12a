#pragma once

/* Files that are replaced on condition. */

#include <sys/types.h>

#include "ca/rotation/backend.h"

struct swap {
        int dir_fd;
        const char *const *names;
        size_t n;
        mode_t mode; /* of what is not there yet */
        const struct contents *contents;
};

/* Writes the contents where what is there has the version EXPECTED: files.h says how. 0, -ESTALE with nothing
 * changed, or -errno. */
int swap_files(const struct swap *swap, const char *expected);

/* The version of CONTENTS; "" of none. 0 or -EIO. */
int swap_version(const struct contents *contents, char ret[VERSION_MAX]);
