/* The machine over time: whole lives, events that come when none is due, and random ones. */

#include "lib/life/renewal.h"

#include "tests/test.h"
#include "tests/unit/life/renewals.h"

static enum renewal_step done(struct renewal *r) {
        return renewal_next(r, &(struct renewal_event) { .type = RENEWAL_DONE }, &context);
}

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

/* Whatever its age: at once, or when its part of the time has come; and what is staged need not last longer.
 */
START_TEST(test_a_set_is_replaced) {
        const struct schedule_policy slow = { .renew_before = policy.renew_before,
                                              .replace_within_usec = USEC_PER_HOUR };
        const struct renewal_context half = { .policy = &slow, .seed = MIDDLE, .now = NOW };
        struct renewal_observation observation = { FRESH, .replace_from = NOW };
        struct renewal r = { 0 };
        usec_t due;

        wake(&r);
        inspected(&r, observation);
        ck_renewal(&r, RENEWAL_RENEWING, STEP_KEY);

        for (int i = 0; i < 2; i++) { /* a second look changes nothing */
                r = (struct renewal) { 0 };
                wake(&r);
                renewal_next(&r, &(struct renewal_event) { RENEWAL_INSPECTED, .observation = &observation },
                             &half);
                ck_renewal(&r, RENEWAL_CURRENT, STEP_NONE);
                ck_assert_uint_eq(r.due_usec, NOW + USEC_PER_HOUR / 2);
        }
        observation.replace_at = NOW + USEC_PER_MINUTE; /* whichever is first */
        wake(&r);
        renewal_next(&r, &(struct renewal_event) { RENEWAL_INSPECTED, .observation = &observation }, &half);
        ck_assert_uint_eq(r.due_usec, NOW + USEC_PER_MINUTE);
        wake(&r);
        inspected(&r, (struct renewal_observation) { FRESH, .replace_at = NOW });
        ck_renewal(&r, RENEWAL_RENEWING, STEP_KEY);

        /* Nothing that is to come makes it later. */
        r = (struct renewal) { 0 };
        wake(&r);
        inspected(&r, (struct renewal_observation) { FRESH });
        due = r.due_usec;
        wake(&r);
        inspected(&r, (struct renewal_observation) { FRESH, .replace_from = NOW + 1000 * USEC_PER_DAY,
                                                     .replace_at = NOW + 1000 * USEC_PER_DAY });
        ck_assert_uint_eq(r.due_usec, due);

        r = (struct renewal) { 0 };
        wake(&r);
        inspected(&r, (struct renewal_observation) { FRESH, .replace_from = NOW, .has_staged_key = true,
                                                     .has_staged_reply = true,
                                                     .reply_expiry = NOW + USEC_PER_DAY });
        ck_renewal(&r, RENEWAL_RENEWING, STEP_VERIFY);
        /* The edge knows the old key no more: only a token helps. */
        failed(&r, FAILURE_TRANSIENT);
        wake(&r);
        inspected(&r, (struct renewal_observation) { FRESH, .replace_from = NOW, .has_staged_key = true });
        failed(&r, FAILURE_REJECTED);
        ck_renewal(&r, RENEWAL_WAITING_FOR_TOKEN, STEP_NONE);
}
END_TEST

START_TEST(test_whole_life) {
        static const enum renewal_step all[] = { STEP_KEY,  STEP_CONFIGURATION, STEP_CSR,   STEP_SIGN,
                                                 STEP_GATE, STEP_VERIFY,        STEP_COMMIT };
        struct renewal r = { 0 };

        wake(&r);
        inspected(&r, (struct renewal_observation) { 0 });
        ck_renewal(&r, RENEWAL_WAITING_FOR_TOKEN, STEP_NONE);
        wake(&r);
        inspected(&r, (struct renewal_observation) { .has_token = true });
        ck_renewal(&r, RENEWAL_ENROLLING, STEP_KEY);
        walk(&r, all, ELEMENTSOF(all));

        wake(&r);
        inspected(&r, (struct renewal_observation) { FRESH });
        ck_renewal(&r, RENEWAL_CURRENT, STEP_NONE);

        /* One failure on the way; the key is staged by then. */
        wake(&r);
        inspected(&r, (struct renewal_observation) { DUE });
        ck_assert_int_eq(done(&r), STEP_CONFIGURATION);
        failed(&r, FAILURE_TRANSIENT);
        ck_renewal(&r, RENEWAL_RETRYING, STEP_NONE);
        wake(&r);
        inspected(&r, (struct renewal_observation) { DUE, .has_staged_key = true });
        ck_renewal(&r, RENEWAL_RENEWING, STEP_CONFIGURATION);
        walk(&r, all + 1, ELEMENTSOF(all) - 1);

        /* Forced, and proven only at the second attempt. */
        r.forced = true;
        wake(&r);
        inspected(&r, (struct renewal_observation) { FRESH });
        while (r.step != STEP_VERIFY)
                done(&r);
        failed(&r, FAILURE_TRANSIENT);
        ck_assert(r.forced);
        wake(&r);
        inspected(&r, (struct renewal_observation) { FRESH, .has_staged_key = true, STAGED_REPLY });
        walk(&r, all + 5, 2);

        /* The Director's grant survives a crash between `configuration` and sign. */
        wake(&r);
        inspected(&r, (struct renewal_observation) { .has_staged_key = true, .has_staged_grant = true });
        walk(&r, all + 3, 4);
}
END_TEST

