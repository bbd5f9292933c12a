/* The machine: every step's failure by every class, what a look leads to, whole lives, and random events. */

#include "lib/renewal.h"

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

/* Short, for the tables */
#define ABSENT    RENEWAL_ABSENT
#define WAITING   RENEWAL_WAITING_FOR_TOKEN
#define ENROLLING RENEWAL_ENROLLING
#define CURRENT   RENEWAL_CURRENT
#define RENEWING  RENEWAL_RENEWING
#define RETRYING  RENEWAL_RETRYING

/* Sets of 90 days at different ages; each with whatever else a case adds. */
#define BORN(t)       .has_set = true, .not_before = (t), .expiry = (t) + 90 * USEC_PER_DAY
#define SET(age_usec) BORN(NOW - (age_usec))
#define FRESH         SET(USEC_PER_DAY)
#define DUE           SET(80 * USEC_PER_DAY)
#define EXPIRED       SET(91 * USEC_PER_DAY)
#define UNBORN        BORN(NOW + USEC_PER_HOUR)

static const char *describe(const struct renewal *r) {
        static char text[160];

        snprintf(text, sizeof(text),
                 "%s/%s by_token=%d failures=%u (%s) due=%" PRI_USEC " backoff=%" PRI_USEC,
                 renewal_state_names[r->state], renewal_step_names[r->step], r->by_token, r->failures,
                 failure_names[r->failure], r->due_usec, r->backoff_usec);
        return text;
}

static enum renewal_step wake(struct renewal *r) {
        return renewal_next(r, &(struct renewal_event) { .type = RENEWAL_WAKE }, &context);
}

static enum renewal_step done(struct renewal *r) {
        return renewal_next(r, &(struct renewal_event) { .type = RENEWAL_DONE }, &context);
}

static enum renewal_step looked(struct renewal *r, struct renewal_sight sight) {
        return renewal_next(r, &(struct renewal_event) { .type = RENEWAL_LOOKED, .sight = &sight }, &context);
}

static enum renewal_step failed(struct renewal *r, enum failure failure) {
        return renewal_next(r, &(struct renewal_event) { .type = RENEWAL_FAILED, .failure = failure },
                            &context);
}

#define ck_renewal(r, expected_state, expected_step) \
        ck_assert_msg((r)->state == (expected_state) && (r)->step == (expected_step), "%s", describe(r))

START_TEST(test_names) {
        for (size_t i = 0; i < RENEWAL_STATE_MAX; i++)
                ck_assert_msg(!strempty(renewal_state_names[i]), "state %zu", i);
        for (size_t i = 0; i < STEP_MAX; i++)
                ck_assert_msg(!strempty(renewal_step_names[i]), "step %zu", i);
}
END_TEST

START_TEST(test_every_failure_of_every_step) {
        static const struct {
                enum failure failure;
                enum renewal_state enrolling, renewing, expired; /* renewing a set that has expired */
        } rows[] = {
                { FAILURE_TRANSIENT, RETRYING, RETRYING, WAITING },
                { FAILURE_REFUSED, WAITING, RETRYING, WAITING },
                { FAILURE_REJECTED, WAITING, WAITING, WAITING },
                { FAILURE_BAD_REPLY, RETRYING, RETRYING, WAITING },
                { FAILURE_LOCAL, RETRYING, RETRYING, WAITING },
        };

        ck_assert_uint_eq(ELEMENTSOF(rows), FAILURE_MAX - 1);

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                for (enum renewal_step step = STEP_KEY; step < STEP_MAX; step++) {
                        bool new_one = step == STEP_PROOF && rows[i].failure == FAILURE_REJECTED;
                        enum failure failure = new_one ? FAILURE_BAD_REPLY : rows[i].failure;
                        usec_t usual = schedule_backoff(&policy, failure, 3, MIDDLE, 0, 0);
                        struct renewal r;

                        r = (struct renewal) { .state = RENEWAL_ENROLLING,
                                               .step = step,
                                               .by_token = true,
                                               .failures = 2,
                                               .past_signature = true };
                        ck_assert_int_eq(failed(&r, rows[i].failure), STEP_NONE);
                        ck_renewal(&r, new_one ? RENEWAL_RETRYING : rows[i].enrolling, STEP_NONE);
                        ck_assert_uint_eq(r.failures, 3);
                        ck_assert_int_eq(r.failure, failure);
                        ck_assert(!r.rejected);
                        ck_assert_uint_eq(r.due_usec, USEC_INFINITY);
                        ck_assert_uint_eq(r.backoff_usec, usual);

                        r = (struct renewal) { .state = RENEWAL_RENEWING,
                                               .step = step,
                                               .failures = 2,
                                               .past_signature = true,
                                               .expiry = NOW + 10 * USEC_PER_DAY };
                        ck_assert_int_eq(failed(&r, rows[i].failure), STEP_NONE);
                        ck_renewal(&r, new_one ? RENEWAL_RETRYING : rows[i].renewing, STEP_NONE);
                        ck_assert_uint_eq(r.failures, 3);
                        ck_assert_int_eq(r.failure, failure);
                        ck_assert_int_eq(r.rejected, failure == FAILURE_REJECTED);
                        ck_assert_uint_eq(r.due_usec, USEC_INFINITY);
                        ck_assert_uint_eq(r.backoff_usec, usual);

                        /* Only a token helps now: slowly, whatever it was. */
                        r = (struct renewal) { .state = RENEWAL_RENEWING,
                                               .step = step,
                                               .failures = 2,
                                               .past_signature = true,
                                               .expiry = NOW };
                        ck_assert_int_eq(failed(&r, rows[i].failure), STEP_NONE);
                        ck_renewal(&r, rows[i].expired, STEP_NONE);
                        ck_assert_int_eq(r.failure, failure);
                        ck_assert_uint_eq(r.backoff_usec, 20 * USEC_PER_MINUTE);
                }
}
END_TEST

