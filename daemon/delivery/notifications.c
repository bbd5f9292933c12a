/*
 * What is owed to whom. Each dependent has one wish: to be told of the newest set. What it must still be told
 * of stands in the journal of the certificate, so a restart goes on where the last run ended; a delivery
 * takes it out, a failure sets a timer and lets the next dependent go on. None of this can start a renewal.
 *
 * A delivery is taken out of the journal after it was made: a kill in between makes it once more. So it is at
 * least once, and a dependent is told of the newest set only.
 *
 * Dependents may need what the one before them makes, so each waits for the one before it; but not for ever,
 * and never for what has failed before. What is under way is a thing of its own, since it may outlive its
 * entry in the configuration.
 */

#include "daemon/delivery/notifications.h"

#include <stdio.h>

#include "daemon/delivery/delivery.h"
#include "daemon/loop/backoff.h"
#include "daemon/observe/events.h"
#include "daemon/observe/messages.h"
#include "daemon/observe/metrics.h"
#include "lib/util/hash.h"

/* At a time, for one certificate; and of those, for dependents that could not be told before. */
#define RUNS_MAX         8u
#define RUNS_RETRIES_MAX 4u

struct dependent {
        struct notifications *owner;
        const struct config_notify *config;
        char key[CONFIG_NOTIFY_KEY]; /* in the journal */
        bool tried;                  /* since the last notice */
        bool is_new;                 /* owed since the last notifications_schedule(), not before */
        sd_event_source *retry;
};

/* A delivery under way. */
struct run {
        struct notifications *owner;
        struct run *next;
        struct delivery *delivery;
        struct config *config; /* a reference, for what the delivery borrows */
        char key[CONFIG_NOTIFY_KEY];
        char *label; /* "command /usr/bin/x", "signal HUP /run/x.pid" */
        uint64_t generation;
        char fingerprint[FINGERPRINT_HEX];
        enum place place;
        usec_t begun_usec; /* CLOCK_MONOTONIC */
        bool again;        /* owed anew meanwhile */
};

struct notifications {
        struct notifications_options options;
        bool is_held;
        bool has_place; /* granted, as waiter.kind, and not used yet */
        struct place_waiter waiter;

        sd_event_source *next; /* deferred: chooses what to deliver next */
        sd_event_source *slow; /* until the next one may begin beside one that is slow */
        struct run *runs;
        size_t n;
        struct dependent items[];
};

#define WAY(kind, start) [kind] = start,
static delivery_start_t *const ways[] = { DELIVERY_WAYS(WAY) };
static_assert(ELEMENTSOF(ways) == NOTIFY_MAX, "every kind has its way");

static struct state_pending *owed_to(const struct dependent *dependent) {
        return state_find_pending(&dependent->owner->options.state_file->state, dependent->key);
}

static struct run *find_run(const struct notifications *notifications, const char *key) {
        struct run *run = notifications->runs;

        while (run && !streq(run->key, key))
                run = run->next;
        return run;
}

static struct dependent *find_dependent(struct notifications *notifications, const char *key) {
        for (size_t i = 0; i < notifications->n; i++)
                if (streq(notifications->items[i].key, key))
                        return &notifications->items[i];
        return NULL;
}

/* It is owed something, and waits for nothing but its turn. */
static bool is_due(const struct dependent *dependent) {
        return owed_to(dependent) && !dependent->tried && !find_run(dependent->owner, dependent->key);
}

static void schedule_next(struct notifications *notifications) {
        (void)sd_event_source_set_enabled(notifications->next, SD_EVENT_ONESHOT);
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
                log_error("%s: out of memory; a dependent is notified at the next renewal only",
                          dependent->owner->options.certificate->name);
}

/* --- Places --- */

static void on_granted(struct place_waiter *waiter) {
        struct notifications *notifications = container_of(waiter, struct notifications, waiter);

        notifications->has_place = true;
        schedule_next(notifications);
}

static void give_up_place(struct notifications *notifications) {
        places_leave(notifications->options.places, &notifications->waiter);
        if (!notifications->has_place)
                return;
        notifications->has_place = false;
        places_return(notifications->options.places, notifications->waiter.kind);
}

