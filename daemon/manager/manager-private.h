#pragma once

/* The manager from the inside, for manager*.c. */

#include "daemon/certificate/certificate.h"
#include "daemon/control/control.h"
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
        struct certificate **certificates; /* in the order of the configuration */
        uint64_t serial;                   /* of that array: another one has another */
        size_t n_certificates;
        size_t n_retiring; /* taken out of the configuration, not at their ends yet */
        struct certificate **retiring;

        size_t n_uninspected; /* have not looked at their files yet */

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

/* What is wrong with a certificate, in a few words; NULL for nothing. */
const char *manager_trouble(const struct report_status *status);

/* Of whom the metrics are. */
struct metrics_source manager_metrics_source(struct manager *manager);

/* What the service manager shows: one line, owned by the caller; NULL when memory is out. */
char *manager_describe(const struct manager *manager);
void manager_status_changed(struct context *context);

/* What `limits` says and can be changed while running. */
void manager_apply_limits(struct manager *manager);

/* Waits for nobody: the workers are stopped. Accepts NULL, returns NULL. */
struct reload *reload_free(struct reload *reload);