START_TEST(test_a_look_that_fails) {
        struct renewal r = { .state = RENEWAL_CURRENT,
                             .due_usec = NOW,
                             .backoff_usec = USEC_INFINITY,
                             .expiry = NOW + USEC_PER_DAY };

        ck_assert_int_eq(wake(&r), STEP_LOOK);
        ck_assert_int_eq(failed(&r, FAILURE_LOCAL), STEP_NONE);
        ck_renewal(&r, RENEWAL_RETRYING, STEP_NONE);
        ck_assert_uint_eq(r.backoff_usec, 5 * USEC_PER_SEC);
        ck_assert_uint_eq(r.due_usec, USEC_INFINITY);

        /* It is no part of the enrolment before it: no token was burnt by looking. */
        r = (struct renewal) { .state = RENEWAL_RETRYING, .by_token = true, .failures = 1 };
        ck_assert_int_eq(wake(&r), STEP_LOOK);
        failed(&r, FAILURE_REFUSED);
        ck_renewal(&r, RENEWAL_RETRYING, STEP_NONE);

        /* The token that was on offer is no reason to look without a pause. */
        r = (struct renewal) { .state = RENEWAL_WAITING_FOR_TOKEN, .rejected = true, .token_offered = true };
        wake(&r);
        failed(&r, FAILURE_LOCAL);
        ck_renewal(&r, RENEWAL_WAITING_FOR_TOKEN, STEP_NONE);
        ck_assert_uint_eq(r.backoff_usec, 5 * USEC_PER_MINUTE);
}
END_TEST

START_TEST(test_backoff_follows_the_failures) {
        struct renewal r = { 0 };
        struct renewal_event event = { .type = RENEWAL_FAILED, .failure = FAILURE_TRANSIENT };

        for (unsigned n = 1; n <= 12; n++) {
                wake(&r);
                looked(&r, (struct renewal_sight) { DUE });
                failed(&r, FAILURE_TRANSIENT);
                ck_assert_uint_eq(r.failures, n);
                ck_assert_uint_eq(r.backoff_usec, schedule_backoff(&policy, FAILURE_TRANSIENT, n, MIDDLE, 0,
                                                                   10 * USEC_PER_DAY));
        }

        /* Retry-After, and its cap to a tenth of the time left */
        event.retry_after_usec = 2 * USEC_PER_HOUR;
        wake(&r);
        looked(&r, (struct renewal_sight) { DUE });
        renewal_next(&r, &event, &context);
        ck_assert_uint_eq(r.backoff_usec, 132 * USEC_PER_MINUTE);

        wake(&r);
        looked(&r, (struct renewal_sight) { SET(90 * USEC_PER_DAY - USEC_PER_HOUR) });
        renewal_next(&r, &event, &context);
        ck_assert_uint_eq(r.backoff_usec, 324 * USEC_PER_SEC);

        r.failures = UINT32_MAX;
        wake(&r);
        looked(&r, (struct renewal_sight) { DUE });
        failed(&r, FAILURE_TRANSIENT);
        ck_assert_uint_eq(r.failures, UINT32_MAX);
}
END_TEST

