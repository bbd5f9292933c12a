#pragma once

/* The past events of a certificate, for people: a line of JSON for each event, in `NAME.history` beside its
 * state file. Nothing depends on it, so it is never synced; a line that a crash has cut off is ignored. */

#include <stddef.h>

#include "lib/util/error.h"

#define HISTORY_SIZE_MAX (64u * 1024) /* the file; then the older half goes */
#define HISTORY_LINE_MAX 4096u

/* Appends TEXT, whole lines, to the file of NAME in the directory DIR_FD; mode 0600. 0 or -errno. */
int history_append(int dir_fd, const char *name, const char *text, struct error *error);

/* The lines as they are, oldest first, owned by the caller; an empty text where there is no file. 0 or
 * -errno. */
int history_read(int dir_fd, const char *name, char **ret_text, struct error *error);
