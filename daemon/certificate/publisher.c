/*
 * The order is what makes it safe against a kill at any moment: what is pending is in the state file first,
 * then the exports are written, then the dependents are notified. A set that the state file does not name is
 * one that no dependent was notified of; an export is stale when its bytes say so. So the next start finds
 * out by itself where this one ended.
 */

#include "daemon/certificate/publisher.h"

#include <limits.h>
#include <stdio.h>

#include "daemon/certificate/exports-run.h"
#include "daemon/loop/backoff.h"
#include "daemon/observe/events.h"
#include "daemon/observe/messages.h"

/* A dependent that takes longer does not hold up the next. */
#define PATIENCE_USEC (5 * USEC_PER_SEC)

static void on_idle(void *userdata) {
        struct publisher *publisher = userdata;

        publisher->ops->idle(publisher);
}

void publisher_init(struct publisher *publisher, const struct core *core, const struct publisher_ops *ops) {
        *publisher = (struct publisher) { .core = core, .ops = ops };
}

void publisher_clear(struct publisher *publisher) {
        publisher_stop_waiting(publisher);
        publisher->run = exports_run_free(publisher->run);
        export_notes_clear(&publisher->notes);
        publisher->notifications = notifications_free(publisher->notifications);
}

int publisher_configure(struct publisher *publisher) {
        const struct core *core = publisher->core;
        const struct notifications_options options = {
                .services = &core->env->services,
                .observers = &core->env->observers,
                .certificate = core->config,
                .config = core->owner,
                .state_file = core->state_file,
                .places = &core->env->places,
                .patience_usec = PATIENCE_USEC,
                .retry = !core->env->once,
                .idle = on_idle,
                .userdata = publisher,
        };

        struct notifications *before = take_ptr(publisher->notifications);
        int r = 0;

        if (core->config->n_notify > 0 || (before && notifications_is_under_way(before)))
                r = notifications_new(&options, before, &publisher->notifications);
        notifications_free(before);
        return r;
}

/* --- Exports --- */

static int on_export_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        struct publisher *publisher = userdata;

        publisher->ops->retry(publisher);
        return 0;
}

/* An export that could not be written is tried again, as a notification is, until it works. How long until
 * then; 0 when it is not. */
/* An old CA leaves an export when its time has come. */
static void arm_end(struct publisher *publisher, usec_t end) {
        const struct core *core = publisher->core;

        if (end == USEC_INFINITY || core->env->once || core->is_retired)
                return;
        if (sd_event_add_time(core->env->services.event, &publisher->export_timer, CLOCK_REALTIME, end, 0,
                              on_export_timer, publisher) < 0)
                log_error("%s: out of memory; an old CA stays in the exports until the next inspection",
                          core->config->name);
}

static usec_t arm_timer(struct publisher *publisher, bool has_failed) {
        const struct core *core = publisher->core;
        usec_t wait;

        publisher_stop_waiting(publisher);
        if (!has_failed) {
                publisher->n_failures = 0;
                return 0;
        }
        publisher->has_failed = true;
        if (publisher->n_failures < UINT_MAX)
                publisher->n_failures++;
        if (core->env->once || core->is_retired)
                return 0;
        wait = backoff_for_ever(FAILURE_LOCAL, publisher->n_failures);
        if (sd_event_add_time_relative(core->env->services.event, &publisher->export_timer, CLOCK_BOOTTIME,
                                       wait, 0, on_export_timer, publisher) < 0) {
                log_error("%s: out of memory; exports are tried again at the next inspection only",
                          core->config->name);
                return 0;
        }
        return wait;
}

static void log_result(const struct publisher *publisher, const struct export *export,
                       const struct export_result *result, usec_t wait_usec) {
        const struct core *core = publisher->core;
        const char *target = export_name(export);
        const char *name = core->config->name, *error = NULL;
        const bool has_set = facts_has_set(&core->facts);
        char generation[24], span[TIMESPAN_MAX];
        const struct log_field fields[] = {
                { FIELD_CERTIFICATE, name },
                { FIELD_EXPORT, target },
                { FIELD_GENERATION, has_set ? generation : NULL },
                { FIELD_ERROR, result->error.code != 0 ? error_text(&result->error) : NULL },
        };

        snprintf(generation, sizeof(generation), "%" PRIu64, core->facts.generation);
        error = fields[ELEMENTSOF(fields) - 1].value;
        if (result->warning)
                events_emit(core->env->observers.events, core->state_file, LOG_WARNING, MESSAGE_WARNING,
                            fields, ELEMENTSOF(fields), "%s: %s", name, result->warning);
        if (result->is_written)
                events_emit(core->env->observers.events, core->state_file, LOG_INFO, MESSAGE_EXPORTED, fields,
                            ELEMENTSOF(fields), "%s: wrote export %s of generation %s", name, target,
                            generation);
        else if (error && result->is_stale && wait_usec > 0)
                events_emit(core->env->observers.events, core->state_file,
                            log_repeated(LOG_ERR, publisher->n_failures), MESSAGE_NOT_EXPORTED, fields,
                            ELEMENTSOF(fields), "%s: %s; retrying %s", name, error,
                            format_delay(span, wait_usec));
        else if (error)
                events_emit(
                        core->env->observers.events, core->state_file, LOG_ERR, MESSAGE_NOT_EXPORTED, fields,
                        ELEMENTSOF(fields),
                        result->is_stale ? "%s: %s"
                        : has_set ? "%s: an export is current, but its next version could not be written: %s"
                                  : "%s: there is no certificate yet, and an export of it could not be "
                                    "written: %s",
                        name, error);
}

