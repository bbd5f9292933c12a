/*
 * Everything that happens to a certificate is an event for the machine in lib/life/renewal.c; what the
 * machine answers is either a step, which attempt.c knows how to take, or a rest, for which waits.c waits.
 */

#include "daemon/certificate/renewer.h"

#include <errno.h>

#include "daemon/certificate/records.h"
#include "daemon/certificate/replica.h"
#include "daemon/loop/backoff.h"
#include "daemon/observe/metrics.h"
#include "lib/util/log.h"

static const struct config_certificate *config(const struct renewer *renewer) {
        return renewer->core->config;
}

static struct environment *env(const struct renewer *renewer) {
        return renewer->core->env;
}

static struct state_file *state_file(const struct renewer *renewer) {
        return renewer->core->state_file;
}

static struct state *saved(const struct renewer *renewer) {
        return &renewer->core->state_file->state;
}

static struct renewal_context renewal_context(const struct renewer *renewer,
                                              const struct schedule_policy *policy) {
        return (struct renewal_context) {
                .policy = policy,
                .seed = schedule_seed(env(renewer)->machine_id, config(renewer)->name),
                .random = random_number(),
                .now = now_usec(CLOCK_REALTIME),
        };
}

static enum renewal_step take_event(struct renewer *renewer, struct renewal *renewal,
                                    const struct renewal_event *event) {
        const struct schedule_policy policy = config_schedule_policy(config(renewer));
        const struct renewal_context world = renewal_context(renewer, &policy);

        return renewal_next(renewal, event, &world);
}

static usec_t budget_wait(const struct renewer *renewer) {
        return facts_budget_wait(saved(renewer), env(renewer)->issuances_per_hour, now_usec(CLOCK_BOOTTIME));
}

/* --- Rest --- */

static void begin_inspection(struct renewer *renewer, enum renewer_request request);

/* The attempt ends: a signature that it was to request and did not counts no more. */
static void forget_signature(struct renewer *renewer) {
        if (renewer->is_counted)
                records_no_signature(renewer->core);
        renewer->is_counted = false;
}

static void end_attempt(struct renewer *renewer) {
        reporter_set_outcome(renewer->core->reporter, NULL);
        renewer->attempt = attempt_free(renewer->attempt);
        forget_signature(renewer);
        renewer->is_recorded = false;
        renewer->current = RENEWER_NOTHING;
        if (renewer->has_slot) {
                renewer->has_slot = false;
                slots_return(&env(renewer)->slots, &renewer->slot);
        }
}

static void note_inspected(struct renewer *renewer, bool has_failed) {
        const bool is_first = !renewer->has_inspected;

        renewer->has_inspected = true;
        renewer->ops->inspected(renewer, is_first, has_failed);
}

/* Other replicas need not wait any more. */
static void end_turn(struct renewer *renewer) {
        if (renewer->core->replica)
                replica_end_turn(renewer->core->replica);
}

static void rest(struct renewer *renewer) {
        end_attempt(renewer);
        end_turn(renewer);
        if (reporter_expects_attempt(renewer->core->reporter))
                renewer_give_up(renewer, renewal_state_names[renewer->renewal.state]);
        if (!env(renewer)->once && !renewer->core->is_retired) {
                waits_arm(&renewer->waits, &renewer->renewal);
                renewer_request(renewer, renewer->pending);
        }
        renewer->ops->idle(renewer);
}

/* --- Failures --- */

static void log_warning_of_step(struct renewer *renewer) {
        _cleanup_(freep) char *warning = attempt_take_warning(renewer->attempt);

        if (warning)
                reporter_log(renewer->core->reporter, LOG_WARNING, MESSAGE_WARNING, "%s", warning);
}

static void log_failure(struct renewer *renewer, bool over_budget) {
        reporter_log_failure(renewer->core->reporter, attempt_has_committed(renewer->attempt), over_budget);
}

