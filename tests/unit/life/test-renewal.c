/* The machine: every step's failure by every class, what a look leads to, and when it wakes. */

#include "lib/life/renewal.h"

#include "tests/test.h"
#include "tests/unit/life/renewals.h"

/* Short, for the tables */
#define ABSENT    RENEWAL_ABSENT
#define WAITING   RENEWAL_WAITING_FOR_TOKEN
#define ENROLLING RENEWAL_ENROLLING
#define CURRENT   RENEWAL_CURRENT
#define RENEWING  RENEWAL_RENEWING
#define RETRYING  RENEWAL_RETRYING

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
                        bool new_one = step == STEP_VERIFY && rows[i].failure == FAILURE_REJECTED;
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
                                               .set = SET_KNOWN,
                                               .expiry = NOW };
                        ck_assert_int_eq(failed(&r, rows[i].failure), STEP_NONE);
                        ck_renewal(&r, rows[i].expired, STEP_NONE);
                        ck_assert_int_eq(r.failure, failure);
                        ck_assert_uint_eq(r.backoff_usec, 20 * USEC_PER_MINUTE);
                }
}
END_TEST

/* It may be whole: neither a token nor an operator makes the machine do more than read it again. */
START_TEST(a_set_that_cannot_be_read_is_read_again) {
        static const struct renewal_observation unreadable = { .set = SET_UNREADABLE };
        static const struct {
                const char *what;
                struct renewal before;
                struct renewal_observation then; /* once it can be read */
                enum renewal_state state;
                enum renewal_step step;
        } rows[] = {
                { "after a restart",
                  { .expiry = NOW + 89 * USEC_PER_DAY },
                  { FRESH },
                  RENEWAL_CURRENT,
                  STEP_NONE },
                { "an older state file", { 0 }, { FRESH }, RENEWAL_CURRENT, STEP_NONE },
                { "current",
                  { .state = RENEWAL_CURRENT, .set = SET_KNOWN, .expiry = NOW + 89 * USEC_PER_DAY },
                  { FRESH, .has_token = true, .has_untried_token = true },
                  RENEWAL_CURRENT,
                  STEP_NONE },
                { "due",
                  { .state = RENEWAL_CURRENT, .set = SET_KNOWN, .expiry = NOW + 10 * USEC_PER_DAY },
                  { DUE },
                  RENEWAL_RENEWING,
                  STEP_KEY },
                { "forced",
                  { .state = RENEWAL_CURRENT, .set = SET_KNOWN, .forced = true },
                  { FRESH },
                  RENEWAL_RENEWING,
                  STEP_KEY },
                { "expired",
                  { .state = RENEWAL_WAITING_FOR_TOKEN, .set = SET_KNOWN, .expiry = NOW - 1 },
                  { EXPIRED, .has_token = true, .has_untried_token = true },
                  RENEWAL_ENROLLING,
                  STEP_KEY },
                { "rejected",
                  { .state = RENEWAL_WAITING_FOR_TOKEN,
                    .set = SET_KNOWN,
                    .rejected = true,
                    .expiry = NOW + 89 * USEC_PER_DAY },
                  { FRESH, .has_token = true, .has_untried_token = true },
                  RENEWAL_ENROLLING,
                  STEP_KEY },
                { "none",
                  { .state = RENEWAL_WAITING_FOR_TOKEN, .set = SET_NONE },
                  { .has_token = true, .has_untried_token = true },
                  RENEWAL_ENROLLING,
                  STEP_KEY },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct renewal r = rows[i].before;

                for (unsigned n = 1; n <= 3; n++) {
                        wake(&r);
                        ck_assert_int_eq(not_inspected(&r, unreadable), STEP_NONE);
                        ck_assert_msg(r.state == RENEWAL_RETRYING && r.set == SET_UNREADABLE, "%s: %s",
                                      rows[i].what, describe(&r));
                        ck_assert_msg(r.backoff_usec != USEC_INFINITY && r.failure == FAILURE_LOCAL, "%s: %s",
                                      rows[i].what, describe(&r));
                        ck_assert_uint_eq(r.failures, n);
                        ck_assert_uint_eq(r.expiry, rows[i].before.expiry); /* as last known */
                }
                wake(&r);
                inspected(&r, rows[i].then);
                ck_assert_msg(r.state == rows[i].state && r.step == rows[i].step, "%s: %s", rows[i].what,
                              describe(&r));
        }
}
END_TEST

