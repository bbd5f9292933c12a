#pragma once

/* The state of one certificate that survives a restart, and when it is written to its file. */

#include <pthread.h>
#include <stdatomic.h>

#include "daemon/loop/workers.h"
#include "lib/life/state.h"

struct saving;

/* Who waits for a state file at most: an attempt or an operation, and beside it a revocation; and the end of
 * a certificate that a reload removes, which another one may bring back meanwhile. */
#define STATE_FILE_WAITERS 3

/* `state_directory`, where the state files of all certificates are, and who writes them. */
struct state_directory {
        int fd;           /* locked; the number stays the same when another directory takes its place */
        const char *path; /* borrowed; NULL: it stays the one that was opened */
        uint8_t boot_id[16], machine_id[16]; /* all zero where it cannot be had */
        struct workers *workers;
        const atomic_bool *stopping; /* the workers are, and drop what they have not begun */

        /* There is another directory at the path: all states are to be saved again. From the loop. */
        void (*was_replaced)(void *userdata);
        void *userdata;

        /* Private to state-file.c. */
        pthread_mutex_t lock;
        atomic_bool is_replaced;
};

struct state_file {
        struct state_directory *directory;
        struct state state;    /* change it, then call state_file_save() */
        struct saving *saving; /* what is to be written, and who waits for it; NULL: nothing */
        bool has_file;         /* there is one that must not become outdated */
        bool has_complained;   /* the last write failed */
        char name[];           /* of the certificate */
};

/*
 * Opens and locks `state_directory`, creating it where it is missing, and removes the state files that are
 * unchanged for 400 days of certificates that IS_KNOWN does not know. The descriptor, which is the lock, or
 * -errno with a sentence: without its state rekeyd would not know what it has requested.
 */
int state_file_open_directory(const char *path, bool (*is_known)(const char *name, void *userdata),
                              void *userdata, struct error *error);

/* Loads the state file of NAME. A file that cannot be parsed is set aside: *RET_WARNING, owned, is then a
 * sentence. Reads one small file on the calling thread. 0, -ENOMEM, or -errno with a sentence. */
int state_file_new(struct state_directory *directory, const char *name, struct state_file **ret,
                   char **ret_warning, struct error *error);

/* SAVED is not called any more. What is being written is written to its end; once the workers are stopped,
 * what they have dropped is written here. Accepts NULL, returns NULL. */
struct state_file *state_file_free(struct state_file *state_file);
DEFINE_CLEANUP(struct state_file *, state_file_free);

/* Writes the state file, soon, on a worker thread. A failure is logged, once until it works again. */
void state_file_save(struct state_file *state_file);

/* Adds LINE to the history; see lib/report/history.h. Soon, without waiting. */
void state_file_add_history(struct state_file *state_file, const char *line);

/* Nothing is being written, or waits to be. */
bool state_file_is_saved(const struct state_file *state_file);

/* state_file_save(), and calls SAVED, maybe before this returns, when the state as it is now, or newer, is
 * durable or could not be written. At most STATE_FILE_WAITERS wait at a time. */
void state_file_save_then(struct state_file *state_file,
                          void (*saved)(int r, const char *error, void *userdata), void *userdata);
