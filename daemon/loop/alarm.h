#pragma once

/* One time source of the loop for many timers. */

#include <systemd/sd-event.h>

#include "lib/util/time.h"

/* The loop calls HANDLER at WHEN on CLOCK, if not before: *SOURCE is made where it is NULL, and moved only to
 * an earlier time. Where the timer that it was for is gone it may come for nothing, once. 0 or -errno. */
int alarm_no_later(sd_event *event, sd_event_source **source, clockid_t clock, usec_t when,
                   sd_event_time_handler_t handler, void *userdata);
