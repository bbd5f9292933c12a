#pragma once

/* Processes that the daemon starts: their output, their end, and what they leave behind. */

#include <systemd/sd-event.h>

#include "lib/util/macro.h"
#include "lib/util/time.h"

struct child;
struct children;

/* How long a process group has between SIGTERM and SIGKILL. */
#define CHILD_GRACE_USEC (5 * USEC_PER_SEC)

/* Pipes that are read for processes in the background. Beyond that the oldest is closed. */
#define CHILDREN_LEFT_MAX 64u

/*
 * From now on every child of this process that ends is reaped, whoever started it: as process 1 of a
 * container it is given the orphans of all others. SIGCHLD must be blocked in all threads. 0 or -errno.
 */
int children_new(sd_event *event, struct children **ret);

/* Stops what still runs, and blocks until it has ended: for CHILD_GRACE_USEC at most, and longer only if a
 * killed process cannot end. Every child must have been released. Accepts NULL, returns NULL. */
struct children *children_free(struct children *children);
DEFINE_CLEANUP(struct children *, children_free);

/* Strings are borrowed for the call. */
struct child_options {
        char *const *command;     /* [0] is the path of the program; no shell sees the arguments */
        char *const *environment; /* NULL-terminated */

        bool drops_errors; /* its standard error is no output, and is dropped */

        /* What the process wrote to its standard output or error; never after ENDED. */
        void (*output)(const char *data, size_t size, void *userdata);

        /* The process has ended with STATUS, as waitpid() has it; once stopped, so has its group. Called
         * once, from the loop; may release the child. */
        void (*ended)(int status, void *userdata);
        void *userdata;
};

/*
 * Starts a process in a process group of its own, with empty standard input, no other descriptor than its
 * three standard ones, no signal blocked or ignored, in the directory "/". 0 or -errno.
 *
 * It ends when the process itself ends. What it has left in the background lives on, and may go on to write:
 * its output is read and dropped until it is closed.
 */
int child_start(struct children *children, const struct child_options *options, struct child **ret);

/* Sends SIGTERM to the group, and SIGKILL to what is left of it after CHILD_GRACE_USEC. Does nothing the
 * second time, or after the end. */
void child_stop(struct child *child);

/* The owner has no further interest: no function of his is called any more. A process that still runs is
 * stopped meanwhile, without waiting for it. Accepts NULL, returns NULL. */
struct child *child_release(struct child *child);
DEFINE_CLEANUP(struct child *, child_release);
