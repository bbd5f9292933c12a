/*
 * What is owed to whom. Each dependent has one wish: to be told of the newest set. What it must still be told
 * of stands in the journal of the certificate, so a restart goes on where the last run ended; a delivery
 * takes it out, a failure sets a timer and lets the next dependent go on. None of this can start a renewal.
 *
 * A delivery is taken out of the journal after it was made: a kill in between makes it once more. So it is at
 * least once, and a dependent is told of the newest set only.
 */

#include "daemon/delivery/notifications.h"

#include <stdio.h>

#include "daemon/delivery/delivery.h"
#include "daemon/loop/backoff.h"
#include "daemon/observe/events.h"
#include "daemon/observe/messages.h"
#include "daemon/observe/metrics.h"
#include "lib/util/hash.h"

struct dependent {
        struct notifications *owner;
        const struct config_notify *config;
        char *label;                 /* "command /usr/bin/x", "signal HUP /run/x.pid" */
        char key[CONFIG_NOTIFY_KEY]; /* in the journal */
        bool tried;                  /* since the last notice */
        bool is_new;                 /* owed since the last notifications_schedule(), not before */
        bool again;                  /* owed anew during its delivery */
        sd_event_source *retry;
};

struct notifications {
        struct notifications_options options;
        bool is_held;

        sd_event_source *next; /* deferred: chooses what to deliver next */
        struct delivery *running;
        struct dependent *current;
        uint64_t current_generation;
        size_t n;
        struct dependent items[];
};

#define WAY(kind, start) [kind] = start,
static delivery_start_t *const ways[] = { DELIVERY_WAYS(WAY) };
static_assert(ELEMENTSOF(ways) == NOTIFY_MAX, "every kind has its way");

static struct state_pending *owed_to(const struct dependent *dependent) {
        return state_find_pending(&dependent->owner->options.state_file->state, dependent->key);
}

static void schedule_next(struct notifications *notifications) {
        if (!notifications->is_held)
                sd_event_source_set_enabled(notifications->next, SD_EVENT_ONESHOT);
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
        if (sd_event_add_time_relative(dependent->owner->options.services->event, &dependent->retry,
                                       CLOCK_BOOTTIME, wait_usec, 0, on_retry, dependent) < 0)
                log_error("%s: out of memory; %s is notified at the next renewal only",
                          dependent->owner->options.certificate->name, dependent->label);
}

static void log_result(const struct dependent *dependent, const char *error, unsigned failures,
                       usec_t wait_usec) {
        const struct notifications *notifications = dependent->owner;
        const char *name = notifications->options.certificate->name;
        struct events *events = notifications->options.observers->events;
        char generation[24], span[TIMESPAN_MAX];
        const struct log_field fields[] = {
                { FIELD_CERTIFICATE, name },
                { FIELD_DEPENDENT, dependent->label },
                { FIELD_GENERATION, generation },
                { FIELD_FINGERPRINT, notifications->options.state_file->state.fingerprint },
                { FIELD_ERROR, error },
        };

        snprintf(generation, sizeof(generation), "%" PRIu64, notifications->current_generation);
        if (!error)
                events_emit(events, notifications->options.state_file, LOG_INFO, MESSAGE_NOTIFIED, fields,
                            ELEMENTSOF(fields), "%s: notified %s of generation %s", name, dependent->label,
                            generation);
        else if (notifications->options.retry)
                events_emit(events, notifications->options.state_file, log_repeated(LOG_ERR, failures),
                            MESSAGE_NOT_NOTIFIED, fields, ELEMENTSOF(fields),
                            "%s: could not notify a dependent of generation %s: %s; retrying %s", name,
                            generation, error, format_delay(span, wait_usec));
        else
                events_emit(events, notifications->options.state_file, LOG_ERR, MESSAGE_NOT_NOTIFIED, fields,
                            ELEMENTSOF(fields), "%s: could not notify a dependent of generation %s: %s", name,
                            generation, error);
}

static void finish(struct notifications *notifications, const char *error) {
        struct dependent *dependent = take_ptr(notifications->current);
        struct metrics *metrics = notifications->options.observers->metrics;
        struct state_pending *pending = owed_to(dependent);
        usec_t wait_usec = 0;

        if (metrics && error)
                metrics->notification_failures++;
        else if (metrics)
                metrics->notifications++;
        dependent->tried = true;
        if (!pending)
                ; /* it was withdrawn meanwhile */
        else if (!error && !dependent->again)
                state_remove_pending(&notifications->options.state_file->state, dependent->key);
        else if (!error)
                dependent->tried = false;
        else {
                pending->failures++;
                state_keep_error(&pending->error, error);
                if (notifications->options.retry) {
                        wait_usec = backoff_for_ever(FAILURE_TRANSIENT, pending->failures);
                        pending->next_attempt_usec = usec_add(now_usec(CLOCK_REALTIME), wait_usec);
                        arm_retry(dependent, wait_usec);
                }
        }
        log_result(dependent, error, pending && error ? pending->failures : 1, wait_usec);
        state_file_save(notifications->options.state_file);
        schedule_next(notifications);
}

static void on_done(const char *error, void *userdata) {
        struct notifications *notifications = userdata;

        finish(notifications, error);
        notifications->running = delivery_free(notifications->running);
}

static void deliver(struct notifications *notifications, struct dependent *dependent) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        const struct state *state = &notifications->options.state_file->state;
        const struct notice notice = {
                .generation = state->generation,
                .certificate = notifications->options.certificate->name,
                .directory = notifications->options.certificate->directory,
                .fingerprint = state->fingerprint,
        };
        int r;

        notifications->current = dependent;
        notifications->current_generation = state->generation;
        dependent->again = false;

        r = ways[dependent->config->kind](notifications->options.services, dependent->config, &notice,
                                          on_done, notifications, &notifications->running, &error);
        if (r == 0 && notifications->running)
                return;
        finish(notifications, r < 0 ? error_text(&error) : NULL);
}