/* Or gets in line. */
static bool take_place(struct notifications *notifications, enum place kind) {
        struct places *places = notifications->options.places;

        if (notifications->has_place && notifications->waiter.kind == kind) {
                notifications->has_place = false;
                return true;
        }
        if (notifications->has_place)
                give_up_place(notifications);
        if (places_take(places, kind)) {
                places_leave(places, &notifications->waiter);
                return true;
        }
        places_wait(places, &notifications->waiter, kind);
        return false;
}

/* --- The end of a delivery --- */

static struct run *run_free(struct run *run) {
        if (!run)
                return NULL;
        delivery_free(run->delivery);
        config_free(run->config);
        free(run->label);
        free(run);
        return NULL;
}

static void log_result(const struct run *run, const char *error, unsigned failures, usec_t wait_usec) {
        const struct notifications *notifications = run->owner;
        const char *name = notifications->options.certificate->name;
        struct events *events = notifications->options.observers->events;
        char generation[24], span[TIMESPAN_MAX];
        const struct log_field fields[] = {
                { FIELD_CERTIFICATE, name },      { FIELD_DEPENDENT, run->label },
                { FIELD_GENERATION, generation }, { FIELD_FINGERPRINT, run->fingerprint },
                { FIELD_ERROR, error },
        };

        snprintf(generation, sizeof(generation), "%" PRIu64, run->generation);
        if (!error)
                events_emit(events, notifications->options.state_file, LOG_INFO, MESSAGE_NOTIFIED, fields,
                            ELEMENTSOF(fields), "%s: notified %s of generation %s", name, run->label,
                            generation);
        else if (wait_usec > 0)
                events_emit(events, notifications->options.state_file, log_repeated(LOG_ERR, failures),
                            MESSAGE_NOT_NOTIFIED, fields, ELEMENTSOF(fields),
                            "%s: could not notify a dependent of generation %s: %s; retrying %s", name,
                            generation, error, format_delay(span, wait_usec));
        else
                events_emit(events, notifications->options.state_file, LOG_ERR, MESSAGE_NOT_NOTIFIED, fields,
                            ELEMENTSOF(fields), "%s: could not notify a dependent of generation %s: %s", name,
                            generation, error);
}

static void unlink_run(struct run *run) {
        struct run **slot = &run->owner->runs;

        while (*slot != run)
                slot = &(*slot)->next;
        *slot = run->next;
        places_return(run->owner->options.places, run->place);
}

static int pass_on_debts(struct notifications *notifications);

/* The failure is on record; how long until the dependent is tried again, 0 if it is not. */
static usec_t keep_failure(struct notifications *notifications, struct dependent *dependent,
                           struct state_pending *pending, const char *error) {
        usec_t wait_usec;

        pending->failures++;
        state_keep_error(&pending->error, error);
        if (!notifications->options.retry)
                return 0;
        wait_usec = backoff_for_ever(FAILURE_TRANSIENT, pending->failures);
        pending->next_attempt_usec = usec_add(now_usec(CLOCK_REALTIME), wait_usec);
        arm_retry(dependent, wait_usec);
        return wait_usec;
}

static void finish(struct run *run, const char *error) {
        struct notifications *notifications = run->owner;
        struct state *state = &notifications->options.state_file->state;
        struct dependent *dependent = find_dependent(notifications, run->key);
        struct metrics *metrics = notifications->options.observers->metrics;
        struct state_pending *pending = state_find_pending(state, run->key);
        const bool is_over = !error && !run->again && (!dependent || run->generation == state->generation);
        unsigned failures = 1;
        usec_t wait_usec = 0;

        unlink_run(run);
        if (metrics && error)
                metrics->notification_failures++;
        else if (metrics)
                metrics->notifications++;
        if (dependent)
                dependent->tried = error || is_over;
        if (pending && is_over)
                state_remove_pending(state, run->key);
        else if (pending && !dependent && pass_on_debts(notifications) < 0)
                log_error("%s: out of memory; some dependents are notified at the next renewal only",
                          notifications->options.certificate->name);
        else if (pending && dependent && !error)
                pending->generation = state->generation;
        else if (pending && dependent) {
                wait_usec = keep_failure(notifications, dependent, pending, error);
                failures = pending->failures;
        }
        log_result(run, error, failures, wait_usec);
        run_free(run);
        state_file_save(notifications->options.state_file);
        schedule_next(notifications);
}

