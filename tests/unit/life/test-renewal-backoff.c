/* What failures cost: signatures that bring nothing, an outage before them, a look or a restart while a
 * back-off is under way, and a crash loop. */

#include "lib/life/renewal.h"

#include "tests/test.h"

#define NOW    (UINT64_C(1795197442) * USEC_PER_SEC)
#define MIDDLE 0x80000000u /* multiplies by 1 */

static const struct schedule_policy policy = {
        .renew_before = { .is_share = true, .ppm = 330000 },
        .skew_usec = 5 * USEC_PER_MINUTE,
        .ca_window_usec = USEC_PER_MINUTE,
};
static const struct renewal_context context = { .policy = &policy, .random = MIDDLE, .now = NOW };

/* Sets of 90 days at different ages. */
#define BORN(t)       .set = SET_KNOWN, .not_before = (t), .expiry = (t) + 90 * USEC_PER_DAY
#define SET(age_usec) BORN(NOW - (age_usec))
#define LEFT(usec)    SET(90 * USEC_PER_DAY - (usec))
#define FRESH         SET(USEC_PER_DAY)
#define DUE           LEFT(20 * USEC_PER_DAY)
#define EXPIRED       SET(91 * USEC_PER_DAY)
#define STAGED_REPLY  .has_staged_reply = true, .reply_expiry = USEC_INFINITY
#define UNBORN        BORN(NOW + USEC_PER_HOUR)

static const char *describe(const struct renewal *r) {
        static char text[160];

        snprintf(text, sizeof(text), "%s/%s failures=%u (%s) due=%" PRI_USEC " backoff=%" PRI_USEC,
                 renewal_state_names[r->state], renewal_step_names[r->step], r->failures,
                 failure_names[r->failure], r->due_usec, r->backoff_usec);
        return text;
}

static enum renewal_step wake(struct renewal *r) {
        return renewal_next(r, &(struct renewal_event) { .type = RENEWAL_WAKE }, &context);
}

static enum renewal_step inspected(struct renewal *r, struct renewal_observation observation,
                                   usec_t hold_usec) {
        if (observation.set == SET_UNKNOWN)
                observation.set = SET_NONE;
        return renewal_next(r,
                            &(struct renewal_event) { .type = RENEWAL_INSPECTED,
                                                      .observation = &observation,
                                                      .hold_usec = hold_usec },
                            &context);
}

/* An attempt with OBSERVATION that goes well up to STEP and fails there. */
static void fail_at(struct renewal *r, struct renewal_observation observation, enum renewal_step step,
                    struct renewal_event failure) {
        failure.type = RENEWAL_FAILED;
        wake(r);
        inspected(r, observation, 0);
        while (r->step != step) {
                ck_assert_msg(r->step != STEP_NONE, "%s", describe(r));
                renewal_next(r, &(struct renewal_event) { .type = RENEWAL_DONE }, &context);
        }
        ck_assert_int_eq(renewal_next(r, &failure, &context), STEP_NONE);
}

static void succeed(struct renewal *r, struct renewal_observation observation) {
        wake(r);
        inspected(r, observation, 0);
        while (r->step != STEP_NONE)
                renewal_next(r, &(struct renewal_event) { .type = RENEWAL_DONE }, &context);
        ck_assert_int_eq(r->state, RENEWAL_CURRENT);
}

static const struct renewal_event transient = { .failure = FAILURE_TRANSIENT },
                                  bad_reply = { .failure = FAILURE_BAD_REPLY },
                                  not_longer = { .failure = FAILURE_BAD_REPLY, .not_longer = true };

/* --- A signature that brings nothing --- */