/* What an inspection that failed has seen all the same. */
static const struct renewal_observation *take_failed_inspection(struct renewer *renewer) {
        struct facts *facts = &renewer->core->facts;
        const struct findings *findings = attempt_findings(renewer->attempt);

        facts_observe_failure(facts, findings->observation.set, findings->set);
        if (facts_has_set(facts) && facts_is_revoked(facts, saved(renewer)))
                attempt_pass_over_set(renewer->attempt);
        return &findings->observation;
}

/* An operator asks for one attempt. When it has failed, an inspection finds out whether more is needed: a set
 * that is not due goes on. */
static void take_failure(struct renewer *renewer, bool over_budget) {
        const struct outcome *outcome = attempt_outcome(renewer->attempt);
        struct renewal *renewal = &renewer->renewal;
        const struct renewal_event event = {
                .type = RENEWAL_FAILED,
                .observation = renewal->step == STEP_INSPECT ? take_failed_inspection(renewer) : NULL,
                .failure = outcome->failure,
                .not_longer = outcome->not_longer,
                .is_old_ca = outcome->is_old_ca,
                .is_doubtful = outcome->is_doubtful,
                .is_unheard = outcome->is_unheard,
                .is_token_good = outcome->is_token_good,
                .retry_after_usec = outcome->retry_after_usec,
                .hold_usec = renewer->current == RENEWER_REFRESH ? waits_backoff_left(&renewer->waits) : 0,
        };
        enum renewal_state before = renewal->state;
        const bool was_asked = reporter_expects_attempt(renewer->core->reporter);

        log_warning_of_step(renewer);
        take_event(renewer, renewal, &event);
        if (attempt_is_enrolment(renewer->attempt) &&
            (renewal->failure == FAILURE_REFUSED || renewal->failure == FAILURE_REJECTED) &&
            !outcome->is_unheard && !outcome->is_token_good &&
            !(outcome->is_doubtful && renewal->failures <= RENEWAL_DOUBTS))
                facts_burn_token(&renewer->core->facts);
        records_failure(renewer->core, renewal->failures, renewal->failure, renewal->backoff_usec);
        records_error(renewer->core, &outcome->error, outcome->cause);
        records_named_subject(renewer->core, outcome, attempt_findings(renewer->attempt)->next_subject);
        if (outcome->not_longer)
                saved(renewer)->rotation.asked = 0; /* there is nothing better to be had */
        forget_signature(renewer);
        state_file_save(state_file(renewer));
        log_failure(renewer, over_budget);
        if (renewal->state == RENEWAL_WAITING_FOR_TOKEN && before != RENEWAL_WAITING_FOR_TOKEN)
                reporter_log_waiting(renewer->core->reporter);
        renewer->result.failed = true;
        env(renewer)->observers.metrics->failures[renewal->failure]++;
        if (was_asked) {
                renewer_forget_token(renewer);
                renewal->forced = renewer->wish.not_longer = false;
                if (renewer->pending == RENEWER_NOTHING)
                        renewer->pending = RENEWER_REFRESH;
        }
        if (outcome->step == STEP_INSPECT) {
                reporter_forget_current(renewer->core->reporter); /* that it is over is news */
                note_inspected(renewer, true);
        }
        rest(renewer);
}

/* --- Steps --- */

static void fail_before(struct renewer *renewer, int code, const char *sentence) {
        attempt_fail(renewer->attempt, renewer->renewal.step, code, sentence, 0);
        take_failure(renewer, false);
}

static void on_recorded(int r, const char *error, void *userdata) {
        struct renewer *renewer = userdata;
        _cleanup_(error_clear) struct error sentence = ERROR_INIT;

        if (r == 0) {
                attempt_start(renewer->attempt, renewer->renewal.step);
                return;
        }
        error_set(&sentence, r,
                  "the Connector was not called, since the attempt could not be recorded for a restart: %s",
                  error);
        fail_before(renewer, r, error_text(&sentence));
}

/* Before the swap, or a kill in between would leave the old set valid. That it could not be saved is in the
 * log, and no reason to do without the new set. */
static void on_swap_saved(_unused_ int r, _unused_ const char *error, void *userdata) {
        struct renewer *renewer = userdata;

        attempt_start(renewer->attempt, STEP_COMMIT);
}

