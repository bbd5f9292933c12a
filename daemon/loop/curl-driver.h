#pragma once

/* libcurl's multi handle, and the work on it: on the loop, or on a thread of its own. */

#include <curl/curl.h>
#include <systemd/sd-event.h>

#include "lib/util/macro.h"

struct curl_driver;

/* On the loop, after curl has worked: the handle is the loop's until this returns. */
typedef void (*curl_driver_worked_t)(void *userdata);

/* 0 or -errno. */
int curl_driver_new(sd_event *event, bool with_thread, curl_driver_worked_t worked, void *userdata,
                    struct curl_driver **ret);

/* No easy handle may be in it. Accepts NULL, returns NULL. */
struct curl_driver *curl_driver_free(struct curl_driver *driver);
DEFINE_CLEANUP(struct curl_driver *, curl_driver_free);

/* Whether the thread has the handle, or may have it at any moment. What follows is not for this time. */
bool curl_driver_is_away(struct curl_driver *driver);

/* Has it back, after one step of curl's at the most. */
void curl_driver_take_back(struct curl_driver *driver);

/* 0 or -errno: EASY has not been added, or has to be removed if it was. */
int curl_driver_add(struct curl_driver *driver, CURL *easy);
void curl_driver_remove(struct curl_driver *driver, CURL *easy);

/* An easy handle that has ended, still in the driver, and how; NULL: no more of them. */
CURL *curl_driver_ended(struct curl_driver *driver, CURLcode *ret);

/* After handles were added or removed: when curl wishes to be called. */
void curl_driver_settle(struct curl_driver *driver);

/* A callback has failed, or curl for lack of memory: curl says no more of what is under way. All easy handles
 * are removed then, and the driver begins anew. */
bool curl_driver_is_broken(const struct curl_driver *driver);
void curl_driver_begin_anew(struct curl_driver *driver);
