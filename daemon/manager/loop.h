#pragma once

/* Running the event loop, and knowing how long its turns take. */

#include <systemd/sd-event.h>

#include "daemon/observe/metrics.h"

/* Runs EVENT until sd_event_exit(). METRICS count for how long the loop was busy with one event and so could
 * not answer another (a stall). Returns the exit code or -errno. */
int loop_run(sd_event *event, struct metrics *metrics);