START_TEST(test_not_longer_waits_long) {
        static const usec_t hours[] = { 6, 12, 24, 24 };
        struct renewal r = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(hours); i++) {
                fail_at(&r, (struct renewal_observation) { DUE }, STEP_GATE, not_longer);
                ck_assert_int_eq(r.state, RENEWAL_RETRYING);
                ck_assert_int_eq(r.failure, FAILURE_BAD_REPLY);
                ck_assert_uint_eq(r.failures, i + 1);
                ck_assert_uint_eq(r.due_usec, USEC_INFINITY);
                ck_assert_uint_eq(r.backoff_usec, hours[i] * USEC_PER_HOUR);
        }

        /* A tenth of the time left as ever, and the CA window at the end of it. */
        fail_at(&r, (struct renewal_observation) { LEFT(USEC_PER_DAY) }, STEP_GATE, not_longer);
        ck_assert_uint_eq(r.backoff_usec, USEC_PER_DAY / 100 * 9);
        fail_at(&r, (struct renewal_observation) { LEFT(USEC_PER_MINUTE) }, STEP_GATE, not_longer);
        ck_assert_uint_eq(r.backoff_usec, 66 * USEC_PER_SEC);

        /* The next failure is an ordinary one. */
        r.failures = 0;
        fail_at(&r, (struct renewal_observation) { DUE }, STEP_GATE, bad_reply);
        ck_assert_uint_eq(r.backoff_usec, 66 * USEC_PER_SEC);
}
END_TEST

/* The CA window, then twice as long each time; whoever waits for a token waits as usual. */
START_TEST(test_an_old_ca_is_waited_for) {
        static const usec_t minutes[] = { 1, 2, 4, 8, 16, 32, 60, 60 };
        const struct renewal_event old_ca = { .failure = FAILURE_BAD_REPLY, .is_old_ca = true };
        struct renewal r = { 0 }, expired = { .state = RENEWAL_WAITING_FOR_TOKEN,
                                              .failures = 1,
                                              .failure = FAILURE_REJECTED };

        for (size_t i = 0; i < ELEMENTSOF(minutes); i++) {
                fail_at(&r, (struct renewal_observation) { FRESH, .replace_from = 1 }, STEP_GATE, old_ca);
                ck_assert_int_eq(r.state, RENEWAL_RETRYING);
                ck_assert_uint_eq(r.backoff_usec, minutes[i] * USEC_PER_MINUTE);
        }
        fail_at(&expired, (struct renewal_observation) { EXPIRED }, STEP_GATE, old_ca);
        ck_assert_int_eq(expired.state, RENEWAL_WAITING_FOR_TOKEN);
        ck_assert_uint_eq(expired.backoff_usec, 5 * USEC_PER_MINUTE);
}
END_TEST

START_TEST(test_not_longer_of_an_expired_set) {
        struct renewal r = { .state = RENEWAL_WAITING_FOR_TOKEN, .failures = 1, .failure = FAILURE_REJECTED };

        /* Nothing is left to be spared: the CA may come back at any time. */
        fail_at(&r, (struct renewal_observation) { EXPIRED }, STEP_GATE, not_longer);
        ck_assert_int_eq(r.state, RENEWAL_WAITING_FOR_TOKEN);
        ck_assert_uint_eq(r.backoff_usec, 5 * USEC_PER_MINUTE);
}
END_TEST

/* A CA that is read anew every two hours does not sign otherwise earlier, for whomever. */
START_TEST(test_an_expired_set_waits_for_the_ca_as_well) {
        const struct schedule_policy rare = { .skew_usec = 5 * USEC_PER_MINUTE,
                                              .ca_window_usec = 2 * USEC_PER_HOUR };
        const struct renewal_context calm = { .policy = &rare, .random = MIDDLE, .now = NOW };
        struct renewal r = {
                .state = RENEWAL_RENEWING, .step = STEP_GATE, .set = SET_KNOWN, .expiry = NOW - USEC_PER_DAY
        };
        const struct renewal_event event = { .type = RENEWAL_FAILED, .failure = FAILURE_BAD_REPLY };

        ck_assert_int_eq(renewal_next(&r, &event, &calm), STEP_NONE);
        ck_assert_int_eq(r.state, RENEWAL_WAITING_FOR_TOKEN);
        ck_assert_uint_ge(r.backoff_usec, 2 * USEC_PER_HOUR);
}
END_TEST

/* --- An outage before a signature --- */

