/*
 * The manager owns what certificates share, and the certificates. It knows nothing of their states; with
 * --once it counts those that have nothing more to do.
 */

#include "daemon/manager/manager.h"

#include <systemd/sd-id128.h>

#include "daemon/certificate/key-maker.h"
#include "daemon/control/control.h"
#include "daemon/fleet/fleet-change.h"
#include "daemon/fleet/fleet-issuers.h"
#include "daemon/kube/kube-loop.h"
#include "daemon/loop/clock.h"
#include "daemon/loop/service.h"
#include "daemon/manager/reload.h"
#include "daemon/manager/spare-memory.h"
#include "daemon/manager/status-line.h"
#include "daemon/observe/events.h"
#include "daemon/observe/messages.h"
#include "daemon/observe/metrics-file.h"
#include "daemon/observe/state-file.h"
#include "kube/kube-client.h"
#include "lib/store/seals.h"

/* Threads for files, and for exports: enough that a slow disk under one certificate does not hold up the
 * others. */
#define DISK_WORKERS 4u

/* While inspections are under way, the service manager is notified this often: it waits for 90 s by itself.
 */
#define EXTEND_EVERY_USEC (10 * USEC_PER_SEC)
/* About a millisecond's worth. */
#define INSPECTIONS_A_TURN 50u

/* For deriving our own id from the machine's, which itself must not leave the machine. */
#define REKEYD_APP_ID SD_ID128_MAKE(79, 01, 47, 17, 69, 5f, 44, 28, 96, 9d, 47, 71, 82, c2, dc, ff)

struct manager {
        struct environment env;
        struct metrics metrics;
        sd_event_source *clock;
        sd_event_source *inspections; /* under way since the clock was set, from `next_inspection` on */
        size_t next_inspection;
        struct config *config;
        char *config_path;

        /* In use until the end, whatever a newer configuration says. */
        char *state_directory;
        unsigned key_workers;

        struct kube_loop *kube_loop;
        struct fleet fleet;

        /* --once: what is still to be heard of, and what was. */
        size_t n_unsettled;
        bool any_renewed, any_failed;

        struct spare_memory spare;
        struct job seals_job;            /* all sets are inspected */
        sd_event_source *extend;         /* while the start takes long */
        struct status_line *status_line; /* NULL with --once */

        struct control *control; /* NULL with --once */
        struct metrics_file *metrics_file;
        struct metrics_source metrics_source;

        struct reload *reload; /* NULL with --once */
};

static struct manager *env_manager(struct environment *env) {
        return container_of(env, struct manager, env);
}

static unsigned processors(void) {
        long n = sysconf(_SC_NPROCESSORS_ONLN);

        return n > 0 ? (unsigned)n : 1;
}

/* A container may have no machine id; jitter is then the same on all of them, nothing tells a state that was
 * copied, and the rest works. */
static void derive_machine_id(struct environment *env) {
        sd_id128_t id;

        if (sd_id128_get_machine_app_specific(REKEYD_APP_ID, &id) < 0)
                id = REKEYD_APP_ID;
        else
                memcpy(env->state_directory.machine_id, id.bytes, sizeof(env->state_directory.machine_id));
        memcpy(env->machine_id, id.bytes, sizeof(env->machine_id));
}

static void on_settled(struct environment *env, bool renewed, bool failed) {
        struct manager *manager = env_manager(env);

        manager->any_renewed = manager->any_renewed || renewed;
        manager->any_failed = manager->any_failed || failed;
        if (--manager->n_unsettled == 0)
                sd_event_exit(env->services.event, manager->any_failed ? 1 : manager->any_renewed ? 2 : 0);
}

static void on_other_issuers(struct environment *env, struct certificate *certificate,
                             const struct issuers *before) {
        struct fleet_rotation rotation;

        if (fleet_find_rotation(&env_manager(env)->fleet, certificate, before, &rotation))
                certificate_log_other_ca(certificate, rotation.new, rotation.old, rotation.n_old);
}

static void on_changed(struct environment *env) {
        struct manager *manager = env_manager(env);

        if (manager->metrics_file)
                metrics_file_changed(manager->metrics_file);
        if (manager->status_line)
                status_line_changed(manager->status_line);
}

static void run_rest(struct job *job) {
        seals_rest(container_of(job, struct manager, seals_job)->env.seals);
}

static void on_rested(struct job *job) {
        spare_memory_give_back(&container_of(job, struct manager, seals_job)->spare);
}

