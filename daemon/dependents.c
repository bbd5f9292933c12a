/*
 * What is owed to whom. Each dependent has one wish: to be told of the newest set. What it must still be told
 * of stands in the journal of the certificate, so a restart goes on where the last run ended; a delivery
 * takes it out, a failure sets a timer and lets the next dependent go on. None of this can start a renewal.
 *
 * A delivery is taken out of the journal after it was made: a kill in between makes it once more. So it is at
 * least once, and a dependent is told of the newest set only.
 */

#include "daemon/dependents.h"

#include <stdio.h>

#include "daemon/backoff.h"
#include "daemon/delivery.h"
#include "daemon/events.h"
#include "daemon/messages.h"
#include "daemon/metrics.h"
#include "lib/util/hash.h"

struct dependent {
        struct dependents *owner;
        const struct config_notify *config;
        char *label;                 /* "command /usr/bin/x", "signal HUP /run/x.pid" */
        char key[CONFIG_NOTIFY_KEY]; /* in the journal */
        bool tried;                  /* since the last notice */
        bool is_new;                 /* owed since the last dependents_owe(), not before */
        bool again;                  /* owed anew during its delivery */
        sd_event_source *retry;
};

struct dependents {
        sd_event *event;
        const struct config_certificate *certificate;
        struct history *history;
        bool retry, is_held;
        dependents_settled_t settled;
        void *userdata;

        sd_event_source *next; /* deferred: chooses what to deliver next */
        struct delivery *running;
        struct dependent *current;
        uint64_t current_generation;
        size_t n;
        struct dependent items[];
};

static const delivery_start_t ways[NOTIFY_MAX] = {
        [NOTIFY_COMMAND] = delivery_run_command,
        [NOTIFY_SIGNAL] = delivery_send_signal,
        [NOTIFY_UNIT] = delivery_tell_unit,
        [NOTIFY_HTTP] = delivery_call_http,
};

static struct journal_owed *owed_to(const struct dependent *dependent) {
        return journal_find_owed(&dependent->owner->history->journal, dependent->key);
}

static void schedule_next(struct dependents *dependents) {
        if (!dependents->is_held)
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

static void log_result(const struct dependent *dependent, const char *error, unsigned failures,
                       usec_t wait_usec) {
        const struct dependents *dependents = dependent->owner;
        const char *name = dependents->certificate->name;
        struct events *events = dependents->history->context->events;
        char generation[24], span[TIMESPAN_MAX];
        const struct log_field fields[] = {
                { FIELD_CERTIFICATE, name },
                { FIELD_DEPENDENT, dependent->label },
                { FIELD_GENERATION, generation },
                { FIELD_FINGERPRINT, dependents->history->journal.fingerprint },
                { FIELD_ERROR, error },
        };

        snprintf(generation, sizeof(generation), "%" PRIu64, dependents->current_generation);
        if (!error)
                events_say(events, dependents->history, LOG_INFO, MESSAGE_NOTIFIED, fields,
                           ELEMENTSOF(fields), "%s: told of generation %s: %s", name, generation,
                           dependent->label);
        else if (dependents->retry)
                events_say(events, dependents->history, log_repeated(LOG_ERR, failures), MESSAGE_NOT_NOTIFIED,
                           fields, ELEMENTSOF(fields),
                           "%s: a dependent was not told of generation %s: %s; trying again in %s", name,
                           generation, error, format_timespan(span, wait_usec));
        else
                events_say(events, dependents->history, LOG_ERR, MESSAGE_NOT_NOTIFIED, fields,
                           ELEMENTSOF(fields), "%s: a dependent was not told of generation %s: %s", name,
                           generation, error);
}

static void finish(struct dependents *dependents, const char *error) {
        struct dependent *dependent = take_ptr(dependents->current);
        struct metrics *metrics = dependents->history->context->metrics;
        struct journal_owed *owed = owed_to(dependent);
        usec_t wait_usec = 0;

        if (metrics && error)
                metrics->notification_failures++;
        else if (metrics)
                metrics->notifications++;
        dependent->tried = true;
        if (!owed)
                ; /* it was withdrawn meanwhile */
        else if (!error && !dependent->again)
                journal_settle(&dependents->history->journal, dependent->key);
        else if (!error)
                dependent->tried = false;
        else {
                owed->failures++;
                journal_keep_error(&owed->error, error);
                if (dependents->retry) {
                        wait_usec = backoff_for_ever(FAILURE_TRANSIENT, owed->failures);
                        owed->next_attempt_usec = usec_add(now_usec(CLOCK_REALTIME), wait_usec);
                        arm_retry(dependent, wait_usec);
                }
        }
        log_result(dependent, error, owed && error ? owed->failures : 1, wait_usec);
        history_save(dependents->history);
        schedule_next(dependents);
}

static void on_done(const char *error, void *userdata) {
        struct dependents *dependents = userdata;

        finish(dependents, error);
        dependents->running = delivery_free(dependents->running);
}

static void deliver(struct dependents *dependents, struct dependent *dependent) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        const struct journal *journal = &dependents->history->journal;
        const struct notice notice = {
                .generation = journal->generation,
                .certificate = dependents->certificate->name,
                .directory = dependents->certificate->directory,
                .fingerprint = journal->fingerprint,
        };
        int r;

        dependents->current = dependent;
        dependents->current_generation = journal->generation;
        dependent->again = false;

        r = ways[dependent->config->kind](dependents->history->context, dependent->config, &notice, on_done,
                                          dependents, &dependents->running, &error);
        if (r == 0 && dependents->running)
                return;
        finish(dependents, r < 0 ? error_text(&error) : NULL);
}

