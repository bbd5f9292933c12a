#pragma once

/* What systemd says of the units under `notify` before they are notified. */

#include <systemd/sd-bus.h>

#include "lib/config/config.h"
#include "lib/util/error.h"

/* What each `action` calls. None of them starts a unit that is not running. */
struct unit_action_row {
        const char *method, *verb;
        bool must_reload;
};
extern const struct unit_action_row unit_actions[UNIT_ACTION_MAX];

/* Of the manager: where, and what is called there. */
#define SYSTEMD_NAME      "org.freedesktop.systemd1"
#define SYSTEMD_PATH      "/org/freedesktop/systemd1"
#define SYSTEMD_INTERFACE "org.freedesktop.systemd1.Manager"
#define SYSTEMD_UNIT      "org.freedesktop.systemd1.Unit"

/* A connection for unit_check(); closed with sd_bus_close_unref(). 0 or -errno. */
int unit_check_open(sd_bus **ret);

/*
 * Whether the unit of NOTIFY is there, and whether this process may do with it what is configured. 0 and a
 * sentence in *RET_TEXT, owned by the caller; or -errno with a sentence that ends with its fix. Nothing is
 * done with the unit. Waits for systemd for a few seconds at most: not for the loop's thread.
 */
int unit_check(sd_bus *bus, const struct config_notify *notify, char **ret_text, struct error *error);
