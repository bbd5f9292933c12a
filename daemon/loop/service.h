#pragma once

/* Messages to the service manager (sd_notify(3)). Without one, all of this does nothing. */

#include <systemd/sd-event.h>

#include "lib/util/macro.h"

/* Keeps the watchdog quiet from the loop, as often as the manager wants: a loop that hangs is noticed, a
 * worker that takes its time is not. 0 or -errno. */
int service_watch(sd_event *event);

/* Start-up or a reload is complete. */
void service_ready(void);

/* Start-up continues: for half a minute more without complaint. */
void service_extend_start(void);

void service_reloading(void);
void service_stopping(void);

/* One line for `systemctl status`. */
void service_status(const char *text);