static int on_next(_unused_ sd_event_source *source, void *userdata) {
        struct dependents *dependents = userdata;

        if (dependents->current || dependents->is_held)
                return 0;
        for (size_t i = 0; i < dependents->n; i++)
                if (owed_to(&dependents->items[i]) && !dependents->items[i].tried) {
                        deliver(dependents, &dependents->items[i]);
                        return 0;
                }
        dependents->settled(dependents->userdata);
        return 0;
}

/* What is owed to nobody in the configuration was owed to an entry that was corrected since, maybe because it
 * could not be told. It is not known into which one; so all are told, and to hear it twice hurts nobody. */
static int pass_on_debts(struct dependents *dependents) {
        struct journal *journal = &dependents->history->journal;
        bool any = false;
        int r;

        for (size_t i = journal->n_owed; i-- > 0;) {
                const char *key = journal->owed[i].key;
                bool known = false;

                for (size_t j = 0; j < dependents->n; j++)
                        known = known || streq(dependents->items[j].key, key);
                if (!known) {
                        journal_settle(journal, key);
                        any = true;
                }
        }
        for (size_t i = 0; any && i < dependents->n; i++) {
                if (owed_to(&dependents->items[i]))
                        continue;
                r = journal_owe(journal, dependents->items[i].key, journal->generation, NULL);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* What the last run left owed waits for as long as it would have waited there; not for ever, should a clock
 * have been set. */
static void resume(struct dependents *dependents) {
        for (size_t i = 0; i < dependents->n; i++) {
                struct dependent *dependent = &dependents->items[i];
                const struct journal_owed *owed = owed_to(dependent);
                usec_t left;

                if (!owed || !dependents->retry)
                        continue;
                left = usec_sub(owed->next_attempt_usec, now_usec(CLOCK_REALTIME));
                if (left == 0)
                        continue;
                dependent->tried = true;
                arm_retry(dependent, left < USEC_PER_HOUR ? left : USEC_PER_HOUR);
        }
}

int dependents_new(sd_event *event, const struct config_certificate *certificate, struct history *history,
                   bool retry, dependents_settled_t settled, void *userdata, struct dependents **ret) {
        _cleanup_(dependents_freep) struct dependents *dependents = NULL;
        int r;

        dependents = calloc(1, sizeof(*dependents) + certificate->n_notify * sizeof(*dependents->items));
        if (!dependents)
                return -ENOMEM;
        dependents->event = sd_event_ref(event);
        dependents->certificate = certificate;
        dependents->history = history;
        dependents->retry = retry;
        dependents->is_held = true;
        dependents->settled = settled;
        dependents->userdata = userdata;

        for (; dependents->n < certificate->n_notify; dependents->n++) {
                struct dependent *dependent = &dependents->items[dependents->n];

                dependent->owner = dependents;
                dependent->config = &certificate->notify[dependents->n];
                config_notify_key(certificate, dependents->n, dependent->key);
                dependent->label = config_notify_text(dependent->config);
                if (!dependent->label)
                        return -ENOMEM;
        }

        r = sd_event_add_defer(event, &dependents->next, on_next, dependents);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(dependents->next, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = pass_on_debts(dependents);
        if (r < 0)
                return r;
        resume(dependents);

        *ret = take_ptr(dependents);
        return 0;
}

int dependents_owe(struct dependents *dependents) {
        struct journal *journal = &dependents->history->journal;
        int r;

        dependents->is_held = true;
        for (size_t i = 0; i < dependents->n; i++) {
                struct dependent *dependent = &dependents->items[i];
                const struct journal_owed *owed = owed_to(dependent);

                dependent->is_new = !owed;
                dependent->again = dependents->current == dependent;
                if (owed && owed->generation == journal->generation && !dependent->again)
                        continue; /* with its back-off: this is no news to it */
                r = journal_owe(journal, dependent->key, journal->generation, NULL);
                if (r < 0)
                        return r;
                dependent->tried = false;
                dependent->retry = sd_event_source_disable_unref(dependent->retry);
        }
        return 0;
}

int dependents_owe_anew(struct dependents *dependents) {
        struct journal *journal = &dependents->history->journal;

        for (size_t i = journal->n_owed; i-- > 0;)
                journal_settle(journal, journal->owed[i].key);
        return dependents_owe(dependents);
}

void dependents_withdraw(struct dependents *dependents) {
        for (size_t i = 0; i < dependents->n; i++)
                if (dependents->items[i].is_new)
                        journal_settle(&dependents->history->journal, dependents->items[i].key);
}

void dependents_release(struct dependents *dependents) {
        dependents->is_held = false;
        schedule_next(dependents);
}

bool dependents_is_busy(const struct dependents *dependents) {
        if (dependents->current || dependents->is_held)
                return dependents->current;
        for (size_t i = 0; i < dependents->n; i++)
                if (owed_to(&dependents->items[i]) && !dependents->items[i].tried)
                        return true;
        return false;
}

unsigned dependents_owed(const struct dependents *dependents) {
        unsigned n = 0;

        for (size_t i = 0; i < dependents->n; i++)
                n += owed_to(&dependents->items[i]) ? 1 : 0;
        return n;
}

struct delivery *delivery_free(struct delivery *delivery) {
        return delivery ? delivery->free(delivery) : NULL;
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