/* What the start needed of them is no longer needed. */
static void rest_seals(struct manager *manager) {
        manager->seals_job = (struct job) { .run = run_rest, .done = on_rested };
        workers_submit(manager->env.services.disk_workers, &manager->seals_job);
}

static void on_inspected(struct environment *env, const struct certificate *certificate, bool is_first,
                         bool has_failed) {
        struct manager *manager = env_manager(env);
        const struct fleet *fleet = &manager->fleet;

        if (manager->control)
                control_note_inspected(manager->control, certificate_name(certificate), has_failed);
        spare_memory_count(&manager->spare);
        if (!is_first || !fleet_count_inspected(&manager->fleet))
                return;
        manager->extend = sd_event_source_disable_unref(manager->extend);
        manager->metrics_source.is_ready = true;
        metrics_file_changed(manager->metrics_file);
        service_ready();
        events_emit(env->observers.events, NULL, LOG_INFO, MESSAGE_READY, NULL, 0,
                    "ready: %zu of %zu certificate%s usable", fleet_count_usable(fleet), fleet->n,
                    fleet->n == 1 ? "" : "s");
        rest_seals(manager); /* and gives back what all the inspections needed */
}

static void on_retired(struct environment *env, struct certificate *certificate) {
        log_debug("%s: no longer managed", certificate_name(certificate));
        fleet_remove_retired(&env_manager(env)->fleet, certificate);
}

/* Thousands of inspections are begun in many turns of the loop, so that it handles other events in between. A
 * reload meanwhile may inspect one certificate twice, or one that was just inspected not again. */
static int on_inspections(sd_event_source *source, void *userdata) {
        struct manager *manager = userdata;
        const struct fleet *fleet = &manager->fleet;

        for (unsigned i = 0; i < INSPECTIONS_A_TURN && manager->next_inspection < fleet->n; i++)
                certificate_inspect(fleet->certificates[manager->next_inspection++]);
        if (manager->next_inspection >= fleet->n)
                return sd_event_source_set_enabled(source, SD_EVENT_OFF);
        return 0;
}

static void on_state_directory_replaced(void *userdata) {
        const struct fleet *fleet = &((struct manager *)userdata)->fleet;

        for (unsigned i = 0; i < fleet->n; i++)
                certificate_save_state(fleet->certificates[i]);
}

static void on_clock_set(void *userdata) {
        struct manager *manager = userdata;

        events_emit(manager->env.observers.events, NULL, LOG_NOTICE, MESSAGE_CLOCK, NULL, 0,
                    "the clock was set; inspecting every certificate again");
        manager->next_inspection = 0;
        (void)sd_event_source_set_enabled(manager->inspections, SD_EVENT_ON);
}

/* --- Another configuration --- */

static void apply_limits(struct manager *manager) {
        struct environment *env = &manager->env;

        env->issuances_per_hour = manager->config->limits.issuances_per_hour;
        slots_resize(&env->slots, manager->config->limits.concurrent_renewals);
}

static void warn_restart_needed(const struct manager *manager, const struct config *new) {
        static const char later[] = "option `%s` has changed; restart rekeyd to apply it";

        if (!streq(manager->state_directory, new->state_directory))
                events_emit(manager->env.observers.events, NULL, LOG_WARNING, MESSAGE_WARNING, NULL, 0, later,
                            "state_directory");
        if (manager->key_workers != new->limits.key_workers)
                events_emit(manager->env.observers.events, NULL, LOG_WARNING, MESSAGE_WARNING, NULL, 0, later,
                            "limits.key_workers");
}

/* A file that is being copied, or that a full disk has cut off, reads like one with nothing in it. */
static int check_emptied(const struct manager *manager, const struct config *config, struct error *error) {
        if (config->n_certificates > 0 || manager->fleet.n == 0)
                return 0;
        return error_set(error, -ENODATA,
                         "%s has no certificates, as a truncated file would; to manage none, stop rekeyd",
                         manager->config_path);
}

/* Borrowed from CONFIG. */
static struct kube_place kube_place(const struct config *config) {
        return (struct kube_place) { .path = config->kubernetes.kubeconfig,
                                     .context = config->kubernetes.context };
}

static bool has_same_kube(const struct config *a, const struct config *b) {
        return streq_null(a->kubernetes.kubeconfig, b->kubernetes.kubeconfig) &&
               streq_null(a->kubernetes.context, b->kubernetes.context);
}

static bool has_secret_export(const struct config_certificate *certificate) {
        for (size_t i = 0; i < certificate->n_exports; i++)
                if (certificate->exports[i].secret)
                        return true;
        return false;
}