START_TEST(test_key_too_small) {
        static const struct renewal_event too_small = { .type = RENEWAL_KEY_TOO_SMALL };
        static const enum renewal_step rest[] = { STEP_CSR, STEP_SIGN, STEP_GATE, STEP_VERIFY, STEP_COMMIT };
        struct renewal r = { 0 };

        wake(&r);
        inspected(&r, (struct renewal_observation) { DUE, .has_staged_key = true });
        ck_assert_int_eq(renewal_next(&r, &too_small, &context), STEP_KEY);
        ck_renewal(&r, RENEWAL_RENEWING, STEP_KEY);
        ck_assert_int_eq(done(&r), STEP_CSR); /* `configuration` mints a token: not a second time */
        walk(&r, rest, ELEMENTSOF(rest));

        /* The next attempt starts without that memory. */
        wake(&r);
        inspected(&r, (struct renewal_observation) { DUE });
        ck_assert_int_eq(done(&r), STEP_CONFIGURATION);

        /* So does one after a failure in between. */
        renewal_next(&r, &too_small, &context);
        failed(&r, FAILURE_LOCAL);
        wake(&r);
        inspected(&r, (struct renewal_observation) { DUE });
        ck_assert_int_eq(done(&r), STEP_CONFIGURATION);
}
END_TEST

START_TEST(test_rejected_with_a_token_on_offer) {
        struct renewal r = { 0 };

        /* The certificate is tried first, since it costs no token ... */
        wake(&r);
        inspected(&r, (struct renewal_observation) { DUE, .has_token = true });
        ck_renewal(&r, RENEWAL_RENEWING, STEP_KEY);
        done(&r);
        failed(&r, FAILURE_REJECTED);
        ck_renewal(&r, RENEWAL_WAITING_FOR_TOKEN, STEP_NONE);
        ck_assert_uint_eq(r.backoff_usec, 0); /* ... which lives for five minutes */

        wake(&r);
        inspected(&r, (struct renewal_observation) { DUE, .has_token = true, .has_staged_key = true });
        ck_renewal(&r, RENEWAL_ENROLLING, STEP_CONFIGURATION);

        /* The network fails: the rejection is not forgotten over it. */
        failed(&r, FAILURE_TRANSIENT);
        ck_renewal(&r, RENEWAL_RETRYING, STEP_NONE);
        wake(&r);
        inspected(&r, (struct renewal_observation) { DUE, .has_token = true, .has_staged_key = true });
        ck_renewal(&r, RENEWAL_ENROLLING, STEP_CONFIGURATION);

        /* No way round in a hurry: a refused token waits. */
        failed(&r, FAILURE_REFUSED);
        ck_renewal(&r, RENEWAL_WAITING_FOR_TOKEN, STEP_NONE);
        ck_assert_uint_eq(r.backoff_usec, 20 * USEC_PER_MINUTE);

        /* Without a token: slow retries with the certificate. The CA comes back. */
        wake(&r);
        inspected(&r, (struct renewal_observation) { DUE, .has_staged_key = true });
        ck_renewal(&r, RENEWAL_RENEWING, STEP_CONFIGURATION);
        while (r.step != STEP_NONE)
                done(&r);
        ck_assert(!r.rejected);
}
END_TEST

