#include "daemon/loop/alarm.h"

int alarm_no_later(sd_event *event, sd_event_source **source, clockid_t clock, usec_t when,
                   sd_event_time_handler_t handler, void *userdata) {
        uint64_t armed;
        int enabled, r;

        if (!*source) {
                r = sd_event_add_time(event, source, clock, when, 0, handler, userdata);
                return r < 0 ? r : 0;
        }
        r = sd_event_source_get_enabled(*source, &enabled);
        if (r >= 0 && enabled != SD_EVENT_OFF && sd_event_source_get_time(*source, &armed) >= 0 &&
            armed <= when)
                return 0;
        r = sd_event_source_set_time(*source, when);
        if (r >= 0)
                r = sd_event_source_set_enabled(*source, SD_EVENT_ONESHOT);
        return r < 0 ? r : 0;
}