/* Another API server has none of the Secrets yet. */
static void inspect_secret_exports(const struct fleet *fleet) {
        for (size_t i = 0; i < fleet->n; i++)
                if (has_secret_export(certificate_config(fleet->certificates[i])))
                        certificate_inspect(fleet->certificates[i]);
}

/* Nothing in here can fail. */
static struct fleet_changes commit_plan(struct manager *manager, struct config *config,
                                        struct fleet_plan *plan) {
        const bool is_budget_raised = config->limits.issuances_per_hour > manager->env.issuances_per_hour;
        _cleanup_(config_freep) struct config *before = manager->config;
        struct fleet *fleet = &manager->fleet;
        struct fleet_changes changes;

        warn_restart_needed(manager, config);
        manager->config = config;
        log_configure(config->log.format, config->log.level);
        apply_limits(manager);
        changes = fleet_change(fleet, plan, config);
        if (!has_same_kube(before, config))
                inspect_secret_exports(fleet);
        for (size_t i = 0; is_budget_raised && i < fleet->n; i++)
                certificate_raise_budget(fleet->certificates[i]);

        manager->metrics_source.n = fleet->n;
        if (metrics_file_set_path(manager->metrics_file, config->metrics.textfile) < 0)
                log_error("metrics file %s: not written: out of memory", config->metrics.textfile);
        return changes;
}

/* All that can fail comes before the first change. */
static int apply_config(struct config *config, struct fleet_changes *ret, void *userdata,
                        struct error *error) {
        struct manager *manager = userdata;
        struct control_sockets sockets = CONTROL_SOCKETS_NONE;
        _cleanup_(fleet_plan_clear) struct fleet_plan plan = { 0 };
        _cleanup_(error_clear) struct error late = ERROR_INIT;
        const struct kube_place place = kube_place(config);
        int r;

        r = check_emptied(manager, config, error);
        if (r < 0)
                return r;
        r = control_open(manager->control, config, &sockets, error);
        if (r < 0)
                return r;
        r = fleet_plan_make(&manager->fleet, &manager->env, config, &plan, error);
        if (r == 0 && !has_same_kube(manager->config, config))
                r = kube_client_move(manager->env.kube, &place);
        if (r < 0) {
                control_cancel(config, &sockets);
                return error->code != 0 ? r : error_set(error, r, "out of memory");
        }
        if (control_use(manager->control, config, &sockets, &late) < 0)
                log_error("%s", error_text(&late));
        *ret = commit_plan(manager, config, &plan);
        return 0;
}

static void on_reload_ended(bool is_good, void *userdata) {
        struct manager *manager = userdata;

        metrics_count_reload(&manager->metrics, is_good, now_usec(CLOCK_REALTIME));
        metrics_file_changed(manager->metrics_file);
        spare_memory_schedule(&manager->spare); /* the old configuration */
        if (fleet_is_ready(&manager->fleet))
                service_ready();
}

void manager_reload(struct manager *manager) {
        reload_request(manager->reload);
}

/* --- Start and end --- */

/* The names of all certificates, in their order. */
struct names {
        const char **items;
        size_t n;
};

