#pragma once

/* Noticing that the wall clock was set. */

#include <systemd/sd-event.h>

/* Calls FUNCTION from the loop whenever CLOCK_REALTIME jumps: set by a person, by time synchronisation in one
 * step, or found changed after a suspend. *RET is an event source of the caller. 0 or -errno. */
int clock_watch(sd_event *event, void (*function)(void *userdata), void *userdata, sd_event_source **ret);