START_TEST(test_looks) {
        /* clang-format off */
        static const struct {
                const char *what;
                struct renewal before;
                struct renewal_sight sight;
                enum renewal_state state;
                enum renewal_step step;
                enum failure failure;
        } rows[] = {
                /* No set: from the furthest step that what is staged allows. */
                { "nothing", { .state = ABSENT }, { 0 }, WAITING, STEP_NONE, FAILURE_NONE },
                { "only a key", { .state = ABSENT }, { .has_staged_key = true },
                  WAITING, STEP_NONE, FAILURE_NONE },
                { "token", { .state = WAITING }, { .has_token = true }, ENROLLING, STEP_KEY, FAILURE_NONE },
                { "token and key", { .state = WAITING }, { .has_token = true, .has_staged_key = true },
                  ENROLLING, STEP_CONFIGURATION, FAILURE_NONE },
                { "grant", { .state = RETRYING }, { .has_staged_key = true, .has_staged_grant = true },
                  ENROLLING, STEP_SIGN, FAILURE_NONE },
                { "grant and token", { .state = RETRYING },
                  { .has_token = true, .has_staged_key = true, .has_staged_grant = true },
                  ENROLLING, STEP_SIGN, FAILURE_NONE },
                { "grant and another token", { .state = RETRYING },
                  { .has_token = true, .has_untried_token = true, .has_staged_key = true,
                    .has_staged_grant = true },
                  ENROLLING, STEP_CONFIGURATION, FAILURE_NONE },
                { "reply and another token", { .state = RETRYING },
                  { .has_token = true, .has_untried_token = true, .has_staged_reply = true },
                  ENROLLING, STEP_PROOF, FAILURE_NONE },
                { "reply", { .state = RETRYING }, { .has_staged_reply = true },
                  ENROLLING, STEP_PROOF, FAILURE_NONE },
                { "reply, grant and token", { .state = RETRYING },
                  { .has_staged_reply = true, .has_staged_grant = true, .has_token = true },
                  ENROLLING, STEP_PROOF, FAILURE_NONE },
                { "the set is gone", { .state = CURRENT, .expiry = NOW }, { 0 },
                  WAITING, STEP_NONE, FAILURE_NONE },

                /* A clock from before the certificate's birth decides nothing, not even with a token. */
                { "unborn, start", { .state = ABSENT }, { UNBORN }, RETRYING, STEP_NONE, FAILURE_LOCAL },
                { "unborn, current", { .state = CURRENT }, { UNBORN }, CURRENT, STEP_NONE, FAILURE_LOCAL },
                { "unborn, retrying", { .state = RETRYING }, { UNBORN }, RETRYING, STEP_NONE, FAILURE_LOCAL },
                { "unborn, forced", { .state = CURRENT, .forced = true }, { UNBORN },
                  CURRENT, STEP_NONE, FAILURE_LOCAL },
                { "unborn, token", { .state = CURRENT }, { UNBORN, .has_token = true },
                  CURRENT, STEP_NONE, FAILURE_LOCAL },
                { "within the skew", { .state = ABSENT }, { BORN(NOW + 5 * USEC_PER_MINUTE) },
                  CURRENT, STEP_NONE, FAILURE_NONE },

                /* Expired: a token at once; else slow retries with what there is. */
                { "expired, start", { .state = ABSENT }, { EXPIRED }, WAITING, STEP_NONE, FAILURE_REJECTED },
                { "expired, current", { .state = CURRENT }, { EXPIRED },
                  WAITING, STEP_NONE, FAILURE_REJECTED },
                { "expired, retrying", { .state = RETRYING }, { EXPIRED },
                  WAITING, STEP_NONE, FAILURE_REJECTED },
                { "expired, woken again", { .state = WAITING }, { EXPIRED },
                  RENEWING, STEP_KEY, FAILURE_NONE },
                { "expired, woken again, key", { .state = WAITING }, { EXPIRED, .has_staged_key = true },
                  RENEWING, STEP_CONFIGURATION, FAILURE_NONE },
                { "expired, forced", { .state = CURRENT, .forced = true }, { EXPIRED },
                  RENEWING, STEP_KEY, FAILURE_NONE },
                { "expired, token", { .state = CURRENT }, { EXPIRED, .has_token = true },
                  ENROLLING, STEP_KEY, FAILURE_NONE },
                { "expired, waiting, token", { .state = WAITING }, { EXPIRED, .has_token = true },
                  ENROLLING, STEP_KEY, FAILURE_NONE },
                { "expired, grant", { .state = CURRENT },
                  { EXPIRED, .has_staged_grant = true, .has_staged_key = true },
                  ENROLLING, STEP_SIGN, FAILURE_NONE },
                { "expired, reply", { .state = CURRENT }, { EXPIRED, .has_staged_reply = true },
                  ENROLLING, STEP_PROOF, FAILURE_NONE },
                { "expires now", { .state = CURRENT }, { SET(90 * USEC_PER_DAY) },
                  WAITING, STEP_NONE, FAILURE_REJECTED },
                { "expires next", { .state = CURRENT }, { SET(90 * USEC_PER_DAY - 1) },
                  RENEWING, STEP_KEY, FAILURE_NONE },

                /* Rejected is as good as expired, until the set on disk is another. */
                { "rejected, retrying", { .state = RETRYING, .rejected = true, .expiry = NOW + 89 * USEC_PER_DAY },
                  { FRESH },
                  WAITING, STEP_NONE, FAILURE_REJECTED },
                { "rejected, waiting", { .state = WAITING, .rejected = true, .expiry = NOW + 89 * USEC_PER_DAY },
                  { FRESH },
                  RENEWING, STEP_KEY, FAILURE_NONE },
                { "rejected, token", { .state = WAITING, .rejected = true, .expiry = NOW + 89 * USEC_PER_DAY },
                  { FRESH, .has_token = true },
                  ENROLLING, STEP_KEY, FAILURE_NONE },
                { "rejected, replaced by hand", { .state = WAITING, .rejected = true, .expiry = NOW + USEC_PER_DAY },
                  { FRESH },
                  CURRENT, STEP_NONE, FAILURE_NONE },

                /* Not due */
                { "fresh, start", { .state = ABSENT }, { FRESH }, CURRENT, STEP_NONE, FAILURE_NONE },
                { "fresh, retrying",
                  { .state = RETRYING, .failures = 7, .failure = FAILURE_LOCAL },
                  { FRESH },
                  CURRENT,
                  STEP_NONE,
                  FAILURE_NONE },
                { "fresh, waiting",
                  { .state = WAITING, .failures = 7, .failure = FAILURE_REFUSED },
                  { FRESH },
                  CURRENT,
                  STEP_NONE,
                  FAILURE_NONE },
                { "fresh, token", { .state = CURRENT },
                  { FRESH, .has_token = true }, CURRENT, STEP_NONE, FAILURE_NONE },
                { "fresh, reply",
                  { .state = CURRENT },
                  { FRESH, .has_staged_reply = true },
                  CURRENT,
                  STEP_NONE,
                  FAILURE_NONE },
                { "due in 1 us",
                  { .state = CURRENT },
                  { SET(5209920 * USEC_PER_SEC - 1) },
                  CURRENT,
                  STEP_NONE,
                  FAILURE_NONE },

                /* Due, forced, or another key: over the certificate-secured door, where a grant is of no use.
                 */
                { "due", { .state = CURRENT },
                  { SET(5209920 * USEC_PER_SEC) }, RENEWING, STEP_KEY, FAILURE_NONE },
                { "due, start", { .state = ABSENT }, { DUE }, RENEWING, STEP_KEY, FAILURE_NONE },
                { "due, waiting", { .state = WAITING }, { DUE }, RENEWING, STEP_KEY, FAILURE_NONE },
                { "due, token", { .state = CURRENT },
                  { DUE, .has_token = true }, RENEWING, STEP_KEY, FAILURE_NONE },
                { "due, key",
                  { .state = RETRYING },
                  { DUE, .has_staged_key = true },
                  RENEWING,
                  STEP_CONFIGURATION,
                  FAILURE_NONE },
                { "due, grant",
                  { .state = RETRYING },
                  { DUE, .has_staged_key = true, .has_staged_grant = true },
                  RENEWING,
                  STEP_CONFIGURATION,
                  FAILURE_NONE },
                { "due, reply",
                  { .state = RETRYING },
                  { DUE, .has_staged_key = true, .has_staged_reply = true },
                  RENEWING,
                  STEP_PROOF,
                  FAILURE_NONE },
                { "forced", { .state = CURRENT, .forced = true },
                  { FRESH }, RENEWING, STEP_KEY, FAILURE_NONE },
                { "other key",
                  { .state = CURRENT },
                  { FRESH, .other_key_asked = true },
                  RENEWING,
                  STEP_KEY,
                  FAILURE_NONE },
                { "enrolment asked for",
                  { .state = CURRENT },
                  { FRESH, .enrol_asked = true, .has_token = true, .has_untried_token = true },
                  RENEWAL_ENROLLING,
                  STEP_KEY,
                  FAILURE_NONE },
                { "enrolment asked for, no token",
                  { .state = CURRENT },
                  { FRESH, .enrol_asked = true },
                  CURRENT,
                  STEP_NONE,
                  FAILURE_NONE },
        };
        /* clang-format on */

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct renewal r = rows[i].before;
                enum renewal_step step;

                ck_assert_int_eq(wake(&r), STEP_LOOK);
                ck_assert_int_eq(r.state, rows[i].before.state);
                step = looked(&r, rows[i].sight);
                ck_assert_msg(r.state == rows[i].state && step == rows[i].step && r.step == step, "%s: %s",
                              rows[i].what, describe(&r));
                ck_assert_msg(r.by_token == (r.state == RENEWAL_ENROLLING), "%s: %s", rows[i].what,
                              describe(&r));
                ck_assert_msg(r.expiry == (rows[i].sight.has_set ? rows[i].sight.expiry : 0), "%s",
                              rows[i].what);
                if (step == STEP_NONE)
                        ck_assert_msg(r.failure == rows[i].failure, "%s: %s", rows[i].what, describe(&r));
        }
}
END_TEST

