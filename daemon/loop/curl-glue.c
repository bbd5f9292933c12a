/*
 * curl names the sockets to watch and the time to call back; sd_event does the watching. One io source for
 * each socket, kept by curl through curl_multi_assign(); one timer for all of curl, armed repeatedly;
 * finished transfers are drained one a turn by a deferred source, so that a hundred answers arriving together
 * do not hold up the rest of the loop.
 *
 * curl must not be re-entered from its callbacks: they only touch event sources.
 *
 * Where one of them fails, or curl itself for lack of memory, curl says no more of transfers that are under
 * way, and after a callback takes no new ones either. So all of them end, with CURLE_OUT_OF_MEMORY, and the
 * next one begins with a multi handle that is new.
 *
 * curl looks names up in a thread, and waits for that thread when a transfer ends early. So names.c looks
 * them up first, and curl is given addresses. Only what a SOCKS proxy is to be given as an address is left to
 * curl, which then abandons its thread (CURLOPT_QUICK_EXIT).
 */

#include "daemon/loop/curl-glue.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>

#include "daemon/loop/names.h"
#include "lib/protocol/transport-error.h"
#include "lib/util/log.h"

/* Connections that are kept between two calls of a renewal. By itself curl keeps four for each call under
 * way, and none is while a CSR is made: it would close what the signature is about to need. */
#define CONNECTIONS_MAX 64L

/* What a lookup may take of the time for a call. */
#define LOOKUP_USEC (20 * USEC_PER_SEC)

struct curl_glue {
        sd_event *event;
        CURLM *multi;               /* NULL: the next transfer makes one */
        bool is_broken;             /* until all transfers are ended */
        struct transfer *transfers; /* that curl has */
        struct names *names;
        sd_event_source *timer;
        sd_event_source *drain;
};

struct transfer {
        struct curl_glue *glue;
        struct transfer *next, **pprev; /* while curl has it */
        CURL *easy;
        curl_glue_done_t done;
        void *userdata;
        usec_t deadline_usec; /* CLOCK_BOOTTIME */

        /* The name that is looked up before curl has the handle. */
        char *host, *port;
        struct name_waiter waiter;
        sd_event_source *timeout; /* of the lookup; NULL: curl has the handle */
        struct curl_slist *addresses;

