#pragma once

/* What the log of rekeyd says of many renewals at once. */

#include "tests/support/fixture.h"

/* How many certificates of a fleet are being renewed at each line of the log. */
struct flight {
        const char *fleet;
        int now, most, most_after_failure;
        unsigned begun, renewed, failed;
};

/* Whether a line of LENGTH has MESSAGE_ID and a certificate of FLEET. */
bool flight_is_about(const char *line, size_t length, const char *fleet, const char *message_id);

/* Reads LOG into FLIGHT, up to the line in which the N_OTHERS-th of another fleet begins, if one is given. */
void flight_follow(struct flight *flight, const char *log, const char *other, unsigned n_others);

/* All that rekeyd has logged of FLEET. */
struct flight flight_of(struct fixture *fixture, const char *fleet);

/* Awaits N renewals of FLEET; the time from the first line of MESSAGE_BEGUN to the last of them. */
usec_t flight_await(struct fixture *fixture, const char *fleet, unsigned n);
