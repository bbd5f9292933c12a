/*
 * The engine of the simulated year: a heap of events, a Connector that fails, and as much of the daemon as
 * lies between the two, which is timers, the issuance budget and what a step leaves on the disk. The clock
 * jumps from one event to the next.
 *
 * One clock stands for both: nobody sets it here, and CLOCK_BOOTTIME is the time since a boot before the
 * start. The disk never fails, nothing restarts and no token appears, so a certificate that expires stays so.
 */

#include "tests/support/simulation.h"

#include <check.h>

#include "lib/util/macro.h"

#define START SIMULATION_START
#define BOOT  (START - USEC_PER_HOUR)

#define PERCENT_PPM    10000u
#define CA_WINDOW_USEC USEC_PER_MINUTE
#define SERVER_AHEAD   (90 * USEC_PER_SEC) /* the Connector's clock, within the tolerated skew */

void simulation_clear(struct simulation *s) {
        free(s->fleet);
        free(s->queue);
        free(s->commits);
}

/* splitmix64 */
static uint64_t random_next(struct simulation *s) {
        uint64_t x = s->random += UINT64_C(0x9e3779b97f4a7c15);

        x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
        return x ^ (x >> 31);
}

static usec_t random_between(struct simulation *s, usec_t min, usec_t max) {
        return min + random_next(s) % (max - min + 1);
}

static bool one_in(struct simulation *s, unsigned n) {
        return random_next(s) % n == 0;
}

/* --- The queue --- */

static bool is_earlier(const struct event *a, const struct event *b) {
        return a->at != b->at ? a->at < b->at : a->sequence < b->sequence;
}

static void swap_events(struct event *a, struct event *b) {
        struct event keep = *a;

        *a = *b;
        *b = keep;
}

static void push(struct simulation *s, struct event event) {
        size_t i = s->n_queue++;

        if (s->n_queue > s->queue_size) {
                s->queue_size = 2 * s->n_queue;
                s->queue = realloc(s->queue, s->queue_size * sizeof(*s->queue));
                ck_assert_ptr_nonnull(s->queue);
        }
        event.sequence = s->sequence++;
        event.ticket = event.certificate->ticket;
        s->queue[i] = event;
        for (; i > 0 && is_earlier(&s->queue[i], &s->queue[(i - 1) / 2]); i = (i - 1) / 2)
                swap_events(&s->queue[i], &s->queue[(i - 1) / 2]);
}

static struct event pop(struct simulation *s) {
        struct event first = s->queue[0];

        s->queue[0] = s->queue[--s->n_queue];
        for (size_t i = 0, child; (child = 2 * i + 1) < s->n_queue; i = child) {
                if (child + 1 < s->n_queue && is_earlier(&s->queue[child + 1], &s->queue[child]))
                        child++;
                if (!is_earlier(&s->queue[child], &s->queue[i]))
                        break;
                swap_events(&s->queue[child], &s->queue[i]);
        }
        return first;
}

/* --- The Connector --- */

bool simulation_is_outage(const struct simulation *s, usec_t at, usec_t recovery_usec) {
        for (size_t i = 0; i < OUTAGES; i++) {
                usec_t begin = START + s->scenario->outage_at[i];

                if (at >= begin && at < begin + s->scenario->outage_usec + recovery_usec)
                        return true;
        }
        return false;
}

static usec_t old_ca_expiry(const struct simulation *s) {
        return START + s->scenario->ca_replaced_at + s->scenario->ca_lead_usec;
}

/* How a call that begins now will end. */
static enum failure call(struct simulation *s, struct certificate *c, enum renewal_step step) {
        enum failure failure;

        s->calls++;
        if (simulation_is_outage(s, s->now, 0)) {
                s->outage_calls++;
                return FAILURE_TRANSIENT;
        }
        if (step != STEP_PROOF && c->expiry <= s->now)
                return FAILURE_REJECTED;
        if (random_next(s) % 100 >= FAILING_PERCENT)
                return FAILURE_NONE;

