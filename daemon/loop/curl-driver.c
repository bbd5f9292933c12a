/*
 * What curl does in a handshake, a signature for one, takes as long as the key is large. So a thread of its
 * own can do curl's work, and the loop stays free. At each moment one of the two may touch the multi handle:
 * the loop hands it over with a job, and has it back when the job is done, or sooner where it asks for it.
 *
 * curl names the sockets to watch, and they are in an epoll instance of their own, so that either thread can
 * add and remove them. The loop watches that one; the job asks it which sockets are ready. One timer is for
 * all of curl.
 *
 * curl must not be re-entered from its callbacks: they only note what it wishes.
 */

#include "daemon/loop/curl-driver.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>

#include "daemon/loop/workers.h"
#include "lib/util/time.h"

/* Connections that are kept between two calls of a renewal. By itself curl keeps four for each call under
 * way, and none is while a CSR is made: it would close what the signature is about to need. */
#define CONNECTIONS_MAX 64L

/* Sockets that one job looks after: then the loop hears of what has ended. */
#define SOCKETS_A_JOB 16u

/* Of the job: who may touch all that is not under lock. */
enum phase {
        PHASE_REST,    /* the loop; there is no job */
        PHASE_QUEUED,  /* the loop, once it is PHASE_RAN without having run */
        PHASE_RUNNING, /* the job */
        PHASE_RAN,     /* the loop, which has not heard of the end yet */
};

struct curl_driver {
        sd_event *event;
        curl_driver_worked_t worked;
        void *userdata;
        struct workers *workers; /* NULL: the loop does curl's work */
        CURLM *multi;            /* NULL: the next easy handle makes one */
        int sockets_fd;          /* an epoll instance */
        bool is_broken;
        bool is_due;      /* curl's time has come: for the next work; */
        bool is_time;     /* the same as the loop notes it, at any moment */
        bool has_timeout; /* curl wishes another time: in */
        long timeout_ms;  /* -1: none */
        sd_event_source *sockets, *timer;

        struct job job;
        pthread_mutex_t lock;
        pthread_cond_t has_run;
        enum phase phase;       /* under lock */
        atomic_bool is_awaited; /* the job shall end early */
};

/* --- Who has the handle --- */

static enum phase get_phase(struct curl_driver *driver) {
        enum phase phase;

        pthread_mutex_lock(&driver->lock);
        phase = driver->phase;
        pthread_mutex_unlock(&driver->lock);
        return phase;
}

static void set_phase(struct curl_driver *driver, enum phase phase) {
        pthread_mutex_lock(&driver->lock);
        driver->phase = phase;
        pthread_mutex_unlock(&driver->lock);
}

bool curl_driver_is_away(struct curl_driver *driver) {
        const enum phase phase = get_phase(driver);

        return phase == PHASE_QUEUED || phase == PHASE_RUNNING;
}

void curl_driver_take_back(struct curl_driver *driver) {
        pthread_mutex_lock(&driver->lock);
        if (driver->phase == PHASE_QUEUED)
                driver->phase = PHASE_RAN;
        atomic_store(&driver->is_awaited, true);
        while (driver->phase == PHASE_RUNNING)
                pthread_cond_wait(&driver->has_run, &driver->lock);
        atomic_store(&driver->is_awaited, false);
        pthread_mutex_unlock(&driver->lock);
}

/* --- curl's work, on either thread --- */

static void act(struct curl_driver *driver, curl_socket_t socket, int events) {
        int running;

        if (curl_multi_socket_action(driver->multi, socket, events, &running) != CURLM_OK)
                driver->is_broken = true;
}

