/*
 * The state of everything in one line, for `systemctl status`. It is made when a certificate has changed,
 * once a second at most, since with thousands of them in a storm it would cost more than it tells.
 */

#include "daemon/manager/manager-private.h"

#include "daemon/loop/service.h"
#include "daemon/observe/metrics-file.h"

static int on_status(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        struct manager *manager = userdata;
        _cleanup_(freep) char *text = NULL;

        manager->status = sd_event_source_disable_unref(manager->status);
        text = fleet_describe(&manager->fleet);
        if (text)
                service_status(text);
        return 0;
}

void manager_status_changed(struct context *context) {
        struct manager *manager = context_manager(context);

        if (manager->metrics_file)
                metrics_file_changed(manager->metrics_file);
        if (manager->status || manager->context.once)
                return;
        (void)sd_event_add_time_relative(context->event, &manager->status, CLOCK_BOOTTIME, USEC_PER_SEC, 0,
                                         on_status, manager);
}
