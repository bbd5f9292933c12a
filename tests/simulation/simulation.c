/*
 * The engine of the simulated year: a heap of events, a Connector that fails, and as much of the daemon as
 * lies between the two, which is timers, the issuance budget, what a step leaves on the disk, and the
 * journal. The clock jumps from one event to the next.
 *
 * Each certificate has a daemon of its own, which is killed at any time: between attempts, in the middle of
 * one, with and without a reboot. What the next one knows has been through state_format() and
 * state_parse().
 *
 * Nobody sets the clock here; CLOCK_BOOTTIME is the time since a certificate's machine was booted. The disk
 * never fails and no token appears, so a certificate that expires stays so.
 */

#include "tests/simulation/simulation.h"

#include <check.h>

#include "lib/util/macro.h"

#define START SIMULATION_START

#define PERCENT_PPM    10000u
#define CA_WINDOW_USEC USEC_PER_MINUTE
#define SERVER_AHEAD   (90 * USEC_PER_SEC) /* the Connector's clock, within the tolerated skew */

/* Check's own write to a pipe each time. */
#define require(expression)                              \
        do {                                             \
                if (!(expression))                       \
                        ck_abort_msg("%s", #expression); \
        } while (0)

void simulation_clear(struct simulation *s) {
        for (unsigned i = 0; s->fleet && i < s->scenario->fleet; i++)
                state_clear(&s->fleet[i].state);
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
                require(s->queue);
        }
        event.sequence = s->sequence++;
        event.ticket = event.certificate->ticket;
        event.process = event.certificate->process;
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
        c->n_calls++;
        if (simulation_is_outage(s, s->now, 0)) {
                s->outage_calls++;
                return FAILURE_TRANSIENT;
        }
        if (step != STEP_VERIFY && c->expiry <= s->now)
                return FAILURE_REJECTED;
        if (step == STEP_VERIFY && usec_sub(s->now, START + s->scenario->no_verify_at) > 0 &&
            s->now < START + s->scenario->no_verify_at + s->scenario->no_verify_usec)
                return FAILURE_BAD_REPLY;
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
        return step == STEP_VERIFY ? FAILURE_BAD_REPLY : failure;
}

static void issue(struct simulation *s, struct certificate *c) {
        usec_t replaced = START + s->scenario->ca_replaced_at;

        c->reply_not_before = (s->now + SERVER_AHEAD) / USEC_PER_SEC * USEC_PER_SEC;
        c->reply_expiry = c->reply_not_before + s->scenario->lifetime;
        c->reply_failures = 0;

        /* The Connector has read its CA a moment before it was replaced. Key and DN are the same, so the edge
         * accepts leaves of both. */
        if (s->now < replaced + CA_WINDOW_USEC) {
                if (c->reply_expiry > old_ca_expiry(s))
                        c->reply_expiry = old_ca_expiry(s);
                s->from_old_ca += s->now >= replaced;
        }
}

/* --- The journal --- */

static struct state_instant instant(const struct simulation *s, const struct certificate *c) {
        return (struct state_instant) {
                .boot_id = { 1, (uint8_t)(c->boot >> 8), (uint8_t)c->boot },
                .realtime = s->now,
                .boottime = s->now - c->booted_at,
        };
}

/* As good as written: the text is made where it is read. */
static void save(const struct simulation *s, struct certificate *c) {
        c->disk.state = c->state;
        c->disk.state.issuances = c->disk.issuances;
        for (size_t i = 0; i < c->state.n_issuances; i++)
                c->disk.issuances[i] = c->state.issuances[i];
        c->disk.at = instant(s, c);
        c->disk.is_new = true;
}

static void save_wait(const struct simulation *s, struct certificate *c, unsigned failures,
                      enum failure failure, usec_t backoff_usec) {
        struct state *state = &c->state;
        usec_t next_attempt = backoff_usec == USEC_INFINITY ? 0 : s->now + backoff_usec;

        if (state->failures == failures && state->failure == failure &&
            state->next_attempt_usec == next_attempt && state->generation == c->renewals)
                return;
        state->failures = failures;
        state->failure = failure;
        state->next_attempt_usec = next_attempt;
        state->generation = c->renewals;
        save(s, c);
}