        s->failed_calls++;
        switch (random_next(s) % 4) {
        case 0:
                return FAILURE_TRANSIENT;
        case 1:
                /* Some servers slip in the unit. */
                c->retry_after_usec = random_between(s, USEC_PER_SEC, USEC_PER_HOUR);
                if (one_in(s, 20))
                        c->retry_after_usec *= 1000;
                return FAILURE_TRANSIENT;
        case 2:
                failure = FAILURE_REFUSED;
                break;
        default:
                failure = FAILURE_BAD_REPLY;
        }
        /* At the proof it is the new certificate that is not accepted, whatever the answer: see
         * attempt-remote.c. */
        return step == STEP_PROOF ? FAILURE_BAD_REPLY : failure;
}

static void issue(struct simulation *s, struct certificate *c) {
        usec_t replaced = START + s->scenario->ca_replaced_at;

        c->reply_not_before = (s->now + SERVER_AHEAD) / USEC_PER_SEC * USEC_PER_SEC;
        c->reply_expiry = c->reply_not_before + s->scenario->lifetime;

        /* The Connector has read its CA a moment before it was replaced. Key and DN are the same, so the edge
         * accepts leaves of both. */
        if (s->now < replaced + CA_WINDOW_USEC) {
                if (c->reply_expiry > old_ca_expiry(s))
                        c->reply_expiry = old_ca_expiry(s);
                s->from_old_ca += s->now >= replaced;
        }
}

/* --- An attempt's steps --- */

/* By the daemon's rule. False, and how long to wait, where one more signature would exceed the budget. */
static bool take_from_budget(struct simulation *s, struct certificate *c) {
        usec_t now = s->now - BOOT;
        usec_t wait = schedule_budget_wait(c->budget, c->n_budget, BUDGET, now);

        if (wait > 0 && s->scenario->flaw != FLAW_NO_BUDGET) {
                c->retry_after_usec = wait;
                s->budget_waits++;
                return false;
        }
        c->n_budget = schedule_budget_record(c->budget, c->n_budget, BUDGET, now);

        if (c->bad_reply_at > 0 && s->now - c->bad_reply_at < CA_WINDOW_USEC)
                s->in_window++;

        /* Our own book: together with the sixth last, an hour would have seven. */
        if (c->n_signed >= BUDGET && s->now - c->signed_at[c->n_signed % BUDGET] < USEC_PER_HOUR)
                s->over_budget++;
        c->signed_at[c->n_signed++ % BUDGET] = s->now;
        s->signatures++;
        return true;
}

static void start_step(struct simulation *s, struct certificate *c) {
        static const struct {
                usec_t min_usec, max_usec;
                bool calls;
        } steps[STEP_MAX] = {
                [STEP_LOOK] = { 1 * USEC_PER_MSEC, 50 * USEC_PER_MSEC, false },
                [STEP_KEY] = { 50 * USEC_PER_MSEC, 3 * USEC_PER_SEC, false },
                [STEP_CONFIGURATION] = { 50 * USEC_PER_MSEC, 2 * USEC_PER_SEC, true },
                [STEP_CSR] = { 5 * USEC_PER_MSEC, 50 * USEC_PER_MSEC, false },
                [STEP_SIGN] = { 100 * USEC_PER_MSEC, 5 * USEC_PER_SEC, true },
                [STEP_GATE] = { 1 * USEC_PER_MSEC, 10 * USEC_PER_MSEC, false },
                [STEP_PROOF] = { 50 * USEC_PER_MSEC, USEC_PER_SEC, true },
                [STEP_COMMIT] = { 5 * USEC_PER_MSEC, 300 * USEC_PER_MSEC, false },
        };
        enum renewal_step step = c->renewal.step;
        usec_t max_usec = steps[step].max_usec;

        if (c->under_way++ > 0)
                s->overlapping++;

        c->failure = FAILURE_NONE;
        c->retry_after_usec = 0;
        if (step == STEP_SIGN && !take_from_budget(s, c))
                c->failure = FAILURE_LOCAL;
        else if (steps[step].calls)
                c->failure = call(s, c, step);

        if (c->failure == FAILURE_TRANSIENT)
                max_usec = 30 * USEC_PER_SEC; /* time-outs */
        push(s, (struct event) { .at = s->now + random_between(s, steps[step].min_usec, max_usec),
                                 .certificate = c,
                                 .type = EVENT_STEP });
}