/* Before the first step that calls. */
static void record_attempt(struct renewer *renewer) {
        const struct schedule_policy policy = config_schedule_policy(config(renewer));
        const struct renewal_context world = renewal_context(renewer, &policy);

        renewer->is_recorded = true;
        records_attempt(renewer->core, &renewer->renewal, &world, attempt_findings(renewer->attempt)->token);
}

/* Before STEP, which calls: what the state file must know. Sets *MUST_SAVE where that is news. 0 or -ENOMEM.
 */
static int record_call(struct renewer *renewer, enum renewal_step step, bool *must_save) {
        if (step == STEP_VERIFY)
                records_verification(renewer->core, attempt_findings(renewer->attempt)->reply);
        if (!renewer->is_recorded) {
                record_attempt(renewer);
                *must_save = true;
        }
        if (step <= STEP_SIGN && !renewer->is_counted) {
                if (records_signature(renewer->core) < 0)
                        return -ENOMEM;
                renewer->is_counted = true;
                *must_save = true;
        }
        if (step == STEP_SIGN) {
                renewer->is_counted = false; /* from here on it may have been requested */
                env(renewer)->observers.metrics->signatures++;
        }
        return 0;
}

/* A step that calls the Connector waits until the state file knows of it. */
static void start_step(struct renewer *renewer, enum renewal_step step) {
        struct attempt *attempt = renewer->attempt;
        bool must_save = false;

        if (step == STEP_COMMIT) {
                must_save = records_old_ca(renewer->core, attempt_findings(attempt));
                if (renewer->ops->swap_begins(renewer) || must_save) {
                        state_file_save_then(state_file(renewer), on_swap_saved, renewer);
                        return;
                }
        }
        if (!attempt_step_calls(step)) {
                if (step == STEP_GATE &&
                    renewer->wish.not_longer) /* an operator may have joined this attempt */
                        (void)attempt_accept_not_longer(attempt);
                attempt_start(attempt, step);
                return;
        }
        if (step == STEP_CONFIGURATION && renewer->renewal.by_token)
                facts_try_token(&renewer->core->facts, attempt_findings(attempt)->token);
        if (record_call(renewer, step, &must_save) < 0) {
                fail_before(renewer, -ENOMEM, "out of memory");
                return;
        }
        if (must_save)
                state_file_save_then(state_file(renewer), on_recorded, renewer);
        else
                attempt_start(attempt, step);
}

static void begin_attempt(struct renewer *renewer) {
        struct attempt *attempt = renewer->attempt;
        const struct renewal *renewal = &renewer->renewal;
        usec_t wait = renewal->step <= STEP_SIGN ? budget_wait(renewer) : 0;

        env(renewer)->ops->changed(env(renewer));
        attempt_set_enrolment(attempt, renewal->by_token);
        renewer->is_over_budget = wait > 0;
        reporter_log_begun(renewer->core->reporter, &attempt_findings(attempt)->observation);
        if (wait > 0) {
                /* Before `configuration`, which mints tokens. */
                _cleanup_(error_clear) struct error error = ERROR_INIT;

                error_set(&error, -EDQUOT,
                          "%u signatures were requested within the last hour, the limit of "
                          "`limits.issuances_per_hour`: unexpected renewal loop; see rekeyctl history %s",
                          env(renewer)->issuances_per_hour, config(renewer)->name);
                attempt_fail(attempt, renewal->step, -EDQUOT, error_text(&error), wait);
                take_failure(renewer, true);
                return;
        }
        env(renewer)->observers.metrics->attempts++;
        renewer->ops->attempt_begins(renewer);
        start_step(renewer, renewal->step);
}

/* --- The inspection --- */