static void on_done(const char *error, void *userdata) {
        finish(userdata, error);
}

/* --- The beginning --- */

static struct run *run_new(struct notifications *notifications, const struct dependent *dependent) {
        const struct state *state = &notifications->options.state_file->state;
        struct run *run = calloc(1, sizeof(*run));

        if (!run)
                return NULL;
        run->label = config_notify_text(dependent->config);
        if (!run->label)
                return run_free(run);
        run->owner = notifications;
        run->config = notifications->options.config ? config_ref(notifications->options.config) : NULL;
        run->generation = state->generation;
        memcpy(run->key, dependent->key, sizeof(run->key));
        memcpy(run->fingerprint, state->fingerprint, sizeof(run->fingerprint));
        run->begun_usec = now_usec(CLOCK_MONOTONIC);
        return run;
}

/* In the place that is taken. */
static void deliver(struct notifications *notifications, struct dependent *dependent, enum place place) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct run *run = run_new(notifications, dependent);
        int r;

        if (!run) {
                places_return(notifications->options.places, place);
                dependent->tried = true;
                if (notifications->options.retry)
                        arm_retry(dependent, backoff_for_ever(FAILURE_TRANSIENT, 1));
                log_error("%s: a dependent is notified later: out of memory",
                          notifications->options.certificate->name);
                schedule_next(notifications);
                return;
        }
        run->place = place;
        run->next = notifications->runs;
        notifications->runs = run;

        const struct notice notice = {
                .generation = run->generation,
                .certificate = notifications->options.certificate->name,
                .directory = notifications->options.certificate->directory,
                .fingerprint = run->fingerprint,
        };
        r = ways[dependent->config->kind](notifications->options.services, dependent->config, &notice,
                                          on_done, run, &run->delivery, &error);
        if (r == 0 && run->delivery)
                schedule_next(notifications);
        else
                finish(run, r < 0 ? error_text(&error) : NULL);
}

static enum place place_of(const struct dependent *dependent) {
        return owed_to(dependent)->failures > 0 ? PLACE_RETRY : PLACE_FIRST;
}

/* Those that were not tried yet, in their order; then those that wait for the longest time. */
static bool goes_before(const struct dependent *a, const struct dependent *b) {
        const enum place place = place_of(a);

        if (place != place_of(b))
                return place == PLACE_FIRST;
        return place == PLACE_RETRY && owed_to(a)->next_attempt_usec < owed_to(b)->next_attempt_usec;
}

static int on_slow(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        struct notifications *notifications = userdata;

        notifications->slow = sd_event_source_disable_unref(notifications->slow);
        schedule_next(notifications);
        return 0;
}

/* Whether another one may begin beside what is under way; if not, when it may, unless that ends before. */
static bool may_begin(struct notifications *notifications, enum place place) {
        const usec_t now = now_usec(CLOCK_MONOTONIC);
        unsigned n = 0, n_retries = 0;
        usec_t left = 0;

        for (const struct run *run = notifications->runs; run; run = run->next) {
                const usec_t rest =
                        usec_sub(usec_add(run->begun_usec, notifications->options.patience_usec), now);

                n++;
                n_retries += run->place == PLACE_RETRY ? 1 : 0;
                left = rest > left ? rest : left;
        }
        if (n >= RUNS_MAX || (place == PLACE_RETRY && n_retries >= RUNS_RETRIES_MAX))
                return false;
        if (left == 0)
                return true;
        notifications->slow = sd_event_source_disable_unref(notifications->slow);
        if (sd_event_add_time_relative(notifications->options.services->event, &notifications->slow,
                                       CLOCK_MONOTONIC, left, USEC_PER_MSEC, on_slow, notifications) < 0)
                log_error("%s: out of memory; a dependent waits for another one",
                          notifications->options.certificate->name);
        return false;
}

