#pragma once

/* libcurl's multi interface beside an sd_event loop. */

#include <curl/curl.h>
#include <systemd/sd-event.h>

#include "daemon/loop/proxy.h"
#include "lib/util/time.h"

struct curl_glue;

/* Where a transfer goes. All is borrowed until it is done or cancelled. */
struct curl_target {
        const char *url;
        const char *connect_url;   /* whose host CURLOPT_CONNECT_TO names; NULL: none */
        const struct proxy *proxy; /* may be that of no proxy */
        usec_t timeout_usec;       /* for all of it: the lookup of the name, too */
};

/* Called on the loop, once for a transfer that was started and not cancelled. The handle is already out of
 * the multi handle, and the callback owns it again. TEXT says more of a failure. CURLE_OUT_OF_MEMORY ends all
 * transfers that are under way together. */
typedef void (*curl_glue_done_t)(CURL *easy, CURLcode result, const char *text, void *userdata);

/*
 * 0 or -errno. curl_global_init() is the caller's.
 *
 * WITH_THREAD a thread does what curl has to do, signatures for one, and calls what the handles have as
 * callbacks. For a handle it does so only between curl_glue_start() and `done` or curl_glue_cancel(), and the
 * loop must leave what they use alone in this time. Without, they are called on the loop.
 */
int curl_glue_new(sd_event *event, bool with_thread, struct curl_glue **ret);

/* No transfer may be under way. Accepts NULL, returns NULL. */
struct curl_glue *curl_glue_free(struct curl_glue *glue);
DEFINE_CLEANUP(struct curl_glue *, curl_glue_free);

/* Starts the transfer to TARGET that EASY describes. Its URL, proxy, time-out, error buffer, addresses and
 * CURLOPT_PRIVATE are the glue's. EASY stays the caller's, who must cancel it before cleaning it up early. 0
 * or -errno. */
int curl_glue_start(struct curl_glue *glue, CURL *easy, const struct curl_target *target,
                    curl_glue_done_t done, void *userdata);

/* Takes EASY out of the loop: `done` will not be called, nor any callback of EASY. Waits for the one that is
 * being called, and the step of curl around it: milliseconds. Does nothing for a handle that is not under
 * way. */
void curl_glue_cancel(CURL *easy);
