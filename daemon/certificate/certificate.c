/*
 * A certificate between its attempts and during them. Everything that happens to it is an event for the
 * machine in lib/life/renewal.c; what the machine answers is either a step, which attempt.c knows how to
 * take, or a rest, for which a timer is set here. Every change of state is logged, once, in
 * certificate-log.c.
 *
 * What a restart must know is in the journal before it can matter. A failure is written ahead: before the
 * first call of an attempt the journal says that it has failed, so that a process that dies each time does
 * not call each time. A signature is counted before it is asked for. And a set that was not told of is one
 * that the journal does not name.
 */

#include <errno.h>
#include <limits.h>

#include "daemon/certificate/attempt.h"
#include "daemon/certificate/certificate-private.h"
#include "daemon/loop/backoff.h"
#include "daemon/observe/metrics.h"

static struct renewal_context renewal_context(const struct certificate *certificate,
                                              const struct schedule_policy *policy) {
        return (struct renewal_context) {
                .policy = policy,
                .seed = certificate->seed,
                .random = random_number(),
                .now = now_usec(CLOCK_REALTIME),
        };
}

static enum renewal_step take_event(struct certificate *certificate, struct renewal *renewal,
                                    const struct renewal_event *event) {
        const struct schedule_policy policy = config_schedule_policy(certificate->config);
        const struct renewal_context context = renewal_context(certificate, &policy);

        return renewal_next(renewal, event, &context);
}

/* --- Rest --- */

static void on_saved(_unused_ int r, _unused_ const char *error, void *userdata) {
        certificate_settle(userdata);
}

void certificate_settle(struct certificate *certificate) {
        struct context *context = certificate->context;

        context->changed(context);
        if (certificate->attempt || certificate->job || certificate->revocation ||
            (certificate->notifications && notifications_is_busy(certificate->notifications)))
                return;
        if (certificate->is_retired) {
                /* Should it come back, its journal must be whole. */
                if (!state_file_is_saved(certificate->state_file))
                        state_file_save_then(certificate->state_file, on_saved, certificate);
                else
                        context->retired(context, certificate);
                return;
        }
        if (certificate->next_owner) {
                certificate_take_configuration(certificate);
                return;
        }
        if (context->once && !certificate->settled && !certificate->slot_waiter.is_waiting) {
                certificate->settled = true;
                if (certificate->notifications && notifications_n_pending(certificate->notifications) > 0)
                        certificate->failed = true;
                context->settled(context, certificate->renewed, certificate->failed);
        }
}

static void end_attempt(struct certificate *certificate) {
        certificate->attempt = attempt_free(certificate->attempt);
        if (certificate->has_slot) {
                certificate->has_slot = false;
                slots_return(&certificate->context->slots, &certificate->slot_waiter);
        }
}

static void has_inspected(struct certificate *certificate) {
        if (certificate->has_inspected)
                return;
        certificate->has_inspected = true;
        certificate->context->inspected(certificate->context);
}

static void rest(struct certificate *certificate) {
        end_attempt(certificate);
        has_inspected(certificate);
        if (certificate_asks_attempt(certificate))
                certificate_give_up_attempt(certificate, renewal_state_names[certificate->renewal.state]);
        if (!certificate->context->once && !certificate->is_retired) {
                certificate_arm_timer(certificate);
                certificate_arm_token_watch(certificate);
                if (certificate->inspect_again && !certificate->job)
                        certificate_inspect(certificate);
        }
        certificate_start_operation(certificate);
        certificate_settle(certificate);
}

/* --- Failures --- */

static void say_warning(struct certificate *certificate) {
        struct attempt *attempt = certificate->attempt;

        if (!attempt->warning)
                return;
        certificate_log(certificate, LOG_WARNING, MESSAGE_WARNING, "%s", attempt->warning);
        free(take_ptr(attempt->warning));
}

void certificate_remember_failure(struct certificate *certificate, unsigned failures, enum failure failure,
                                  usec_t backoff_usec) {
        struct state *state = &certificate->state_file->state;

        if (failures == 0)
                state_keep_error(&state->error, NULL);
        state->failures = failures;
        state->failure = failure;
        state->next_attempt_usec =
                backoff_usec == USEC_INFINITY ? 0 : usec_add(now_usec(CLOCK_REALTIME), backoff_usec);
}

