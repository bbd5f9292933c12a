/*
 * Each request ends with one event, so there is nothing to poll: the stream is opened, then the request is
 * sent, and then the stream is read. If it ends before that event, the outcome is unknown, and rekeyctl
 * reports that.
 */

#include "ctl/follow.h"

#include <signal.h>

#include "ctl/change.h"
#include "ctl/view.h"

/* A signal may come between the check of the flag and the wait: no wait is longer than this. */
#define WAIT_MAX_USEC USEC_PER_SEC

static volatile sig_atomic_t is_interrupted;

static void on_signal(_unused_ int signal) {
        is_interrupted = 1;
}

/* Without SA_RESTART: whatever waits, comes back. */
static void catch_signals(void) {
        static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
        const struct sigaction action = { .sa_handler = on_signal };

        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                sigaction(signals[i], &action, NULL);
}

int follow_begin(struct ctl *ctl, const char *certificate, struct follow *ret) {
        struct client_stream *stream;
        int exit;

        exit = change_open_events(ctl, certificate, &stream);
        if (exit != CTL_OK)
                return exit;
        catch_signals();
        *ret = (struct follow) {
                .stream = stream,
                .deadline = ctl_has(ctl, "timeout")
                                    ? usec_add(now_usec(CLOCK_MONOTONIC), ctl_usec(ctl, "timeout"))
                                    : USEC_INFINITY,
        };
        return CTL_OK;
}

void follow_end(struct follow *follow) {
        follow->stream = client_stream_close(follow->stream);
}

static usec_t min_usec(usec_t a, usec_t b) {
        return a < b ? a : b;
}

enum follow_result follow_next(struct follow *follow, usec_t wait_usec, json_t **ret) {
        const usec_t now = now_usec(CLOCK_MONOTONIC);
        const usec_t left = usec_sub(follow->deadline, now);
        json_t *event;
        int r;

        if (is_interrupted)
                return FOLLOW_INTERRUPTED;
        r = client_stream_next(follow->stream, min_usec(min_usec(wait_usec, left), WAIT_MAX_USEC), &event,
                               NULL);
        if (r < 0)
                return follow->is_lost ? FOLLOW_LOST : FOLLOW_GONE;
        if (r == 0)
                return is_interrupted ? FOLLOW_INTERRUPTED : left == 0 ? FOLLOW_TIMED_OUT : FOLLOW_NOTHING;
        if (streq_null(view_string(event, "event"), "lost"))
                follow->is_lost = true;
        *ret = event;
        return FOLLOW_EVENT;
}

static const struct {
        const char *reason;
        int exit;
} ends[FOLLOW_RESULT_MAX] = {
        [FOLLOW_TIMED_OUT] = { "not completed within --timeout; the operation continues", CTL_TIMED_OUT },
        [FOLLOW_INTERRUPTED] = { "the operation continues without rekeyctl", CTL_TIMED_OUT },
        [FOLLOW_GONE] = { "rekeyd was stopped or restarted before completion; the outcome is unknown",
                          CTL_UNREACHABLE },
        [FOLLOW_LOST] = { "events were lost; the outcome is unknown", CTL_TIMED_OUT },
};

const char *follow_reason(enum follow_result result) {
        return ends[result].reason;
}

int follow_exit(enum follow_result result) {
        return ends[result].exit;
}
