#pragma once

/* The machine, and the events that tests feed it. */

#include "lib/life/renewal.h"
#include "tests/test.h"

#define NOW    (UINT64_C(1795197442) * USEC_PER_SEC)
#define MIDDLE 0x80000000u

static const struct schedule_policy policy = {
        .renew_before = { .is_share = true, .ppm = 330000 },
        .jitter = { .is_share = true, .ppm = 0 },
        .skew_usec = 5 * USEC_PER_MINUTE,
        .ca_window_usec = USEC_PER_MINUTE,
};
static const struct renewal_context context = { .policy = &policy, .random = MIDDLE, .now = NOW };

/* Sets of 90 days at different ages; each with whatever else a case adds. */
#define BORN(t)       .set = SET_KNOWN, .not_before = (t), .expiry = (t) + 90 * USEC_PER_DAY
#define SET(age_usec) BORN(NOW - (age_usec))
#define FRESH         SET(USEC_PER_DAY)
#define DUE           SET(80 * USEC_PER_DAY)
#define EXPIRED       SET(91 * USEC_PER_DAY)

/* One that passed the gate, and has not failed yet. */
#define STAGED_REPLY .has_staged_reply = true, .reply_expiry = USEC_INFINITY
#define UNBORN       BORN(NOW + USEC_PER_HOUR)

static inline const char *describe(const struct renewal *r) {
        static char text[160];

        snprintf(text, sizeof(text),
                 "%s/%s by_token=%d failures=%u (%s) due=%" PRI_USEC " backoff=%" PRI_USEC,
                 renewal_state_names[r->state], renewal_step_names[r->step], r->by_token, r->failures,
                 failure_names[r->failure], r->due_usec, r->backoff_usec);
        return text;
}

static inline enum renewal_step wake(struct renewal *r) {
        return renewal_next(r, &(struct renewal_event) { .type = RENEWAL_WAKE }, &context);
}

/* An observation that says nothing of a set is one of no set. */
static inline enum renewal_step inspected(struct renewal *r, struct renewal_observation observation) {
        if (observation.set == SET_UNKNOWN)
                observation.set = SET_NONE;
        return renewal_next(
                r, &(struct renewal_event) { .type = RENEWAL_INSPECTED, .observation = &observation },
                &context);
}

/* The inspection fails, and has seen no more than OBSERVATION. */
static inline enum renewal_step not_inspected(struct renewal *r, struct renewal_observation observation) {
        return renewal_next(r,
                            &(struct renewal_event) { .type = RENEWAL_FAILED,
                                                      .failure = FAILURE_LOCAL,
                                                      .observation = &observation },
                            &context);
}

static inline enum renewal_step failed(struct renewal *r, enum failure failure) {
        return renewal_next(r, &(struct renewal_event) { .type = RENEWAL_FAILED, .failure = failure },
                            &context);
}

#define ck_renewal(r, expected_state, expected_step) \
        ck_assert_msg((r)->state == (expected_state) && (r)->step == (expected_step), "%s", describe(r))
