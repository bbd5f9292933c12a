/*
 * When to renew, and how long to wait after a failure. Everything here is arithmetic on arguments: no clock
 * is read, no random number drawn, nothing remembered, so the tests walk through years in microseconds. Sums
 * saturate and shares are exact: an expiry of "never" or a lifetime of ten thousand years is only a large
 * number.
 */

#include "lib/life/schedule.h"

#include <assert.h>
#include <limits.h>

#include "lib/util/hash.h"
#include "lib/util/time.h"

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define BACKOFF_MIN_USEC USEC_PER_SEC
#define BACKOFF_MAX_USEC USEC_PER_HOUR

#define NOT_LONGER_FIRST_USEC (6 * USEC_PER_HOUR)
#define NOT_LONGER_MAX_USEC   USEC_PER_DAY

#define RANDOM_WHOLE (UINT64_C(1) << 32) /* one more than the largest random number or seed */

/* At least this part of a lifetime passes before a renewal. Without it a renew_before that exceeds the
 * lifetime, or a CA that expires within renew_before and so cuts each new certificate short, would make each
 * new one due at birth. */
#define LIVED_PART 10

usec_t share_of(struct share_or_usec s, usec_t lifetime_usec) {
        if (!s.is_share)
                return s.usec;
        if (lifetime_usec == USEC_INFINITY)
                return USEC_INFINITY;
        return usec_part(lifetime_usec, MIN(s.ppm, SHARE_ONE), SHARE_ONE);
}

