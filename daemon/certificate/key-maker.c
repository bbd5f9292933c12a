/*
 * A pool of one thread that calls itself idle (SCHED_IDLE), and beside the job a state under the lock of all,
 * by which an order is taken over by who needs it at once: the thread of a worker, which then waits for the
 * other with its own priority given to it.
 *
 * A thread that is idle in this sense may be kept from running for long, with whatever lock it has: so it
 * takes this lock for a few instructions only, and nobody wakes up inside. What can be had of its arithmetic
 * it can only be given by who raises its priority; the kernel allows that to a user without rights where
 * RLIMIT_NICE reaches the nice value that the thread has (LimitNICE= of the unit).
 */

#include "daemon/certificate/key-maker.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/loop/workers.h"

#define NICE_NEEDED 10 /* that of the workers */
#define NICE_IDLE   19 /* where SCHED_IDLE is refused */

struct key_maker {
        struct workers *workers;
        struct key_order *orders; /* that the pool has; the loop's */
        pthread_mutex_t lock;
        pthread_cond_t ended;
        int usual_policy; /* that of the workers, and of rekeyd: SCHED_OTHER, unless an operator wants less */
        pid_t thread;     /* under lock, as all that follows: that of the order that is running */
        bool is_idle;     /* it is SCHED_IDLE; else it is only nice */
};

struct key_order {
        struct job job;
        struct key_maker *maker;
        struct key_order *next, **pprev; /* in maker->orders; PPREV is NULL when it is not there */
        void (*done)(void *userdata);    /* NULL: it was cancelled */
        void *userdata;
        unsigned n_users, bits;
        enum { ORDER_WAITS, ORDER_RUNS, ORDER_READY, ORDER_OVER } state; /* under lock */
        atomic_bool cancel;
        struct key *key; /* with ORDER_READY; NULL: that failed */
        usec_t cpu_usec;
};

/* --- The thread --- */

/* Each time: the order before this one may have been needed. */
static bool become_idle(void) {
        const struct sched_param none = { 0 };

        (void)setpriority(PRIO_PROCESS, 0, NICE_NEEDED);
        if (sched_setscheduler(0, SCHED_IDLE, &none) == 0)
                return true;
        (void)setpriority(PRIO_PROCESS, 0, NICE_IDLE);
        return false;
}

static bool begin(struct key_order *order) {
        struct key_maker *maker = order->maker;
        const bool is_idle = become_idle();
        bool is_wanted;

        pthread_mutex_lock(&maker->lock);
        is_wanted = order->state == ORDER_WAITS;
        if (is_wanted) {
                order->state = ORDER_RUNS;
                maker->thread = gettid();
                maker->is_idle = is_idle;
        }
        pthread_mutex_unlock(&maker->lock);
        return is_wanted;
}

static void run(struct job *job) {
        struct key_order *order = container_of(job, struct key_order, job);
        struct key_maker *maker = order->maker;
        _cleanup_(key_freep) struct key *key = NULL;
        usec_t cpu_usec;

        if (!begin(order))
                return;
        cpu_usec = now_usec(CLOCK_THREAD_CPUTIME_ID);
        (void)key_generate(order->bits, &order->cancel, &key, NULL);
        cpu_usec = usec_sub(now_usec(CLOCK_THREAD_CPUTIME_ID), cpu_usec);

        pthread_mutex_lock(&maker->lock);
        order->cpu_usec = cpu_usec;
        if (order->state == ORDER_RUNS) {
                order->state = ORDER_READY;
                order->key = take_ptr(key);
        }
        maker->thread = 0;
        pthread_mutex_unlock(&maker->lock);
        pthread_cond_broadcast(&maker->ended);
}

/* The lock is taken: the thread is still there. */
static bool hurry(const struct key_maker *maker) {
        const struct sched_param none = { 0 };

        if (maker->is_idle)
                return sched_setscheduler(maker->thread, maker->usual_policy, &none) == 0;
        return setpriority(PRIO_PROCESS, (id_t)maker->thread, NICE_NEEDED) == 0;
}