START_TEST(test_when_to_wake) {
        struct renewal r = { 0 };

        wake(&r);
        looked(&r, (struct renewal_sight) { 0 });
        ck_assert_uint_eq(r.due_usec, USEC_INFINITY);
        ck_assert_uint_eq(r.backoff_usec, USEC_INFINITY);

        wake(&r);
        looked(&r, (struct renewal_sight) { FRESH });
        ck_assert_uint_eq(r.due_usec, NOW - USEC_PER_DAY + 5209920 * USEC_PER_SEC);
        ck_assert_uint_eq(r.backoff_usec, USEC_INFINITY);

        wake(&r);
        ck_assert_uint_eq(r.due_usec, USEC_INFINITY); /* nothing is left armed during an attempt */
        looked(&r, (struct renewal_sight) { UNBORN });
        ck_assert_uint_eq(r.due_usec, USEC_INFINITY);
        ck_assert_uint_eq(r.backoff_usec, 5 * USEC_PER_SEC);

        wake(&r);
        looked(&r, (struct renewal_sight) { EXPIRED });
        ck_assert_uint_eq(r.due_usec, USEC_INFINITY);
        ck_assert_uint_eq(r.backoff_usec, 10 * USEC_PER_MINUTE); /* the second failure, slow */

        wake(&r);
        looked(&r, (struct renewal_sight) { .has_set = true, .not_before = NOW, .expiry = USEC_INFINITY });
        ck_renewal(&r, RENEWAL_CURRENT, STEP_NONE);
        ck_assert_uint_eq(r.due_usec, USEC_INFINITY);
        ck_assert_uint_eq(r.failures, 0);
}
END_TEST