static void commit(struct simulation *s, struct certificate *c) {
        usec_t lifetime = c->expiry - c->not_before, early;

        /* No earlier than the policy allows, by arithmetic that is not schedule_due()'s. */
        early = lifetime / 100 * (s->scenario->renew_before_percent + s->scenario->jitter_percent + 1);
        if (s->now + early < c->expiry)
                s->too_early++;

        c->not_before = c->reply_not_before;
        c->expiry = c->reply_expiry;
        c->has_staged_key = c->has_staged_reply = c->has_expired = false;
        c->renewals++;

        if (s->n_commits == s->commits_size) {
                s->commits_size = 2 * s->commits_size + 1024;
                s->commits = realloc(s->commits, s->commits_size * sizeof(*s->commits));
                ck_assert_ptr_nonnull(s->commits);
        }
        s->commits[s->n_commits++] = s->now;
}

/* What the step under way has done to the disk, now that it is over. It may turn out to have failed. */
static void finish_step(struct simulation *s, struct certificate *c) {
        if (c->renewal.step == STEP_PROOF && c->failure == FAILURE_BAD_REPLY)
                c->has_staged_reply = false;
        if (c->failure != FAILURE_NONE)
                return;

        switch (c->renewal.step) {
        case STEP_KEY:
                c->has_staged_key = true;
                break;
        case STEP_SIGN:
                issue(s, c);
                break;
        case STEP_GATE:
                /* As lib/gate.c: the new set must live longer, and be valid but for the skew. */
                c->has_staged_reply =
                        c->reply_expiry > c->expiry && c->reply_not_before <= s->now + s->policy.skew_usec;
                if (!c->has_staged_reply) {
                        c->failure = FAILURE_BAD_REPLY;
                        s->not_later++;
                }
                break;
        case STEP_COMMIT:
                commit(s, c);
                break;
        default:
                break;
        }
}

/* --- The daemon's part: timers and events --- */

static void rest(struct simulation *s, struct certificate *c) {
        const struct renewal *r = &c->renewal;
        usec_t at = usec_add(s->now, r->backoff_usec);

        c->ticket++;
        if (at != USEC_INFINITY && s->scenario->flaw == FLAW_NO_RETRY)
                return;
        if (at > r->due_usec)
                at = r->due_usec;
        if (at == USEC_INFINITY)
                at = s->now; /* committed: the next due time comes from a look */
        push(s, (struct event) { .at = at, .certificate = c, .type = EVENT_TIMER });
}

static void take_event(struct simulation *s, struct certificate *c, const struct renewal_event *event) {
        const struct renewal_context context = {
                .policy = &s->policy,
                .seed = c->seed,
                .random = (uint32_t)random_next(s),
                .now = s->now,
        };
        enum renewal_step before = c->renewal.step, step = renewal_next(&c->renewal, event, &context);

        if (step == before)
                return;
        if (step == STEP_NONE) {
                rest(s, c);
                return;
        }
        if (before == STEP_LOOK) {
                s->attempts++;
                if (one_in(s, 4))
                        push(s, (struct event) { .at = s->now + random_between(s, 0, 3 * USEC_PER_SEC),
                                                 .certificate = c,
                                                 .type = EVENT_STRAY });
        }
        start_step(s, c);
}