/* What the attempt has failed for, for whoever looks. */
static void remember_error(struct certificate *certificate) {
        struct state *state = &certificate->state_file->state;

        state_keep_error(&state->error, error_text(&certificate->attempt->error));
        state->failed_usec = now_usec(CLOCK_REALTIME);
}

/* An operator asks for one attempt. When it has failed, a look finds out whether more is needed: a set that
 * is not due goes on. */
static void take_failure(struct certificate *certificate) {
        const struct attempt *attempt = certificate->attempt;
        const struct renewal *renewal = &certificate->renewal;
        const struct renewal_event event = {
                .type = RENEWAL_FAILED,
                .failure = attempt->failure,
                .not_longer = attempt->not_longer,
                .is_doubtful = attempt->is_doubtful,
                .retry_after_usec = attempt->retry_after_usec,
                .hold_usec = certificate->refresh_only
                                     ? usec_sub(certificate->backoff_until, now_usec(CLOCK_BOOTTIME))
                                     : 0,
        };
        enum renewal_state before = renewal->state;
        const bool was_asked = certificate_asks_attempt(certificate);

        say_warning(certificate);
        take_event(certificate, &certificate->renewal, &event);
        if (attempt->by_token &&
            (renewal->failure == FAILURE_REFUSED || renewal->failure == FAILURE_REJECTED) &&
            !(attempt->is_doubtful && renewal->failures <= RENEWAL_DOUBTS))
                certificate->burnt_token = certificate->tried_token;
        certificate_remember_failure(certificate, renewal->failures, renewal->failure, renewal->backoff_usec);
        remember_error(certificate);
        state_file_save(certificate->state_file);
        certificate_log_failure(certificate);
        if (renewal->state == RENEWAL_WAITING_FOR_TOKEN && before != RENEWAL_WAITING_FOR_TOKEN)
                certificate_log_waiting(certificate);
        certificate->failed = true;
        certificate->context->metrics->failures[renewal->failure]++;
        if (was_asked) {
                certificate_forget_token(certificate);
                certificate->renewal.forced = certificate->accepts_not_longer = false;
                certificate->inspect_again = true;
        }
        rest(certificate);
}

/* --- Steps --- */

/* The step that is next cannot begin. */
static void fail_before(struct certificate *certificate, int r, const char *sentence) {
        struct attempt *attempt = certificate->attempt;

        attempt->step = certificate->renewal.step;
        attempt->failure = FAILURE_LOCAL;
        error_clear(&attempt->error);
        error_set(&attempt->error, r, "%s", sentence);
        take_failure(certificate);
}

static void on_recorded(int r, const char *error, void *userdata) {
        struct certificate *certificate = userdata;
        _cleanup_(error_clear) struct error sentence = ERROR_INIT;

        if (r == 0) {
                attempt_start(certificate->attempt, certificate->renewal.step);
                return;
        }
        error_set(&sentence, r, "the Connector was not called, since a restart would not know of it: %s",
                  error);
        fail_before(certificate, r, error_text(&sentence));
}

/* Before the swap, or a kill in between would leave the old set valid. That it could not be saved is in the
 * log, and keeps nobody from the new one. */
static void on_debt_saved(_unused_ int r, _unused_ const char *error, void *userdata) {
        struct certificate *certificate = userdata;

        attempt_start(certificate->attempt, STEP_COMMIT);
}

/* A step that calls the Connector waits until the journal knows of it. */
static void start_step(struct certificate *certificate, enum renewal_step step) {
        struct attempt *attempt = certificate->attempt;
        const struct renewal *renewal = &certificate->renewal;
        struct state *state = &certificate->state_file->state;
        bool is_recorded = true;

        if (step == STEP_COMMIT && certificate_owe_revocation(certificate)) {
                state_file_save_then(certificate->state_file, on_debt_saved, certificate);
                return;
        }
        if (!attempt_step_calls(step)) {
                if (step == STEP_GATE) /* an operator may have joined this attempt since it began */
                        attempt->accepts_not_longer = certificate->accepts_not_longer;
                attempt_start(attempt, step);
                return;
        }
        if (step == STEP_CONFIGURATION && attempt->by_token)
                certificate->tried_token = attempt->token_hash;
        if (!attempt->is_recorded) {
                const struct schedule_policy policy = config_schedule_policy(certificate->config);
                const struct renewal_context context = renewal_context(certificate, &policy);

                attempt->is_recorded = true;
                is_recorded = false;
                certificate_remember_failure(
                        certificate, renewal->failures < UINT_MAX ? renewal->failures + 1 : UINT_MAX,
                        renewal->failure != FAILURE_NONE ? renewal->failure : FAILURE_TRANSIENT,
                        renewal_assumed_backoff(renewal, &context));
                /* Whoever it is for, it has ended its back-off: it does that once. */
                if (attempt->token)
                        state->token = attempt->token_hash;
        }
        if (step == STEP_SIGN) {
                is_recorded = false;
                if (state_record_issuance(state, now_usec(CLOCK_BOOTTIME)) < 0) {
                        fail_before(certificate, -ENOMEM, "out of memory");
                        return;
                }
                certificate->context->metrics->signatures++;
        }
        if (is_recorded)
                attempt_start(attempt, step);
        else
                state_file_save_then(certificate->state_file, on_recorded, certificate);
}

