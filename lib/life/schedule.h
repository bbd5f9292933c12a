#pragma once

/* When: pure arithmetic on times, so that a year can be simulated in a second. */

#include "lib/life/failure.h"
#include "lib/util/parse.h"

/* A duration, or a share of a certificate's lifetime. */
struct share_or_usec {
        bool is_share;
        unsigned ppm; /* of SHARE_ONE */
        usec_t usec;
};

/* The span that S means for a lifetime of LIFETIME_USEC; it may be longer than that where S is a duration. */
usec_t share_of(struct share_or_usec s, usec_t lifetime_usec);

struct schedule_policy {
        struct share_or_usec renew_before; /* the effective expiry */
        struct share_or_usec jitter;       /* the most that a renewal is brought forward */
        usec_t skew_usec;                  /* tolerated between the Connector's clock and ours */
        usec_t ca_window_usec;      /* in which a Connector may still sign with a CA that was replaced */
        usec_t replace_within_usec; /* over which those are spread that are to be replaced together */
};

/* A number in [0, 2^32) that is stable for a machine and a certificate: FNV-1a over both, finalised. */
uint32_t schedule_seed(const uint8_t machine_id[16], const char *name);

/* The instant to renew: EFFECTIVE_EXPIRY - renew_before - SEED's part of jitter, but never in the first tenth
 * of the lifetime, so that no policy makes a certificate due at birth. USEC_INFINITY for one that never
 * expires. */
usec_t schedule_due(const struct schedule_policy *policy, usec_t not_before, usec_t effective_expiry,
                    uint32_t seed);

/* The instant to replace a set that is to be replaced from FROM on, whatever its age: FROM and SEED's part of
 * WITHIN_USEC. The same each time that it is asked with the same FROM. */
usec_t schedule_replacement(usec_t from, usec_t within_usec, uint32_t seed);

/* The instant to make the key for a renewal that is due at DUE: SEED's part of the first half of AHEAD_USEC
 * before it, so that a fleet spreads, also one whose renewals do not. Where the set that is valid from
 * NOT_BEFORE is young, half of the time from there until DUE stands for AHEAD_USEC. USEC_INFINITY with
 * AHEAD_USEC 0, and for what is never due. */
usec_t schedule_key_ahead(usec_t ahead_usec, usec_t not_before, usec_t due, uint32_t seed);

/* False when NOW lies before NOT_BEFORE by more than the tolerated skew: the clock is wrong, not the
 * certificate. */
bool schedule_clock_plausible(const struct schedule_policy *policy, usec_t now, usec_t not_before);

/* A Retry-After is believed up to here: a slip in a server's unit must not silence a client for a year. A
 * longer one is taken for four fifths of this. */
#define SCHEDULE_RETRY_AFTER_MAX_USEC USEC_PER_DAY

/*
 * How long to wait after the N-th failure in a row (1 for the first): 5 s doubling up to 1 h (5 min doubling
 * up to 1 h for refused and rejected), times 0.8 to 1.2 by RANDOM; RETRY_AFTER_USEC and up to a fifth on top
 * where that is longer, a day at most; the last fifth of a tenth of TIME_LEFT_USEC before expiry where that
 * is shorter (0: nothing left to lose, no cap); but never below 1 s. A bad reply never waits less than the
 * policy's CA window, and up to a fifth more: an earlier call would get the same certificate again.
 *
 * So whatever decides, those who failed together do not come back together, and nobody earlier than was
 * asked. The one exception is a Retry-After of exactly the day that is believed at most.
 */
usec_t schedule_backoff(const struct schedule_policy *policy, enum failure failure, unsigned n,
                        uint32_t random, usec_t retry_after_usec, usec_t time_left_usec);

/*
 * The same after a signature that brought nothing: a valid certificate that does not expire later than the
 * current one, since what expires first is the CA, which cuts both short. Each attempt costs a signature and
 * can only succeed once the CA was replaced, so they wait 6 h, doubling up to a day; spread and capped as
 * above, with less and less time left ever more often, but never below 1 h or a quarter of TIME_LEFT_USEC.
 */
usec_t schedule_not_longer_backoff(const struct schedule_policy *policy, unsigned n, uint32_t random,
                                   usec_t time_left_usec);

/* The same after a signature by a CA that is not trusted any more: the Connector has not read its new CA yet.
 * The policy's CA window, doubling up to 1 h; spread and capped as above. */
usec_t schedule_old_ca_backoff(const struct schedule_policy *policy, unsigned n, uint32_t random,
                               usec_t time_left_usec);

/* No back-off with TIME_LEFT_USEC is longer than this. One that survived a restart and is comes from a clock
 * that was set meanwhile. */
usec_t schedule_backoff_max(const struct schedule_policy *policy, enum failure failure,
                            usec_t time_left_usec);

/*
 * How often the back-off allows to try from FIRST, the next attempt, until EXPIRY, when every attempt fails
 * as the N before it did (FAILURE_NONE counts as transient): without the spread that random numbers give. No
 * more than SCHEDULE_ATTEMPTS_MAX are counted.
 */
#define SCHEDULE_ATTEMPTS_MAX 1000u
unsigned schedule_attempts(const struct schedule_policy *policy, enum failure failure, unsigned n,
                           usec_t first, usec_t expiry);

/*
 * The issuance budget: how many signatures may be requested in an hour, whatever else goes wrong. TIMES are
 * the instants of the last requests, oldest first.
 *
 * They are CLOCK_BOOTTIME, and so is NOW: that clock counts while the machine sleeps and nobody can set it.
 * In any hour of it, from its first instant up to but without its last, there are no more than PER_HOUR
 * requests, provided that each is recorded before it leaves. With CLOCK_REALTIME no such promise could be
 * kept: a clock that is set forward by an hour would forget them all. What carries the promise through a
 * restart is lib/life/state.h.
 */
#define SCHEDULE_BUDGET_MAX 100u /* the largest PER_HOUR that is kept; a larger one is taken for it */

/* 0 when one more request is allowed at NOW; else how long until it is, an hour at most: an instant later
 * than NOW counts as NOW. USEC_INFINITY where PER_HOUR is 0. */
usec_t schedule_budget_wait(const usec_t *times, size_t n, unsigned per_hour, usec_t now);

/* How many more requests are allowed at NOW. */
unsigned schedule_budget_left(const usec_t *times, size_t n, unsigned per_hour, usec_t now);

/* Adds a request at NOW to TIMES, which holds N and has room for SIZE (1 at least; per_hour for the promise
 * to hold). Those that no longer count go; of a full array the oldest. Returns the new N. */
size_t schedule_budget_record(usec_t *times, size_t n, size_t size, usec_t now);
