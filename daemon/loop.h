#pragma once

/* Running the event loop, and knowing how long its turns take. */

#include <systemd/sd-event.h>

#include "lib/util/time.h"

/* Runs EVENT until sd_event_exit(). *RET_LONGEST_USEC is the longest time for which the loop was busy with
 * one event and so could not answer another (a stall). Returns the exit code or -errno. */
int loop_run(sd_event *event, usec_t *ret_longest_usec);