START_TEST(test_progress_is_not_charged_with_an_outage) {
        static const struct {
                enum failure outage, failure;
                enum renewal_step step;
                unsigned failures;
        } rows[] = {
                { FAILURE_TRANSIENT, FAILURE_BAD_REPLY, STEP_GATE, 1 },
                { FAILURE_TRANSIENT, FAILURE_BAD_REPLY, STEP_VERIFY, 1 },
                { FAILURE_TRANSIENT, FAILURE_REJECTED, STEP_VERIFY, 1 },
                { FAILURE_TRANSIENT, FAILURE_LOCAL, STEP_COMMIT, 1 },
                { FAILURE_REFUSED, FAILURE_TRANSIENT, STEP_VERIFY, 1 },
                /* maybe the same outage */
                { FAILURE_TRANSIENT, FAILURE_TRANSIENT, STEP_VERIFY, 13 },
                { FAILURE_BAD_REPLY, FAILURE_BAD_REPLY, STEP_GATE, 13 },
                { FAILURE_BAD_REPLY, FAILURE_REJECTED, STEP_VERIFY, 13 }, /* a bad reply as well */
                /* no signature yet */
                { FAILURE_TRANSIENT, FAILURE_BAD_REPLY, STEP_CONFIGURATION, 13 },
                { FAILURE_TRANSIENT, FAILURE_REFUSED, STEP_SIGN, 13 },
                { FAILURE_TRANSIENT, FAILURE_LOCAL, STEP_SIGN, 13 }, /* the budget */
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const struct renewal_event outage = { .failure = rows[i].outage },
                                           failure = { .failure = rows[i].failure };
                struct renewal r = { 0 };

                for (unsigned n = 0; n < 12; n++)
                        fail_at(&r, (struct renewal_observation) { DUE }, STEP_CONFIGURATION, outage);
                fail_at(&r, (struct renewal_observation) { DUE }, rows[i].step, failure);
                ck_assert_msg(r.failures == rows[i].failures, "row %zu: %s", i, describe(&r));

                /* Whatever comes next is one more, */
                fail_at(&r, (struct renewal_observation) { DUE }, STEP_VERIFY, bad_reply);
                ck_assert_msg(r.failures == (rows[i].step < STEP_GATE && rows[i].failure != FAILURE_BAD_REPLY
                                                     ? 1
                                                     : rows[i].failures + 1),
                              "row %zu: %s", i, describe(&r));

                /* and a success wipes the slate. */
                succeed(&r, (struct renewal_observation) { DUE });
                ck_assert_uint_eq(r.failures, 0);
                ck_assert(!r.past_signature);
        }
}
END_TEST

START_TEST(test_a_proof_that_always_fails_is_slowed_down) {
        struct renewal r = { 0 };
        usec_t elapsed = 0;
        unsigned signatures = 0;

        /* A Connector that is out of order every other time, and whose certificates nobody accepts: a failure
         * of another class before each signature must not make each the first one. */
        while (elapsed < USEC_PER_DAY) {
                fail_at(&r, (struct renewal_observation) { DUE }, STEP_CONFIGURATION, transient);
                elapsed += r.backoff_usec;
                fail_at(&r, (struct renewal_observation) { DUE }, STEP_VERIFY, bad_reply);
                elapsed += r.backoff_usec;
                signatures++;
        }
        test_report("no proof in a day: %u signatures", signatures);
        ck_assert_uint_lt(signatures, 20);
        ck_assert_uint_eq(r.backoff_usec, USEC_PER_HOUR);
}
END_TEST

/* --- A look while a back-off is under way --- */

#define HOLD (20 * USEC_PER_MINUTE)