/* Walks through STEPS by "done"; the first is the one under way. */
static void walk(struct renewal *r, const enum renewal_step *steps, size_t n) {
        for (size_t i = 0; i < n; i++) {
                ck_assert_msg(r->step == steps[i], "at %zu: %s", i, describe(r));
                ck_assert_uint_eq(r->due_usec, USEC_INFINITY);
                ck_assert_uint_eq(r->backoff_usec, USEC_INFINITY);
                done(r);
        }
        ck_renewal(r, RENEWAL_CURRENT, STEP_NONE);
        ck_assert_uint_eq(r->due_usec, USEC_INFINITY);
        ck_assert_uint_eq(r->backoff_usec, USEC_INFINITY);
        ck_assert_uint_eq(r->failures, 0);
        ck_assert_int_eq(r->failure, FAILURE_NONE);
        ck_assert(!r->forced && !r->rejected);
}

START_TEST(test_whole_life) {
        static const enum renewal_step all[] = { STEP_KEY,  STEP_CONFIGURATION, STEP_CSR,   STEP_SIGN,
                                                 STEP_GATE, STEP_PROOF,         STEP_COMMIT };
        struct renewal r = { 0 };

        wake(&r);
        looked(&r, (struct renewal_sight) { 0 });
        ck_renewal(&r, RENEWAL_WAITING_FOR_TOKEN, STEP_NONE);
        wake(&r);
        looked(&r, (struct renewal_sight) { .has_token = true });
        ck_renewal(&r, RENEWAL_ENROLLING, STEP_KEY);
        walk(&r, all, ELEMENTSOF(all));

        wake(&r);
        looked(&r, (struct renewal_sight) { FRESH });
        ck_renewal(&r, RENEWAL_CURRENT, STEP_NONE);

        /* One failure on the way; the key is staged by then. */
        wake(&r);
        looked(&r, (struct renewal_sight) { DUE });
        ck_assert_int_eq(done(&r), STEP_CONFIGURATION);
        failed(&r, FAILURE_TRANSIENT);
        ck_renewal(&r, RENEWAL_RETRYING, STEP_NONE);
        wake(&r);
        looked(&r, (struct renewal_sight) { DUE, .has_staged_key = true });
        ck_renewal(&r, RENEWAL_RENEWING, STEP_CONFIGURATION);
        walk(&r, all + 1, ELEMENTSOF(all) - 1);

        /* Forced, and proven only at the second attempt. */
        r.forced = true;
        wake(&r);
        looked(&r, (struct renewal_sight) { FRESH });
        while (r.step != STEP_PROOF)
                done(&r);
        failed(&r, FAILURE_TRANSIENT);
        ck_assert(r.forced);
        wake(&r);
        looked(&r, (struct renewal_sight) { FRESH, .has_staged_key = true, .has_staged_reply = true });
        walk(&r, all + 5, 2);

        /* The Director's grant survives a crash between `configuration` and sign. */
        wake(&r);
        looked(&r, (struct renewal_sight) { .has_staged_key = true, .has_staged_grant = true });
        walk(&r, all + 3, 4);
}
END_TEST