/* One at a time: to start a process takes a while. */
static void deliver_next(struct notifications *notifications) {
        struct dependent *next = NULL;
        enum place place;

        for (size_t i = 0; i < notifications->n; i++) {
                struct dependent *dependent = &notifications->items[i];

                if (is_due(dependent) && (!next || goes_before(dependent, next)))
                        next = dependent;
        }
        place = next ? place_of(next) : PLACE_FIRST;
        if (!next || !may_begin(notifications, place))
                give_up_place(notifications);
        else if (take_place(notifications, place))
                deliver(notifications, next, place);
}

static int on_next(_unused_ sd_event_source *source, void *userdata) {
        struct notifications *notifications = userdata;

        if (!notifications->is_held)
                deliver_next(notifications);
        if (!notifications_is_busy(notifications))
                notifications->options.idle(notifications->options.userdata);
        return 0;
}

/* --- Another configuration --- */

/* What is owed to nobody in the configuration was owed to an entry that was corrected since, maybe because it
 * could not be told. It is not known into which one; so all are told, and to hear it twice hurts nobody. What
 * is under way may still be told. */
static int pass_on_debts(struct notifications *notifications) {
        struct state *state = &notifications->options.state_file->state;
        size_t n_kept = 0;
        bool any = false;
        int r;

        for (size_t i = state->n_pending; i-- > 0;) {
                const char *key = state->pending[i].key;

                if (find_dependent(notifications, key))
                        continue;
                if (find_run(notifications, key) && notifications->n + n_kept < STATE_PENDING_MAX) {
                        n_kept++;
                        continue;
                }
                state_remove_pending(state, key);
                any = true;
        }
        for (size_t i = 0; any && i < notifications->n; i++) {
                if (owed_to(&notifications->items[i]))
                        continue;
                r = state_add_pending(state, notifications->items[i].key, state->generation, NULL);
                if (r < 0)
                        return r;
                notifications->items[i].tried = false;
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

static void take_over(struct notifications *notifications, struct notifications *before) {
        notifications->runs = take_ptr(before->runs);
        for (struct run *run = notifications->runs; run; run = run->next)
                run->owner = notifications;
}

int notifications_new(const struct notifications_options *options, struct notifications *before,
                      struct notifications **ret) {
        const struct config_certificate *certificate = options->certificate;
        _cleanup_(notifications_freep) struct notifications *notifications = NULL;
        int r;

        notifications =
                calloc(1, sizeof(*notifications) + certificate->n_notify * sizeof(*notifications->items));
        if (!notifications)
                return -ENOMEM;
        notifications->options = *options;
        notifications->is_held = true;
        notifications->waiter.granted = on_granted;
        if (before)
                take_over(notifications, before);

        for (; notifications->n < certificate->n_notify; notifications->n++) {
                struct dependent *dependent = &notifications->items[notifications->n];

                dependent->owner = notifications;
                dependent->config = &certificate->notify[notifications->n];
                config_notify_key(certificate, notifications->n, dependent->key);
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
        give_up_place(notifications);
        for (struct run *run = notifications->runs; run; run = run->next)
                run->again = find_dependent(notifications, run->key);
        for (size_t i = 0; i < notifications->n; i++) {
                struct dependent *dependent = &notifications->items[i];
                const struct state_pending *pending = owed_to(dependent);

                dependent->is_new = !pending;
                if (pending && pending->generation == state->generation &&
                    !find_run(notifications, dependent->key))
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

bool notifications_is_under_way(const struct notifications *notifications) {
        return notifications->runs;
}

bool notifications_is_busy(const struct notifications *notifications) {
        if (notifications->runs || notifications->is_held)
                return notifications->runs;
        for (size_t i = 0; i < notifications->n; i++)
                if (is_due(&notifications->items[i]))
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
        while (notifications->runs) {
                struct run *run = notifications->runs;

                unlink_run(run);
                run_free(run);
        }
        give_up_place(notifications);
        sd_event_source_disable_unref(notifications->next);
        sd_event_source_disable_unref(notifications->slow);
        for (size_t i = 0; i < notifications->n; i++)
                sd_event_source_disable_unref(notifications->items[i].retry);
        free(notifications);
        return NULL;
}