static int compare_names(const void *a, const void *b) {
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_configured(const char *name, void *userdata) {
        const struct names *names = userdata;

        return bsearch(&name, names->items, names->n, sizeof(*names->items), compare_names);
}

static int open_state_directory(const struct config *config, struct error *error) {
        struct names names = { .items = calloc(config->n_certificates + 1, sizeof(*names.items)) };
        int r;

        if (!names.items)
                return error_set(error, -ENOMEM, "out of memory");
        for (; names.n < config->n_certificates; names.n++)
                names.items[names.n] = config->certificates[names.n].name;
        qsort(names.items, names.n, sizeof(*names.items), compare_names);
        r = state_file_open_directory(config->state_directory, is_configured, &names, error);
        free(names.items);
        return r;
}

static int start_services(struct environment *env, struct config *config, struct error *error) {
        struct loop_services *services = &env->services;
        int r;

        r = open_state_directory(config, error);
        if (r < 0)
                return r;
        env->state_directory.fd = r;
        r = seals_new(env->state_directory.fd, &env->seals);
        if (r < 0)
                return error_set(error, r, "out of memory");
        r = workers_new(services->event,
                        config->limits.key_workers > 0 ? config->limits.key_workers : processors(),
                        &services->key_workers);
        if (r == 0)
                r = workers_new(services->event, DISK_WORKERS, &services->disk_workers);
        if (r == 0)
                r = workers_new(services->event, DISK_WORKERS, &services->export_workers);
        if (r == 0)
                r = key_maker_new(services->event, &env->key_maker);
        if (r < 0)
                return error_set_errno(error, r, "cannot start worker threads");
        env->state_directory.workers = services->disk_workers;
        env->state_directory.stopping = &services->stopping;
        r = curl_glue_new(services->event, true, &services->curl);
        if (r < 0)
                return error_set_errno(error, r, "cannot start libcurl");
        r = children_new(services->event, &services->children);
        if (r < 0)
                return error_set_errno(error, r, "cannot await the ends of processes");
        return 0;
}

/* Whether there is an API server is found out when it is called. */
static int start_kube(struct manager *manager, const struct config *config) {
        const struct kube_place place = kube_place(config);

        if (kube_loop_new(&manager->env.services, &manager->kube_loop) < 0)
                return -ENOMEM;
        return kube_client_new(kube_loop_host(manager->kube_loop), &place, "rekeyd/" REKEYD_VERSION,
                               &manager->env.kube);
}

static void on_reload(void *userdata) {
        manager_reload(userdata);
}

/* The sockets are there before the service is ready, and report until then that it is not. */
static int start_serving(struct manager *manager, struct error *error) {
        const struct control_options options = {
                .event = manager->env.services.event,
                .workers = manager->env.services.disk_workers,
                .stopping = &manager->env.services.stopping,
                .state_fd = manager->env.state_directory.fd,
                .config_path = manager->config_path,
                .fleet = &manager->fleet,
                .slots = &manager->env.slots,
                .events = manager->env.observers.events,
                .metrics = &manager->metrics,
                .kube_host = kube_loop_host(manager->kube_loop),
                .reload = on_reload,
                .userdata = manager,
        };
        struct control_sockets sockets = CONTROL_SOCKETS_NONE;
        int r;

        r = control_new(&options, &manager->control);
        if (r < 0)
                return error_set(error, r, "out of memory");
        r = control_open(manager->control, manager->config, &sockets, error);
        if (r == 0)
                r = control_use(manager->control, manager->config, &sockets, error);
        return r;
}

static int start_reloads(struct manager *manager, struct error *error) {
        const struct reload_options options = {
                .workers = manager->env.services.disk_workers,
                .events = manager->env.observers.events,
                .config_path = manager->config_path,
                .apply = apply_config,
                .ended = on_reload_ended,
                .userdata = manager,
        };

        if (reload_new(&options, &manager->reload) < 0 ||
            status_line_new(manager->env.services.event, &manager->fleet, &manager->status_line) < 0)
                return error_set(error, -ENOMEM, "out of memory");
        return 0;
}

static int start_metrics_file(struct manager *manager, struct error *error) {
        int r;

        manager->metrics_source = fleet_metrics_source(&manager->fleet);
        r = metrics_file_new(manager->env.services.event, manager->env.services.disk_workers,
                             &manager->metrics, &manager->metrics_source, METRICS_FILE_EVERY_USEC,
                             &manager->metrics_file);
        if (r == 0)
                r = metrics_file_set_path(manager->metrics_file, manager->config->metrics.textfile);
        return r < 0 ? error_set(error, r, "out of memory") : 0;
}

static const struct environment_ops environment_ops = {
        .inspected = on_inspected,
        .other_issuers = on_other_issuers,
        .changed = on_changed,
        .retired = on_retired,
        .settled = on_settled,
};

int manager_new(sd_event *event, struct config *config, const char *config_path, bool once,
                struct manager **ret, struct error *error) {
        _cleanup_(manager_freep) struct manager *manager = NULL;
        _cleanup_(fleet_plan_clear) struct fleet_plan plan = { 0 };
        sd_id128_t boot_id;
        int r;

        manager = calloc(1, sizeof(*manager));
        if (!manager) {
                config_free(config);
                return error_set(error, -ENOMEM, "out of memory");
        }
        manager->config = config;
        manager->spare.event = event;
        manager->env = (struct environment) {
                .services.event = sd_event_ref(event),
                .observers.metrics = &manager->metrics,
                .state_directory = { .fd = -1,
                                     .was_replaced = on_state_directory_replaced,
                                     .userdata = manager,
                                     .lock = PTHREAD_MUTEX_INITIALIZER },
                .coarse = { .event = event, .slack_usec = USEC_PER_MINUTE },
                .due = { .event = event, .clock = CLOCK_REALTIME },
                .backoffs = { .event = event, .clock = CLOCK_BOOTTIME },
                .once = once,
                .ops = &environment_ops,
        };
        manager->metrics.started_usec = now_usec(CLOCK_REALTIME);
        derive_machine_id(&manager->env);
        if (sd_id128_get_boot(&boot_id) == 0)
                memcpy(manager->env.state_directory.boot_id, boot_id.bytes,
                       sizeof(manager->env.state_directory.boot_id));
        apply_limits(manager);
        r = events_new(&manager->env.observers.events);
        if (r < 0)
                return error_set(error, r, "out of memory");
        r = start_services(&manager->env, config, error);
        if (r < 0)
                return r;

        r = sd_event_add_defer(event, &manager->inspections, on_inspections, manager);
        if (r >= 0)
                r = sd_event_source_set_enabled(manager->inspections, SD_EVENT_OFF);
        if (r >= 0)
                r = once ? 0 : clock_watch(event, on_clock_set, manager, &manager->clock);
        if (r < 0)
                return error_set_errno(error, r, "cannot watch the clock");

        manager->key_workers = config->limits.key_workers;
        manager->env.state_directory.path = manager->state_directory = strdup(config->state_directory);
        manager->config_path = strdup(config_path);
        if (!manager->state_directory || !manager->config_path || start_kube(manager, config) < 0)
                return error_set(error, -ENOMEM, "out of memory");
        r = fleet_plan_make(&manager->fleet, &manager->env, config, &plan, error);
        if (r < 0)
                return r;
        fleet_begin(&manager->fleet, &plan);
        manager->n_unsettled = manager->fleet.n;
        if (!once) {
                r = start_reloads(manager, error);
                if (r == 0)
                        r = start_serving(manager, error);
                if (r < 0)
                        return r;
        }
        r = start_metrics_file(manager, error);
        if (r < 0)
                return r;

        *ret = take_ptr(manager);
        return 0;
}

static int on_extend(sd_event_source *source, _unused_ uint64_t usec, _unused_ void *userdata) {
        service_extend_start();
        (void)sd_event_source_set_time_relative(source, EXTEND_EVERY_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

void manager_start(struct manager *manager) {
        sd_event *event = manager->env.services.event;
        const struct fleet *fleet = &manager->fleet;

        events_emit(manager->env.observers.events, NULL, LOG_INFO, MESSAGE_STARTED, NULL, 0,
                    "rekeyd " REKEYD_VERSION " manages %zu certificate%s", fleet->n,
                    fleet->n == 1 ? "" : "s");
        if (fleet->n == 0) {
                service_ready();
                on_changed(&manager->env);
                if (manager->env.once)
                        sd_event_exit(event, 0);
                return;
        }
        if (!manager->env.once)
                (void)sd_event_add_time_relative(event, &manager->extend, CLOCK_BOOTTIME, EXTEND_EVERY_USEC,
                                                 0, on_extend, NULL);
        for (size_t i = 0; i < fleet->n; i++)
                certificate_start(fleet->certificates[i]);
        if (manager->reload)
                reload_check(manager->reload, manager->config);
}

struct metrics *manager_metrics(struct manager *manager) {
        return &manager->metrics;
}

struct manager *manager_free(struct manager *manager) {
        if (!manager)
                return NULL;
        /* The threads first: what they work on belongs to the certificates. A key that is being made is given
         * up; a commit is finished. */
        atomic_store(&manager->env.services.stopping, true);
        key_maker_stop(manager->env.key_maker); /* a key worker may wait for it */
        workers_free(manager->env.services.key_workers);
        workers_free(manager->env.services.disk_workers);
        workers_free(manager->env.services.export_workers);
        seals_free(manager->env.seals);
        control_free(manager->control);
        metrics_file_free(manager->metrics_file);
        reload_free(manager->reload);
        fleet_clear(&manager->fleet);
        key_maker_free(manager->env.key_maker);
        status_line_free(manager->status_line);
        slots_clear(&manager->env.slots);
        coarse_timers_clear(&manager->env.coarse);
        exact_timers_clear(&manager->env.due);
        exact_timers_clear(&manager->env.backoffs);
        sd_event_source_disable_unref(manager->clock);
        spare_memory_clear(&manager->spare);
        sd_event_source_disable_unref(manager->extend);
        sd_event_source_disable_unref(manager->inspections);
        kube_client_free(manager->env.kube);
        kube_loop_free(manager->kube_loop);
        curl_glue_free(manager->env.services.curl);
        children_free(manager->env.services.children); /* what the certificates have released */
        events_free(manager->env.observers.events);
        fd_close(manager->env.state_directory.fd);
        sd_event_unref(manager->env.services.event);
        config_free(manager->config);
        free(manager->state_directory);
        free(manager->config_path);
        free(manager);
        return NULL;
}
