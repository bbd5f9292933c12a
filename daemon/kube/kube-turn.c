/*
 * A Lease that another has is read again when it ends by this machine's clock: where it was renewed
 * meanwhile, it counts from then on. Each write carries the version that was read, and one whose outcome is
 * unknown is not repeated: the Lease is read.
 */

#include "daemon/kube/kube-turn.h"

#include <stdio.h>

#include "daemon/loop/backoff.h"

enum call_kind {
        CALL_READ,
        CALL_TAKE,
        CALL_RENEW,
        CALL_RELEASE,
};

struct kube_turn {
        struct kube_turn_options options;
        struct kube_call *call;
        enum call_kind kind;
        usec_t asked_usec; /* when it began, CLOCK_BOOTTIME: a lease counts from there */
        sd_event_source *timer;
        json_t *lease; /* as it was read or written; NULL: to be read */
        struct kube_lease seen;
        bool is_wanted, is_ours;
        unsigned n_failures;
        void (*renewed)(int r, const char *error, void *userdata);
};

static void begin(struct kube_turn *turn, enum call_kind kind);

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        begin(userdata, CALL_READ);
        return 0;
}

static void read_after(struct kube_turn *turn, usec_t span) {
        turn->timer = sd_event_source_disable_unref(turn->timer);
        if (sd_event_add_time_relative(turn->options.event, &turn->timer, CLOCK_BOOTTIME, span, 0, on_timer,
                                       turn) < 0)
                sd_event_exit(turn->options.event, EXIT_FAILURE);
}

static void forget(struct kube_turn *turn) {
        turn->is_ours = false;
        json_decref(take_ptr(turn->lease));
}

static void fail(struct kube_turn *turn, const char *error) {
        forget(turn);
        if (!turn->is_wanted)
                return;
        read_after(turn, backoff_for_ever(FAILURE_TRANSIENT, ++turn->n_failures));
        turn->options.failed(error, turn->options.userdata);
}

static int see(struct kube_turn *turn, json_t *lease, usec_t when, struct error *error) {
        json_decref(turn->lease);
        turn->lease = json_incref(lease);
        return kube_lease_see(&turn->seen, lease, when, error);
}

static void on_read(struct kube_turn *turn, const struct kube_result *result) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        const usec_t now = now_usec(CLOCK_BOOTTIME);

        if (result->outcome != KUBE_DONE)
                fail(turn, result->error);
        else if (see(turn, result->object, now, &error) < 0)
                fail(turn, error_text(&error));
        else if (kube_lease_is_free(&turn->seen, turn->options.self, now))
                begin(turn, CALL_TAKE);
        else {
                read_after(turn, usec_sub(kube_lease_end(&turn->seen), now) + USEC_PER_MSEC);
                turn->options.waits(turn->seen.holder, turn->options.userdata);
        }
}

/* Another was quicker, or it is not known whether it was done: both are seen. */
static bool is_to_be_read(enum kube_outcome outcome) {
        return outcome == KUBE_CONFLICT || outcome == KUBE_UNCERTAIN;
}

static void on_taken(struct kube_turn *turn, const struct kube_result *result) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        if (is_to_be_read(result->outcome) && turn->n_failures == 0) {
                turn->n_failures++; /* a second time it is a failure, and makes a pause */
                begin(turn, CALL_READ);
        } else if (result->outcome != KUBE_DONE)
                fail(turn, result->error);
        else if (see(turn, result->object, turn->asked_usec, &error) < 0)
                fail(turn, error_text(&error));
        else {
                turn->n_failures = 0;
                turn->is_ours = true;
                turn->options.came(turn->options.userdata);
        }
}

static void on_renewed(struct kube_turn *turn, const struct kube_result *result) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        int r = 0;

        if (result->outcome != KUBE_DONE)
                r = error_set(&error, -EIO, "%s", result->error);
        else
                r = see(turn, result->object, turn->asked_usec, &error);
        if (r < 0)
                forget(turn);
        turn->renewed(r, r < 0 ? error_text(&error) : NULL, turn->options.userdata);
}