static void take_step(struct simulation *s, struct certificate *c) {
        const struct renewal_sight sight = {
                .has_set = true,
                .not_before = c->not_before,
                .expiry = c->expiry,
                .has_staged_key = c->has_staged_key,
                .has_staged_reply = c->has_staged_reply,
        };
        struct renewal_event event = { .type = RENEWAL_DONE };

        finish_step(s, c);
        if (c->failure == FAILURE_BAD_REPLY)
                c->bad_reply_at = s->now;
        if (c->renewal.step == STEP_LOOK) {
                event.type = RENEWAL_LOOKED;
                event.sight = &sight;
        } else if (c->failure != FAILURE_NONE) {
                event.type = RENEWAL_FAILED;
                event.failure = c->failure;
                event.retry_after_usec = c->retry_after_usec;
        }
        take_event(s, c, &event);
}

static void check_expiry(struct simulation *s, struct certificate *c) {
        if (c->has_expired || s->now < c->expiry)
                return;
        c->has_expired = true;
        s->expired++;
}

static void dispatch(struct simulation *s, const struct event *event) {
        static const struct renewal_event wake = { .type = RENEWAL_WAKE };
        struct certificate *c = event->certificate;

        /* The expiry only changes at a commit, so a gap of any length is seen here or at the end. */
        check_expiry(s, c);

        if (event->type == EVENT_STEP)
                c->under_way--;
        if (event->ticket != c->ticket)
                return;
        if (event->type == EVENT_STEP)
                take_step(s, c);
        else {
                if (event->type == EVENT_STRAY) {
                        s->strays++;
                        if (s->scenario->flaw == FLAW_SECOND_ATTEMPT)
                                c->renewal.step = STEP_NONE;
                }
                take_event(s, c, &wake);
        }
}

/* Half of the fleet was enrolled within one hour by somebody's script; the other half has any age. */
static void add_certificate(struct simulation *s, struct certificate *c, unsigned i) {
        static const char *const names[] = { "orders", "payments", "stock", "invoices" };
        uint8_t machine_id[16] = { [3] = (uint8_t)(i / 4), [7] = (uint8_t)(i / 4 / 256) };

        c->seed = s->scenario->flaw == FLAW_ONE_SEED ? 0 : schedule_seed(machine_id, names[i % 4]);
        c->not_before = i % 2 == 0 ? START + random_between(s, 0, USEC_PER_HOUR)
                                   : START - random_between(s, 0, s->scenario->lifetime / 10 * 6);
        c->expiry = c->not_before + s->scenario->lifetime;
        if (c->expiry > old_ca_expiry(s))
                c->expiry = old_ca_expiry(s);
        c->renewal.due_usec = c->renewal.backoff_usec = USEC_INFINITY;
        push(s, (struct event) { .at = c->not_before > START ? c->not_before : START,
                                 .certificate = c,
                                 .type = EVENT_TIMER });
}

void simulate(const struct scenario *scenario, struct simulation *ret) {
        struct simulation s = {
                .scenario = scenario,
                .policy = {
                        .renew_before = { .is_share = true,
                                          .ppm = scenario->renew_before_percent * PERCENT_PPM },
                        .jitter = { .is_share = true, .ppm = scenario->jitter_percent * PERCENT_PPM },
                        .skew_usec = 5 * USEC_PER_MINUTE,
                        .ca_window_usec = scenario->flaw == FLAW_NO_WINDOW ? 0 : CA_WINDOW_USEC,
                },
                .random = 42,
                .now = START,
        };

        s.fleet = calloc(scenario->fleet, sizeof(*s.fleet));
        ck_assert_ptr_nonnull(s.fleet);
        for (unsigned i = 0; i < scenario->fleet; i++)
                add_certificate(&s, &s.fleet[i], i);

        while (s.n_queue > 0 && s.queue[0].at < START + scenario->span) {
                struct event event = pop(&s);

                s.now = event.at;
                dispatch(&s, &event);
        }

        s.now = START + scenario->span;
        for (unsigned i = 0; i < scenario->fleet; i++)
                check_expiry(&s, &s.fleet[i]);
        *ret = s;
}