        char error[CURL_ERROR_SIZE];
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

/* The end of whatever is finished, or of everything, is for another turn. Without it nothing would come to
 * its end any more: better that all of it begins anew. */
static void drain_later(struct curl_glue *glue) {
        if (sd_event_source_set_enabled(glue->drain, SD_EVENT_ONESHOT) < 0)
                sd_event_exit(glue->event, EXIT_FAILURE);
}

static int broken(struct curl_glue *glue) {
        glue->is_broken = true;
        drain_later(glue);
        return -1;
}

static void glue_run(struct curl_glue *glue, curl_socket_t socket, int events) {
        int running;

        if (!glue->multi)
                return;
        if (curl_multi_socket_action(glue->multi, socket, events, &running) != CURLM_OK)
                glue->is_broken = true;
        drain_later(glue);
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

/* Takes it from curl, if curl has it. */
static void transfer_detach(struct transfer *transfer) {
        struct curl_glue *glue = transfer->glue;

        if (!transfer->pprev)
                return;
        *transfer->pprev = transfer->next;
        if (transfer->next)
                transfer->next->pprev = transfer->pprev;
        transfer->pprev = NULL;
        if (glue->multi && curl_multi_remove_handle(glue->multi, transfer->easy) != CURLM_OK)
                broken(glue);
}

static void transfer_free(struct transfer *transfer) {
        transfer_detach(transfer);
        curl_easy_setopt(transfer->easy, CURLOPT_PRIVATE, NULL);
        curl_easy_setopt(transfer->easy, CURLOPT_ERRORBUFFER, NULL);
        curl_easy_setopt(transfer->easy, CURLOPT_RESOLVE, NULL);
        names_leave(&transfer->waiter);
        sd_event_source_disable_unref(transfer->timeout);
        curl_slist_free_all(transfer->addresses);
        free(transfer->host);
        free(transfer->port);
        free(transfer);
}

/* EASY is the callback's from now on, and may be gone afterwards. */
static void transfer_end(struct transfer *transfer, CURLcode result) {
        const curl_glue_done_t done = transfer->done;
        void *userdata = transfer->userdata;
        char text[CURL_ERROR_SIZE];
        CURL *easy = transfer->easy;

        snprintf(text, sizeof(text), "%s", transfer->error[0] ? transfer->error : curl_easy_strerror(result));
        transfer_free(transfer);
        done(easy, result, text, userdata);
}

/* What is done with one may cancel another, or begin a new one. */
static void end_all(struct curl_glue *glue) {
        struct transfer *transfers = NULL;

        while (glue->transfers) {
                struct transfer *transfer = glue->transfers;

                transfer_detach(transfer);
                transfer->next = transfers;
                transfer->pprev = &transfers;
                if (transfers)
                        transfers->pprev = &transfer->next;
                transfers = transfer;
        }
        curl_multi_cleanup(glue->multi);
        glue->multi = NULL;
        glue->is_broken = false;
        (void)sd_event_source_set_enabled(glue->timer, SD_EVENT_OFF);
        while (transfers)
                transfer_end(transfers, CURLE_OUT_OF_MEMORY);
}

static int on_drain(_unused_ sd_event_source *source, void *userdata) {
        struct curl_glue *glue = userdata;
        struct transfer *transfer;
        CURLMsg *message;
        CURLcode result;
        int left;
        CURL *easy;

        if (glue->is_broken)
                end_all(glue);
        if (!glue->multi)
                return 0;
        do {
                message = curl_multi_info_read(glue->multi, &left);
                if (!message)
                        return 0;
        } while (message->msg != CURLMSG_DONE);

        easy = message->easy_handle; /* the message dies with the next call */
        result = message->data.result;
        drain_later(glue);

        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
        transfer_detach(transfer);
        transfer_end(transfer, result);
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
                               ? broken(glue)
                               : 0;
        if (sd_event_add_io(glue->event, &source, fd, events, on_socket, glue) < 0)
                return broken(glue);
        curl_multi_assign(glue->multi, fd, source);
        return 0;
}

/* curl's callback for its one time-out: milliseconds from now, -1 for none. */
static int timer_callback(_unused_ CURLM *multi, long timeout_ms, void *userdata) {
        struct curl_glue *glue = userdata;

        if (timeout_ms < 0)
                return sd_event_source_set_enabled(glue->timer, SD_EVENT_OFF) < 0 ? broken(glue) : 0;

        /* Waking a moment early would make curl ask for another moment: one millisecond more, never less. */
        if (sd_event_source_set_time_relative(glue->timer, (usec_t)timeout_ms * USEC_PER_MSEC +
                                                                   (timeout_ms > 0 ? USEC_PER_MSEC : 0)) <
                    0 ||
            sd_event_source_set_enabled(glue->timer, SD_EVENT_ONESHOT) < 0)
                return broken(glue);
        return 0;
}

static int make_multi(struct curl_glue *glue) {
        CURLM *multi = curl_multi_init();

        if (!multi)
                return -ENOMEM;
        if (curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, socket_callback) != CURLM_OK ||
            curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, glue) != CURLM_OK ||
            curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, timer_callback) != CURLM_OK ||
            curl_multi_setopt(multi, CURLMOPT_TIMERDATA, glue) != CURLM_OK ||
            curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_MAX) != CURLM_OK) {
                curl_multi_cleanup(multi);
                return -EIO;
        }
        glue->multi = multi;
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

        r = names_new(event, &glue->names);
        if (r < 0)
                return r;
        r = make_multi(glue);
        if (r < 0)
                return r;

        *ret = take_ptr(glue);
        return 0;
}

struct curl_glue *curl_glue_free(struct curl_glue *glue) {
        if (!glue)
                return NULL;
        if (glue->multi)
                curl_multi_cleanup(glue->multi);
        names_free(glue->names);
        sd_event_source_disable_unref(glue->timer);
        sd_event_source_disable_unref(glue->drain);
        sd_event_unref(glue->event);
        free(glue);
        return NULL;
}

/* -------- a transfer, from the lookup on */

static int begin(struct transfer *transfer) {
        const usec_t now = now_usec(CLOCK_BOOTTIME);
        usec_t left = transfer->deadline_usec > now ? transfer->deadline_usec - now : 0;
        struct curl_glue *glue = transfer->glue;
        int r;

        transfer->timeout = sd_event_source_disable_unref(transfer->timeout);
        if (left < USEC_PER_MSEC)
                left = USEC_PER_MSEC; /* 0 would be no limit */
        if (curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS, (long)(left / USEC_PER_MSEC)) != CURLE_OK)
                return -ENOMEM;
        if (glue->is_broken)
                return -ENOMEM;
        r = glue->multi ? 0 : make_multi(glue);
        if (r < 0)
                return r;
        transfer->next = glue->transfers;
        transfer->pprev = &glue->transfers;
        if (transfer->next)
                transfer->next->pprev = &transfer->next;
        glue->transfers = transfer;
        return curl_errno(curl_multi_add_handle(glue->multi, transfer->easy));
}

/* The "+" lets curl forget them like those that it looks up by itself. */
static int use_addresses(struct transfer *transfer, const char *addresses) {
        _cleanup_(freep) char *line = NULL;

        if (asprintf(&line, "+%s:%s:%s", transfer->host, transfer->port, addresses) < 0) {
                line = NULL;
                return -ENOMEM;
        }
        transfer->addresses = curl_slist_append(NULL, line);
        return transfer->addresses && curl_easy_setopt(transfer->easy, CURLOPT_RESOLVE,
                                                       transfer->addresses) == CURLE_OK
                       ? 0
                       : -ENOMEM;
}

