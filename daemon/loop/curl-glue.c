/*
 * curl names the sockets to watch and the time to call back; sd_event does the watching. One io source for
 * each socket, kept by curl through curl_multi_assign(); one timer for all of curl, armed repeatedly;
 * finished transfers are drained one a turn by a deferred source, so that a hundred answers arriving together
 * do not hold up the rest of the loop.
 *
 * curl must not be re-entered from its callbacks: they only touch event sources.
 */

#include "daemon/loop/curl-glue.h"

#include <errno.h>

#include "lib/util/log.h"
#include "lib/util/time.h"

/* Connections that are kept between two calls of a renewal. By itself curl keeps four for each call under
 * way, and none is while a CSR is made: it would close what the signature is about to need. */
#define CONNECTIONS_MAX 64L

struct curl_glue {
        sd_event *event;
        CURLM *multi;
        sd_event_source *timer;
        sd_event_source *drain;
};

struct transfer {
        curl_glue_done_t done;
        void *userdata;
};

static int curl_errno(CURLMcode code) {
        switch (code) {
        case CURLM_OK:
                return 0;
        case CURLM_OUT_OF_MEMORY:
                return -ENOMEM;
        default:
                return -EIO;
        }
}

static void glue_run(struct curl_glue *glue, curl_socket_t socket, int events) {
        int running;

        if (curl_multi_socket_action(glue->multi, socket, events, &running) != CURLM_OK)
                log_error("libcurl failed to continue its transfers");
        sd_event_source_set_enabled(glue->drain, SD_EVENT_ONESHOT);
}

static int on_socket(_unused_ sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        int events = 0;

        if (revents & (EPOLLIN | EPOLLHUP))
                events |= CURL_CSELECT_IN;
        if (revents & EPOLLOUT)
                events |= CURL_CSELECT_OUT;
        if (revents & EPOLLERR)
                events |= CURL_CSELECT_ERR;
        glue_run(userdata, fd, events);
        return 0;
}

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        glue_run(userdata, CURL_SOCKET_TIMEOUT, 0);
        return 0;
}

static int on_drain(sd_event_source *source, void *userdata) {
        struct curl_glue *glue = userdata;
        struct transfer *transfer;
        CURLMsg *message;
        CURLcode result;
        int left;
        CURL *easy;

        do {
                message = curl_multi_info_read(glue->multi, &left);
                if (!message)
                        return 0;
        } while (message->msg != CURLMSG_DONE);

        easy = message->easy_handle; /* the message dies with the next call */
        result = message->data.result;
        sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);

        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
        curl_multi_remove_handle(glue->multi, easy);
        curl_easy_setopt(easy, CURLOPT_PRIVATE, NULL);
        transfer->done(easy, result, transfer->userdata);
        free(transfer);
        return 0;
}

/* curl's callback for a socket it wants to be watched differently. */
static int socket_callback(_unused_ CURL *easy, curl_socket_t fd, int what, void *userdata, void *socketp) {
        struct curl_glue *glue = userdata;
        sd_event_source *source = socketp;
        uint32_t events = 0;

        if (what == CURL_POLL_REMOVE) {
                sd_event_source_disable_unref(source);
                curl_multi_assign(glue->multi, fd, NULL);
                return 0;
        }

        if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
                events |= EPOLLIN;
        if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
                events |= EPOLLOUT;

        if (source)
                return sd_event_source_set_io_events(source, events) < 0 ||
                                       sd_event_source_set_enabled(source, SD_EVENT_ON) < 0
                               ? -1
                               : 0;
        if (sd_event_add_io(glue->event, &source, fd, events, on_socket, glue) < 0)
                return -1;
        curl_multi_assign(glue->multi, fd, source);
        return 0;
}

/* curl's callback for its one time-out: milliseconds from now, -1 for none. */
static int timer_callback(_unused_ CURLM *multi, long timeout_ms, void *userdata) {
        struct curl_glue *glue = userdata;

        if (timeout_ms < 0)
                return sd_event_source_set_enabled(glue->timer, SD_EVENT_OFF) < 0 ? -1 : 0;

        /* Waking a moment early would make curl ask for another moment: one millisecond more, never less. */
        if (sd_event_source_set_time_relative(glue->timer, (usec_t)timeout_ms * USEC_PER_MSEC +
                                                                   (timeout_ms > 0 ? USEC_PER_MSEC : 0)) <
                    0 ||
            sd_event_source_set_enabled(glue->timer, SD_EVENT_ONESHOT) < 0)
                return -1;
        return 0;
}

int curl_glue_new(sd_event *event, struct curl_glue **ret) {
        _cleanup_(curl_glue_freep) struct curl_glue *glue = NULL;
        int r;

        glue = calloc(1, sizeof(*glue));
        if (!glue)
                return -ENOMEM;
        glue->event = sd_event_ref(event);

        r = sd_event_add_time(event, &glue->timer, CLOCK_BOOTTIME, USEC_INFINITY, USEC_PER_MSEC, on_timer,
                              glue);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(glue->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = sd_event_add_defer(event, &glue->drain, on_drain, glue);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(glue->drain, SD_EVENT_OFF);
        if (r < 0)
                return r;

        glue->multi = curl_multi_init();
        if (!glue->multi)
                return -ENOMEM;
        if (curl_multi_setopt(glue->multi, CURLMOPT_SOCKETFUNCTION, socket_callback) != CURLM_OK ||
            curl_multi_setopt(glue->multi, CURLMOPT_SOCKETDATA, glue) != CURLM_OK ||
            curl_multi_setopt(glue->multi, CURLMOPT_TIMERFUNCTION, timer_callback) != CURLM_OK ||
            curl_multi_setopt(glue->multi, CURLMOPT_TIMERDATA, glue) != CURLM_OK ||
            curl_multi_setopt(glue->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_MAX) != CURLM_OK)
                return -EIO;

        *ret = take_ptr(glue);
        return 0;
}

struct curl_glue *curl_glue_free(struct curl_glue *glue) {
        if (!glue)
                return NULL;
        if (glue->multi)
                curl_multi_cleanup(glue->multi);
        sd_event_source_disable_unref(glue->timer);
        sd_event_source_disable_unref(glue->drain);
        sd_event_unref(glue->event);
        free(glue);
        return NULL;
}

int curl_glue_start(struct curl_glue *glue, CURL *easy, curl_glue_done_t done, void *userdata) {
        struct transfer *transfer;
        CURLMcode code;

        transfer = malloc(sizeof(*transfer));
        if (!transfer)
                return -ENOMEM;
        *transfer = (struct transfer) { .done = done, .userdata = userdata };
        curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);

        code = curl_multi_add_handle(glue->multi, easy);
        if (code != CURLM_OK) {
                curl_easy_setopt(easy, CURLOPT_PRIVATE, NULL);
                free(transfer);
        }
        return curl_errno(code);
}

void curl_glue_cancel(struct curl_glue *glue, CURL *easy) {
        struct transfer *transfer = NULL;

        if (!easy || curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer) != CURLE_OK || !transfer)
                return;
        curl_multi_remove_handle(glue->multi, easy);
        curl_easy_setopt(easy, CURLOPT_PRIVATE, NULL);
        free(transfer);
}