static void give_up(struct key_order *order) {
        atomic_store(&order->cancel, true);
        if (order->state != ORDER_READY)
                order->state = ORDER_OVER;
}

bool key_order_take(struct key_order *order, unsigned bits, struct key **ret) {
        struct key_maker *maker = order->maker;
        _cleanup_(key_freep) struct key *key = NULL;

        pthread_mutex_lock(&maker->lock);
        if (order->state == ORDER_RUNS && order->bits >= bits && hurry(maker))
                while (order->state == ORDER_RUNS)
                        pthread_cond_wait(&maker->ended, &maker->lock);
        give_up(order);
        key = take_ptr(order->key);
        order->state = ORDER_OVER;
        pthread_mutex_unlock(&maker->lock);

        if (!key || key_bits(key) < bits)
                return false;
        *ret = take_ptr(key);
        return true;
}

/* --- The loop --- */

struct key_order *key_order_ref(struct key_order *order) {
        if (order)
                order->n_users++;
        return order;
}

struct key_order *key_order_unref(struct key_order *order) {
        if (!order || --order->n_users > 0)
                return NULL;
        key_free(order->key);
        free(order);
        return NULL;
}

/* The pool has done with it. */
static void release(struct key_order *order) {
        *order->pprev = order->next;
        if (order->next)
                order->next->pprev = order->pprev;
        order->pprev = NULL;
        key_order_unref(order);
}

static void on_done(struct job *job) {
        struct key_order *order = container_of(job, struct key_order, job);
        void (*done)(void *userdata) = take_ptr(order->done);

        if (done)
                done(order->userdata);
        release(order);
}

struct key_order *key_order_new(struct key_maker *maker, unsigned bits, void (*done)(void *userdata),
                                void *userdata) {
        struct key_order *order = calloc(1, sizeof(*order));

        if (!order)
                return NULL;
        *order = (struct key_order) {
                .job = { .run = run, .done = on_done },
                .maker = maker,
                .next = maker->orders,
                .pprev = &maker->orders,
                .done = done,
                .userdata = userdata,
                .n_users = 2, /* the pool is one */
                .bits = bits,
        };
        if (order->next)
                order->next->pprev = &order->next;
        maker->orders = order;
        workers_submit(maker->workers, &order->job);
        return order;
}

struct key_order *key_order_cancel(struct key_order *order) {
        if (!order)
                return NULL;
        order->done = NULL;
        pthread_mutex_lock(&order->maker->lock);
        give_up(order);
        pthread_mutex_unlock(&order->maker->lock);
        return key_order_unref(order);
}

usec_t key_order_cpu_usec(const struct key_order *order) {
        return order->cpu_usec;
}

int key_maker_new(sd_event *event, struct key_maker **ret) {
        _cleanup_(key_maker_freep) struct key_maker *maker = calloc(1, sizeof(*maker));
        int r;

        if (!maker)
                return -ENOMEM;
        maker->usual_policy = sched_getscheduler(0);
        if (maker->usual_policy != SCHED_IDLE && maker->usual_policy != SCHED_BATCH)
                maker->usual_policy = SCHED_OTHER;
        pthread_mutex_init(&maker->lock, NULL);
        pthread_cond_init(&maker->ended, NULL);
        r = workers_new_sleeping(event, WORKER_LOWER, &maker->workers);
        if (r < 0)
                return r;
        *ret = take_ptr(maker);
        return 0;
}

void key_maker_stop(struct key_maker *maker) {
        if (!maker)
                return;
        pthread_mutex_lock(&maker->lock);
        for (struct key_order *order = maker->orders; order; order = order->next)
                give_up(order);
        if (maker->thread != 0)
                (void)hurry(maker); /* it ends the sooner */
        pthread_mutex_unlock(&maker->lock);
        pthread_cond_broadcast(&maker->ended);
        maker->workers = workers_free(maker->workers);
        while (maker->orders)
                release(maker->orders);
}

struct key_maker *key_maker_free(struct key_maker *maker) {
        if (!maker)
                return NULL;
        key_maker_stop(maker);
        pthread_cond_destroy(&maker->ended);
        pthread_mutex_destroy(&maker->lock);
        free(maker);
        return NULL;
}