START_TEST(test_held_looks) {
        static const struct {
                const char *what;
                enum renewal_state before, after;
                struct renewal_observation observation;
                bool rejected, forced;
                usec_t wait; /* USEC_INFINITY: none */
        } rows[] = {
                { .what = "due", .observation = { DUE }, .after = RENEWAL_RETRYING, .wait = HOLD },
                { .what = "due, retrying",
                  .before = RENEWAL_RETRYING,
                  .observation = { DUE, .has_staged_key = true },
                  .after = RENEWAL_RETRYING,
                  .wait = HOLD },
                { .what = "reply",
                  .observation = { DUE, .has_staged_key = true, STAGED_REPLY },
                  .after = RENEWAL_RETRYING,
                  .wait = HOLD },
                { .what = "forced",
                  .before = RENEWAL_RETRYING,
                  .forced = true,
                  .observation = { FRESH },
                  .after = RENEWAL_RETRYING,
                  .wait = HOLD },
                { .what = "other key",
                  .observation = { FRESH, .other_key_asked = true },
                  .after = RENEWAL_RETRYING,
                  .wait = HOLD },
                { .what = "expired",
                  .observation = { EXPIRED },
                  .after = RENEWAL_WAITING_FOR_TOKEN,
                  .wait = HOLD },
                { .what = "expired, waiting",
                  .before = RENEWAL_WAITING_FOR_TOKEN,
                  .observation = { EXPIRED },
                  .after = RENEWAL_WAITING_FOR_TOKEN,
                  .wait = HOLD },
                { .what = "rejected",
                  .before = RENEWAL_WAITING_FOR_TOKEN,
                  .rejected = true,
                  .observation = { DUE },
                  .after = RENEWAL_WAITING_FOR_TOKEN,
                  .wait = HOLD },
                { .what = "expired, token",
                  .observation = { EXPIRED, .has_token = true },
                  .after = RENEWAL_RETRYING,
                  .wait = HOLD },
                { .what = "expired, token, waiting",
                  .before = RENEWAL_WAITING_FOR_TOKEN,
                  .observation = { EXPIRED, .has_token = true },
                  .after = RENEWAL_WAITING_FOR_TOKEN,
                  .wait = HOLD },
                { .what = "grant",
                  .observation = { .has_staged_key = true, .has_staged_grant = true },
                  .after = RENEWAL_RETRYING,
                  .wait = HOLD },
                { .what = "clock", .observation = { UNBORN }, .after = RENEWAL_RETRYING, .wait = HOLD },
                { .what = "clock, current",
                  .before = RENEWAL_CURRENT,
                  .observation = { UNBORN },
                  .after = RENEWAL_CURRENT,
                  .wait = HOLD },
                /* a tenth of the time left, for a wait that survived a clock which was set */
                { .what = "an hour left",
                  .observation = { LEFT(USEC_PER_HOUR) },
                  .after = RENEWAL_RETRYING,
                  .wait = 6 * USEC_PER_MINUTE },
                /* nothing to hold */
                { .what = "no set",
                  .observation = { .has_staged_key = true },
                  .after = RENEWAL_WAITING_FOR_TOKEN,
                  .wait = USEC_INFINITY },
                { .what = "not due",
                  .before = RENEWAL_RETRYING,
                  .observation = { FRESH },
                  .after = RENEWAL_CURRENT,
                  .wait = USEC_INFINITY },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct renewal r;

                renewal_restore(&r, 3, FAILURE_TRANSIENT);
                r.state = rows[i].before;
                r.rejected = rows[i].rejected;
                r.forced = rows[i].forced;
                if (r.rejected)
                        r.expiry = rows[i].observation.expiry;
                wake(&r);
                ck_assert_int_eq(inspected(&r, rows[i].observation, HOLD), STEP_NONE);
                ck_assert_msg(r.step == STEP_NONE && r.state == rows[i].after, "%s: %s", rows[i].what,
                              describe(&r));
                ck_assert_msg(r.backoff_usec == rows[i].wait, "%s: %s", rows[i].what, describe(&r));

                /* Not one failure more; and none where nothing is wrong any more. */
                ck_assert_uint_eq(r.failures,
                                  r.state == RENEWAL_CURRENT && r.backoff_usec == USEC_INFINITY ? 0 : 3);
                ck_assert_msg((r.due_usec == USEC_INFINITY) == (r.failures == 3), "%s: %s", rows[i].what,
                              describe(&r));

                /* When the time has come, it goes on. */
                if (rows[i].wait == USEC_INFINITY || rows[i].observation.not_before > NOW)
                        continue;
                wake(&r);
                ck_assert_msg(inspected(&r, rows[i].observation, 0) > STEP_INSPECT, "%s: %s", rows[i].what,
                              describe(&r));
        }
}
END_TEST

