#pragma once

/* Threads for whatever would hold up the loop: key generation, RSA signatures, fsync. */

#include <signal.h>
#include <systemd/sd-event.h>

#include "lib/util/macro.h"

struct workers;

/*
 * One piece of work, embedded in the caller's own struct. RUN is called on a worker thread and may touch
 * nothing that the loop's thread uses meanwhile; DONE is called on the loop's thread afterwards. The job
 * belongs to the pool from workers_submit() until DONE is called.
 */
struct job {
        void (*run)(struct job *job);
        void (*done)(struct job *job);
        struct job *next;
};

/* Starts N_THREADS threads, which run at a lower priority than the loop, and an event source for finished
 * work. 0 or -errno. */
int workers_new(sd_event *event, unsigned n_threads, struct workers **ret);

enum worker_priority {
        WORKER_LOWER, /* than the loop */
        WORKER_EQUAL,
};

/* The same with one thread, which starts with the first job: while there was none it costs no memory. */
int workers_new_sleeping(sd_event *event, enum worker_priority priority, struct workers **ret);

/* Starts the thread of such a pool, where it has none yet. 0 or -errno. */
int workers_start(struct workers *workers);

/* First in, first out. Never blocks, cannot fail. Called by one thread only, the loop's. */
void workers_submit(struct workers *workers, struct job *job);

/* Waits for the jobs that are running; those that have not begun are dropped, and no DONE is called any more:
 * the owner frees its jobs after this. Accepts NULL, returns NULL. */
struct workers *workers_free(struct workers *workers);
DEFINE_CLEANUP(struct workers *, workers_free);

/* For a thread that is started next: signals are the loop's, but for those of a crash, which must reach
 * whoever handles them (a sanitizer). *RET_BEFORE goes to pthread_sigmask() again. */
void workers_block_signals(sigset_t *ret_before);
