/*
 * Transfers, from the lookup of a name to their end. Those that begin while curl works on its thread join it
 * afterwards; who cancels one waits for the step that curl is at. Transfers that have ended are told one a
 * turn, so that a hundred answers arriving together do not hold up the rest of the loop.
 *
 * Where curl's driver is broken, all transfers end, with CURLE_OUT_OF_MEMORY, and it begins anew.
 *
 * curl looks names up in a thread, and waits for that thread when a transfer ends early. So names.c looks
 * them up first, and curl is given addresses. Only what a SOCKS proxy is to be given as an address is left to
 * curl, which then abandons its thread (CURLOPT_QUICK_EXIT).
 */

#include "daemon/loop/curl-glue.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/queue.h>

#include "daemon/loop/curl-driver.h"
#include "daemon/loop/names.h"
#include "lib/protocol/transport-error.h"

/* What a lookup may take of the time for a call. */
#define LOOKUP_USEC (20 * USEC_PER_SEC)

TAILQ_HEAD(transfer_list, transfer);

struct curl_glue {
        sd_event *event;
        struct curl_driver *driver;
        struct names *names;
        struct transfer_list joining, moving, ended; /* the second: curl has them */
        sd_event_source *drain;
};

struct transfer {
        struct curl_glue *glue;
        struct transfer_list *list; /* NULL: its name is looked up, or it has been told */
        TAILQ_ENTRY(transfer) link;
        CURL *easy;
        curl_glue_done_t done;
        void *userdata;
        usec_t deadline_usec; /* CLOCK_BOOTTIME */
        CURLcode result;      /* of one that has ended */

        /* The name that is looked up before curl has the handle. */
        char *host, *port;
        struct name_waiter waiter;
        sd_event_source *timeout; /* of the lookup; NULL: curl has the handle */
        struct curl_slist *addresses;

        char error[CURL_ERROR_SIZE];
};

/* The end of whatever has ended, or of everything, is for another turn. Without it nothing would come to its
 * end any more: better that all of it begins anew. */
static void drain_later(struct curl_glue *glue) {
        if (sd_event_source_set_enabled(glue->drain, SD_EVENT_ONESHOT) < 0)
                sd_event_exit(glue->event, EXIT_FAILURE);
}

static void move_to(struct transfer *transfer, struct transfer_list *list) {
        if (transfer->list)
                TAILQ_REMOVE(transfer->list, transfer, link);
        transfer->list = list;
        if (list)
                TAILQ_INSERT_TAIL(list, transfer, link);
}

/* --- Into curl and out of it, while the loop has its handle --- */

/* Takes it from curl, if curl has it. */
static void leave(struct transfer *transfer, struct transfer_list *next) {
        struct curl_glue *glue = transfer->glue;
        const bool is_moving = transfer->list == &glue->moving;

        move_to(transfer, next);
        if (is_moving)
                curl_driver_remove(glue->driver, transfer->easy);
}

static int join(struct transfer *transfer) {
        move_to(transfer, &transfer->glue->moving);
        return curl_driver_add(transfer->glue->driver, transfer->easy);
}

static void fail(struct transfer *transfer) {
        transfer->result = CURLE_OUT_OF_MEMORY;
        leave(transfer, &transfer->glue->ended);
}

static void collect(struct curl_glue *glue) {
        struct transfer *transfer;
        CURLcode result;
        CURL *easy;

        while ((easy = curl_driver_ended(glue->driver, &result))) {
                curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
                transfer->result = result;
                leave(transfer, &glue->ended);
        }
}

/* After curl has worked, or the loop has touched its handle. */
static void settle(void *userdata) {
        struct curl_glue *glue = userdata;
        struct transfer *transfer;

        collect(glue);
        while ((transfer = TAILQ_FIRST(&glue->joining)))
                if (join(transfer) < 0)
                        fail(transfer);
        curl_driver_settle(glue->driver);
        if (curl_driver_is_broken(glue->driver) || !TAILQ_EMPTY(&glue->ended))
                drain_later(glue);
}

/* --- Ends --- */

static void transfer_free(struct transfer *transfer) {
        struct curl_glue *glue = transfer->glue;

        if (transfer->list == &glue->moving) {
                curl_driver_take_back(glue->driver);
                leave(transfer, NULL);
                settle(glue);
        } else
                move_to(transfer, NULL);
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

static void end_all(struct curl_glue *glue) {
        struct transfer_list *const lists[] = { &glue->moving, &glue->joining };
        struct transfer *transfer;

        for (size_t i = 0; i < ELEMENTSOF(lists); i++)
                while ((transfer = TAILQ_FIRST(lists[i])))
                        fail(transfer);
        curl_driver_begin_anew(glue->driver);
}

/* What is done with one may cancel another, or begin a new one. */
static int on_drain(_unused_ sd_event_source *source, void *userdata) {
        struct curl_glue *glue = userdata;
        struct transfer *transfer;

        if (!curl_driver_is_away(glue->driver) && curl_driver_is_broken(glue->driver))
                end_all(glue);
        transfer = TAILQ_FIRST(&glue->ended);
        if (!transfer)
                return 0;
        move_to(transfer, NULL);
        if (!TAILQ_EMPTY(&glue->ended))
                drain_later(glue);
        transfer_end(transfer, transfer->result);
        return 0;
}

/* --- Beginning and end of the glue --- */

int curl_glue_new(sd_event *event, bool with_thread, struct curl_glue **ret) {
        _cleanup_(curl_glue_freep) struct curl_glue *glue = calloc(1, sizeof(*glue));
        int r;

        if (!glue)
                return -ENOMEM;
        glue->event = sd_event_ref(event);
        TAILQ_INIT(&glue->joining);
        TAILQ_INIT(&glue->moving);
        TAILQ_INIT(&glue->ended);
        r = sd_event_add_defer(event, &glue->drain, on_drain, glue);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(glue->drain, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = names_new(event, &glue->names);
        if (r == 0)
                r = curl_driver_new(event, with_thread, settle, glue, &glue->driver);
        if (r < 0)
                return r;
        *ret = take_ptr(glue);
        return 0;
}

struct curl_glue *curl_glue_free(struct curl_glue *glue) {
        if (!glue)
                return NULL;
        curl_driver_free(glue->driver);
        names_free(glue->names);
        sd_event_source_disable_unref(glue->drain);
        sd_event_unref(glue->event);
        free(glue);
        return NULL;
}

/* --- A transfer, from the lookup on --- */

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
        if (curl_driver_is_away(glue->driver)) {
                move_to(transfer, &glue->joining);
                return 0;
        }
        r = join(transfer);
        if (r == 0)
                settle(glue);
        return r;
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
