/*
 * The line is made when a certificate has changed, once a second at most, since with thousands of them in a
 * storm it would cost too much.
 */

#include "daemon/manager/status-line.h"

#include <errno.h>

#include "daemon/loop/service.h"

struct status_line {
        sd_event *event;
        const struct fleet *fleet;
        sd_event_source *timer; /* NULL: nothing has changed */
};

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        struct status_line *line = userdata;
        _cleanup_(freep) char *text = NULL;

        line->timer = sd_event_source_disable_unref(line->timer);
        text = fleet_describe(line->fleet);
        if (text)
                service_status(text);
        return 0;
}

void status_line_changed(struct status_line *line) {
        if (!line->timer)
                (void)sd_event_add_time_relative(line->event, &line->timer, CLOCK_BOOTTIME, USEC_PER_SEC, 0,
                                                 on_timer, line);
}

int status_line_new(sd_event *event, const struct fleet *fleet, struct status_line **ret) {
        struct status_line *line = calloc(1, sizeof(*line));

        if (!line)
                return -ENOMEM;
        line->event = sd_event_ref(event);
        line->fleet = fleet;
        *ret = line;
        return 0;
}

struct status_line *status_line_free(struct status_line *line) {
        if (!line)
                return NULL;
        sd_event_source_disable_unref(line->timer);
        sd_event_unref(line->event);
        free(line);
        return NULL;
}