static void log_rest(struct renewer *renewer, const struct renewal *next, enum renewal_state before,
                     bool is_first, bool was_held) {
        if (was_held && next->backoff_usec != USEC_INFINITY) {
                if (is_first)
                        reporter_log_held(renewer->core->reporter);
                else
                        log_debug("%s: no change found; back-off continues", config(renewer)->name);
        } else if (next->failure == FAILURE_LOCAL && next->failures > 0 &&
                   next->backoff_usec != USEC_INFINITY) {
                attempt_fail(renewer->attempt, STEP_INSPECT, -ETIME,
                             "this machine's clock is before the certificate's notBefore; no renewal until "
                             "the clock is "
                             "right",
                             0);
                records_error(renewer->core, &attempt_outcome(renewer->attempt)->error, CAUSE_CLOCK);
                log_failure(renewer, false);
                renewer->result.failed = true;
        } else if (next->state == RENEWAL_WAITING_FOR_TOKEN) {
                if (before != RENEWAL_WAITING_FOR_TOKEN)
                        reporter_log_waiting(renewer->core->reporter);
                renewer->result.failed = true;
        } else
                reporter_log_current(renewer->core->reporter);
}

/* What the inspection leads to begins now, or when its turn comes. */
static void take_turn(struct renewer *renewer, const struct renewal *next) {
        renewer->renewal.step = STEP_NONE;
        if (renewer->ops->is_blocked(renewer)) {
                /* Its end inspects again. */
                renewer->pending = RENEWER_REFRESH;
                end_attempt(renewer);
                renewer->ops->idle(renewer);
        } else if (renewer->core->is_retired)
                rest(renewer);
        else if (renewer->core->replica && !replica_has_turn(renewer->core->replica)) {
                /* Then all is read anew: what others did until then is not known now. */
                end_attempt(renewer);
                replica_ask_turn(renewer->core->replica);
                renewer_request(renewer, renewer->pending);
                renewer->ops->idle(renewer);
        } else if (!renewer->has_slot) {
                reporter_set_outcome(renewer->core->reporter, NULL);
                renewer->attempt = attempt_free(renewer->attempt);
                renewer->slot.expiry_usec = next->expiry;
                slots_wait(&env(renewer)->slots, &renewer->slot);
        } else {
                renewer->renewal = *next;
                begin_attempt(renewer);
        }
}

/* What the inspection leads to is tried on a copy first: without a slot, a step must wait for one, and the
 * world may have changed by then. */
void renewer_continue(struct renewer *renewer) {
        const struct findings *findings = attempt_findings(renewer->attempt);
        const struct renewal_event event = {
                .type = RENEWAL_INSPECTED,
                .observation = &findings->observation,
                .hold_usec = renewer->current == RENEWER_REFRESH ? waits_backoff_left(&renewer->waits) : 0,
        };
        struct renewal next = renewer->renewal;
        enum renewal_state before = renewer->renewal.state;
        bool is_first = !renewer->has_inspected;

        take_event(renewer, &next, &event);
        /* What was seen stays seen, also where the copy does not: these three go together. */
        renewer->renewal.set = next.set;
        renewer->renewal.expiry = next.expiry;
        renewer->renewal.rejected = next.rejected;
        note_inspected(renewer, false);
        if (next.step != STEP_NONE) {
                take_turn(renewer, &next);
                return;
        }

        renewer->renewal = next;
        if (next.failures == 0 && (saved(renewer)->failures > 0 || saved(renewer)->error)) {
                /* Someone else has repaired it. */
                records_failure(renewer->core, 0, FAILURE_NONE, USEC_INFINITY);
                state_file_save(state_file(renewer));
        }
        log_rest(renewer, &next, before, is_first, event.hold_usec > 0);
        rest(renewer);
}

/* What is only read has its way into the state file with what is written next; what is news has it now. */
static void note_subject(struct renewer *renewer, const struct findings *findings) {
        const bool was_known = saved(renewer)->subject;

        /* What waits for an operator still does, as long as the set is the same. */
        if (streq_null(saved(renewer)->subject, findings->subject))
                return;
        if (records_subject(renewer->core, findings->subject, ": its files were replaced") &&
            (was_known || findings->adopted))
                state_file_save(state_file(renewer));
}

/* What was asked for, and since when, is about one set; that it is to be replaced is found anew each time. A
 * clock that is before the certificate is no clock to go by. */