START_TEST(test_key_too_small) {
        static const struct renewal_event too_small = { .type = RENEWAL_KEY_TOO_SMALL };
        static const enum renewal_step rest[] = { STEP_CSR, STEP_SIGN, STEP_GATE, STEP_PROOF, STEP_COMMIT };
        struct renewal r = { 0 };

        wake(&r);
        looked(&r, (struct renewal_sight) { DUE, .has_staged_key = true });
        ck_assert_int_eq(renewal_next(&r, &too_small, &context), STEP_KEY);
        ck_renewal(&r, RENEWAL_RENEWING, STEP_KEY);
        ck_assert_int_eq(done(&r), STEP_CSR); /* `configuration` mints a token: not a second time */
        walk(&r, rest, ELEMENTSOF(rest));

        /* The next attempt starts without that memory. */
        wake(&r);
        looked(&r, (struct renewal_sight) { DUE });
        ck_assert_int_eq(done(&r), STEP_CONFIGURATION);

        /* So does one after a failure in between. */
        renewal_next(&r, &too_small, &context);
        failed(&r, FAILURE_LOCAL);
        wake(&r);
        looked(&r, (struct renewal_sight) { DUE });
        ck_assert_int_eq(done(&r), STEP_CONFIGURATION);
}
END_TEST

START_TEST(test_rejected_with_a_token_on_offer) {
        struct renewal r = { 0 };

        /* The certificate is tried first, since it costs no token ... */
        wake(&r);
        looked(&r, (struct renewal_sight) { DUE, .has_token = true });
        ck_renewal(&r, RENEWAL_RENEWING, STEP_KEY);
        done(&r);
        failed(&r, FAILURE_REJECTED);
        ck_renewal(&r, RENEWAL_WAITING_FOR_TOKEN, STEP_NONE);
        ck_assert_uint_eq(r.backoff_usec, 0); /* ... which lives for five minutes */

        wake(&r);
        looked(&r, (struct renewal_sight) { DUE, .has_token = true, .has_staged_key = true });
        ck_renewal(&r, RENEWAL_ENROLLING, STEP_CONFIGURATION);

        /* The network fails: the rejection is not forgotten over it. */
        failed(&r, FAILURE_TRANSIENT);
        ck_renewal(&r, RENEWAL_RETRYING, STEP_NONE);
        wake(&r);
        looked(&r, (struct renewal_sight) { DUE, .has_token = true, .has_staged_key = true });
        ck_renewal(&r, RENEWAL_ENROLLING, STEP_CONFIGURATION);

        /* No way round in a hurry: a refused token waits. */
        failed(&r, FAILURE_REFUSED);
        ck_renewal(&r, RENEWAL_WAITING_FOR_TOKEN, STEP_NONE);
        ck_assert_uint_eq(r.backoff_usec, 20 * USEC_PER_MINUTE);

        /* Without a token: slow retries with the certificate. The CA comes back. */
        wake(&r);
        looked(&r, (struct renewal_sight) { DUE, .has_staged_key = true });
        ck_renewal(&r, RENEWAL_RENEWING, STEP_CONFIGURATION);
        while (r.step != STEP_NONE)
                done(&r);
        ck_assert(!r.rejected);
}
END_TEST