static void on_name(struct name_waiter *waiter, const char *addresses, int code) {
        struct transfer *transfer = container_of(waiter, struct transfer, waiter);

        if (!addresses) {
                snprintf(transfer->error, sizeof(transfer->error), "the name %.120s cannot be looked up: %s",
                         transfer->host, transport_lookup_problem(code));
                transfer_end(transfer, CURLE_COULDNT_RESOLVE_HOST);
        } else if (use_addresses(transfer, addresses) < 0 || begin(transfer) < 0)
                transfer_end(transfer, CURLE_OUT_OF_MEMORY);
}

static int on_lookup_timeout(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        struct transfer *transfer = userdata;

        snprintf(transfer->error, sizeof(transfer->error),
                 "the name %.120s cannot be looked up: no name server has answered in time", transfer->host);
        transfer_end(transfer, CURLE_OPERATION_TIMEDOUT);
        return 0;
}

static int find_name(struct transfer *transfer, const char *url) {
        CURLU *parts = curl_url();
        char *host = NULL, *port = NULL;
        int r = -EINVAL;

        if (parts &&
            curl_url_set(parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME | CURLU_ALLOW_SPACE) ==
                    CURLUE_OK &&
            curl_url_get(parts, CURLUPART_HOST, &host, CURLU_PUNYCODE) == CURLUE_OK &&
            curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK) {
                transfer->host = strdup(host);
                transfer->port = strdup(port);
                r = transfer->host && transfer->port ? 0 : -ENOMEM;
        }
        curl_free(host);
        curl_free(port);
        curl_url_cleanup(parts);
        return r;
}

/* What curl turns into an address without asking anybody. */
static bool needs_lookup(const char *host) {
        struct in_addr address;

        return host[0] != '[' && inet_pton(AF_INET, host, &address) != 1 &&
               strcasecmp(host, "localhost") != 0 && !has_suffix(host, ".localhost");
}

static int look_up(struct transfer *transfer) {
        const usec_t limit = usec_add(now_usec(CLOCK_BOOTTIME), LOOKUP_USEC);
        const char *addresses;
        int r;

        transfer->waiter.done = on_name;
        r = names_look_up(transfer->glue->names, transfer->host, &transfer->waiter, &addresses);
        if (r < 0)
                return r;
        if (r == 0) {
                r = use_addresses(transfer, addresses);
                return r < 0 ? r : begin(transfer);
        }
        return sd_event_add_time(transfer->glue->event, &transfer->timeout, CLOCK_BOOTTIME,
                                 limit < transfer->deadline_usec ? limit : transfer->deadline_usec,
                                 USEC_PER_MSEC, on_lookup_timeout, transfer);
}

static int set_target(struct transfer *transfer, const struct curl_target *target) {
        const struct proxy *proxy = target->proxy;
        CURL *easy = transfer->easy;
        CURLcode code = CURLE_OK;

#define SET(option, value)    \
        if (code == CURLE_OK) \
        code = curl_easy_setopt(easy, option, value)

        SET(CURLOPT_URL, target->url);
        SET(CURLOPT_PROXY, proxy->url ? proxy->url : "");
        SET(CURLOPT_NOPROXY, "");
        SET(CURLOPT_PROXYUSERNAME, proxy->user);
        SET(CURLOPT_PROXYPASSWORD, proxy->password);
        SET(CURLOPT_PRIVATE, transfer);
        SET(CURLOPT_ERRORBUFFER, transfer->error);
        SET(CURLOPT_NOSIGNAL, 1L);
        SET(CURLOPT_QUICK_EXIT, 1L);
#undef SET
        return code == CURLE_OK ? 0 : -ENOMEM;
}

/* Whose host is connected to. */
static const char *first_url(const struct curl_target *target) {
        if (target->proxy->url)
                return target->proxy->url;
        return target->connect_url ? target->connect_url : target->url;
}

int curl_glue_start(struct curl_glue *glue, CURL *easy, const struct curl_target *target,
                    curl_glue_done_t done, void *userdata) {
        struct transfer *transfer = calloc(1, sizeof(*transfer));
        int r;

        if (!transfer)
                return -ENOMEM;
        transfer->glue = glue;
        transfer->easy = easy;
        transfer->done = done;
        transfer->userdata = userdata;
        transfer->deadline_usec = usec_add(now_usec(CLOCK_BOOTTIME), target->timeout_usec);

        r = set_target(transfer, target);
        if (r == 0)
                r = find_name(transfer, first_url(target));
        if (r == 0)
                r = needs_lookup(transfer->host) ? look_up(transfer) : begin(transfer);
        if (r < 0)
                transfer_free(transfer);
        return r;
}

void curl_glue_cancel(CURL *easy) {
        struct transfer *transfer = NULL;

        if (!easy || curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer) != CURLE_OK || !transfer)
                return;
        transfer_free(transfer);
}