static void note_replacement(struct renewer *renewer, const struct findings *findings, bool is_new_set) {
        struct state *state = saved(renewer);
        const usec_t since = findings->replace_since;
        bool is_news = false;

        if (is_new_set && state->rotation.asked > 0) {
                state->rotation.asked = 0;
                is_news = true;
        }
        if (is_new_set || since == 0 || state->rotation.since == 0 || since < state->rotation.since)
                if (since != state->rotation.since &&
                    now_usec(CLOCK_REALTIME) >= findings->observation.not_before) {
                        state->rotation.since = since;
                        is_news = true;
                }
        if (is_news)
                state_file_save(state_file(renewer));
}

static void take_inspection(struct renewer *renewer) {
        struct core *core = renewer->core;
        struct attempt *attempt = renewer->attempt;
        const struct findings *findings = attempt_findings(attempt);
        struct facts_news news;
        bool closely = renewer->is_news_to_us;

        if (facts_observe_token_problem(&core->facts, findings->token_problem, findings->token_file))
                reporter_log(core->reporter, LOG_WARNING, MESSAGE_WARNING, "%s", findings->token_problem);
        news = facts_observe(&core->facts, findings->set, findings->token, findings->token_file);
        /* What is new ends a back-off. */
        if (news.is_new_set || news.is_new_token)
                renewer->current = RENEWER_TRY;
        renewer->is_news_to_us = false;
        /* A used token may lie in its file for as long as it likes, and must not keep a certificate that is
         * rejected from trying itself. */
        if (findings->token != 0 && findings->token == core->facts.burnt_token)
                attempt_pass_over_token(attempt);
        /* What this rekeyd has revoked never comes back. */
        if (facts_is_revoked(&core->facts, saved(renewer)))
                attempt_pass_over_set(attempt);
        if (findings->adopted)
                reporter_log(renewer->core->reporter, LOG_NOTICE, MESSAGE_ADOPTED,
                             "adopted %s as generation %" PRIu64, findings->adopted, core->facts.generation);
        if (findings->doubt != DOUBT_NONE && findings->doubt != core->facts.doubt)
                reporter_log(renewer->core->reporter, LOG_WARNING, MESSAGE_WARNING, "%s",
                             doubt_texts[findings->doubt]);
        core->facts.doubt = (uint8_t)findings->doubt;
        note_subject(renewer, findings);
        note_replacement(renewer, findings, news.is_new_set);
        log_warning_of_step(renewer);
        reporter_log_rights(renewer->core->reporter, findings->rights,
                            facts_observe_rights(&core->facts, findings->rights) || closely);
        renewer->ops->observed(renewer, findings, closely);
}

/* --- The swap --- */

static void take_commit(struct renewer *renewer) {
        struct core *core = renewer->core;
        struct metrics *metrics = env(renewer)->observers.metrics;
        const struct findings *findings = attempt_findings(renewer->attempt);
        const bool enrolled = attempt_is_enrolment(renewer->attempt);
        _cleanup_(issuers_freep) struct issuers *before = issuers_ref(core->facts.issuers);
        char expiry[TIMESTAMP_MAX];
        bool must_save;

        renewer->renewal.set = SET_KNOWN;
        renewer->renewal.expiry = findings->set->effective_expiry;
        renewer->result.renewed = true;
        facts_observe(&core->facts, findings->set, findings->token, findings->token_file);
        core->facts.doubt = (uint8_t)findings->doubt;
        renewer_forget_token(renewer);
        renewer->wish.not_longer = false;
        reporter_forget_current(renewer->core->reporter);
        if (enrolled) {
                facts_burn_token(&core->facts);
                metrics->enrolments++;
        } else
                metrics->renewals++;
        reporter_log(renewer->core->reporter, LOG_NOTICE, enrolled ? MESSAGE_ENROLLED : MESSAGE_RENEWED,
                     "%s: generation %" PRIu64 " is current until %s, sha256 %.16s...",
                     enrolled ? "enrolled" : "renewed", core->facts.generation,
                     format_timestamp(expiry, renewer->renewal.expiry), core->facts.fingerprint);

        must_save = records_subject(core, findings->subject,
                                    config(renewer)->subject ? ", as configured" : ", as an operator wants");

        /* What is on disk says when it is due again, and what is to be published. */
        records_swap(core);
        if (must_save)
                state_file_save(core->state_file);
        if (core->facts.issuers && core->facts.issuers != before)
                renewer->ops->other_issuers(renewer, before);
        end_attempt(renewer);
        end_turn(renewer);
        renewer_request(renewer, RENEWER_TRY);
}

