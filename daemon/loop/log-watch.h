#pragma once

/* What waits of the log goes out as soon as its reader takes it. */

#include <systemd/sd-event.h>

#include "lib/util/macro.h"

struct log_watch;

/* One at a time, for all that is logged. 0 or -errno. */
int log_watch_new(sd_event *event, struct log_watch **ret);

/* Accepts NULL, returns NULL. */
struct log_watch *log_watch_free(struct log_watch *watch);
DEFINE_CLEANUP(struct log_watch *, log_watch_free);