/* How long until one more signature may be asked for. */
usec_t certificate_budget_wait(const struct certificate *certificate) {
        const struct state *state = &certificate->state_file->state;

        return schedule_budget_wait(state->issuances, state->n_issuances,
                                    certificate->context->issuances_per_hour, now_usec(CLOCK_BOOTTIME));
}

static void begin_attempt(struct certificate *certificate) {
        struct attempt *attempt = certificate->attempt;
        const struct renewal *renewal = &certificate->renewal;
        usec_t wait = renewal->step <= STEP_SIGN ? certificate_budget_wait(certificate) : 0;

        certificate->context->changed(certificate->context);
        attempt->by_token = renewal->by_token;
        attempt->over_budget = certificate->is_over_budget = wait > 0;
        certificate_log(certificate, LOG_INFO, MESSAGE_BEGUN, "%s",
                        renewal->by_token                      ? "enrolling with a one-time token"
                        : attempt->observation.other_key_asked ? "renewing, since a larger key is asked for"
                                                               : "renewing");
        if (wait > 0) {
                /* Before `configuration`, which mints tokens. */
                _cleanup_(error_clear) struct error error = ERROR_INIT;

                attempt->retry_after_usec = wait;
                error_set(&error, -EDQUOT,
                          "%u signatures were asked for within the last hour, which is all that "
                          "`limits.issuances_per_hour` allows: something makes rekeyd renew again and again",
                          certificate->context->issuances_per_hour);
                fail_before(certificate, -EDQUOT, error_text(&error));
                return;
        }
        certificate->context->metrics->attempts++;
        certificate_hasten_revocation(certificate);
        start_step(certificate, renewal->step);
}

/* --- The look, and what is published by it --- */

/* Keeps the facts of the current set that outlive the attempt. */
static void remember_set(struct certificate *certificate) {
        const struct attempt *attempt = certificate->attempt;
        char fingerprint[FINGERPRINT_HEX] = "";

        if (attempt->has_set)
                hex_format(fingerprint, attempt->set.fingerprint, FINGERPRINT_SIZE);
        certificate->token_came = attempt->token && attempt->token_hash != certificate->last_token;
        certificate->token_file = attempt->token_file;
        certificate->last_token = attempt->token_hash;
        certificate->is_new_set = attempt->has_set && !streq(fingerprint, certificate->fingerprint);
        certificate->generation = attempt->set.generation;
        certificate->not_before = attempt->has_set ? attempt->set.not_before : 0;
        certificate->expiry = attempt->has_set ? attempt->set.effective_expiry : 0;
        memcpy(certificate->fingerprint, fingerprint, sizeof(fingerprint));
}

/* What the look leads to is tried on a copy first: without a slot, a step must wait for one, and the world
 * may have changed by then. */
