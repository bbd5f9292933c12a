/*
 * Reload. The new configuration is read whole, on a worker thread, and everything that the change needs is
 * made, before anything is changed; from there on nothing can fail. So a configuration with an error in it
 * changes nothing. Whoever asks for one while the files are being read has them read again, and all who have
 * asked share the end.
 *
 * Certificates are known by their names. One that is in both configurations goes on, with what it has under
 * way; one that is not in the new one comes to its end and leaves its files where they are. One that
 * comes back before its end has come goes on as well: there is never a second one of a name.
 */

#include "daemon/manager/manager-private.h"

#include <errno.h>
#include <stdlib.h>

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

/* What the change is made of. */
struct plan {
        struct certificate **certificates; /* in the order of the new configuration */
        bool *is_new;                      /* those of them that were made for it */
        struct certificate **known;        /* the present ones and those that retire, by name */
        size_t n_known;
        bool *goes_on;                 /* those of them that the new configuration has as well */
        struct certificate **retiring; /* room for those that it has not */
};

static void plan_clear(struct plan *plan) {
        free(plan->certificates);
        free(plan->is_new);
        free(plan->known);
        free(plan->goes_on);
        free(plan->retiring);
}

static int compare_certificates(const void *a, const void *b) {
        return strcmp(certificate_name(*(struct certificate *const *)a),
                      certificate_name(*(struct certificate *const *)b));
}

static int compare_name(const void *name, const void *certificate) {
        return strcmp(name, certificate_name(*(struct certificate *const *)certificate));
}

static int plan_new_certificate(struct manager *manager, struct config *config, struct plan *plan, size_t i,
                                struct error *error) {
        int r;

        r = certificate_new(&manager->context, config, &config->certificates[i], &plan->certificates[i],
                            error);
        if (r < 0)
                return error->code != 0 ? error_prefix(error, "cannot set up certificate %s",
                                                       config->certificates[i].name)
                                        : error_set_errno(error, r, "cannot set up certificate %s",
                                                          config->certificates[i].name);
        plan->is_new[i] = true;
        return 0;
}

static int make_plan(struct manager *manager, struct config *config, struct plan *plan, struct error *error) {
        size_t n_known = manager->n_certificates + manager->n_retiring, n = config->n_certificates;
        int r = 0;

        plan->certificates = calloc(n + 1, sizeof(*plan->certificates));
        plan->is_new = calloc(n + 1, sizeof(*plan->is_new));
        plan->known = calloc(n_known + 1, sizeof(*plan->known));
        plan->goes_on = calloc(n_known + 1, sizeof(*plan->goes_on));
        plan->retiring = calloc(n_known + 1, sizeof(*plan->retiring));
        if (!plan->certificates || !plan->is_new || !plan->known || !plan->goes_on || !plan->retiring)
                return error_set(error, -ENOMEM, "out of memory");
        for (size_t i = 0; i < manager->n_certificates; i++)
                plan->known[plan->n_known++] = manager->certificates[i];
        for (size_t i = 0; i < manager->n_retiring; i++)
                plan->known[plan->n_known++] = manager->retiring[i];
        qsort(plan->known, n_known, sizeof(*plan->known), compare_certificates);

        for (size_t i = 0; i < n && r == 0; i++) {
                struct certificate **known = bsearch(config->certificates[i].name, plan->known, n_known,
                                                     sizeof(*plan->known), compare_name);

                if (known) {
                        plan->certificates[i] = *known;
                        plan->goes_on[known - plan->known] = true;
                } else
                        r = plan_new_certificate(manager, config, plan, i, error);
        }
        for (size_t i = 0; i < n && r < 0; i++)
                if (plan->is_new[i])
                        certificate_free(plan->certificates[i]);
        return r;
}

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
        if (config->n_certificates > 0 || manager->n_certificates == 0)
                return 0;
        return error_set(
                error, -ENODATA,
                "%s has no certificate in it, as if it were cut off; to look after none, stop rekeyd",
                manager->config_path);
}

/* Nothing in here can fail. Certificates may be freed by each call into them that lets them go on. */
static void commit_plan(struct manager *manager, struct config *config, struct plan *plan) {
        struct certificate **old = manager->certificates;
        size_t n_added = 0, n_changed = 0, n_removed = 0;
        const bool is_budget_raised = config->limits.issuances_per_hour > manager->context.issuances_per_hour;
        _unused_ _cleanup_(config_freep) struct config *before = manager->config;

        warn_restart_needed(manager, config);
        manager->config = config;
        manager->serial++;
        manager->certificates = take_ptr(plan->certificates);
        manager->n_certificates = config->n_certificates;
        log_configure(config->log.format, config->log.level);
        manager_apply_limits(manager);
        manager->metrics_source.n = manager->n_certificates;
        if (metrics_file_set_path(manager->metrics_file, config->metrics.textfile) < 0)
                log_error("out of memory; metrics are not written to %s", config->metrics.textfile);

        /* Those that go first: one may be in a directory that another takes over. */
        free(manager->retiring);
        manager->retiring = take_ptr(plan->retiring);
        manager->n_retiring = 0;
        for (size_t i = 0; i < plan->n_known; i++)
                if (!plan->goes_on[i])
                        manager->retiring[manager->n_retiring++] = plan->known[i];
        for (size_t i = 0; i < plan->n_known; i++)
                if (!plan->goes_on[i] && !certificate_is_retiring(plan->known[i])) {
                        n_removed++;
                        certificate_retire(plan->known[i]);
                }
        for (size_t i = 0; i < manager->n_certificates; i++) {
                struct certificate *certificate = manager->certificates[i];
                const struct config_certificate *new = &config->certificates[i];
                bool has_changed;

                if (plan->is_new[i]) {
                        n_added++;
                        manager->n_uninspected++;
                        certificate_start(certificate);
                        continue;
                }
                has_changed = !config_certificate_equal(certificate_config(certificate), new);
                if (certificate_is_retiring(certificate))
                        n_added++;
                else
                        n_changed += has_changed ? 1 : 0;
                certificate_reconfigure(certificate, config, new, has_changed);
                if (is_budget_raised)
                        certificate_raise_budget(certificate);
        }
        free(old);
        events_emit(manager->context.events, NULL, LOG_NOTICE, MESSAGE_RELOADED, over, ELEMENTSOF(over),
                    "reloaded the configuration: %zu added, %zu changed, %zu removed, %zu as before", n_added,
                    n_changed, n_removed, manager->n_certificates - n_added - n_changed);
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
        _cleanup_(plan_clear) struct plan plan = { 0 };
        _cleanup_(error_clear) struct error late = ERROR_INIT;
        int r;

        r = check_emptied(manager, *config, error);
        if (r < 0)
                return r;
        r = control_open(manager->control, *config, &sockets, error);
        if (r < 0)
                return r;
        r = make_plan(manager, *config, &plan, error);
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
        if (manager->n_uninspected == 0)
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