/* What is on disk, as text and back; and it is the same. */
static void check_text(struct certificate *c) {
        const struct state *disk = &c->disk.state;
        _cleanup_(state_clear) struct state back = { 0 };
        _cleanup_(freep) char *json = NULL;
        struct state_instant saved;

        require(state_format(disk, &c->disk.at, &json, NULL) == 0);
        require(state_parse(json, strlen(json), &back, &saved, NULL) == 0);
        require(memcmp(&saved, &c->disk.at, sizeof(saved)) == 0);
        require(back.failures == disk->failures && back.failure == disk->failure);
        require(back.next_attempt_usec == disk->next_attempt_usec && back.generation == disk->generation);
        require(back.n_issuances == disk->n_issuances);
        for (size_t i = 0; i < back.n_issuances; i++)
                require(back.issuances[i] == disk->issuances[i]);
        c->disk.is_new = false;
}

static void load(const struct simulation *s, struct certificate *c) {
        const struct state_instant now = instant(s, c);
        size_t size = c->disk.state.n_issuances * sizeof(*c->disk.issuances);

        if (c->disk.is_new)
                check_text(c); /* which takes its time, so once for each text */

        state_clear(&c->state);
        c->state = c->disk.state;
        c->state.issuances = NULL;
        if (size > 0) {
                c->state.issuances = malloc(size);
                require(c->state.issuances);
                memcpy(c->state.issuances, c->disk.issuances, size);
        }
        state_sanitise(&c->state, &c->disk.at, &now);
        if (c->state.n_issuances > 0 && memcmp(c->disk.at.boot_id, now.boot_id, sizeof(now.boot_id)) != 0)
                save(s, c); /* as lib/life/state.h asks for */
}

/* --- An attempt's steps --- */

/* By the daemon's rule: recorded and saved before it leaves. False, and how long to wait, where one more
 * signature would exceed the budget. */
static bool take_from_budget(struct simulation *s, struct certificate *c) {
        usec_t now = s->now - c->booted_at;
        usec_t wait = schedule_budget_wait(c->state.issuances, c->state.n_issuances, BUDGET, now);

        if (wait > 0 && s->scenario->flaw != FLAW_NO_BUDGET) {
                c->retry_after_usec = wait;
                s->budget_waits++;
                return false;
        }
        require(state_record_issuance(&c->state, now) == 0);
        save(s, c);

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
                [STEP_INSPECT] = { 1 * USEC_PER_MSEC, 50 * USEC_PER_MSEC, false },
                [STEP_KEY] = { 50 * USEC_PER_MSEC, 3 * USEC_PER_SEC, false },
                [STEP_CONFIGURATION] = { 50 * USEC_PER_MSEC, 2 * USEC_PER_SEC, true },
                [STEP_CSR] = { 5 * USEC_PER_MSEC, 50 * USEC_PER_MSEC, false },
                [STEP_SIGN] = { 100 * USEC_PER_MSEC, 5 * USEC_PER_SEC, true },
                [STEP_GATE] = { 1 * USEC_PER_MSEC, 10 * USEC_PER_MSEC, false },
                [STEP_VERIFY] = { 50 * USEC_PER_MSEC, USEC_PER_SEC, true },
                [STEP_COMMIT] = { 5 * USEC_PER_MSEC, 300 * USEC_PER_MSEC, false },
        };
        enum renewal_step step = c->renewal.step;
        usec_t max_usec = steps[step].max_usec;

        if (c->under_way++ > 0)
                s->overlapping++;

        c->failure = FAILURE_NONE;
        c->retry_after_usec = 0;
        c->not_longer = false;
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
                require(s->commits);
        }
        s->commits[s->n_commits++] = s->now;
}

