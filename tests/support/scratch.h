#pragma once

/* A directory for one test, on the real disk, and looking at what is in it. */

#include "lib/util/macro.h"

/* Makes an empty directory below $TMPDIR or /tmp and returns its path, owned by the caller. */
char *scratch_new(void);

/* Removes it with everything in it, and frees PATH. */
char *scratch_free(char *path);
DEFINE_CLEANUP(char *, scratch_free);

/* PATH of NAME in DIRECTORY; owned by the caller. */
char *scratch_path(const char *directory, const char *name);

/* Writes or reads a whole file; what fails aborts the test. The text is owned by the caller, NULL for no
 * file. */
void scratch_write(const char *directory, const char *name, const char *text, unsigned mode);
char *scratch_read(const char *directory, const char *name);

/* The sorted names in DIRECTORY, "a b c"; owned by the caller. */
char *scratch_list(const char *directory);

/* All that is below DIRECTORY, a line each with whatever a writer of any kind would change: all of stat() but
 * the access time, targets of links, and the bytes of files as a hash. Owned by the caller. */
char *scratch_tree(const char *directory);