START_TEST(test_nothing_to_hold) {
        struct renewal r = { 0 };

        /* Without a failure there is no back-off, whatever the caller says. */
        wake(&r);
        ck_assert_int_eq(inspected(&r, (struct renewal_observation) { DUE }, HOLD), STEP_KEY);

        /* A bad reply keeps its CA window even with little time left. */
        renewal_restore(&r, 1, FAILURE_BAD_REPLY);
        wake(&r);
        inspected(&r, (struct renewal_observation) { LEFT(30 * USEC_PER_SEC) }, 70 * USEC_PER_SEC);
        ck_assert_uint_eq(r.backoff_usec, 70 * USEC_PER_SEC);
        wake(&r);
        inspected(&r, (struct renewal_observation) { LEFT(30 * USEC_PER_SEC) }, HOLD);
        ck_assert_uint_eq(r.backoff_usec, 72 * USEC_PER_SEC);
}
END_TEST

START_TEST(test_a_held_look_that_fails) {
        static const struct {
                unsigned failures;
                usec_t hold, wait;
        } rows[] = {
                { 1, HOLD, HOLD },
                { 1, 7 * USEC_PER_SEC, 10 * USEC_PER_SEC }, /* the second failure's own */
                { 1, 365 * USEC_PER_DAY, USEC_PER_DAY },
                { 0, HOLD, 5 * USEC_PER_SEC },
                { 1, 0, 10 * USEC_PER_SEC },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const struct renewal_event failed = { .type = RENEWAL_FAILED,
                                                      .failure = FAILURE_LOCAL,
                                                      .hold_usec = rows[i].hold };
                struct renewal r;

                renewal_restore(&r, rows[i].failures, FAILURE_LOCAL);
                wake(&r);
                ck_assert_int_eq(renewal_next(&r, &failed, &context), STEP_NONE);
                ck_assert_msg(r.backoff_usec == rows[i].wait, "row %zu: %s", i, describe(&r));
                ck_assert_uint_eq(r.failures, rows[i].failures + 1);

                /* At any other step the span says nothing. */
                renewal_restore(&r, 1, FAILURE_LOCAL);
                wake(&r);
                inspected(&r, (struct renewal_observation) { DUE }, 0);
                renewal_next(&r, &failed, &context);
                ck_assert_uint_eq(r.backoff_usec, 10 * USEC_PER_SEC);
        }
}
END_TEST

/* --- Restarts --- */

START_TEST(test_restore) {
        static const struct {
                unsigned failures;
                enum failure failure, expected;
                bool past_signature;
        } rows[] = {
                { 0, FAILURE_NONE, FAILURE_NONE, false },
                { 0, FAILURE_BAD_REPLY, FAILURE_NONE, false },
                { 1, FAILURE_NONE, FAILURE_TRANSIENT, false },
                { 7, FAILURE_LOCAL, FAILURE_LOCAL, false },
                { UINT32_MAX, FAILURE_BAD_REPLY, FAILURE_BAD_REPLY, true },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct renewal r = {
                        .state = RENEWAL_RENEWING, .step = STEP_SIGN, .rejected = true, .expiry = 7
                };

                renewal_restore(&r, rows[i].failures, rows[i].failure);
                ck_assert_msg(r.failures == rows[i].failures && r.failure == rows[i].expected, "row %zu: %s",
                              i, describe(&r));
                ck_assert_int_eq(r.past_signature, rows[i].past_signature);
                ck_assert(r.state == RENEWAL_ABSENT && r.step == STEP_NONE && !r.rejected && r.expiry == 0);
                ck_assert(r.due_usec == USEC_INFINITY && r.backoff_usec == USEC_INFINITY);
                ck_assert_int_eq(wake(&r), STEP_INSPECT);
        }
}
END_TEST

