#pragma once

/* The events after a request, within a time limit, until Ctrl-C or the end of rekeyd. */

#include "ctl/ctl.h"

struct follow {
        struct client_stream *stream;
        usec_t deadline; /* CLOCK_MONOTONIC; USEC_INFINITY: none */
        bool is_lost;    /* rekeyd has reported it, and ends the stream */
};

enum follow_result {
        FOLLOW_EVENT,
        FOLLOW_NOTHING, /* within the time given */
        FOLLOW_TIMED_OUT,
        FOLLOW_INTERRUPTED,
        FOLLOW_GONE, /* rekeyd was stopped or restarted */
        FOLLOW_LOST, /* events were lost, since they were read too slowly */
        FOLLOW_RESULT_MAX,
};

/*
 * Opens the stream of events of CERTIFICATE, or of all for NULL: before the request, so that no event is
 * missed. --timeout of the command counts from here, and SIGINT, SIGTERM and SIGHUP no longer end the process
 * but are a result. CTL_OK, or an exit status after it has printed the error.
 */
int follow_begin(struct ctl *ctl, const char *certificate, struct follow *ret);
void follow_end(struct follow *follow);

/* Waits for WAIT_USEC at most. FOLLOW_EVENT: with it, owned, in *RET. After the last four there is nothing
 * more. */
enum follow_result follow_next(struct follow *follow, usec_t wait_usec, json_t **ret);

/* Why the end was not awaited, for "NAME: ..."; the exit status that goes with it. For the last four. */
const char *follow_reason(enum follow_result result);
int follow_exit(enum follow_result result);