/* What a call says of its Connector, for those who wait to call it too. */
static void report_call(struct renewer *renewer, const struct outcome *outcome) {
        if (!attempt_step_calls(outcome->step))
                return;
        renewer->wish.configured_url_first = false;
        if (outcome->failure != FAILURE_LOCAL)
                slots_report_result(&env(renewer)->slots, renewer->slot.group,
                                    outcome->failure != FAILURE_TRANSIENT);
}

static void on_step_done(void *userdata) {
        struct renewer *renewer = userdata;
        struct attempt *attempt = renewer->attempt;
        struct metrics *metrics = env(renewer)->observers.metrics;
        const struct outcome *outcome = attempt_outcome(attempt);
        struct renewal_event event = { .type = RENEWAL_DONE };
        enum renewal_step step = outcome->step, next;

        metrics_count_step(metrics, step, attempt_step_usec(attempt));
        metrics->key_cpu_usec += attempt_key_cpu_usec(attempt);
        report_call(renewer, outcome);
        if (outcome->not_longer && renewer->wish.not_longer && !attempt_accept_not_longer(attempt)) {
                start_step(renewer, step); /* forced while the gate was at it */
                return;
        }
        if (outcome->failure != FAILURE_NONE) {
                take_failure(renewer, false);
                return;
        }
        if (step == STEP_INSPECT) {
                take_inspection(renewer);
                return;
        }
        log_warning_of_step(renewer);
        if (records_named_subject(renewer->core, outcome, attempt_findings(attempt)->next_subject))
                forget_signature(renewer); /* which is next, is counted then, and saves both */
        if (step == STEP_CONFIGURATION && outcome->key_too_small)
                event.type = RENEWAL_KEY_TOO_SMALL;

        reporter_log_step(renewer->core->reporter, step);
        next = take_event(renewer, &renewer->renewal, &event);
        if (step == STEP_COMMIT)
                take_commit(renewer);
        else
                start_step(renewer, next);
}

/* --- Beginning --- */

static void begin_inspection(struct renewer *renewer, enum renewer_request request) {
        static const struct renewal_event wake = { .type = RENEWAL_WAKE };
        const struct core *core = renewer->core;

        renewer->pending = RENEWER_NOTHING;
        renewer->current = request;
        waits_pause(&renewer->waits);
        if (!renewer->has_slot)
                renewer->has_slot = slots_take(&core->env->slots, &renewer->slot);

        const struct attempt_input input = {
                .may_renew = renewer->has_slot,
                .configured_url_first = renewer->wish.configured_url_first,
                .accepts_not_longer = renewer->wish.not_longer,
                .n_failures = renewer->renewal.failures,
                .offered_token = renewer->offered_token,
                .tried_token = core->facts.tried_token,
                .reply = saved(renewer)->reply,
                .reply_tries = saved(renewer)->reply_tries,
                .is_new_config = renewer->is_news_to_us && renewer->has_inspected,
                .replace_since = saved(renewer)->rotation.since,
                .replace_asked = saved(renewer)->rotation.asked,
                .fingerprint = core->facts.fingerprint,
                .subject = saved(renewer)->subject,
                .accepted_subject = state_accepted_subject(saved(renewer)),
                .is_copied = saved(renewer)->is_copied,
                .next_key = core->next_key,
                .takes_any_subject = renewer->offered_token && renewer->wish.any_subject,
                .rights = renewer->is_news_to_us ? 0 : core->facts.rights,
                .memory = { .generation = core->facts.generation,
                            .fingerprint = core->facts.fingerprint,
                            .subject = saved(renewer)->subject,
                            .revoked = (const char(*)[FINGERPRINT_HEX])saved(renewer)->revoked,
                            .n_revoked = saved(renewer)->n_revoked },
                .seals = core->env->seals,
        };
        renewer->attempt =
                attempt_new(&core->env->services, core->config, core->replica, &input, on_step_done, renewer);
        if (!renewer->attempt) {
                log_error("%s: out of memory", core->config->name);
                sd_event_exit(core->env->services.event, EXIT_FAILURE);
                return;
        }
        reporter_set_outcome(renewer->core->reporter, attempt_outcome(renewer->attempt));
        waits_watch_set(&renewer->waits);
        attempt_start(renewer->attempt, take_event(renewer, &renewer->renewal, &wake));
}

