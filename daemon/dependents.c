/*
 * What is owed to whom. Each dependent has one number, the generation that it must still be told of, and one
 * wish: to be told of the newest. A renewal raises the number; a delivery lowers it again; a failure sets a
 * timer and lets the next dependent go on. None of this can start a renewal.
 */

#include "daemon/dependents.h"

#include <stdio.h>
#include <sys/random.h>

#include "daemon/delivery.h"
#include "daemon/messages.h"

struct dependent {
        struct dependents *owner;
        const struct config_notify *config;
        char *label; /* "command /usr/bin/x", "SIGHUP by /run/x.pid" */
        bool owed;
        bool tried;        /* since the last notice */
        unsigned failures; /* in a row */
        sd_event_source *retry;
};

struct dependents {
        sd_event *event;
        const struct config_certificate *certificate;
        bool retry;
        dependents_settled_t settled;
        void *userdata;

        uint64_t generation;
        char fingerprint[80];

        sd_event_source *next; /* deferred: chooses what to deliver next */
        struct delivery *running;
        struct dependent *current;
        uint64_t current_generation;
        size_t n;
        struct dependent items[];
};

static int dependent_label(struct dependent *dependent) {
        const struct config_notify *config = dependent->config;
        int n = -1;

        switch (config->kind) {
        case NOTIFY_COMMAND:
                n = asprintf(&dependent->label, "command %s", config->command[0]);
                break;
        case NOTIFY_SIGNAL:
                n = asprintf(&dependent->label, "SIG%s to the process of %s", sigabbrev_np(config->signal),
                             config->pid_file);
                break;
        case NOTIFY_MAX:
                break;
        }
        if (n < 0)
                dependent->label = NULL;
        return n < 0 ? -ENOMEM : 0;
}

static void schedule_next(struct dependents *dependents) {
        sd_event_source_set_enabled(dependents->next, SD_EVENT_ONESHOT);
}

static int on_retry(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        struct dependent *dependent = userdata;

        dependent->retry = sd_event_source_disable_unref(dependent->retry);
        dependent->tried = false;
        schedule_next(dependent->owner);
        return 0;
}

static void arm_retry(struct dependent *dependent, usec_t wait_usec) {
        sd_event_source_disable_unref(take_ptr(dependent->retry));
        if (sd_event_add_time_relative(dependent->owner->event, &dependent->retry, CLOCK_BOOTTIME, wait_usec,
                                       0, on_retry, dependent) < 0)
                log_error("%s: out of memory; %s is told with the next renewal only",
                          dependent->owner->certificate->name, dependent->label);
}

static usec_t retry_span(const struct dependent *dependent) {
        static const struct schedule_policy policy = { 0 };
        uint32_t random = 0;

        (void)getrandom(&random, sizeof(random), GRND_NONBLOCK);
        return schedule_backoff(&policy, FAILURE_TRANSIENT, dependent->failures, random, 0, 0);
}

static void log_result(const struct dependent *dependent, const char *error, usec_t wait_usec) {
        const struct dependents *dependents = dependent->owner;
        const char *name = dependents->certificate->name;
        char generation[24], span[TIMESPAN_MAX];
        const struct log_field fields[] = {
                { FIELD_CERTIFICATE, name },      { FIELD_DEPENDENT, dependent->label },
                { FIELD_GENERATION, generation }, { FIELD_FINGERPRINT, dependents->fingerprint },
                { FIELD_ERROR, error },
        };

        snprintf(generation, sizeof(generation), "%" PRIu64, dependents->current_generation);
        if (!error)
                log_fields(LOG_INFO, MESSAGE_NOTIFIED, fields, ELEMENTSOF(fields),
                           "%s: told of generation %s: %s", name, generation, dependent->label);
        else if (dependents->retry)
                log_fields(LOG_ERR, MESSAGE_NOT_NOTIFIED, fields, ELEMENTSOF(fields),
                           "%s: a dependent was not told of generation %s: %s; trying again in %s", name,
                           generation, error, format_timespan(span, wait_usec));
        else
                log_fields(LOG_ERR, MESSAGE_NOT_NOTIFIED, fields, ELEMENTSOF(fields),
                           "%s: a dependent was not told of generation %s: %s", name, generation, error);
}