START_TEST(test_assumed_backoff) {
        struct renewal r = { 0 }, before;

        /* What a transient failure then leads to, and nothing has changed by asking. */
        for (unsigned n = 0; n < 14; n++) {
                usec_t assumed;

                wake(&r);
                inspected(&r, (struct renewal_observation) { DUE, .has_staged_key = true }, 0);
                memcpy(&before, &r, sizeof(r));
                assumed = renewal_assumed_backoff(&r, &context);
                ck_assert_int_eq(memcmp(&before, &r, sizeof(r)), 0);
                renewal_next(&r,
                             &(struct renewal_event) { .type = RENEWAL_FAILED, .failure = FAILURE_TRANSIENT },
                             &context);
                ck_assert_uint_eq(r.backoff_usec, assumed);
        }
        ck_assert_uint_eq(r.backoff_usec, USEC_PER_HOUR);

        /* The staged reply is the last attempt's: nothing is forgiven before it is tried. */
        renewal_restore(&r, 12, FAILURE_REFUSED);
        wake(&r);
        ck_assert_int_eq(inspected(&r, (struct renewal_observation) { DUE, STAGED_REPLY }, 0), STEP_VERIFY);
        ck_assert_uint_eq(renewal_assumed_backoff(&r, &context), USEC_PER_HOUR);

        /* An enrolment, the slow retries of an expired set, and one whose token is on offer by now. */
        renewal_restore(&r, 0, FAILURE_NONE);
        wake(&r);
        inspected(&r, (struct renewal_observation) { .has_token = true }, 0);
        ck_assert_uint_eq(renewal_assumed_backoff(&r, &context), 5 * USEC_PER_SEC);
        renewal_restore(&r, 1, FAILURE_REJECTED);
        r.state = RENEWAL_WAITING_FOR_TOKEN;
        wake(&r);
        ck_assert_int_eq(inspected(&r, (struct renewal_observation) { EXPIRED }, 0), STEP_KEY);
        ck_assert_uint_eq(renewal_assumed_backoff(&r, &context), 10 * USEC_PER_MINUTE);
        r.token_offered = true;
        ck_assert_uint_eq(renewal_assumed_backoff(&r, &context), 10 * USEC_PER_MINUTE);
}
END_TEST

START_TEST(test_crash_loop) {
        unsigned failures = 0, attempts = 0;
        usec_t next_attempt = 0;

        /* Restarted each second for an hour, dead before any reply: what is written ahead is all there is. */
        for (usec_t t = NOW; t < NOW + USEC_PER_HOUR; t += USEC_PER_SEC) {
                const struct renewal_observation observation = { DUE, .has_staged_key = true };
                const struct renewal_event wake_up = { .type = RENEWAL_WAKE },
                                           look = { .type = RENEWAL_INSPECTED,
                                                    .observation = &observation,
                                                    .hold_usec = usec_sub(next_attempt, t) };
                struct renewal_context now = context;
                struct renewal r;

                now.now = t;
                renewal_restore(&r, failures, failures > 0 ? FAILURE_TRANSIENT : FAILURE_NONE);
                renewal_next(&r, &wake_up, &now);
                if (renewal_next(&r, &look, &now) == STEP_NONE) {
                        ck_assert_uint_eq(r.backoff_usec, next_attempt - t);
                        continue;
                }
                next_attempt = t + renewal_assumed_backoff(&r, &now);
                failures = r.failures + 1;
                attempts++;
        }
        test_report("a crash loop of an hour: %u attempts in 3600 starts", attempts);
        ck_assert_uint_ge(attempts, 9);
        ck_assert_uint_le(attempts, 11);
}
END_TEST

/* A used token and a Director that is down are the same answer. The first is tried again in vain three times,
 * the second costs no token. */