void renewer_request(struct renewer *renewer, enum renewer_request request) {
        if (request == RENEWER_NOTHING || renewer->slot.is_waiting ||
            (renewer->attempt && request == RENEWER_TRY))
                return; /* it inspects anyway when its turn comes; or is at it */
        if (renewer->attempt || renewer->ops->is_blocked(renewer)) {
                renewer->pending = RENEWER_REFRESH;
                return;
        }
        begin_inspection(renewer, request);
}

unsigned renewer_look(struct renewer *renewer) {
        const unsigned n = renewer->attempt ? 2 : 1;

        if (renewer->slot.is_waiting) {
                slots_leave(&renewer->slot);
                renewer_request(renewer, RENEWER_TRY);
        } else
                renewer_request(renewer, RENEWER_REFRESH);
        return n;
}

static void on_slot(struct slot_waiter *slot) {
        struct renewer *renewer = container_of(slot, struct renewer, slot);

        renewer->has_slot = true;
        renewer_request(renewer, RENEWER_TRY);
}

static void on_time(struct waits *waits) {
        renewer_request(container_of(waits, struct renewer, waits), RENEWER_TRY);
}

static void on_files_changed(struct waits *waits) {
        renewer_request(container_of(waits, struct renewer, waits), RENEWER_REFRESH);
}

static void on_unwatched(struct waits *waits, const char *text) {
        const struct renewer *renewer = container_of(waits, struct renewer, waits);

        reporter_log(renewer->core->reporter, LOG_WARNING, MESSAGE_WARNING, "%s", text);
}

static const struct waits_ops waits_ops = {
        .time_came = on_time,
        .token_came = on_time,
        .files_changed = on_files_changed,
        .warn = on_unwatched,
};

void renewer_init(struct renewer *renewer, struct core *core, const struct renewer_ops *ops) {
        *renewer = (struct renewer) {
                .core = core,

                .ops = ops,
                .slot.granted = on_slot,
        };
        waits_init(&renewer->waits, core, &waits_ops);
        renewal_restore(&renewer->renewal, saved(renewer)->failures, saved(renewer)->failure);
        renewer->renewal.expiry = core->facts.expiry;
}

void renewer_clear(struct renewer *renewer) {
        renewer_stop_waiting(renewer);
        if (renewer->is_recorded) {
                forget_signature(renewer);
                records_failure(renewer->core, renewer->renewal.failures, renewer->renewal.failure,
                                USEC_INFINITY);
                state_file_save(state_file(renewer));
        }
        reporter_set_outcome(renewer->core->reporter, NULL);
        renewer->attempt = attempt_free(renewer->attempt);
        renewer_forget_token(renewer);
}

/* Slots are shared between Connectors. A certificate that waits in another Connector's queue leaves it. */
int renewer_configure(struct renewer *renewer, bool has_changed, bool url_changed) {
        struct slot_group *group;
        int r;

        r = slots_group(&env(renewer)->slots, config(renewer)->connector->name, &group);
        if (r < 0)
                return r;
        if (group != renewer->slot.group)
                slots_leave(&renewer->slot);
        renewer->slot.group = group;
        renewer->is_news_to_us = renewer->is_news_to_us || has_changed;
        if (has_changed)
                waits_forget_files(&renewer->waits);
        /* What the operator has corrected goes before what `configuration` once said. */
        renewer->wish.configured_url_first = renewer->wish.configured_url_first || url_changed;
        (void)waits_prepare(&renewer->waits); /* tried again when it watches */
        return 0;
}