static int curl_events(uint32_t events) {
        return (events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
               (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) | (events & EPOLLERR ? CURL_CSELECT_ERR : 0);
}

static bool goes_on(const struct curl_driver *driver) {
        return driver->multi && !driver->is_broken && !atomic_load(&driver->is_awaited);
}

static void work(struct curl_driver *driver, unsigned n_sockets) {
        struct epoll_event ready;

        for (unsigned i = 0; i < n_sockets && goes_on(driver); i++) {
                if (epoll_wait(driver->sockets_fd, &ready, 1, 0) <= 0)
                        break;
                act(driver, ready.data.fd, curl_events(ready.events));
        }
        if (driver->is_due && goes_on(driver)) {
                driver->is_due = false;
                act(driver, CURL_SOCKET_TIMEOUT, 0);
        }
}

static int broken(struct curl_driver *driver) {
        driver->is_broken = true;
        return -1;
}

/* curl's callback for a socket it wants to be watched differently. One that curl has closed has left the
 * epoll instance by itself. */
static int socket_callback(_unused_ CURL *easy, curl_socket_t fd, int what, void *userdata, void *known) {
        struct curl_driver *driver = userdata;
        struct epoll_event event = { .data.fd = fd };

        if (what == CURL_POLL_REMOVE) {
                (void)epoll_ctl(driver->sockets_fd, EPOLL_CTL_DEL, fd, NULL);
                return 0;
        }
        if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
                event.events |= EPOLLIN;
        if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
                event.events |= EPOLLOUT;
        if (epoll_ctl(driver->sockets_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) < 0)
                return broken(driver);
        return curl_multi_assign(driver->multi, fd, driver) == CURLM_OK ? 0 : broken(driver);
}

/* curl's callback for its one time-out: milliseconds from now, -1 for none. */
static int timer_callback(_unused_ CURLM *multi, long timeout_ms, void *userdata) {
        struct curl_driver *driver = userdata;

        driver->has_timeout = true;
        driver->timeout_ms = timeout_ms;
        return 0;
}

/* --- The loop's part --- */

/* Waking a moment early would make curl ask for another moment: one millisecond more, never less. */
void curl_driver_settle(struct curl_driver *driver) {
        const bool is_set = driver->timeout_ms >= 0;

        if (!driver->has_timeout)
                return;
        driver->has_timeout = false;
        if ((is_set && sd_event_source_set_time_relative(
                               driver->timer, (usec_t)driver->timeout_ms * USEC_PER_MSEC +
                                                      (driver->timeout_ms > 0 ? USEC_PER_MSEC : 0)) < 0) ||
            sd_event_source_set_enabled(driver->timer, is_set ? SD_EVENT_ONESHOT : SD_EVENT_OFF) < 0)
                driver->is_broken = true;
}

/* Hears of ready sockets, at once if there are any. */
static void hear_sockets(struct curl_driver *driver) {
        if (sd_event_source_set_enabled(driver->sockets, SD_EVENT_ONESHOT) < 0)
                driver->is_broken = true;
}

static void take_time(struct curl_driver *driver) {
        driver->is_due = driver->is_due || driver->is_time;
        driver->is_time = false;
}

static void run_job(struct job *job) {
        struct curl_driver *driver = container_of(job, struct curl_driver, job);
        bool runs;

        pthread_mutex_lock(&driver->lock);
        runs = driver->phase == PHASE_QUEUED;
        if (runs)
                driver->phase = PHASE_RUNNING;
        pthread_mutex_unlock(&driver->lock);
        if (runs)
                work(driver, SOCKETS_A_JOB);
        pthread_mutex_lock(&driver->lock);
        driver->phase = PHASE_RAN;
        pthread_cond_signal(&driver->has_run);
        pthread_mutex_unlock(&driver->lock);
}

static void begin_work(struct curl_driver *driver);

static void on_job_done(struct job *job) {
        struct curl_driver *driver = container_of(job, struct curl_driver, job);

        set_phase(driver, PHASE_REST);
        take_time(driver);
        if (!driver->is_due)
                hear_sockets(driver);
        driver->worked(driver->userdata);
        if (driver->is_due)
                begin_work(driver);
}

/* Without a thread the loop has to do it: better late than never. */
static void begin_work(struct curl_driver *driver) {
        if (!driver->workers || workers_start(driver->workers) < 0) {
                work(driver, 1);
                hear_sockets(driver);
                driver->worked(driver->userdata);
                return;
        }
        set_phase(driver, PHASE_QUEUED);
        driver->job = (struct job) { .run = run_job, .done = on_job_done };
        workers_submit(driver->workers, &driver->job);
}

/* Where there is a job already, its end hears them again. */
static int on_sockets(_unused_ sd_event_source *source, _unused_ int fd, _unused_ uint32_t revents,
                      void *userdata) {
        struct curl_driver *driver = userdata;

        if (get_phase(driver) == PHASE_REST)
                begin_work(driver);
        return 0;
}

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        struct curl_driver *driver = userdata;

        driver->is_time = true;
        if (get_phase(driver) == PHASE_REST) { /* or the end of the job sees to it */
                take_time(driver);
                begin_work(driver);
        }
        return 0;
}