START_TEST(a_doubtful_rejection) {
        static const struct schedule_policy none = { 0 };
        const struct renewal_context noon = { .policy = &none, .now = USEC_PER_DAY, .random = 1u << 31 };
        static const usec_t waits[] = { 40, 80, 160, 2400, 3600 };

        for (size_t doubtful = 0; doubtful < 2; doubtful++) {
                struct renewal r = { 0 };

                for (size_t i = 0; i < ELEMENTSOF(waits); i++) {
                        const struct renewal_event event = { .type = RENEWAL_FAILED,
                                                             .failure = FAILURE_REJECTED,
                                                             .is_doubtful = doubtful };
                        usec_t slow = i < 3 ? 300 * USEC_PER_SEC << i : waits[i] * USEC_PER_SEC;

                        r.state = RENEWAL_ENROLLING;
                        r.by_token = true;
                        r.step = STEP_CONFIGURATION;
                        ck_assert_int_eq(renewal_next(&r, &event, &noon), STEP_NONE);
                        ck_assert_int_eq(r.state, RENEWAL_WAITING_FOR_TOKEN);
                        ck_assert_uint_eq(r.backoff_usec, doubtful ? waits[i] * USEC_PER_SEC : slow);
                }
        }

        /* At the certificate-secured endpoint nobody doubts. */
        struct renewal r = { .state = RENEWAL_RENEWING, .step = STEP_CONFIGURATION };
        const struct renewal_event event = { .type = RENEWAL_FAILED,
                                             .failure = FAILURE_REJECTED,
                                             .is_doubtful = true };
        renewal_next(&r, &event, &noon);
        ck_assert_uint_eq(r.backoff_usec, 300 * USEC_PER_SEC);
}
END_TEST

/* Where only success uses up a token, a refusal is tried again with the same one while it may live, and is
 * then one like any other: what it waits for is not a token. */
START_TEST(a_refusal_that_leaves_the_token) {
        static const struct schedule_policy none = { 0 };
        const struct renewal_context noon = { .policy = &none, .now = USEC_PER_DAY, .random = 1u << 31 };
        static const struct {
                enum renewal_step step;
                enum failure failure;
                bool is_token_good;
                enum renewal_state state;
                usec_t waits[5];
        } rows[] = {
                { STEP_CONFIGURATION, FAILURE_REFUSED, true, RENEWAL_RETRYING, { 40, 80, 160, 2400, 3600 } },
                { STEP_SIGN, FAILURE_REFUSED, true, RENEWAL_RETRYING, { 40, 80, 160, 2400, 3600 } },
                { STEP_SIGN,
                  FAILURE_REFUSED,
                  false,
                  RENEWAL_WAITING_FOR_TOKEN,
                  { 300, 600, 1200, 2400, 3600 } },
                { STEP_SIGN,
                  FAILURE_REJECTED,
                  false,
                  RENEWAL_WAITING_FOR_TOKEN,
                  { 300, 600, 1200, 2400, 3600 } },
                { STEP_SIGN, FAILURE_TRANSIENT, false, RENEWAL_RETRYING, { 5, 10, 20, 40, 80 } },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct renewal r = { 0 };

                for (size_t k = 0; k < ELEMENTSOF(rows[i].waits); k++) {
                        const struct renewal_event event = { .type = RENEWAL_FAILED,
                                                             .failure = rows[i].failure,
                                                             .is_token_good = rows[i].is_token_good };

                        r.state = RENEWAL_ENROLLING;
                        r.by_token = true;
                        r.step = rows[i].step;
                        ck_assert_int_eq(renewal_next(&r, &event, &noon), STEP_NONE);
                        ck_assert_int_eq(r.state, rows[i].state);
                        ck_assert_msg(r.backoff_usec == rows[i].waits[k] * USEC_PER_SEC,
                                      "row %zu, failure %zu: %llu s", i, k + 1,
                                      (unsigned long long)(r.backoff_usec / USEC_PER_SEC));
                }
        }

        /* A grant that was left is where the next attempt goes on. */
        const struct renewal_observation staged = {
                .set = SET_NONE, .has_token = true, .has_staged_key = true, .has_staged_grant = true
        };
        struct renewal r = { .step = STEP_INSPECT };
        const struct renewal_event inspected = { .type = RENEWAL_INSPECTED, .observation = &staged };
        ck_assert_int_eq(renewal_next(&r, &inspected, &noon), STEP_SIGN);
}
END_TEST

TEST_MAIN("renewal-backoff", test_not_longer_waits_long, test_an_old_ca_is_waited_for,
          test_not_longer_of_an_expired_set, test_an_expired_set_waits_for_the_ca_as_well,
          test_progress_is_not_charged_with_an_outage, test_a_proof_that_always_fails_is_slowed_down,
          test_held_looks, test_nothing_to_hold, test_a_held_look_that_fails, test_restore,
          test_assumed_backoff, test_crash_loop, a_doubtful_rejection, a_refusal_that_leaves_the_token)
