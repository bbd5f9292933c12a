#pragma once

/* What `systemctl status` shows of all certificates, in one line. */

#include <systemd/sd-event.h>

#include "daemon/fleet/fleet.h"

struct status_line;

/* FLEET is borrowed. 0 or -ENOMEM. */
int status_line_new(sd_event *event, const struct fleet *fleet, struct status_line **ret);
struct status_line *status_line_free(struct status_line *line);
DEFINE_CLEANUP(struct status_line *, status_line_free);

/* Something has changed that it shows: it is rebuilt soon. */
void status_line_changed(struct status_line *line);
