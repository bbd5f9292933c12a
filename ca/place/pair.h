#pragma once

/* Two files that belong together, and change by one rename. */

#include "ca/rotation/contents.h"

#define PAIR_FILES 2u

/*
 * For a while both names are symbolic links that lead through one link in a directory of our own:
 *
 *   ca.key -> .ca.key.rekeyca.d/now/ca.key      .ca.key.rekeyca.d/before/   what was there
 *   ca.crt -> .ca.key.rekeyca.d/now/ca.crt                        after/    what is to be there
 *                                                                 now -> before
 *
 * What a reader gets through a name changes by one rename alone, that of `now`, and by that for both. All
 * other steps put the same bytes in place of the same bytes, so a kill between any two of them leaves a pair.
 *
 * NAMES have the contents BEFORE and get AFTER. 0; -ESTALE where another writer was there, whose file stays;
 * -EOPNOTSUPP with nothing changed, where the file system has no links or no exchange; or another -errno.
 */
int pair_swap(int dir_fd, const char *const names[PAIR_FILES], const struct contents *before,
              const struct contents *after);

/* After an interruption: makes plain files of the names, with the bytes that they have. 0 or -errno. */
int pair_settle(int dir_fd, const char *const names[PAIR_FILES]);

/* Whether TARGET is where the name I leads in between. */
bool pair_is_link(const char *const names[PAIR_FILES], size_t i, const char *target);

/* Calls FUNCTION for each file of its directory with its path there and the index of its name, and removes
 * the directory where all return 0; only after pair_settle(). 0, -errno, or what FUNCTION returns. */
int pair_clear(int dir_fd, const char *const names[PAIR_FILES],
               int (*function)(void *userdata, const char *path, size_t i), void *userdata);
