#pragma once

/* The classes of failure: what went wrong decides what happens next, and these five are all there is to
 * decide on. They are positive, so that `int` results can hold 0, -errno or one of them. */

enum failure {
        FAILURE_NONE = 0,
        FAILURE_TRANSIENT, /* DNS, connect, time-out, 5xx, 429, empty 400, closed connection: try again soon
                            */
        FAILURE_REFUSED,   /* the Connector understood and refused: alarm, retry slowly */
        FAILURE_REJECTED,  /* the edge does not accept the certificate, or it has expired: a new token is
                              needed */
        FAILURE_BAD_REPLY, /* what came back cannot be used: discard it, keep the old set, wait out the CA
                              window */
        FAILURE_LOCAL,     /* disk, permissions, clock: nothing that the Connector could help with */
        FAILURE_MAX,
};

extern const char *const failure_names[FAILURE_MAX];