START_TEST(test_events_out_of_place) {
        static const struct renewal_observation observation = { DUE };
        static const struct {
                enum renewal_event_type type;
                bool at[STEP_MAX]; /* where the event belongs */
        } rows[] = {
                { RENEWAL_WAKE, { [STEP_NONE] = true } },
                { RENEWAL_INSPECTED, { [STEP_INSPECT] = true } },
                { RENEWAL_KEY_TOO_SMALL, { [STEP_CONFIGURATION] = true } },
                { RENEWAL_DONE,
                  { [STEP_KEY] = true,
                    [STEP_CONFIGURATION] = true,
                    [STEP_CSR] = true,
                    [STEP_SIGN] = true,
                    [STEP_GATE] = true,
                    [STEP_VERIFY] = true,
                    [STEP_COMMIT] = true } },
                { RENEWAL_FAILED,
                  { [STEP_INSPECT] = true,
                    [STEP_KEY] = true,
                    [STEP_CONFIGURATION] = true,
                    [STEP_CSR] = true,
                    [STEP_SIGN] = true,
                    [STEP_GATE] = true,
                    [STEP_VERIFY] = true,
                    [STEP_COMMIT] = true } },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                for (enum renewal_step step = STEP_NONE; step < STEP_MAX; step++) {
                        struct renewal_event event = { .type = rows[i].type,
                                                       .observation = &observation,
                                                       .failure = FAILURE_TRANSIENT };
                        struct renewal before, r;

                        memset(&before, 0, sizeof(before));
                        before.state = step <= STEP_INSPECT ? RENEWAL_RETRYING : RENEWAL_RENEWING;
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
        bool busy = r->step > STEP_INSPECT;
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

        for (unsigned i = 0; i < test_rounds(200000); i++) {
                struct renewal_context now = context;
                struct renewal_observation observation = { 0 };
                struct renewal_event event = { .observation = &observation };
                enum renewal_step before = r.step, step;
                unsigned failures;
                const char *wrong;
                bool held;

                now.random = (uint32_t)random_next(&seed);
                now.seed = (uint32_t)random_next(&seed);
                now.now = NOW + random_next(&seed) % (100 * USEC_PER_DAY);
                observation.set = random_next(&seed) % 4 > 0 ? SET_KNOWN : SET_NONE;
                if (observation.set == SET_KNOWN) {
                        observation.not_before = NOW + random_next(&seed) % (20 * USEC_PER_DAY);
                        observation.expiry =
                                observation.not_before + random_next(&seed) % 4 * 30 * USEC_PER_DAY;
                }
                observation.has_token = flip(&seed);
                observation.has_untried_token = observation.has_token && flip(&seed);
                observation.has_staged_key = flip(&seed);
                observation.has_staged_grant = flip(&seed);
                observation.has_staged_reply = random_next(&seed) % 8 == 0;
                observation.reply_expiry = NOW + random_next(&seed) % (200 * USEC_PER_DAY);
                observation.reply_failures = (unsigned)(random_next(&seed) % (RENEWAL_REPLY_TRIES + 2));
                observation.is_new_config = flip(&seed);
                observation.other_key_asked = flip(&seed);
                observation.enrol_asked = random_next(&seed) % 8 == 0;
                event.failure = FAILURE_NONE + 1 + (enum failure)(random_next(&seed) % (FAILURE_MAX - 1));
                event.retry_after_usec = flip(&seed) ? random_next(&seed) : 0;
                event.not_longer = flip(&seed);
                event.hold_usec = random_next(&seed) % 8 == 0 ? random_next(&seed) : 0;
                held = before == STEP_INSPECT && event.hold_usec > 0 && r.failures > 0;
                failures = r.failures;
                if (random_next(&seed) % 64 == 0)
                        r.forced = true;

                /* Mostly what belongs to the step, else anything. */
                event.type = (enum renewal_event_type)(random_next(&seed) % (RENEWAL_FAILED + 1));
                if (random_next(&seed) % 4 > 0)
                        event.type = before == STEP_NONE      ? RENEWAL_WAKE
                                     : before == STEP_INSPECT ? RENEWAL_INSPECTED
                                                              : RENEWAL_DONE;

                if (event.type == RENEWAL_FAILED && flip(&seed))
                        observation.set = SET_UNREADABLE;

                if (r.state == RENEWAL_ABSENT && before == STEP_NONE && event.type != RENEWAL_WAKE)
                        continue; /* nothing has begun */
                step = renewal_next(&r, &event, &now);
                wrong = impossible(&r);
                ck_assert_msg(!wrong && step == r.step, "event %u: %s: %s", i, wrong ? wrong : "step",
                              describe(&r));
                seen[r.state][step] = true;
                if (before == STEP_INSPECT && observation.set == SET_UNREADABLE)
                        ck_assert_msg(r.state == RENEWAL_RETRYING && r.backoff_usec != USEC_INFINITY,
                                      "event %u: not read again: %s", i, describe(&r));
                if (held && event.type == RENEWAL_INSPECTED)
                        ck_assert_msg(step == STEP_NONE && r.failures <= failures, "event %u: not held: %s",
                                      i, describe(&r));
                ck_assert_uint_gt(renewal_assumed_backoff(&r, &now), 0);

                /* The order within an attempt, kept by our own book. */
                if (before == STEP_INSPECT && event.type == RENEWAL_INSPECTED) {
                        csr_made = configured = reply_proven = false;
                        grant_staged = observation.has_staged_grant && r.by_token;
                } else if (before == STEP_CSR && step == STEP_SIGN)
                        csr_made = true;
                else if (before == STEP_VERIFY && event.type == RENEWAL_DONE)
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
        test_report("%u events: %u commits, %u pairs of state and step", test_rounds(200000), commits, pairs);
        ck_assert_uint_gt(commits, test_rounds(1000));
        /* waiting, current, retrying x none, look; absent x look; enrolling, renewing x key ... commit */
        ck_assert_uint_eq(pairs, 3 * 2 + 1 + 2 * 7);
}
END_TEST

TEST_MAIN("renewal-life", test_a_set_is_replaced, test_whole_life, test_key_too_small,
          test_rejected_with_a_token_on_offer, test_events_out_of_place, test_random_events)