static void take_observation(struct certificate *certificate) {
        struct attempt *attempt = certificate->attempt;
        const usec_t now = now_usec(CLOCK_BOOTTIME);
        const bool may_hold =
                certificate->refresh_only && !certificate->is_new_set && !certificate->token_came;
        const struct renewal_event event = {
                .type = RENEWAL_INSPECTED,
                .observation = &attempt->observation,
                .hold_usec = may_hold ? usec_sub(certificate->backoff_until, now) : 0,
        };
        struct renewal next = certificate->renewal;
        enum renewal_state before = certificate->renewal.state;
        bool is_first = !certificate->has_inspected;

        take_event(certificate, &next, &event);
        /* What was seen stays seen, also where the copy does not: these two go together. */
        certificate->renewal.expiry = next.expiry;
        certificate->renewal.rejected = next.rejected;
        has_inspected(certificate);
        if (next.step != STEP_NONE) {
                if (certificate->job) {
                        /* An operator's turn comes first; its end looks again. */
                        certificate->renewal.step = STEP_NONE;
                        certificate->inspect_again = true;
                        end_attempt(certificate);
                        certificate_start_operation(certificate);
                        certificate_settle(certificate);
                        return;
                }
                if (certificate->is_retired) {
                        certificate->renewal.step = STEP_NONE;
                        rest(certificate);
                        return;
                }
                if (!certificate->has_slot) {
                        certificate->renewal.step = STEP_NONE;
                        certificate->attempt = attempt_free(attempt);
                        certificate->slot_waiter.expiry_usec = next.expiry;
                        slots_wait(&certificate->context->slots, &certificate->slot_waiter);
                        return;
                }
                certificate->renewal = next;
                begin_attempt(certificate);
                return;
        }

        certificate->renewal = next;
        if (next.failures == 0 &&
            (certificate->state_file->state.failures > 0 || certificate->state_file->state.error)) {
                /* Somebody else has mended it. */
                certificate_remember_failure(certificate, 0, FAILURE_NONE, USEC_INFINITY);
                state_file_save(certificate->state_file);
        }
        if (event.hold_usec > 0 && next.backoff_usec != USEC_INFINITY) {
                if (is_first)
                        certificate_log_held(certificate);
                else
                        log_debug("%s: looked, nothing has changed, the back-off goes on",
                                  certificate->config->name);
        } else if (next.failure == FAILURE_LOCAL && next.failures > 0 && next.backoff_usec != USEC_INFINITY) {
                attempt->failure = FAILURE_LOCAL;
                error_set(&attempt->error, -ETIME,
                          "the clock of this machine lies before the certificate's notBefore: it is wrong, "
                          "and nothing is renewed by it");
                remember_error(certificate);
                certificate_log_failure(certificate);
                certificate->failed = true;
        } else if (next.state == RENEWAL_WAITING_FOR_TOKEN) {
                if (before != RENEWAL_WAITING_FOR_TOKEN)
                        certificate_log_waiting(certificate);
                certificate->failed = true;
        } else
                certificate_log_current(certificate);
        rest(certificate);
}

static void on_exports_checked(void *userdata) {
        certificate_publish(userdata, take_observation);
}

static void take_inspection(struct certificate *certificate) {
        struct attempt *attempt = certificate->attempt;

        remember_set(certificate);
        /* It may lie in its file for ever, and must not keep a certificate that is rejected from trying
         * itself. */
        if (attempt->token && attempt->token_hash == certificate->burnt_token)
                attempt->observation.has_token = false;
        /* What this rekeyd has revoked never comes back: it is as if there were none. */
        if (certificate_is_revoked(certificate)) {
                attempt->observation.has_set = false;
                attempt->observation.expiry = attempt->observation.not_before = 0;
        }
        if (attempt->has_set)
                certificate_withdraw_revocation(certificate);
        if (attempt->adopted)
                certificate_log(certificate, LOG_NOTICE, MESSAGE_ADOPTED, "adopted %s as generation %" PRIu64,
                                attempt->adopted, attempt->set.generation);
        say_warning(certificate);
        attempt_check_exports(attempt, on_exports_checked);
}

static void take_commit(struct certificate *certificate, bool enrolled) {
        char expiry[TIMESTAMP_MAX];
        const struct attempt *attempt = certificate->attempt;

        certificate->renewal.expiry = attempt->set.effective_expiry;
        certificate->renewed = true;
        remember_set(certificate);
        certificate_forget_token(certificate);
        certificate->accepts_not_longer = false;
        certificate->told_due_usec = 0;
        if (enrolled) {
                certificate->burnt_token = certificate->tried_token;
                certificate->context->metrics->enrolments++;
        } else
                certificate->context->metrics->renewals++;
        certificate_log(certificate, LOG_NOTICE, enrolled ? MESSAGE_ENROLLED : MESSAGE_RENEWED,
                        "%s: generation %" PRIu64 " is current until %s, sha256 %.16s...",
                        enrolled ? "enrolled" : "renewed", certificate->generation,
                        format_timestamp(expiry, certificate->renewal.expiry), certificate->fingerprint);

        /* What is on disk says when it is due again, and what is to be published. */
        certificate_remember_failure(certificate, 0, FAILURE_NONE, USEC_INFINITY);
        end_attempt(certificate);
        certificate_wake(certificate);
}