static void finish(struct dependents *dependents, const char *error) {
        struct dependent *dependent = take_ptr(dependents->current);
        usec_t wait_usec = 0;

        dependent->tried = true;
        if (!error) {
                dependent->failures = 0;
                /* A renewal during the delivery leaves the newer generation owed. */
                if (dependents->current_generation == dependents->generation)
                        dependent->owed = false;
                else
                        dependent->tried = false;
        } else {
                dependent->failures++;
                if (dependents->retry) {
                        wait_usec = retry_span(dependent);
                        arm_retry(dependent, wait_usec);
                }
        }
        log_result(dependent, error, wait_usec);
        schedule_next(dependents);
}

static void on_command_done(const char *error, void *userdata) {
        struct dependents *dependents = userdata;

        finish(dependents, error);
        dependents->running = delivery_free(dependents->running);
}

static void deliver(struct dependents *dependents, struct dependent *dependent) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        const struct notice notice = {
                .generation = dependents->generation,
                .certificate = dependents->certificate->name,
                .directory = dependents->certificate->directory,
                .fingerprint = dependents->fingerprint,
        };
        int r;

        dependents->current = dependent;
        dependents->current_generation = dependents->generation;

        if (dependent->config->kind == NOTIFY_SIGNAL)
                r = delivery_send_signal(dependent->config, &error);
        else {
                r = delivery_run_command(dependents->event, dependent->config, &notice, on_command_done,
                                         dependents, &dependents->running);
                if (r == 0)
                        return;
                error_set_errno(&error, r, "cannot run command %s", dependent->config->command[0]);
        }
        finish(dependents, r < 0 ? error_text(&error) : NULL);
}

static int on_next(_unused_ sd_event_source *source, void *userdata) {
        struct dependents *dependents = userdata;

        if (dependents->current)
                return 0;
        for (size_t i = 0; i < dependents->n; i++)
                if (dependents->items[i].owed && !dependents->items[i].tried) {
                        deliver(dependents, &dependents->items[i]);
                        return 0;
                }
        if (dependents_owed(dependents) == 0 || !dependents->retry)
                dependents->settled(dependents_owed(dependents) == 0, dependents->userdata);
        return 0;
}

int dependents_new(sd_event *event, const struct config_certificate *certificate, bool retry,
                   dependents_settled_t settled, void *userdata, struct dependents **ret) {
        _cleanup_(dependents_freep) struct dependents *dependents = NULL;
        int r;

        dependents = calloc(1, sizeof(*dependents) + certificate->n_notify * sizeof(*dependents->items));
        if (!dependents)
                return -ENOMEM;
        dependents->event = sd_event_ref(event);
        dependents->certificate = certificate;
        dependents->retry = retry;
        dependents->settled = settled;
        dependents->userdata = userdata;

        for (; dependents->n < certificate->n_notify; dependents->n++) {
                struct dependent *dependent = &dependents->items[dependents->n];

                dependent->owner = dependents;
                dependent->config = &certificate->notify[dependents->n];
                r = dependent_label(dependent);
                if (r < 0)
                        return r;
        }

        r = sd_event_add_defer(event, &dependents->next, on_next, dependents);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(dependents->next, SD_EVENT_OFF);
        if (r < 0)
                return r;

        *ret = take_ptr(dependents);
        return 0;
}

void dependents_owe(struct dependents *dependents, const struct notice *notice) {
        dependents->generation = notice->generation;
        snprintf(dependents->fingerprint, sizeof(dependents->fingerprint), "%s", notice->fingerprint);
        for (size_t i = 0; i < dependents->n; i++) {
                struct dependent *dependent = &dependents->items[i];

                dependent->owed = true;
                dependent->tried = false;
                dependent->retry = sd_event_source_disable_unref(dependent->retry);
        }
        schedule_next(dependents);
}

unsigned dependents_owed(const struct dependents *dependents) {
        unsigned n = 0;

        for (size_t i = 0; i < dependents->n; i++)
                n += dependents->items[i].owed;
        return n;
}

struct dependents *dependents_free(struct dependents *dependents) {
        if (!dependents)
                return NULL;
        delivery_free(dependents->running);
        sd_event_source_disable_unref(dependents->next);
        for (size_t i = 0; i < dependents->n; i++) {
                sd_event_source_disable_unref(dependents->items[i].retry);
                free(dependents->items[i].label);
        }
        sd_event_unref(dependents->event);
        free(dependents);
        return NULL;
}