/* What the step under way has done to the disk, now that it is over. It may turn out to have failed. */
static void finish_step(struct simulation *s, struct certificate *c) {
        if (c->renewal.step == STEP_VERIFY && c->failure == FAILURE_BAD_REPLY)
                c->has_staged_reply = false;
        else if (c->renewal.step == STEP_VERIFY && c->failure != FAILURE_NONE)
                c->reply_failures++;
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
                /* As lib/life/gate.c: the new set must live longer, and be valid but for the skew. */
                c->not_longer = c->reply_expiry <= c->expiry;
                c->has_staged_reply = !c->not_longer && c->reply_not_before <= s->now + s->policy.skew_usec;
                if (!c->has_staged_reply)
                        c->failure = FAILURE_BAD_REPLY;
                s->not_later += c->not_longer;
                c->n_not_later += c->not_longer;
                break;
        case STEP_COMMIT:
                commit(s, c);
                break;
        default:
                break;
        }
}

/* --- The daemon's part: timers and events --- */

static void rest(struct simulation *s, struct certificate *c, bool held) {
        const struct renewal *r = &c->renewal;
        usec_t at = usec_add(s->now, r->backoff_usec);

        c->ticket++;
        c->backoff_until = at == USEC_INFINITY ? 0 : at;
        if (!held)
                c->patience = c->backoff_until;
        if (!held)
                save_wait(s, c, r->failures, r->failure, r->backoff_usec);
        if (at != USEC_INFINITY && one_in(s, 4))
                push(s, (struct event) {
                                .at = random_between(s, s->now, at), .certificate = c, .type = EVENT_TOUCH });

        if (at != USEC_INFINITY && s->scenario->flaw == FLAW_NO_RETRY)
                return;
        if (at > r->due_usec)
                at = r->due_usec;
        if (at == USEC_INFINITY)
                at = s->now; /* committed: the next due time comes from a look */
        push(s, (struct event) { .at = at, .certificate = c, .type = EVENT_TIMER });
}

/* An attempt begins: a failure that is not known yet is on disk before its first call. */
static void begin_attempt(struct simulation *s, struct certificate *c,
                          const struct renewal_context *context) {
        const struct renewal *r = &c->renewal;
        usec_t ahead_usec = renewal_assumed_backoff(r, context);

        s->attempts++;
        s->hurried += s->now < c->patience;
        c->patience = s->now + ahead_usec;
        if (s->scenario->flaw != FLAW_NOT_AHEAD)
                save_wait(s, c, r->failures + 1, r->failure == FAILURE_NONE ? FAILURE_TRANSIENT : r->failure,
                          ahead_usec);

        if (one_in(s, 4))
                push(s, (struct event) { .at = s->now + random_between(s, 0, 3 * USEC_PER_SEC),
                                         .certificate = c,
                                         .type = EVENT_STRAY });
        if (s->scenario->restart_every_usec > 0 && one_in(s, 20))
                push(s, (struct event) { .at = s->now + random_between(s, 0, 5 * USEC_PER_SEC),
                                         .certificate = c,
                                         .type = EVENT_CRASH });
}

static void take_event(struct simulation *s, struct certificate *c, const struct renewal_event *event) {
        const struct renewal_context context = {
                .policy = &s->policy,
                .seed = c->seed,
                .random = (uint32_t)random_next(s),
                .now = s->now,
        };
        enum renewal_step before = c->renewal.step, step = renewal_next(&c->renewal, event, &context);
        bool held = event->hold_usec > 0 && c->renewal.backoff_usec != USEC_INFINITY;

        if (step == before)
                return;
        if (step == STEP_NONE) {
                s->held += held;
                rest(s, c, held);
                return;
        }
        if (before == STEP_INSPECT)
                begin_attempt(s, c, &context);
        start_step(s, c);
}

