#pragma once

/* A set of words that survives a restart: revoked fingerprints, unpaired clients. One word a line in a file.
 */

#include "lib/util/error.h"

struct registry;

/* Reads the file NAME in DIR_FD where there is one. NAME and DIR_FD are borrowed. 0 or -errno. */
int registry_open(int dir_fd, const char *name, struct registry **ret, struct error *error);
struct registry *registry_free(struct registry *registry);
DEFINE_CLEANUP(struct registry *, registry_free);

bool registry_has(const struct registry *registry, const char *word);

/* Both write the file before they return, and do nothing where nothing changes. WORD has no newline. 0 or
 * -errno. */
int registry_add(struct registry *registry, const char *word, struct error *error);
int registry_remove(struct registry *registry, const char *word, struct error *error);