static int on_next(_unused_ sd_event_source *source, void *userdata) {
        struct notifications *notifications = userdata;

        if (notifications->current || notifications->is_held)
                return 0;
        for (size_t i = 0; i < notifications->n; i++)
                if (owed_to(&notifications->items[i]) && !notifications->items[i].tried) {
                        deliver(notifications, &notifications->items[i]);
                        return 0;
                }
        notifications->options.idle(notifications->options.userdata);
        return 0;
}

/* What is owed to nobody in the configuration was owed to an entry that was corrected since, maybe because it
 * could not be told. It is not known into which one; so all are told, and to hear it twice hurts nobody. */
static int pass_on_debts(struct notifications *notifications) {
        struct state *state = &notifications->options.state_file->state;
        bool any = false;
        int r;

        for (size_t i = state->n_pending; i-- > 0;) {
                const char *key = state->pending[i].key;
                bool known = false;

                for (size_t j = 0; j < notifications->n; j++)
                        known = known || streq(notifications->items[j].key, key);
                if (!known) {
                        state_remove_pending(state, key);
                        any = true;
                }
        }
        for (size_t i = 0; any && i < notifications->n; i++) {
                if (owed_to(&notifications->items[i]))
                        continue;
                r = state_add_pending(state, notifications->items[i].key, state->generation, NULL);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* What the last run left owed waits for as long as it would have waited there; not for ever, should a clock
 * have been set. */
static void resume(struct notifications *notifications) {
        for (size_t i = 0; i < notifications->n; i++) {
                struct dependent *dependent = &notifications->items[i];
                const struct state_pending *pending = owed_to(dependent);
                usec_t left;

                if (!pending || !notifications->options.retry)
                        continue;
                left = usec_sub(pending->next_attempt_usec, now_usec(CLOCK_REALTIME));
                if (left == 0)
                        continue;
                dependent->tried = true;
                arm_retry(dependent, left < USEC_PER_HOUR ? left : USEC_PER_HOUR);
        }
}

int notifications_new(const struct notifications_options *options, struct notifications **ret) {
        const struct config_certificate *certificate = options->certificate;
        _cleanup_(notifications_freep) struct notifications *notifications = NULL;
        int r;

        notifications =
                calloc(1, sizeof(*notifications) + certificate->n_notify * sizeof(*notifications->items));
        if (!notifications)
                return -ENOMEM;
        notifications->options = *options;
        notifications->is_held = true;

        for (; notifications->n < certificate->n_notify; notifications->n++) {
                struct dependent *dependent = &notifications->items[notifications->n];

                dependent->owner = notifications;
                dependent->config = &certificate->notify[notifications->n];
                config_notify_key(certificate, notifications->n, dependent->key);
                dependent->label = config_notify_text(dependent->config);
                if (!dependent->label)
                        return -ENOMEM;
        }

        r = sd_event_add_defer(options->services->event, &notifications->next, on_next, notifications);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(notifications->next, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = pass_on_debts(notifications);
        if (r < 0)
                return r;
        resume(notifications);

        *ret = take_ptr(notifications);
        return 0;
}

int notifications_schedule(struct notifications *notifications) {
        struct state *state = &notifications->options.state_file->state;
        int r;

        notifications->is_held = true;
        for (size_t i = 0; i < notifications->n; i++) {
                struct dependent *dependent = &notifications->items[i];
                const struct state_pending *pending = owed_to(dependent);

                dependent->is_new = !pending;
                dependent->again = notifications->current == dependent;
                if (pending && pending->generation == state->generation && !dependent->again)
                        continue; /* with its back-off: this is no news to it */
                r = state_add_pending(state, dependent->key, state->generation, NULL);
                if (r < 0)
                        return r;
                dependent->tried = false;
                dependent->retry = sd_event_source_disable_unref(dependent->retry);
        }
        return 0;
}

int notifications_schedule_again(struct notifications *notifications) {
        struct state *state = &notifications->options.state_file->state;

        for (size_t i = state->n_pending; i-- > 0;)
                state_remove_pending(state, state->pending[i].key);
        return notifications_schedule(notifications);
}

void notifications_cancel(struct notifications *notifications) {
        for (size_t i = 0; i < notifications->n; i++)
                if (notifications->items[i].is_new)
                        state_remove_pending(&notifications->options.state_file->state,
                                             notifications->items[i].key);
}

void notifications_start(struct notifications *notifications) {
        notifications->is_held = false;
        schedule_next(notifications);
}

bool notifications_is_busy(const struct notifications *notifications) {
        if (notifications->current || notifications->is_held)
                return notifications->current;
        for (size_t i = 0; i < notifications->n; i++)
                if (owed_to(&notifications->items[i]) && !notifications->items[i].tried)
                        return true;
        return false;
}

unsigned notifications_n_pending(const struct notifications *notifications) {
        unsigned n = 0;

        for (size_t i = 0; i < notifications->n; i++)
                n += owed_to(&notifications->items[i]) ? 1 : 0;
        return n;
}

struct notifications *notifications_free(struct notifications *notifications) {
        if (!notifications)
                return NULL;
        delivery_free(notifications->running);
        sd_event_source_disable_unref(notifications->next);
        for (size_t i = 0; i < notifications->n; i++) {
                sd_event_source_disable_unref(notifications->items[i].retry);
                free(notifications->items[i].label);
        }
        free(notifications);
        return NULL;
}
