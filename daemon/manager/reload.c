/*
 * The new configuration is read whole, on a worker thread, and applied whole or not at all: a configuration
 * with an error in it changes nothing. A request during a reload makes it start over, and all requests share
 * its end.
 */

#include "daemon/manager/reload.h"

#include <errno.h>

#include "daemon/loop/service.h"
#include "daemon/manager/precheck-log.h"
#include "daemon/observe/events.h"
#include "daemon/observe/messages.h"

struct reload {
        struct reload_options options;
        struct job job;
        bool is_running;
        bool is_outdated; /* requested again: the files may have changed since they were read */

        /* What was read. */
        int result;
        struct config *config;
        struct config_errors errors;
        struct prechecks prechecks; /* of it: what will fail later */

        /* The same of what is in use from the start on. */
        struct {
                struct job job;
                struct config *config; /* a reference */
                struct prechecks prechecks;
        } first;
};

/* Of the line that ends a reload. */
static const struct log_field over[] = { { FIELD_OPERATION, "reload" } };

static void log_success(const struct reload *reload, const struct fleet_changes *changes) {
        events_emit(reload->options.events, NULL, LOG_NOTICE, MESSAGE_RELOADED, over, ELEMENTSOF(over),
                    "configuration reloaded: %zu added, %zu changed, %zu removed, %zu unchanged",
                    changes->n_added, changes->n_changed, changes->n_removed, changes->n_kept);
}

/* A line for each mistake, and one for the end. */
static void log_mistakes(const struct reload *reload) {
        struct events *events = reload->options.events;

        for (size_t i = 0; i < reload->errors.n; i++)
                events_emit(events, NULL, LOG_ERR, MESSAGE_NOT_RELOADED, NULL, 0, "%s",
                            reload->errors.items[i]);
        events_emit(events, NULL, LOG_ERR, MESSAGE_NOT_RELOADED, over, ELEMENTSOF(over),
                    "configuration not reloaded; keeping the old one: %zu error%s", reload->errors.n,
                    reload->errors.n == 1 ? "" : "s");
}

static void log_failure(const struct reload *reload, const struct error *error) {
        events_emit(reload->options.events, NULL, LOG_ERR, MESSAGE_NOT_RELOADED, over, ELEMENTSOF(over),
                    "configuration not reloaded; keeping the old one: %s", error_text(error));
}

static void forget(struct reload *reload) {
        prechecks_clear(&reload->prechecks);
        reload->config = config_free(reload->config);
        config_errors_clear(&reload->errors);
}

static void read_configuration(struct job *job) {
        struct reload *reload = container_of(job, struct reload, job);

        reload->result = config_load(reload->options.config_path, &reload->config, &reload->errors);
        if (reload->result == 0)
                reload->result = precheck_run(reload->config, NULL, PRECHECK_ALL, &reload->prechecks);
}

static void on_configuration(struct job *job);

/* From the beginning, whatever was read before. */
static void begin(struct reload *reload) {
        forget(reload);
        reload->is_running = true;
        reload->is_outdated = false;
        reload->job = (struct job) { .run = read_configuration, .done = on_configuration };
        service_reloading();
        workers_submit(reload->options.workers, &reload->job);
}

static void on_configuration(struct job *job) {
        struct reload *reload = container_of(job, struct reload, job);
        const struct reload_options *options = &reload->options;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct fleet_changes changes = { 0 };
        int r = reload->result;

        if (reload->is_outdated) {
                begin(reload);
                return;
        }
        if (r == -ENOMEM)
                error_set(&error, -ENOMEM, "out of memory");
        if (r == 0)
                r = options->apply(reload->config, &changes, options->userdata, &error);
        if (r == 0) {
                reload->config = NULL;
                precheck_log(&reload->prechecks, options->events);
                log_success(reload, &changes);
        } else if (error.code == 0)
                log_mistakes(reload);
        else
                log_failure(reload, &error);
        forget(reload);
        reload->is_running = false;
        options->ended(r == 0, options->userdata);
}

void reload_request(struct reload *reload) {
        if (reload->is_running)
                reload->is_outdated = true;
        else
                begin(reload);
}

/* --- The first configuration --- */

static void check_first(struct job *job) {
        struct reload *reload = container_of(job, struct reload, first.job);

        (void)precheck_run(reload->first.config, NULL, PRECHECK_QUICK, &reload->first.prechecks);
}

static void forget_first(struct reload *reload) {
        prechecks_clear(&reload->first.prechecks);
        reload->first.config = config_free(reload->first.config);
}

static void on_checked_first(struct job *job) {
        struct reload *reload = container_of(job, struct reload, first.job);

        precheck_log(&reload->first.prechecks, reload->options.events);
        forget_first(reload);
}

void reload_check(struct reload *reload, struct config *config) {
        reload->first.config = config_ref(config);
        reload->first.job = (struct job) { .run = check_first, .done = on_checked_first };
        workers_submit(reload->options.workers, &reload->first.job);
}

int reload_new(const struct reload_options *options, struct reload **ret) {
        struct reload *reload = calloc(1, sizeof(*reload));

        if (!reload)
                return -ENOMEM;
        reload->options = *options;
        *ret = reload;
        return 0;
}

struct reload *reload_free(struct reload *reload) {
        if (!reload)
                return NULL;
        forget(reload);
        forget_first(reload);
        free(reload);
        return NULL;
}