void renewer_start(struct renewer *renewer) {
        usec_t left = usec_sub(saved(renewer)->next_attempt_usec, now_usec(CLOCK_REALTIME));

        if (left == 0 || env(renewer)->once) {
                renewer_request(renewer, RENEWER_TRY);
                return;
        }
        waits_set_backoff(&renewer->waits, left);
        renewer_request(renewer, RENEWER_REFRESH);
}

void renewer_stop_waiting(struct renewer *renewer) {
        slots_leave(&renewer->slot);
        if (!renewer->attempt)
                end_turn(renewer);
        waits_stop(&renewer->waits);
}

void renewer_take_probe(struct renewer *renewer, const struct probe_result *result) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        const bool is_rejected = result->answer == PROBE_REJECTED;

        if (renewer->renewal.rejected == is_rejected)
                return;
        renewer->renewal.rejected = is_rejected;
        if (is_rejected) {
                error_set(&error, -EACCES, "%s", result->error);
                records_failure(renewer->core, 1, FAILURE_REJECTED, USEC_INFINITY);
                records_error(renewer->core, &error, CAUSE_NONE);
                state_file_save(state_file(renewer));
        }
        renewer_request(renewer, RENEWER_TRY);
}

/* --- What an operator wants --- */

void renewer_force(struct renewer *renewer, bool not_longer) {
        renewer->wish.not_longer = not_longer;
        if (renewer_is_attempting(renewer))
                return;
        renewer->renewal.forced = true;
        if (renewer->attempt)
                renewer->current = RENEWER_TRY; /* the inspection under way may go on to be the attempt */
        renewer_request(renewer, RENEWER_TRY);
}

usec_t renewer_plan(struct renewer *renewer, usec_t within_usec) {
        const uint32_t seed = schedule_seed(env(renewer)->machine_id, config(renewer)->name);
        const usec_t when = schedule_replacement(now_usec(CLOCK_REALTIME), within_usec, seed);

        saved(renewer)->rotation.asked = when;
        state_file_save(state_file(renewer));
        renewer_request(renewer, RENEWER_REFRESH);
        return when;
}

void renewer_offer_token(struct renewer *renewer, char *token, bool not_longer, bool any_subject) {
        renewer_forget_token(renewer);
        renewer->offered_token = token;
        renewer->wish.not_longer = not_longer;
        renewer->wish.any_subject = any_subject;
}

void renewer_give_up(struct renewer *renewer, const char *why) {
        renewer->renewal.forced = renewer->wish.not_longer = false;
        renewer_forget_token(renewer);
        reporter_log(renewer->core->reporter, LOG_WARNING, MESSAGE_OPERATION_FAILED,
                     "%s request dropped: certificate is %s",
                     operation_names[renewer->core->reporter->operation], why);
}

void renewer_forget_token(struct renewer *renewer) {
        free_secret(take_ptr(renewer->offered_token));
}

void renewer_raise_budget(struct renewer *renewer) {
        if (renewer->is_over_budget)
                renewer_request(renewer, RENEWER_TRY);
}

/* --- What is asked --- */

bool renewer_is_busy(const struct renewer *renewer) {
        return renewer->attempt;
}

bool renewer_is_attempting(const struct renewer *renewer) {
        return renewer->renewal.step > STEP_INSPECT;
}

bool renewer_is_queued(const struct renewer *renewer) {
        const struct replica *replica = renewer->core->replica;

        return renewer->slot.is_waiting || (replica && replica_waits(replica));
}

/* After a restart only the class of the failure is left of a rejection. */
bool renewer_is_rejected(const struct renewer *renewer) {
        const struct renewal *renewal = &renewer->renewal;

        return renewal->rejected || renewal->state == RENEWAL_WAITING_FOR_TOKEN ||
               renewal->failure == FAILURE_REJECTED;
}

usec_t renewer_next_attempt(const struct renewer *renewer) {
        if (renewer->renewal.step != STEP_NONE || renewer->renewal.backoff_usec == USEC_INFINITY ||
            renewer->waits.backoff_until == 0)
                return USEC_INFINITY;
        return usec_add(now_usec(CLOCK_REALTIME), waits_backoff_left(&renewer->waits));
}