/* Where it failed the Lease ends by itself. */
static void on_released(struct kube_turn *turn, _unused_ const struct kube_result *result) {
        forget(turn);
        if (turn->is_wanted)
                begin(turn, CALL_READ);
        else
                turn->options.idle(turn->options.userdata);
}

static void on_done(const struct kube_result *result, void *userdata) {
        static void (*const rows[])(struct kube_turn * turn, const struct kube_result *result) = {
                [CALL_READ] = on_read,
                [CALL_TAKE] = on_taken,
                [CALL_RENEW] = on_renewed,
                [CALL_RELEASE] = on_released,
        };
        struct kube_turn *turn = userdata;
        _unused_ _cleanup_(kube_call_freep) struct kube_call *call = take_ptr(turn->call);

        rows[turn->kind](turn, result);
}

static int prepare(struct kube_turn *turn, struct kube_ask *ask) {
        const usec_t realtime = now_usec(CLOCK_REALTIME);

        if (turn->kind == CALL_READ)
                return 0;
        ask->verb = KUBE_REPLACE;
        ask->body = turn->lease;
        return turn->kind == CALL_RELEASE ? kube_lease_release(turn->lease, realtime)
                                          : kube_lease_take(turn->lease, turn->options.self,
                                                            turn->options.duration_usec, realtime);
}

static void begin(struct kube_turn *turn, enum call_kind kind) {
        const struct kube_callbacks callbacks = { .done = on_done, .userdata = turn };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct kube_ask ask = {
                .verb = KUBE_GET,
                .resource = KUBE_LEASE(turn->options.lease.namespace, turn->options.lease.name),
        };
        int r;

        turn->timer = sd_event_source_disable_unref(turn->timer);
        turn->kind = kind;
        r = prepare(turn, &ask);
        turn->asked_usec = now_usec(CLOCK_BOOTTIME);
        if (r == 0)
                r = kube_call_new(turn->options.client, &ask, 0, &callbacks, &turn->call, &error);
        if (r == 0)
                return;
        if (error.code == 0)
                (void)error_set_errno(&error, r, "cannot call the API server");
        if (kind == CALL_RENEW) {
                forget(turn);
                turn->renewed(r, error_text(&error), turn->options.userdata);
        } else
                fail(turn, error_text(&error));
}

int kube_turn_new(const struct kube_turn_options *options, struct kube_turn **ret) {
        struct kube_turn *turn = calloc(1, sizeof(*turn));

        if (!turn)
                return -ENOMEM;
        turn->options = *options;
        *ret = turn;
        return 0;
}

struct kube_turn *kube_turn_free(struct kube_turn *turn) {
        if (!turn)
                return NULL;
        kube_call_free(turn->call);
        sd_event_source_disable_unref(turn->timer);
        json_decref(turn->lease);
        free(turn);
        return NULL;
}

void kube_turn_ask(struct kube_turn *turn) {
        turn->is_wanted = true;
        if (turn->call || turn->timer)
                return;
        forget(turn);
        turn->n_failures = 0;
        read_after(turn, 0);
}

void kube_turn_end(struct kube_turn *turn) {
        turn->is_wanted = false;
        turn->timer = sd_event_source_disable_unref(turn->timer);
        if (turn->kind != CALL_RELEASE)
                turn->call = kube_call_free(turn->call);
        if (!turn->is_ours || turn->call)
                return;
        turn->is_ours = false;
        begin(turn, CALL_RELEASE);
}

void kube_turn_renew(struct kube_turn *turn, void (*done)(int r, const char *error, void *userdata)) {
        turn->renewed = done;
        begin(turn, CALL_RENEW);
}

bool kube_turn_is_held(const struct kube_turn *turn) {
        return turn->is_ours && kube_lease_is_held(&turn->seen, turn->options.self, now_usec(CLOCK_BOOTTIME));
}

bool kube_turn_is_asked(const struct kube_turn *turn) {
        return turn->is_wanted && !turn->is_ours;
}

bool kube_turn_is_busy(const struct kube_turn *turn) {
        return turn->call;
}

const struct kube_lease *kube_turn_lease(const struct kube_turn *turn) {
        return &turn->seen;
}
