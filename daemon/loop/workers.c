/*
 * A pool of threads with two lists, waiting and finished, under one lock, and an eventfd that wakes the loop.
 * Threads are niced: on a machine with one core the loop, which answers people and other machines, goes
 * before arithmetic. There is no cancelling of a running job and no result queue: a job carries its own
 * result.
 */

#include "daemon/loop/workers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "lib/util/time.h"

#define WORKER_NICE 10
#define TURN_USEC   USEC_PER_MSEC

struct job_list {
        struct job *first, *last;
};

struct workers {
        pthread_mutex_t lock;
        pthread_cond_t work;
        struct job_list waiting, finished; /* under lock */
        bool stop;                         /* under lock */
        int event_fd;
        sd_event_source *source;
        enum worker_priority priority;
        unsigned n_threads;
        pthread_t threads[];
};

static void list_push(struct job_list *list, struct job *job) {
        job->next = NULL;
        if (list->last)
                list->last->next = job;
        else
                list->first = job;
        list->last = job;
}

static struct job *list_pop(struct job_list *list) {
        struct job *job = list->first;

        if (job) {
                list->first = job->next;
                if (!list->first)
                        list->last = NULL;
        }
        return job;
}

static void *worker_main(void *userdata) {
        struct workers *workers = userdata;

        /* On Linux the nice value belongs to the thread, and 0 means the calling one. */
        if (workers->priority == WORKER_LOWER)
                (void)setpriority(PRIO_PROCESS, 0, WORKER_NICE);

        pthread_mutex_lock(&workers->lock);
        for (;;) {
                struct job *job;
                bool is_first;

                while (!workers->stop && !workers->waiting.first)
                        pthread_cond_wait(&workers->work, &workers->lock);
                if (workers->stop)
                        break;
                job = list_pop(&workers->waiting);
                pthread_mutex_unlock(&workers->lock);

                job->run(job);

                /* The loop that is awake already needs no waking. Where it does, it may take the processor at
                 * once, and for long: not while this thread has the lock. */
                pthread_mutex_lock(&workers->lock);
                is_first = !workers->finished.first;
                list_push(&workers->finished, job);
                pthread_mutex_unlock(&workers->lock);
                if (is_first)
                        eventfd_write(workers->event_fd, 1);
                pthread_mutex_lock(&workers->lock);
        }
        pthread_mutex_unlock(&workers->lock);
        return NULL;
}

/* As many finished jobs a turn as fit in a millisecond, so that a burst of them cannot hold the loop for
 * long. */
static int on_finished(_unused_ sd_event_source *source, int fd, _unused_ uint32_t revents, void *userdata) {
        const usec_t end = now_usec(CLOCK_MONOTONIC) + TURN_USEC;
        struct workers *workers = userdata;
        struct job *job;
        bool more;

        do {
                pthread_mutex_lock(&workers->lock);
                job = list_pop(&workers->finished);
                more = workers->finished.first;
                if (!more) {
                        eventfd_t count;

                        eventfd_read(fd, &count);
                }
                pthread_mutex_unlock(&workers->lock);

                if (job)
                        job->done(job);
        } while (more && now_usec(CLOCK_MONOTONIC) < end);
        return 0;
}

void workers_block_signals(sigset_t *ret_before) {
        static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS };
        sigset_t signals;

        sigfillset(&signals);
        for (size_t i = 0; i < ELEMENTSOF(crashes); i++)
                sigdelset(&signals, crashes[i]);
        pthread_sigmask(SIG_BLOCK, &signals, ret_before);
}

static int start_threads(struct workers *workers, unsigned n_threads) {
        sigset_t before;
        int r = 0;

        workers_block_signals(&before);
        for (; workers->n_threads < n_threads; workers->n_threads++) {
                r = pthread_create(&workers->threads[workers->n_threads], NULL, worker_main, workers);
                if (r != 0)
                        break;
                (void)pthread_setname_np(workers->threads[workers->n_threads], "rekeyd-worker");
        }
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return -r;
}

/* With room for N_THREADS. */
static int new_pool(sd_event *event, unsigned n_threads, struct workers **ret) {
        _cleanup_(workers_freep) struct workers *workers = NULL;
        int r;

        workers = calloc(1, sizeof(*workers) + n_threads * sizeof(*workers->threads));
        if (!workers)
                return -ENOMEM;
        pthread_mutex_init(&workers->lock, NULL);
        pthread_cond_init(&workers->work, NULL);

        workers->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (workers->event_fd < 0)
                return -errno;
        r = sd_event_add_io(event, &workers->source, workers->event_fd, EPOLLIN, on_finished, workers);
        if (r < 0)
                return r;

        *ret = take_ptr(workers);
        return 0;
}

int workers_new(sd_event *event, unsigned n_threads, struct workers **ret) {
        _cleanup_(workers_freep) struct workers *workers = NULL;
        int r;

        r = new_pool(event, n_threads, &workers);
        if (r == 0)
                r = start_threads(workers, n_threads);
        if (r < 0)
                return r;
        *ret = take_ptr(workers);
        return 0;
}

int workers_new_sleeping(sd_event *event, enum worker_priority priority, struct workers **ret) {
        const int r = new_pool(event, 1, ret);

        if (r == 0)
                (*ret)->priority = priority;
        return r;
}

int workers_start(struct workers *workers) {
        return workers->n_threads > 0 ? 0 : start_threads(workers, 1);
}

void workers_submit(struct workers *workers, struct job *job) {
        /* Without a thread it waits for the next one that comes. */
        (void)workers_start(workers);
        pthread_mutex_lock(&workers->lock);
        list_push(&workers->waiting, job);
        pthread_cond_signal(&workers->work);
        pthread_mutex_unlock(&workers->lock);
}

struct workers *workers_free(struct workers *workers) {
        if (!workers)
                return NULL;

        pthread_mutex_lock(&workers->lock);
        workers->stop = true;
        pthread_cond_broadcast(&workers->work);
        pthread_mutex_unlock(&workers->lock);
        for (unsigned i = 0; i < workers->n_threads; i++)
                pthread_join(workers->threads[i], NULL);

        sd_event_source_disable_unref(workers->source);
        fd_close(workers->event_fd);
        pthread_cond_destroy(&workers->work);
        pthread_mutex_destroy(&workers->lock);
        free(workers);
        return NULL;
}