/* --- Easy handles --- */

static int make_multi(struct curl_driver *driver) {
        CURLM *multi = curl_multi_init();

        if (!multi)
                return -ENOMEM;
        if (curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, socket_callback) != CURLM_OK ||
            curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, driver) != CURLM_OK ||
            curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, timer_callback) != CURLM_OK ||
            curl_multi_setopt(multi, CURLMOPT_TIMERDATA, driver) != CURLM_OK ||
            curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_MAX) != CURLM_OK) {
                curl_multi_cleanup(multi);
                return -EIO;
        }
        driver->multi = multi;
        return 0;
}

int curl_driver_add(struct curl_driver *driver, CURL *easy) {
        int r;

        if (driver->is_broken)
                return -ENOMEM;
        r = driver->multi ? 0 : make_multi(driver);
        if (r < 0)
                return r;
        switch (curl_multi_add_handle(driver->multi, easy)) {
        case CURLM_OK:
                return 0;
        case CURLM_OUT_OF_MEMORY:
                return -ENOMEM;
        default:
                return -EIO;
        }
}

void curl_driver_remove(struct curl_driver *driver, CURL *easy) {
        if (driver->multi && curl_multi_remove_handle(driver->multi, easy) != CURLM_OK)
                driver->is_broken = true;
}

CURL *curl_driver_ended(struct curl_driver *driver, CURLcode *ret) {
        CURLMsg *message;
        int left;

        while (driver->multi && (message = curl_multi_info_read(driver->multi, &left)))
                if (message->msg == CURLMSG_DONE) {
                        *ret = message->data.result;
                        return message->easy_handle;
                }
        return NULL;
}

bool curl_driver_is_broken(const struct curl_driver *driver) {
        return driver->is_broken;
}

void curl_driver_begin_anew(struct curl_driver *driver) {
        curl_multi_cleanup(driver->multi);
        driver->multi = NULL;
        driver->is_broken = driver->is_due = driver->has_timeout = false;
        if (sd_event_source_set_enabled(driver->timer, SD_EVENT_OFF) < 0 ||
            sd_event_source_set_enabled(driver->sockets, SD_EVENT_ONESHOT) < 0)
                sd_event_exit(driver->event, EXIT_FAILURE); /* nothing would come to its end any more */
}

/* --- Beginning and end --- */

int curl_driver_new(sd_event *event, bool with_thread, curl_driver_worked_t worked, void *userdata,
                    struct curl_driver **ret) {
        _cleanup_(curl_driver_freep) struct curl_driver *driver = calloc(1, sizeof(*driver));
        int r;

        if (!driver)
                return -ENOMEM;
        driver->event = sd_event_ref(event);
        driver->worked = worked;
        driver->userdata = userdata;
        pthread_mutex_init(&driver->lock, NULL);
        pthread_cond_init(&driver->has_run, NULL);

        driver->sockets_fd = epoll_create1(EPOLL_CLOEXEC);
        if (driver->sockets_fd < 0)
                return -errno;
        r = sd_event_add_io(event, &driver->sockets, driver->sockets_fd, EPOLLIN, on_sockets, driver);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(driver->sockets, SD_EVENT_ONESHOT);
        if (r < 0)
                return r;
        r = sd_event_add_time(event, &driver->timer, CLOCK_BOOTTIME, USEC_INFINITY, USEC_PER_MSEC, on_timer,
                              driver);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(driver->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        if (with_thread)
                r = workers_new_sleeping(event, WORKER_EQUAL, &driver->workers);
        if (r == 0)
                r = make_multi(driver);
        if (r < 0)
                return r;
        *ret = take_ptr(driver);
        return 0;
}

struct curl_driver *curl_driver_free(struct curl_driver *driver) {
        if (!driver)
                return NULL;
        workers_free(driver->workers);
        curl_multi_cleanup(driver->multi);
        sd_event_source_disable_unref(driver->sockets);
        sd_event_source_disable_unref(driver->timer);
        fd_close(driver->sockets_fd);
        sd_event_unref(driver->event);
        pthread_cond_destroy(&driver->has_run);
        pthread_mutex_destroy(&driver->lock);
        free(driver);
        return NULL;
}