uint32_t schedule_seed(const uint8_t machine_id[16], const char *name) {
        uint64_t hash = HASH_INIT;

        for (size_t i = 0; i < 16; i++)
                hash = hash_byte(hash, machine_id[i]);
        hash = hash_text(hash, name);

        /* FNV leaves the last letter in the low bits, and names mostly differ there: spread it over all of
         * them. */
        hash = (hash ^ (hash >> 33)) * UINT64_C(0xff51afd7ed558ccd);
        hash = (hash ^ (hash >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
        return (uint32_t)(hash >> 32);
}

usec_t schedule_due(const struct schedule_policy *policy, usec_t not_before, usec_t effective_expiry,
                    uint32_t seed) {
        usec_t lifetime, before, jitter, due, earliest;

        if (effective_expiry == USEC_INFINITY)
                return USEC_INFINITY;

        lifetime = usec_sub(effective_expiry, not_before);
        before = MIN(share_of(policy->renew_before, lifetime), lifetime);
        jitter = MIN(share_of(policy->jitter, lifetime), lifetime);

        due = usec_sub(effective_expiry, before);
        due = usec_sub(due, usec_part(jitter, seed, RANDOM_WHOLE));
        earliest = usec_add(not_before, lifetime / LIVED_PART);
        return MAX(due, earliest);
}

usec_t schedule_replacement(usec_t from, usec_t within_usec, uint32_t seed) {
        return usec_add(from, usec_part(within_usec, seed, RANDOM_WHOLE));
}

/* The renewal is earlier by SEED's part of the jitter. By the same part its key would be later, and where the
 * jitter is half of AHEAD_USEC the keys of all would be made at once: this is another one. Knuth's
 * multiplier is odd, so that each seed has a part of its own. */
usec_t schedule_key_ahead(usec_t ahead_usec, usec_t not_before, usec_t due, uint32_t seed) {
        usec_t ahead = MIN(ahead_usec, usec_sub(due, not_before) / 2);

        if (ahead_usec == 0 || due == USEC_INFINITY)
                return USEC_INFINITY;
        return usec_add(usec_sub(due, ahead),
                        usec_part(ahead / 2, seed * UINT32_C(2654435761), RANDOM_WHOLE));
}

bool schedule_clock_plausible(const struct schedule_policy *policy, usec_t now, usec_t not_before) {
        return usec_add(now, policy->skew_usec) >= not_before;
}

/* At least FLOOR: where that decides, up to a fifth of it on top, but not beyond a day. A fleet that is told
 * one and the same span must not call in one instant. */
static usec_t at_least(usec_t wait, usec_t floor, uint32_t random) {
        if (wait >= floor)
                return wait;
        return floor + usec_part(MIN(floor / 5, usec_sub(USEC_PER_DAY, floor)), random, RANDOM_WHOLE);
}

/* At most CAP: where that decides, the last fifth of it. */
static usec_t at_most(usec_t wait, usec_t cap, uint32_t random) {
        if (wait <= cap)
                return wait;
        return cap / 5 * 4 + usec_part(cap / 5, random, RANDOM_WHOLE);
}

/* FIRST for the first failure, doubling up to MAX; times 0.8 and, for the largest random number, all but 1.2.
 */
static usec_t doubled(usec_t first, usec_t max, unsigned n, uint32_t random) {
        usec_t wait = first;

        for (unsigned i = 1; i < n && wait < max; i++)
                wait *= 2;
        wait = MIN(wait, max);
        return wait / 5 * 4 + usec_part(wait / 5 * 2, random, RANDOM_WHOLE);
}

static usec_t limited(const struct schedule_policy *policy, enum failure failure, usec_t wait,
                      uint32_t random, usec_t time_left_usec) {
        if (time_left_usec > 0)
                wait = at_most(wait, time_left_usec / 10, random);
        wait = at_least(wait, BACKOFF_MIN_USEC, random);
        return failure == FAILURE_BAD_REPLY ? at_least(wait, policy->ca_window_usec, random) : wait;
}

usec_t schedule_backoff(const struct schedule_policy *policy, enum failure failure, unsigned n,
                        uint32_t random, usec_t retry_after_usec, usec_t time_left_usec) {
        static const usec_t first_usec[FAILURE_MAX] = {
                [FAILURE_TRANSIENT] = 5 * USEC_PER_SEC,   [FAILURE_REFUSED] = 5 * USEC_PER_MINUTE,
                [FAILURE_REJECTED] = 5 * USEC_PER_MINUTE, [FAILURE_BAD_REPLY] = 5 * USEC_PER_SEC,
                [FAILURE_LOCAL] = 5 * USEC_PER_SEC,
        };
        usec_t wait;

        assert(failure > FAILURE_NONE && failure < FAILURE_MAX);

        wait = doubled(first_usec[failure], BACKOFF_MAX_USEC, n, random);

        /* A span that is not believed is no reason to come in step either. */
        if (retry_after_usec > SCHEDULE_RETRY_AFTER_MAX_USEC)
                retry_after_usec = SCHEDULE_RETRY_AFTER_MAX_USEC / 5 * 4;
        wait = at_least(wait, retry_after_usec, random);
        return limited(policy, failure, wait, random, time_left_usec);
}

/* Once an hour is often enough for what only a new CA can end, as long as several hours are left. */
static usec_t not_longer_floor(usec_t time_left_usec) {
        return MIN(USEC_PER_HOUR, time_left_usec / 4);
}

usec_t schedule_not_longer_backoff(const struct schedule_policy *policy, unsigned n, uint32_t random,
                                   usec_t time_left_usec) {
        usec_t wait = doubled(NOT_LONGER_FIRST_USEC, NOT_LONGER_MAX_USEC, n, random);

        wait = limited(policy, FAILURE_BAD_REPLY, at_most(wait, NOT_LONGER_MAX_USEC, random), random,
                       time_left_usec);
        return at_least(wait, not_longer_floor(time_left_usec), random);
}

usec_t schedule_old_ca_backoff(const struct schedule_policy *policy, unsigned n, uint32_t random,
                               usec_t time_left_usec) {
        usec_t first = MAX(policy->ca_window_usec, 5 * USEC_PER_SEC);

        return limited(policy, FAILURE_BAD_REPLY, doubled(first, MAX(first, BACKOFF_MAX_USEC), n, random),
                       random, time_left_usec);
}

usec_t schedule_backoff_max(const struct schedule_policy *policy, enum failure failure,
                            usec_t time_left_usec) {
        usec_t max = USEC_PER_DAY;

        if (time_left_usec > 0)
                max = MIN(max, time_left_usec / 10);
        max = MAX(max, BACKOFF_MIN_USEC / 5 * 6);
        if (failure != FAILURE_BAD_REPLY)
                return max;
        max = MAX(max, not_longer_floor(time_left_usec) / 5 * 6);
        return MAX(max, usec_add(policy->ca_window_usec, policy->ca_window_usec / 5));
}

unsigned schedule_attempts(const struct schedule_policy *policy, enum failure failure, unsigned n,
                           usec_t first, usec_t expiry) {
        unsigned attempts = 0;

        if (failure == FAILURE_NONE)
                failure = FAILURE_TRANSIENT;
        for (usec_t when = first; when < expiry && attempts < SCHEDULE_ATTEMPTS_MAX; attempts++) {
                n = n < UINT_MAX ? n + 1 : n;
                when = usec_add(when,
                                schedule_backoff(policy, failure, n, RANDOM_WHOLE / 2, 0, expiry - when));
        }
        return attempts;
}

usec_t schedule_budget_wait(const usec_t *times, size_t n, unsigned per_hour, usec_t now) {
        if (per_hour == 0)
                return USEC_INFINITY;
        per_hour = MIN(per_hour, SCHEDULE_BUDGET_MAX);
        if (n < per_hour)
                return 0;

        /* Together with one more, the PER_HOUR-th last would be one too many until it is an hour old. */
        return usec_sub(USEC_PER_HOUR, usec_sub(now, times[n - per_hour]));
}

unsigned schedule_budget_left(const usec_t *times, size_t n, unsigned per_hour, usec_t now) {
        size_t used = 0;

        per_hour = MIN(per_hour, SCHEDULE_BUDGET_MAX);
        while (used < n && usec_sub(now, times[n - 1 - used]) < USEC_PER_HOUR)
                used++;
        return used < per_hour ? per_hour - (unsigned)used : 0;
}

size_t schedule_budget_record(usec_t *times, size_t n, size_t size, usec_t now) {
        size_t gone = 0;

        assert(size > 0 && n <= size);

        while (gone < n && usec_sub(now, times[gone]) >= USEC_PER_HOUR)
                gone++;
        if (n - gone == size)
                gone++;
        n -= gone;
        memmove(times, times + gone, n * sizeof(*times));

        /* In order, even for a caller whose clock went back. */
        times[n] = n > 0 ? MAX(now, times[n - 1]) : now;
        return n + 1;
}