/* All that could be done for the exports is done. */
static void finish(struct publisher *publisher) {
        const struct core *core = publisher->core;
        const struct exports_run *run = publisher->run;
        const unsigned n_failed = export_notes_count(run, core);
        usec_t wait_usec;

        wait_usec = arm_timer(publisher, n_failed > 0);
        export_notes_take(&publisher->notes, run, core, wait_usec);
        if (run && n_failed == 0)
                arm_end(publisher, exports_run_end(run));
        for (size_t i = 0; run && i < core->config->n_exports; i++) {
                const struct export *export = &core->config->exports[i];
                const struct export_result *result = exports_run_result(run, i);

                if (result->is_written && export->path)
                        publisher->ops->wrote(publisher, export);
                log_result(publisher, export, result, wait_usec);
        }
        publisher->run = exports_run_free(publisher->run);
        if (facts_has_set(&core->facts))
                publisher_start(publisher);
        publisher->ops->published(publisher);
}

/* --- Notifications --- */

static void schedule(struct publisher *publisher, int (*how)(struct notifications *notifications)) {
        if (how(publisher->notifications) < 0)
                log_error("%s: out of memory; some dependents are notified at the next renewal only",
                          publisher->core->config->name);
}

static void on_exports_written(void *userdata) {
        struct publisher *publisher = userdata;
        bool any_written = false;

        for (size_t i = 0; i < publisher->core->config->n_exports; i++)
                any_written = any_written || exports_run_result(publisher->run, i)->is_written;
        if (publisher->notifications && !publisher->is_news) {
                if (any_written)
                        schedule(publisher, notifications_schedule_again);
                else
                        notifications_cancel(publisher->notifications);
                state_file_save(publisher->core->state_file);
        }
        finish(publisher);
}

/* What is pending is on disk, or could not be saved: that is in the log, and no reason to notify nobody. */
static void on_scheduled(_unused_ int r, _unused_ const char *error, void *userdata) {
        struct publisher *publisher = userdata;

        if (publisher->run && exports_run_has_work(publisher->run))
                exports_run_write(publisher->run, on_exports_written, publisher);
        else
                finish(publisher);
}

static void on_checked(void *userdata) {
        struct publisher *publisher = userdata;
        const struct core *core = publisher->core;
        struct state *state = &core->state_file->state;
        const bool has_work = publisher->run && exports_run_has_work(publisher->run);
        bool is_new_expiry;

        if (!facts_has_set(&core->facts)) {
                finish(publisher);
                return;
        }
        is_new_expiry = state->expiry != core->facts.expiry;
        publisher->is_news = facts_save(&core->facts, state);

        if (!publisher->notifications || !(publisher->is_news || has_work)) {
                /* Where nobody is to be notified, a set alone is not worth a file. */
                if ((publisher->is_news || is_new_expiry) && core->state_file->has_file)
                        state_file_save(core->state_file);
                on_scheduled(0, NULL, publisher);
                return;
        }
        schedule(publisher, notifications_schedule);
        state_file_save_then(core->state_file, on_scheduled, publisher);
}

void publisher_publish(struct publisher *publisher, const struct set *set, bool closely) {
        const struct core *core = publisher->core;

        publisher->run = exports_run_new(core->env->services.export_workers, core->env->kube, core->config,
                                         set, &core->state_file->state, closely);
        if (publisher->run)
                exports_run_check(publisher->run, on_checked, publisher);
        else
                on_checked(publisher);
}

void publisher_start(struct publisher *publisher) {
        if (publisher->notifications)
                notifications_start(publisher->notifications);
}

int publisher_notify_again(struct publisher *publisher) {
        int r;

        r = notifications_schedule_again(publisher->notifications);
        state_file_save(publisher->core->state_file);
        return r;
}

bool publisher_is_waiting(const struct publisher *publisher) {
        return publisher->export_timer;
}

void publisher_stop_waiting(struct publisher *publisher) {
        publisher->export_timer = sd_event_source_disable_unref(publisher->export_timer);
}

bool publisher_is_busy(const struct publisher *publisher) {
        return publisher->notifications && notifications_is_busy(publisher->notifications);
}

bool publisher_has_dependents(const struct publisher *publisher) {
        return publisher->core->config->n_notify > 0;
}

unsigned publisher_n_pending(const struct publisher *publisher) {
        return publisher->notifications ? notifications_n_pending(publisher->notifications) : 0;
}
