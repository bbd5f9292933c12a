#pragma once

/* The manager from the inside, for manager*.c. */

#include "daemon/control/control.h"
#include "daemon/fleet/fleet.h"
#include "daemon/manager/manager.h"
#include "daemon/observe/messages.h"
#include "daemon/observe/metrics.h"

struct reload;

struct manager {
        struct context context;
        struct metrics metrics;
        sd_event_source *clock;
        sd_event_source *inspections; /* under way since the clock was set, from `next_inspection` on */
        size_t next_inspection;
        struct config *config;
        char *config_path;

        /* In use until the end, whatever a newer configuration says. */
        char *state_directory;
        unsigned key_workers;
        struct fleet fleet;

        /* --once: what is still to be heard of, and what was. */
        size_t n_unsettled;
        bool any_renewed, any_failed;

        sd_event_source *status; /* when it is told next */
        sd_event_source *extend; /* while the start takes long */

        struct control *control; /* NULL with --once */
        struct metrics_file *metrics_file;
        struct metrics_source metrics_source;

        struct reload *reload; /* under way, or NULL */
};

static inline struct manager *context_manager(struct context *context) {
        return container_of(context, struct manager, context);
}

void manager_status_changed(struct context *context);

/* What `limits` says and can be changed while running. */
void manager_apply_limits(struct manager *manager);

/* Waits for nobody: the workers are stopped. Accepts NULL, returns NULL. */
struct reload *reload_free(struct reload *reload);