/* What a call says of its Connector, for those who wait to call it too. */
static void judge_connector(struct certificate *certificate) {
        const struct attempt *attempt = certificate->attempt;

        if (attempt_step_calls(attempt->step) && attempt->failure != FAILURE_LOCAL)
                slots_judge(&certificate->context->slots, certificate->slot_waiter.group,
                            attempt->failure != FAILURE_TRANSIENT);
}

static void on_step_done(void *userdata) {
        struct certificate *certificate = userdata;
        struct attempt *attempt = certificate->attempt;
        struct renewal_event event = { .type = RENEWAL_DONE };
        enum renewal_step step = attempt->step, next;

        metrics_count_step(certificate->context->metrics, step,
                           usec_sub(now_usec(CLOCK_MONOTONIC), attempt->step_begin));
        certificate->context->metrics->key_cpu_usec += attempt->key_cpu_usec;
        attempt->key_cpu_usec = 0;
        if (attempt_step_calls(step))
                certificate->configured_url_first = false;
        judge_connector(certificate);
        if (attempt->not_longer && certificate->accepts_not_longer && !attempt->accepts_not_longer) {
                start_step(certificate, step); /* forced while the gate was at it */
                return;
        }
        if (attempt->failure != FAILURE_NONE) {
                take_failure(certificate);
                return;
        }
        if (step == STEP_INSPECT) {
                take_inspection(certificate);
                return;
        }
        say_warning(certificate);
        if (step == STEP_CONFIGURATION && attempt->key_too_small)
                event.type = RENEWAL_KEY_TOO_SMALL;

        certificate_log_step(certificate, step);
        next = take_event(certificate, &certificate->renewal, &event);
        if (step == STEP_COMMIT)
                take_commit(certificate, attempt->by_token);
        else
                start_step(certificate, next);
}

static void begin_inspection(struct certificate *certificate) {
        static const struct renewal_event wake = { .type = RENEWAL_WAKE };

        certificate->timer = sd_event_source_disable_unref(certificate->timer);
        certificate->attempt =
                attempt_new(certificate->context, certificate->config, on_step_done, certificate);
        if (!certificate->attempt) {
                log_error("%s: out of memory", certificate->config->name);
                sd_event_exit(certificate->context->event, EXIT_FAILURE);
                return;
        }
        if (!certificate->has_slot)
                certificate->has_slot = slots_take(&certificate->context->slots, &certificate->slot_waiter);
        certificate->attempt->may_renew = certificate->has_slot;
        certificate->attempt->n_failures = certificate->renewal.failures;
        certificate->attempt->tried_token = certificate->tried_token;
        certificate->attempt->inspect_closely = certificate->inspect_closely;
        certificate->inspect_closely = false;
        certificate->attempt->configured_url_first = certificate->configured_url_first;
        if (certificate->offered_token) {
                certificate->attempt->offered_token = strdup(certificate->offered_token);
                certificate->attempt->enrol_asked = true;
        }
        certificate_arm_set_watch(certificate);
        attempt_start(certificate->attempt, take_event(certificate, &certificate->renewal, &wake));
}

void certificate_wake(struct certificate *certificate) {
        if (certificate->attempt || certificate->slot_waiter.is_waiting)
                return;
        if (certificate->job) {
                certificate->inspect_again = true;
                return;
        }
        certificate->refresh_only = false;
        begin_inspection(certificate);
}

void certificate_inspect(struct certificate *certificate) {
        if (certificate->slot_waiter.is_waiting)
                return; /* it looks anyway when its turn comes */
        certificate->inspect_again = certificate->attempt || certificate->job;
        if (certificate->inspect_again)
                return;
        certificate->refresh_only = true;
        begin_inspection(certificate);
}

void certificate_start(struct certificate *certificate) {
        const struct state *state = &certificate->state_file->state;
        usec_t left = usec_sub(state->next_attempt_usec, now_usec(CLOCK_REALTIME));

        if (left == 0 || certificate->context->once) {
                certificate_wake(certificate);
                return;
        }
        certificate->backoff_until = usec_add(now_usec(CLOCK_BOOTTIME), left);
        certificate_inspect(certificate);
}

void certificate_raise_budget(struct certificate *certificate) {
        if (certificate->is_over_budget)
                certificate_wake(certificate);
}