START_TEST(test_events_out_of_place) {
        static const struct renewal_sight sight = { DUE };
        static const struct {
                enum renewal_event_type type;
                bool at[STEP_MAX]; /* where the event belongs */
        } rows[] = {
                { RENEWAL_WAKE, { [STEP_NONE] = true } },
                { RENEWAL_LOOKED, { [STEP_LOOK] = true } },
                { RENEWAL_KEY_TOO_SMALL, { [STEP_CONFIGURATION] = true } },
                { RENEWAL_DONE,
                  { [STEP_KEY] = true,
                    [STEP_CONFIGURATION] = true,
                    [STEP_CSR] = true,
                    [STEP_SIGN] = true,
                    [STEP_GATE] = true,
                    [STEP_PROOF] = true,
                    [STEP_COMMIT] = true } },
                { RENEWAL_FAILED,
                  { [STEP_LOOK] = true,
                    [STEP_KEY] = true,
                    [STEP_CONFIGURATION] = true,
                    [STEP_CSR] = true,
                    [STEP_SIGN] = true,
                    [STEP_GATE] = true,
                    [STEP_PROOF] = true,
                    [STEP_COMMIT] = true } },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                for (enum renewal_step step = STEP_NONE; step < STEP_MAX; step++) {
                        struct renewal_event event = { .type = rows[i].type,
                                                       .sight = &sight,
                                                       .failure = FAILURE_TRANSIENT };
                        struct renewal before, r;

                        memset(&before, 0, sizeof(before));
                        before.state = step <= STEP_LOOK ? RENEWAL_RETRYING : RENEWAL_RENEWING;
                        before.step = step;
                        memcpy(&r, &before, sizeof(r));
                        ck_assert_int_eq(renewal_next(&r, &event, &context), r.step);
                        ck_assert_msg((memcmp(&r, &before, sizeof(r)) != 0) == rows[i].at[step],
                                      "event %zu at %s", i, renewal_step_names[step]);
                }
}
END_TEST

/* xorshift64*: the same events each time. */
static uint64_t random_next(uint64_t *seed) {
        *seed ^= *seed >> 12;
        *seed ^= *seed << 25;
        *seed ^= *seed >> 27;
        return *seed * UINT64_C(0x2545f4914f6cdd1d);
}

static bool flip(uint64_t *seed) {
        return random_next(seed) >> 63;
}

/* What must hold after every event, whatever happened before. */
static const char *impossible(const struct renewal *r) {
        bool busy = r->step > STEP_LOOK;
        bool armed = r->due_usec != USEC_INFINITY || r->backoff_usec != USEC_INFINITY;

        if (r->state >= RENEWAL_STATE_MAX || r->step >= STEP_MAX || r->failure >= FAILURE_MAX)
                return "a value out of range";
        if (busy != (r->state == RENEWAL_ENROLLING || r->state == RENEWAL_RENEWING))
                return "a state that does not go with the step";
        if (busy && r->by_token != (r->state == RENEWAL_ENROLLING))
                return "an enrolment without a token";
        if (r->step != STEP_NONE && armed)
                return "a time to wake during an attempt";
        if (r->step == STEP_NONE && r->state == RENEWAL_ABSENT)
                return "absent after a look";
        if (r->due_usec != USEC_INFINITY && r->backoff_usec != USEC_INFINITY)
                return "two times to wake";
        if (r->due_usec != USEC_INFINITY && (r->state != RENEWAL_CURRENT || r->failures > 0))
                return "a due time with something wrong";
        if (r->backoff_usec != USEC_INFINITY && r->failures == 0)
                return "a back-off without a failure";
        if ((r->failure == FAILURE_NONE) != (r->failures == 0))
                return "a failure that is not counted";
        if (r->state == RENEWAL_RETRYING && (r->failures == 0 || (r->step == STEP_NONE && !armed)))
                return "retrying never";
        if (r->rejected && r->expiry == 0)
                return "a set rejected that is not there";
        return NULL;
}

START_TEST(test_random_events) {
        uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);
        struct renewal r = { .due_usec = USEC_INFINITY, .backoff_usec = USEC_INFINITY };
        bool seen[RENEWAL_STATE_MAX][STEP_MAX] = { 0 };
        bool csr_made = false, grant_staged = false, reply_proven = false, configured = false;
        unsigned commits = 0, pairs = 0;

        for (unsigned i = 0; i < 200000; i++) {
                struct renewal_context now = context;
                struct renewal_sight sight = { 0 };
                struct renewal_event event = { .sight = &sight };
                enum renewal_step before = r.step, step;
                unsigned failures;
                const char *wrong;
                bool held;

                now.random = (uint32_t)random_next(&seed);
                now.seed = (uint32_t)random_next(&seed);
                now.now = NOW + random_next(&seed) % (100 * USEC_PER_DAY);
                sight.has_set = random_next(&seed) % 4 > 0;
                if (sight.has_set) {
                        sight.not_before = NOW + random_next(&seed) % (20 * USEC_PER_DAY);
                        sight.expiry = sight.not_before + random_next(&seed) % 4 * 30 * USEC_PER_DAY;
                }
                sight.has_token = flip(&seed);
                sight.has_untried_token = sight.has_token && flip(&seed);
                sight.has_staged_key = flip(&seed);
                sight.has_staged_grant = flip(&seed);
                sight.has_staged_reply = random_next(&seed) % 8 == 0;
                sight.other_key_asked = flip(&seed);
                sight.enrol_asked = random_next(&seed) % 8 == 0;
                event.failure = FAILURE_NONE + 1 + (enum failure)(random_next(&seed) % (FAILURE_MAX - 1));
                event.retry_after_usec = flip(&seed) ? random_next(&seed) : 0;
                event.no_gain = flip(&seed);
                event.hold_usec = random_next(&seed) % 8 == 0 ? random_next(&seed) : 0;
                held = before == STEP_LOOK && event.hold_usec > 0 && r.failures > 0;
                failures = r.failures;
                if (random_next(&seed) % 64 == 0)
                        r.forced = true;

                /* Mostly what belongs to the step, else anything. */
                event.type = (enum renewal_event_type)(random_next(&seed) % (RENEWAL_FAILED + 1));
                if (random_next(&seed) % 4 > 0)
                        event.type = before == STEP_NONE   ? RENEWAL_WAKE
                                     : before == STEP_LOOK ? RENEWAL_LOOKED
                                                           : RENEWAL_DONE;

                if (r.state == RENEWAL_ABSENT && before == STEP_NONE && event.type != RENEWAL_WAKE)
                        continue; /* nothing has begun */
                step = renewal_next(&r, &event, &now);
                wrong = impossible(&r);
                ck_assert_msg(!wrong && step == r.step, "event %u: %s: %s", i, wrong ? wrong : "step",
                              describe(&r));
                seen[r.state][step] = true;
                if (held && event.type == RENEWAL_LOOKED)
                        ck_assert_msg(step == STEP_NONE && r.failures <= failures, "event %u: not held: %s",
                                      i, describe(&r));
                ck_assert_uint_gt(renewal_assumed_backoff(&r, &now), 0);

                /* The order within an attempt, kept by our own book. */
                if (before == STEP_LOOK && event.type == RENEWAL_LOOKED) {
                        csr_made = configured = reply_proven = false;
                        grant_staged = sight.has_staged_grant && r.by_token;
                } else if (before == STEP_CSR && step == STEP_SIGN)
                        csr_made = true;
                else if (before == STEP_PROOF && event.type == RENEWAL_DONE)
                        reply_proven = true;

                if (step != before) {
                        ck_assert_msg(step != STEP_SIGN || csr_made || grant_staged,
                                      "event %u: signs nothing", i);
                        ck_assert_msg(step != STEP_COMMIT || reply_proven,
                                      "event %u: commits what is not proven", i);
                        ck_assert_msg(step != STEP_CONFIGURATION || !configured, "event %u: configured twice",
                                      i);
                        configured |= step == STEP_CONFIGURATION;
                        commits += before == STEP_COMMIT && r.failure == FAILURE_NONE;
                }
        }

        for (size_t i = 0; i < RENEWAL_STATE_MAX; i++)
                for (size_t j = 0; j < STEP_MAX; j++)
                        pairs += seen[i][j];
        test_report("200000 events: %u commits, %u pairs of state and step", commits, pairs);
        ck_assert_uint_gt(commits, 1000);
        /* waiting, current, retrying x none, look; absent x look; enrolling, renewing x key ... commit */
        ck_assert_uint_eq(pairs, 3 * 2 + 1 + 2 * 7);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("renewal");

        TEST_CASE(suite, test_names);
        TEST_CASE(suite, test_every_failure_of_every_step);
        TEST_CASE(suite, test_a_look_that_fails);
        TEST_CASE(suite, test_backoff_follows_the_failures);
        TEST_CASE(suite, test_looks);
        TEST_CASE(suite, test_when_to_wake);
        TEST_CASE(suite, test_whole_life);
        TEST_CASE(suite, test_key_too_small);
        TEST_CASE(suite, test_rejected_with_a_token_on_offer);
        TEST_CASE(suite, test_events_out_of_place);
        TEST_CASE(suite, test_random_events);
        return test_run(suite);
}
