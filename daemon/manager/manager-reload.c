/*
 * Reload. The new configuration is read whole, on a worker thread, and everything that the change needs is
 * made, before anything is changed; from there on nothing can fail. So a configuration with an error in it
 * changes nothing. Whoever asks for one while the files are being read has them read again, and all who have
 * asked share the end. What becomes of each certificate: fleet-change.c.
 */

#include "daemon/manager/manager-private.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/fleet/fleet-change.h"
#include "daemon/loop/service.h"
#include "daemon/observe/events.h"
#include "daemon/observe/metrics-file.h"

struct reload {
        struct job job;
        struct manager *manager;
        struct config *config;
        struct config_errors errors;
        int result;
        bool is_outdated; /* asked for again: the files may have changed since they were read */
};

/* Of the line that ends a reload. */
static const struct log_field over[] = { { FIELD_OPERATION, "reload" } };

static void warn_restart_needed(const struct manager *manager, const struct config *new) {
        static const char later[] = "the new configuration has another `%s`, which takes a restart of rekeyd";

        if (!streq(manager->state_directory, new->state_directory))
                events_emit(manager->context.events, NULL, LOG_WARNING, MESSAGE_WARNING, NULL, 0, later,
                            "state_directory");
        if (manager->key_workers != new->limits.key_workers)
                events_emit(manager->context.events, NULL, LOG_WARNING, MESSAGE_WARNING, NULL, 0, later,
                            "limits.key_workers");
}

/* A file that is being copied, or that a full disk has cut off, reads like one with nothing in it. */
static int check_emptied(const struct manager *manager, const struct config *config, struct error *error) {
        if (config->n_certificates > 0 || manager->fleet.n == 0)
                return 0;
        return error_set(
                error, -ENODATA,
                "%s has no certificate in it, as if it were cut off; to look after none, stop rekeyd",
                manager->config_path);
}

void manager_apply_limits(struct manager *manager) {
        struct context *context = &manager->context;

        context->issuances_per_hour = manager->config->limits.issuances_per_hour;
        slots_resize(&context->slots, manager->config->limits.concurrent_renewals);
}

/* Nothing in here can fail. */
static void commit_plan(struct manager *manager, struct config *config, struct fleet_plan *plan) {
        const bool is_budget_raised = config->limits.issuances_per_hour > manager->context.issuances_per_hour;
        _unused_ _cleanup_(config_freep) struct config *before = manager->config;
        struct fleet *fleet = &manager->fleet;
        struct fleet_changes changes;

        warn_restart_needed(manager, config);
        manager->config = config;
        log_configure(config->log.format, config->log.level);
        manager_apply_limits(manager);
        changes = fleet_change(fleet, plan, config);
        for (size_t i = 0; is_budget_raised && i < fleet->n; i++)
                certificate_raise_budget(fleet->certificates[i]);

        manager->metrics_source.n = fleet->n;
        if (metrics_file_set_path(manager->metrics_file, config->metrics.textfile) < 0)
                log_error("out of memory; metrics are not written to %s", config->metrics.textfile);
        events_emit(manager->context.events, NULL, LOG_NOTICE, MESSAGE_RELOADED, over, ELEMENTSOF(over),
                    "reloaded the configuration: %zu added, %zu changed, %zu removed, %zu as before",
                    changes.n_added, changes.n_changed, changes.n_removed,
                    fleet->n - changes.n_added - changes.n_changed);
}

static void refuse(const struct reload *reload) {
        struct events *events = reload->manager->context.events;

        for (size_t i = 0; i < reload->errors.n; i++)
                events_emit(events, NULL, LOG_ERR, MESSAGE_NOT_RELOADED, NULL, 0, "%s",
                            reload->errors.items[i]);
        events_emit(events, NULL, LOG_ERR, MESSAGE_NOT_RELOADED, over, ELEMENTSOF(over),
                    "the configuration was not reloaded, and the old one stays in use: %zu error%s",
                    reload->errors.n, reload->errors.n == 1 ? "" : "s");
}

static void read_configuration(struct job *job) {
        struct reload *reload = container_of(job, struct reload, job);

        reload->result = config_load(reload->manager->config_path, &reload->config, &reload->errors);
}

/* All that can fail comes before the first change. */
static int apply_config(struct manager *manager, struct config **config, struct error *error) {
        struct control_sockets sockets = CONTROL_SOCKETS_NONE;
        _cleanup_(fleet_plan_clear) struct fleet_plan plan = { 0 };
        _cleanup_(error_clear) struct error late = ERROR_INIT;
        int r;

        r = check_emptied(manager, *config, error);
        if (r < 0)
                return r;
        r = control_open(manager->control, *config, &sockets, error);
        if (r < 0)
                return r;
        r = fleet_plan_make(&manager->fleet, &manager->context, *config, &plan, error);
        if (r < 0) {
                control_cancel(*config, &sockets);
                return r;
        }
        if (control_use(manager->control, *config, &sockets, &late) < 0)
                log_error("%s", error_text(&late));
        commit_plan(manager, take_ptr(*config), &plan);
        return 0;
}

static void on_configuration(struct job *job);

/* From the beginning, whatever was read before. */
static void begin_reading(struct reload *reload) {
        reload->config = config_free(reload->config);
        config_errors_clear(&reload->errors);
        reload->is_outdated = false;
        reload->job = (struct job) { .run = read_configuration, .done = on_configuration };
        service_reloading();
        workers_submit(reload->manager->context.disk_workers, &reload->job);
}

static void on_configuration(struct job *job) {
        struct reload *reload = container_of(job, struct reload, job);
        struct manager *manager = reload->manager;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        int r = reload->result;

        if (reload->is_outdated) {
                begin_reading(reload);
                return;
        }
        if (r == -ENOMEM)
                error_set(&error, -ENOMEM, "out of memory");
        if (r == 0)
                r = apply_config(manager, &reload->config, &error);
        metrics_count_reload(&manager->metrics, r == 0, now_usec(CLOCK_REALTIME));
        metrics_file_changed(manager->metrics_file);
        if (r < 0 && error.code == 0)
                refuse(reload);
        else if (r < 0)
                events_emit(manager->context.events, NULL, LOG_ERR, MESSAGE_NOT_RELOADED, over,
                            ELEMENTSOF(over),
                            "the configuration was not reloaded, and the old one stays in use: %s",
                            error_text(&error));

        manager->reload = reload_free(reload);
        if (fleet_is_ready(&manager->fleet))
                service_ready();
}

void manager_reload(struct manager *manager) {
        if (manager->reload) {
                manager->reload->is_outdated = true;
                return;
        }
        manager->reload = calloc(1, sizeof(*manager->reload));
        if (!manager->reload) {
                events_emit(manager->context.events, NULL, LOG_ERR, MESSAGE_NOT_RELOADED, over,
                            ELEMENTSOF(over), "the configuration was not reloaded: out of memory");
                return;
        }
        manager->reload->manager = manager;
        begin_reading(manager->reload);
}

struct reload *reload_free(struct reload *reload) {
        if (!reload)
                return NULL;
        config_free(reload->config);
        config_errors_clear(&reload->errors);
        free(reload);
        return NULL;
}