static void take_step(struct simulation *s, struct certificate *c) {
        const struct renewal_observation observation = {
                .set = SET_KNOWN,
                .not_before = c->not_before,
                .expiry = c->expiry,
                .has_staged_key = c->has_staged_key,
                .has_staged_reply = c->has_staged_reply,
                .reply_expiry = c->reply_expiry,
                .reply_failures = c->reply_failures,
        };
        struct renewal_event event = { .type = RENEWAL_DONE };

        finish_step(s, c);
        if (c->failure == FAILURE_BAD_REPLY)
                c->bad_reply_at = s->now;
        if (c->renewal.step == STEP_INSPECT) {
                event.type = RENEWAL_INSPECTED;
                event.observation = &observation;
                if (c->refresh_only && s->scenario->flaw != FLAW_NO_HOLD)
                        event.hold_usec = usec_sub(c->backoff_until, s->now);
        } else if (c->failure != FAILURE_NONE) {
                event.type = RENEWAL_FAILED;
                event.failure = c->failure;
                event.retry_after_usec = c->retry_after_usec;
                event.not_longer = c->not_longer && s->scenario->flaw != FLAW_NOT_LONGER;
        }
        take_event(s, c, &event);
}

static void wake(struct simulation *s, struct certificate *c, bool refresh_only) {
        static const struct renewal_event event = { .type = RENEWAL_WAKE };

        if (c->renewal.step == STEP_NONE)
                c->refresh_only = refresh_only;
        take_event(s, c, &event);
}

/* --- The daemon's life --- */

static bool is_crash_loop(const struct simulation *s) {
        return s->now < START + s->scenario->crash_loop_usec;
}

static void kill_daemon(struct simulation *s, struct certificate *c) {
        bool reboot = !is_crash_loop(s) && one_in(s, 2);
        usec_t down_usec = is_crash_loop(s) ? 0
                           : reboot         ? random_between(s, 0, USEC_PER_HOUR)
                                            : random_between(s, 0, 3 * USEC_PER_SEC);

        s->killed += c->under_way > 0;
        c->under_way = 0;
        c->process++;
        if (reboot) {
                c->boot++;
                c->booted_at = s->now;
        }
        push(s, (struct event) { .at = s->now + down_usec, .certificate = c, .type = EVENT_START });
}

static void start_daemon(struct simulation *s, struct certificate *c) {
        s->starts++;
        load(s, c);
        renewal_restore(&c->renewal, c->state.failures, c->state.failure);
        c->backoff_until = c->state.next_attempt_usec;
        wake(s, c, true);
}

static void push_kill(struct simulation *s, struct certificate *c) {
        usec_t in_usec =
                is_crash_loop(s) ? USEC_PER_SEC : random_between(s, 0, 2 * s->scenario->restart_every_usec);

        if (in_usec > 0)
                push(s, (struct event) { .at = s->now + in_usec, .certificate = c, .type = EVENT_KILL });
}

static void check_expiry(struct simulation *s, struct certificate *c) {
        if (c->has_expired || s->now < c->expiry)
                return;
        c->has_expired = true;
        s->expired++;
}

static void dispatch(struct simulation *s, const struct event *event) {
        struct certificate *c = event->certificate;

        /* The expiry only changes at a commit, so a gap of any length is seen here or at the end. */
        check_expiry(s, c);

        if (event->type == EVENT_KILL) {
                push_kill(s, c);
                kill_daemon(s, c);
                return;
        }
        if (event->process != c->process)
                return;
        if (event->type == EVENT_STEP)
                c->under_way--;
        if (event->ticket != c->ticket)
                return;

        switch (event->type) {
        case EVENT_STEP:
                take_step(s, c);
                break;
        case EVENT_STRAY:
                s->strays++;
                if (s->scenario->flaw == FLAW_SECOND_ATTEMPT)
                        c->renewal.step = STEP_NONE;
                wake(s, c, false);
                break;
        case EVENT_CRASH:
                kill_daemon(s, c);
                break;
        case EVENT_START:
                start_daemon(s, c);
                break;
        default:
                wake(s, c, event->type == EVENT_TOUCH);
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
        if (s->scenario->crash_loop_usec > 0) {
                c->expiry = START + s->scenario->lifetime / 4;
                c->not_before = c->expiry - s->scenario->lifetime;
        }
        c->booted_at = START - USEC_PER_HOUR;
        push(s, (struct event) { .at = c->not_before > START ? c->not_before : START,
                                 .certificate = c,
                                 .type = EVENT_START });
        push_kill(s, c);
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
        require(s.fleet);
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
