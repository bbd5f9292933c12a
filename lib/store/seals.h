#pragma once

/* What was found out of the bytes of sets, kept across restarts: a set with the very same bytes need not be
 * parsed and verified again. */

#include "lib/store/store.h"

#define SEALS_FILE "seals" /* in the state directory; no certificate's file has such a name */

/* What is known of a set is found by a SHA-256 over all that it depends on: the bytes of its four files, its
 * certificate and directory, this version of rekeyd and that of OpenSSL. */
#define SEAL_SIZE 32

/* KEY_TEXT is the file of the key, KEY_SIZE bytes; SET has the texts of the others. 0, or -errno. */
int seal_of(const char *certificate, const char *directory, const char *key_text, size_t key_size,
            const struct set *set, uint8_t ret[SEAL_SIZE]);

struct seals;

/*
 * Reads SEALS_FILE in DIR_FD, which is borrowed and must be a directory that nobody but this user and root
 * may write to. What another user owns or could have written, what is no file, what is damaged and what is
 * cut off counts as not there, and goes. Nothing of that is an error: all sets are examined then. 0 or
 * -ENOMEM.
 *
 * All other functions may be called from any thread.
 */
int seals_new(int dir_fd, struct seals **ret);

/* Writes what is not written yet. Accepts NULL, returns NULL. */
struct seals *seals_free(struct seals *seals);
DEFINE_CLEANUP(struct seals *, seals_free);

/* Fills in what follows from the bytes that have SEAL; false, and SET is untouched: it is not known. */
bool seals_find(struct seals *seals, const uint8_t seal[SEAL_SIZE], struct set *set);

/* Keeps what store_examine_set() has found, of a set with its key. What cannot be kept is found out again by
 * the next start. */
void seals_add(struct seals *seals, const uint8_t seal[SEAL_SIZE], const struct set *set);

/* All sets have been inspected: what was added is written, what none of them needed is dropped, and memory
 * for the rest goes, which is read from the file from now on. It waits for the disk. */
void seals_rest(struct seals *seals);

/* How many are known, and how many were found, for tests. */
size_t seals_count(struct seals *seals);
size_t seals_found(struct seals *seals);
