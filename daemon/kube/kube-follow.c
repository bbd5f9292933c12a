/*
 * A watch that ends is begun again where it ended. Where the server does not know that version any more, or
 * does not answer, the object is read after a back-off, and watched from there. Between two events nothing
 * wakes this process.
 */

#include "daemon/kube/kube-follow.h"

#include <stdio.h>

#include "daemon/loop/backoff.h"
#include "lib/kube/kube-object.h"

/* The server ends a watch by itself then, and so do we where the connection is dead. */
#define WATCH_SEC    540u
#define WATCH_USEC   ((WATCH_SEC + 60) * USEC_PER_SEC)
#define HEALTHY_USEC (10 * USEC_PER_SEC) /* a watch that lasted that long was no failure */
#define VERSION_ROOM 64

struct kube_follow {
        struct kube_follow_options options;
        struct kube_call *call;
        sd_event_source *timer; /* of the back-off */
        bool is_watching;       /* CALL is a watch */
        char version[VERSION_ROOM];
        usec_t begin_usec; /* CLOCK_MONOTONIC */
        unsigned n_failures;

        /* What an event has brought: told from the loop, since within a transfer no other can begin. */
        sd_event_source *news;
        bool is_deleted;
};

static void read_object(struct kube_follow *follow);

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        read_object(userdata);
        return 0;
}

static void try_later(struct kube_follow *follow) {
        const usec_t span = backoff_for_ever(FAILURE_TRANSIENT, ++follow->n_failures);

        follow->timer = sd_event_source_disable_unref(follow->timer);
        if (sd_event_add_time_relative(follow->options.event, &follow->timer, CLOCK_BOOTTIME, span, span / 10,
                                       on_timer, follow) < 0)
                sd_event_exit(follow->options.event, EXIT_FAILURE); /* it would follow nothing, in silence */
}

static void take_version(struct kube_follow *follow, const json_t *object) {
        const char *version = kube_object_version(object);

        snprintf(follow->version, sizeof(follow->version), "%s", version ? version : "");
}

static int on_news(_unused_ sd_event_source *source, void *userdata) {
        struct kube_follow *follow = userdata;

        follow->news = sd_event_source_disable_unref(follow->news);
        follow->options.changed(follow->is_deleted ? NULL : follow->version, follow->options.userdata);
        return 0;
}

static void tell(struct kube_follow *follow, bool is_deleted) {
        follow->is_deleted = is_deleted;
        if (!follow->news && sd_event_add_defer(follow->options.event, &follow->news, on_news, follow) < 0)
                sd_event_exit(follow->options.event, EXIT_FAILURE);
}

static bool on_event(const struct kube_event *event, void *userdata) {
        struct kube_follow *follow = userdata;

        take_version(follow, event->object);
        if (event->kind != KUBE_EVENT_BOOKMARK)
                tell(follow, event->kind == KUBE_EVENT_DELETED);
        return true;
}

static void on_done(const struct kube_result *result, void *userdata);

static void begin(struct kube_follow *follow) {
        const struct kube_callbacks callbacks = { .done = on_done, .event = on_event, .userdata = follow };
        const struct kube_ask ask = {
                .verb = follow->is_watching ? KUBE_WATCH : KUBE_GET,
                .resource = KUBE_SECRET(follow->options.secret.namespace, follow->options.secret.name),
                .version = follow->version,
                .timeout_sec = WATCH_SEC,
        };

        follow->begin_usec = now_usec(CLOCK_MONOTONIC);
        if (kube_call_new(follow->options.client, &ask, follow->is_watching ? WATCH_USEC : 0, &callbacks,
                          &follow->call, NULL) < 0)
                try_later(follow);
}

static void watch_object(struct kube_follow *follow) {
        follow->is_watching = true;
        begin(follow);
}

static void read_object(struct kube_follow *follow) {
        follow->is_watching = false;
        begin(follow);
}

/* One that ends at once, again and again, is no watch. */
static void on_watched(struct kube_follow *follow, const struct kube_result *result) {
        const bool is_healthy = now_usec(CLOCK_MONOTONIC) - follow->begin_usec >= HEALTHY_USEC;

        if (result->outcome == KUBE_FORBIDDEN)
                follow->options.forbidden(result->error, follow->options.userdata);
        if (is_healthy)
                follow->n_failures = 0;
        if (is_healthy && result->outcome == KUBE_DONE && *follow->version)
                watch_object(follow);
        else
                try_later(follow);
}

static void on_read(struct kube_follow *follow, const struct kube_result *result) {
        if (result->outcome != KUBE_DONE) {
                try_later(follow);
                return;
        }
        take_version(follow, result->object);
        watch_object(follow);
        tell(follow, false);
}

static void on_done(const struct kube_result *result, void *userdata) {
        struct kube_follow *follow = userdata;
        _unused_ _cleanup_(kube_call_freep) struct kube_call *call = take_ptr(follow->call);

        if (follow->is_watching)
                on_watched(follow, result);
        else
                on_read(follow, result);
}

int kube_follow_new(const struct kube_follow_options *options, const char *version,
                    struct kube_follow **ret) {
        struct kube_follow *follow = calloc(1, sizeof(*follow));

        if (!follow)
                return -ENOMEM;
        follow->options = *options;
        snprintf(follow->version, sizeof(follow->version), "%s", version ? version : "");
        if (*follow->version)
                watch_object(follow);
        else
                try_later(follow);
        *ret = follow;
        return 0;
}

struct kube_follow *kube_follow_free(struct kube_follow *follow) {
        if (!follow)
                return NULL;
        kube_call_free(follow->call);
        sd_event_source_disable_unref(follow->timer);
        sd_event_source_disable_unref(follow->news);
        free(follow);
        return NULL;
}