START_TEST(test_a_look_that_fails) {
        struct renewal r = { .state = RENEWAL_CURRENT,
                             .due_usec = NOW,
                             .backoff_usec = USEC_INFINITY,
                             .expiry = NOW + USEC_PER_DAY };

        ck_assert_int_eq(wake(&r), STEP_INSPECT);
        ck_assert_int_eq(failed(&r, FAILURE_LOCAL), STEP_NONE);
        ck_renewal(&r, RENEWAL_RETRYING, STEP_NONE);
        ck_assert_uint_eq(r.backoff_usec, 5 * USEC_PER_SEC);
        ck_assert_uint_eq(r.due_usec, USEC_INFINITY);

        /* It is no part of the enrolment before it: no token was burnt by looking. */
        r = (struct renewal) { .state = RENEWAL_RETRYING, .by_token = true, .failures = 1 };
        ck_assert_int_eq(wake(&r), STEP_INSPECT);
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
                inspected(&r, (struct renewal_observation) { DUE });
                failed(&r, FAILURE_TRANSIENT);
                ck_assert_uint_eq(r.failures, n);
                ck_assert_uint_eq(r.backoff_usec, schedule_backoff(&policy, FAILURE_TRANSIENT, n, MIDDLE, 0,
                                                                   10 * USEC_PER_DAY));
        }

        /* Retry-After, and its cap to a tenth of the time left */
        event.retry_after_usec = 2 * USEC_PER_HOUR;
        wake(&r);
        inspected(&r, (struct renewal_observation) { DUE });
        renewal_next(&r, &event, &context);
        ck_assert_uint_eq(r.backoff_usec, 132 * USEC_PER_MINUTE);

        wake(&r);
        inspected(&r, (struct renewal_observation) { SET(90 * USEC_PER_DAY - USEC_PER_HOUR) });
        renewal_next(&r, &event, &context);
        ck_assert_uint_eq(r.backoff_usec, 324 * USEC_PER_SEC);

        r.failures = UINT32_MAX;
        wake(&r);
        inspected(&r, (struct renewal_observation) { DUE });
        failed(&r, FAILURE_TRANSIENT);
        ck_assert_uint_eq(r.failures, UINT32_MAX);
}
END_TEST

START_TEST(test_looks) {
        /* clang-format off */
        static const struct {
                const char *what;
                struct renewal before;
                struct renewal_observation observation;
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
                  { .has_token = true, .has_untried_token = true, STAGED_REPLY },
                  ENROLLING, STEP_VERIFY, FAILURE_NONE },
                { "reply", { .state = RETRYING }, { STAGED_REPLY },
                  ENROLLING, STEP_VERIFY, FAILURE_NONE },
                { "reply, grant and token", { .state = RETRYING },
                  { STAGED_REPLY, .has_staged_grant = true, .has_token = true },
                  ENROLLING, STEP_VERIFY, FAILURE_NONE },
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
                { "expired, reply", { .state = CURRENT }, { EXPIRED, STAGED_REPLY },
                  ENROLLING, STEP_VERIFY, FAILURE_NONE },
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
                  { FRESH, STAGED_REPLY },
                  CURRENT,
                  STEP_NONE,
                  FAILURE_NONE },
                { "due in 1 us",
                  { .state = CURRENT },
                  { SET(5209920 * USEC_PER_SEC - 1) },
                  CURRENT,
                  STEP_NONE,
                  FAILURE_NONE },

                /* Due, forced, or another key: over the certificate-secured endpoint, where a grant is of no use.
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
                  { DUE, .has_staged_key = true, STAGED_REPLY },
                  RENEWING,
                  STEP_VERIFY,
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

                ck_assert_int_eq(wake(&r), STEP_INSPECT);
                ck_assert_int_eq(r.state, rows[i].before.state);
                step = inspected(&r, rows[i].observation);
                ck_assert_msg(r.state == rows[i].state && step == rows[i].step && r.step == step, "%s: %s",
                              rows[i].what, describe(&r));
                ck_assert_msg(r.by_token == (r.state == RENEWAL_ENROLLING), "%s: %s", rows[i].what,
                              describe(&r));
                ck_assert_msg(r.expiry ==
                                      (rows[i].observation.set == SET_KNOWN ? rows[i].observation.expiry : 0),
                              "%s", rows[i].what);
                if (step == STEP_NONE)
                        ck_assert_msg(r.failure == rows[i].failure, "%s: %s", rows[i].what, describe(&r));
        }
}
END_TEST

START_TEST(test_when_to_wake) {
        struct renewal r = { 0 };

        wake(&r);
        inspected(&r, (struct renewal_observation) { 0 });
        ck_assert_uint_eq(r.due_usec, USEC_INFINITY);
        ck_assert_uint_eq(r.backoff_usec, USEC_INFINITY);

        wake(&r);
        inspected(&r, (struct renewal_observation) { FRESH });
        ck_assert_uint_eq(r.due_usec, NOW - USEC_PER_DAY + 5209920 * USEC_PER_SEC);
        ck_assert_uint_eq(r.backoff_usec, USEC_INFINITY);

        wake(&r);
        ck_assert_uint_eq(r.due_usec, USEC_INFINITY); /* nothing is left armed during an attempt */
        inspected(&r, (struct renewal_observation) { UNBORN });
        ck_assert_uint_eq(r.due_usec, USEC_INFINITY);
        ck_assert_uint_eq(r.backoff_usec, 5 * USEC_PER_SEC);

        wake(&r);
        inspected(&r, (struct renewal_observation) { EXPIRED });
        ck_assert_uint_eq(r.due_usec, USEC_INFINITY);
        ck_assert_uint_eq(r.backoff_usec, 10 * USEC_PER_MINUTE); /* the second failure, slow */

        wake(&r);
        inspected(&r, (struct renewal_observation) {
                              .set = SET_KNOWN, .not_before = NOW, .expiry = USEC_INFINITY });
        ck_renewal(&r, RENEWAL_CURRENT, STEP_NONE);
        ck_assert_uint_eq(r.due_usec, USEC_INFINITY);
        ck_assert_uint_eq(r.failures, 0);
}
END_TEST

TEST_MAIN("renewal", test_names, test_every_failure_of_every_step, a_set_that_cannot_be_read_is_read_again,
          test_a_look_that_fails, test_backoff_follows_the_failures, test_looks, test_when_to_wake)
