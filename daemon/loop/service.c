/*
 * Messages to the service manager. None of them can fail in a way that matters: a manager that does not hear
 * them has its own time-outs.
 */

#include "daemon/loop/service.h"

#include <systemd/sd-daemon.h>

#include "lib/util/time.h"

#define EXTENSION_USEC (30 * USEC_PER_SEC)

int service_watch(sd_event *event) {
        int r;

        r = sd_event_set_watchdog(event, true);
        return r < 0 ? r : 0;
}

void service_ready(void) {
        (void)sd_notify(false, "READY=1");
}

void service_extend_start(void) {
        (void)sd_notifyf(false, "EXTEND_TIMEOUT_USEC=%" PRIu64, EXTENSION_USEC);
}

void service_reloading(void) {
        /* The time is for `Type=notify-reload` of newer managers. */
        (void)sd_notifyf(false, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, now_usec(CLOCK_MONOTONIC));
}

void service_stopping(void) {
        (void)sd_notify(false, "STOPPING=1\nSTATUS=stopping");
}

void service_status(const char *text) {
        (void)sd_notifyf(false, "STATUS=%s", text);
}
