/*
 * A certificate is made of parts that do not know each other: the renewer, the revoker, the publisher and,
 * for the log, the reporter. Here they are put together, and here it is decided what comes next when one of
 * them has come to its end: certificate_dispatch() does what is pending, in one order, once nothing is in the
 * way of it.
 */

#include "daemon/certificate/certificate-parts.h"

#include <stdarg.h>
#include <stdio.h>

#include "daemon/certificate/replica.h"
#include "lib/util/quote.h"

/* --- Operations --- */

/* The operation is over, and THEN comes next: RENEWER_TRY where the set may be another one. */
static void end_operation(struct certificate *certificate, enum renewer_request then) {
        struct renewer *renewer = &certificate->renewer;

        certificate->operation.rollback = rollback_free(certificate->operation.rollback);
        certificate->operation.adoption = adoption_free(certificate->operation.adoption);
        certificate->operation.kind = OPERATION_NONE;
        certificate->operation.is_running = false;
        if (then != RENEWER_NOTHING)
                renewer_request(renewer, then);
        else if (!certificate->core.is_retired)
                renewer_request(renewer, renewer->pending);
        certificate_dispatch(certificate);
}

_printf_(3, 4) static void end_with_set(struct certificate *certificate, const char *message_id,
                                        const char *format, ...) {
        va_list args;

        va_start(args, format);
        if (vasprintf(&certificate->operation.text, format, args) < 0)
                certificate->operation.text = NULL;
        va_end(args);
        certificate->operation.message_id = message_id;
        end_operation(certificate, RENEWER_TRY);
}

static void on_rollback(int r, uint64_t generation, const char *error, void *userdata) {
        struct certificate *certificate = userdata;

        if (r == 0) {
                end_with_set(certificate, MESSAGE_ROLLED_BACK,
                             "a copy of generation %" PRIu64 " is now current", generation);
                return;
        }
        reporter_log(&certificate->reporter, LOG_ERR, MESSAGE_OPERATION_FAILED, "not rolled back: %s", error);
        end_operation(certificate, RENEWER_NOTHING);
}

static void start_rollback(struct certificate *certificate) {
        const struct core *core = &certificate->core;
        const uint64_t *generation =
                certificate->operation.is_named ? &certificate->operation.generation : NULL;

        if (rollback_new(core->env->services.disk_workers, core->config, &core->state_file->state, generation,
                         on_rollback, certificate, &certificate->operation.rollback) == 0)
                return;
        reporter_log(&certificate->reporter, LOG_ERR, MESSAGE_OPERATION_FAILED,
                     "not rolled back: out of memory");
        end_operation(certificate, RENEWER_NOTHING);
}

static void on_adoption(int r, uint64_t generation, const char *text, void *userdata) {
        struct certificate *certificate = userdata;

        if (r == 0) {
                end_with_set(certificate, MESSAGE_ADOPTED,
                             "adopted the given key and certificate as generation %" PRIu64
                             ", which %s accepts",
                             generation, text);
                return;
        }
        reporter_log(&certificate->reporter, LOG_ERR, MESSAGE_OPERATION_FAILED,
                     "not adopted, and nothing was changed: %s", text);
        end_operation(certificate, RENEWER_NOTHING);
}

static void start_adoption(struct certificate *certificate) {
        const struct core *core = &certificate->core;

        adoption_start(certificate->operation.adoption, core->env, core->owner, core->config,
                       &core->state_file->state, on_adoption, certificate);
}

static void start_notification(struct certificate *certificate) {
        if (publisher_notify_again(&certificate->publisher) < 0)
                reporter_log(&certificate->reporter, LOG_ERR, MESSAGE_OPERATION_FAILED,
                             "no dependent is notified: out of memory");
        else
                reporter_log(&certificate->reporter, LOG_INFO, MESSAGE_NOTIFYING,
                             "notifying all dependents of generation %" PRIu64 " again",
                             certificate->core.facts.generation);
        publisher_start(&certificate->publisher);
        end_operation(certificate, RENEWER_NOTHING);
}

static void start_revocation(struct certificate *certificate) {
        revoker_revoke_current(&certificate->revoker);
}

/* The inspection that was under way knew nothing of the token. */
static void start_enrolment(struct certificate *certificate) {
        reporter_begin(&certificate->reporter);
        end_operation(certificate, RENEWER_TRY);
}

/* Whoever has heard of it finds it so after a restart. What could not be saved is in the log. */
static void on_accepted(_unused_ int r, _unused_ const char *error, void *userdata) {
        struct certificate *certificate = userdata;

        reporter_log(&certificate->reporter, LOG_NOTICE, MESSAGE_ACCEPTED,
                     "the subject '%s' is accepted; the next attempt requests it",
                     quoted(state_accepted_subject(certificate_state(certificate))));
        end_operation(certificate, RENEWER_TRY);
}

static void start_acceptance(struct certificate *certificate) {
        struct state_file *state_file = certificate->core.state_file;

        /* An attempt that was under way when it was asked may have settled it. */
        if (!state_refused_subject(&state_file->state)) {
                reporter_log(&certificate->reporter, LOG_WARNING, MESSAGE_OPERATION_FAILED,
                             "nothing accepted: the subject is the usual one again");
                end_operation(certificate, RENEWER_NOTHING);
                return;
        }
        state_file->state.is_accepted = true;
        state_file_save_then(state_file, on_accepted, certificate);
}

static void start_probe(struct certificate *certificate) {
        prober_ask(&certificate->prober);
}

/* Every inspection brings the exports up to date; this one is reported. */
static void start_export(struct certificate *certificate) {
        publisher_stop_waiting(&certificate->publisher);
        certificate->is_exporting = true;
        end_operation(certificate, RENEWER_REFRESH);
}

static void (*const starts[OPERATION_MAX])(struct certificate *certificate) = {
        [OPERATION_ENROL] = start_enrolment,   [OPERATION_REVOKE] = start_revocation,
        [OPERATION_ROLLBACK] = start_rollback, [OPERATION_NOTIFY] = start_notification,
        [OPERATION_ACCEPT] = start_acceptance, [OPERATION_PROBE] = start_probe,
        [OPERATION_ADOPT] = start_adoption,    [OPERATION_EXPORT] = start_export,
};

static void start_operation(struct certificate *certificate) {
        if (certificate->core.is_retired) {
                renewer_forget_token(&certificate->renewer);
                reporter_log(&certificate->reporter, LOG_WARNING, MESSAGE_OPERATION_FAILED,
                             "request dropped: certificate was removed from the configuration");
                end_operation(certificate, RENEWER_NOTHING);
                return;
        }
        certificate->operation.is_running = true;
        starts[certificate->operation.kind](certificate);
}

/* --- What is next --- */

static void on_saved(_unused_ int r, _unused_ const char *error, void *userdata) {
        certificate_dispatch(userdata);
}

/* --- Replicas --- */

static void on_shared_change(void *userdata) {
        renewer_request(&((struct certificate *)userdata)->renewer, RENEWER_REFRESH);
}

static void on_turn(void *userdata) {
        renewer_request(&((struct certificate *)userdata)->renewer, RENEWER_TRY);
}

/* --once: the API server is not waited for. */
static void on_turn_failed(void *userdata) {
        struct certificate *certificate = userdata;

        if (!certificate->core.env->once)
                return;
        certificate->renewer.result.failed = true;
        replica_end_turn(certificate->core.replica);
        certificate_dispatch(certificate);
}

static void on_replica_idle(void *userdata) {
        certificate_dispatch(userdata);
}

static void on_replica_log(int priority, const char *text, void *userdata) {
        struct certificate *certificate = userdata;

        if (priority <= LOG_WARNING)
                reporter_log(&certificate->reporter, priority, MESSAGE_WARNING, "%s", text);
        else
                log_info("%s: %s", certificate_name(certificate), text);
}

static const struct replica_ops replica_ops = {
        .changed = on_shared_change,
        .turn = on_turn,
        .failed = on_turn_failed,
        .idle = on_replica_idle,
        .log = on_replica_log,
};

/* Nothing is under way, but maybe the release of a Lease, which would end by itself. */
static int share(struct certificate *certificate, struct error *error) {
        struct core *core = &certificate->core;

        core->replica = replica_free(core->replica);
        return core->config->store.secret ? replica_new(core->env, core->config, &replica_ops, certificate,
                                                        &core->replica, error)
                                          : 0;
}

static int use_configuration(struct certificate *certificate, bool has_changed, bool url_changed) {
        int r;

        r = has_changed ? share(certificate, NULL) : 0;
        if (r < 0)
                return r;
        r = renewer_configure(&certificate->renewer, has_changed, url_changed);
        return r < 0 ? r : publisher_configure(&certificate->publisher);
}

static void take_configuration(struct certificate *certificate) {
        struct core *core = &certificate->core;
        const bool has_changed = certificate->next_has_changed;
        const bool url_changed =
                !streq_null(core->config->connector->url, certificate->next_config->connector->url);
        _unused_ _cleanup_(config_freep) struct config *before = certificate->core.owner;

        certificate->core.owner = take_ptr(certificate->next_owner);
        core->config = take_ptr(certificate->next_config);
        certificate->next_has_changed = false;
        if (use_configuration(certificate, has_changed, url_changed) < 0) {
                log_error("%s: out of memory", core->config->name);
                sd_event_exit(core->env->services.event, EXIT_FAILURE);
                return;
        }
        if (facts_remember_set(&core->facts))
                publisher_start(&certificate->publisher);
        if (!has_changed) {
                /* The operator who reloads may have repaired what an export has failed for. */
                if (publisher_is_waiting(&certificate->publisher))
                        renewer_request(&certificate->renewer, RENEWER_REFRESH);
                return;
        }
        renewer_stop_waiting(&certificate->renewer);
        publisher_stop_waiting(&certificate->publisher);
        revoker_resume(&certificate->revoker);
        prober_resume(&certificate->prober);
        key_ahead_reset(&certificate->key_ahead);
        reporter_forget_current(&certificate->reporter);
        renewer_request(&certificate->renewer, RENEWER_TRY);
}

/* The end. Should the certificate come back, its state file must be whole. */
static void finish(struct certificate *certificate) {
        struct core *core = &certificate->core;

        certificate_say_made(certificate);
        certificate_say_exported(certificate, "the certificate was removed from the configuration");
        if (state_file_is_saved(core->state_file))
                core->env->ops->retired(core->env, certificate);
        else
                state_file_save_then(core->state_file, on_saved, certificate);
}

static void settle(struct certificate *certificate) {
        struct environment *env = certificate->core.env;

        certificate->is_settled = true;
        env->ops->settled(env, certificate->renewer.result.renewed,
                          certificate->renewer.result.failed || certificate->publisher.has_failed ||
                                  publisher_n_pending(&certificate->publisher) > 0);
}

void certificate_dispatch(struct certificate *certificate) {
        struct core *core = &certificate->core;

        core->env->ops->changed(core->env);
        if (renewer_is_busy(&certificate->renewer) || key_ahead_is_busy(&certificate->key_ahead))
                return;
        if (certificate->operation.kind != OPERATION_NONE) {
                if (!certificate->operation.is_running)
                        start_operation(certificate);
                return;
        }
        if (revoker_is_busy(&certificate->revoker))
                return;
        if (certificate->next_owner && !core->is_retired) {
                take_configuration(certificate); /* what is being delivered goes on */
                return;
        }
        if (certificate->renewer.renewal.state == RENEWAL_CURRENT &&
            !renewer_is_queued(&certificate->renewer))
                prober_begin(&certificate->prober);
        key_ahead_begin(&certificate->key_ahead, certificate->renewer.renewal.state == RENEWAL_CURRENT);
        if (key_ahead_is_busy(&certificate->key_ahead))
                return;
        if (publisher_is_busy(&certificate->publisher))
                return;
        reporter_log_delivered(&certificate->reporter, publisher_n_pending(&certificate->publisher),
                               state_pending_error(certificate_state(certificate)),
                               certificate->publisher.notes.n_failed);
        if (prober_is_busy(&certificate->prober) && core->is_retired)
                return;
        if (core->is_retired)
                finish(certificate);
        else if (core->env->once && !certificate->is_settled && !renewer_is_queued(&certificate->renewer) &&
                 (!core->replica || !replica_is_busy(core->replica)))
                settle(certificate);
}

/* --- What the parts report --- */

static struct certificate *renewer_owner(struct renewer *renewer) {
        return container_of(renewer, struct certificate, renewer);
}

static bool renewer_is_blocked(struct renewer *renewer) {
        const struct certificate *certificate = renewer_owner(renewer);

        return certificate->operation.kind != OPERATION_NONE || key_ahead_is_busy(&certificate->key_ahead);
}

static void on_inspected(struct renewer *renewer, bool is_first, bool has_failed) {
        struct environment *env = renewer->core->env;

        certificate_say_made(renewer_owner(renewer));
        certificate_say_exported(renewer_owner(renewer), has_failed ? "the set cannot be inspected" : NULL);
        env->ops->inspected(env, renewer_owner(renewer), is_first, has_failed);
}

static void on_observed(struct renewer *renewer, const struct findings *findings, bool closely) {
        struct certificate *certificate = renewer_owner(renewer);

        if (findings->set)
                revoker_cancel(&certificate->revoker);
        key_ahead_observe(&certificate->key_ahead, findings->observation.has_staged_key);
        if (findings->adopted)
                prober_restart(&certificate->prober, findings->doubt == DOUBT_NONE);
        publisher_publish(&certificate->publisher, findings->set, closely);
}

static void on_attempt(struct renewer *renewer) {
        revoker_flush(&renewer_owner(renewer)->revoker);
}

static bool on_swap(struct renewer *renewer) {
        return revoker_schedule(&renewer_owner(renewer)->revoker);
}

static void on_other_issuers(struct renewer *renewer, const struct issuers *before) {
        struct environment *env = renewer->core->env;

        env->ops->other_issuers(env, renewer_owner(renewer), before);
}

static void on_renewer_idle(struct renewer *renewer) {
        key_ahead_plan(&renewer_owner(renewer)->key_ahead, &renewer->renewal);
        certificate_dispatch(renewer_owner(renewer));
}

static const struct renewer_ops renewer_ops = {
        .is_blocked = renewer_is_blocked,
        .inspected = on_inspected,
        .observed = on_observed,
        .attempt_begins = on_attempt,
        .swap_begins = on_swap,
        .other_issuers = on_other_issuers,
        .idle = on_renewer_idle,
};

static struct certificate *publisher_owner(struct publisher *publisher) {
        return container_of(publisher, struct certificate, publisher);
}

static void on_wrote(struct publisher *publisher, const struct export *export) {
        waits_settle_file(&publisher_owner(publisher)->renewer.waits, export->path);
}

static void on_published(struct publisher *publisher) {
        renewer_continue(&publisher_owner(publisher)->renewer);
}

static void on_export_retry(struct publisher *publisher) {
        renewer_request(&publisher_owner(publisher)->renewer, RENEWER_REFRESH);
}

static void on_publisher_idle(struct publisher *publisher) {
        certificate_dispatch(publisher_owner(publisher));
}

static const struct publisher_ops publisher_ops = {
        .wrote = on_wrote,
        .published = on_published,
        .retry = on_export_retry,
        .idle = on_publisher_idle,
};

static struct certificate *revoker_owner(struct revoker *revoker) {
        return container_of(revoker, struct certificate, revoker);
}

static bool revoker_is_blocked(struct revoker *revoker) {
        return revoker_owner(revoker)->operation.kind != OPERATION_NONE;
}

static void on_revoker_ended(struct revoker *revoker, enum revoker_end end) {
        struct certificate *certificate = revoker_owner(revoker);
        struct renewer *renewer = &certificate->renewer;

        if (end == REVOKER_ASKED) {
                end_operation(certificate, RENEWER_TRY);
                return;
        }
        if (end == REVOKER_LATE_NEWS) {
                /* The set may be current again, which is news. */
                reporter_forget_current(&certificate->reporter);
                /* An inspection under way may have been made before this was known. */
                renewer_request(renewer, renewer_is_busy(renewer) ? RENEWER_REFRESH : RENEWER_TRY);
        }
        certificate_dispatch(certificate);
}

static const struct revoker_ops revoker_ops = {
        .is_blocked = revoker_is_blocked,
        .ended = on_revoker_ended,
};

static struct certificate *prober_owner(struct prober *prober) {
        return container_of(prober, struct certificate, prober);
}

static void on_probe_due(struct prober *prober) {
        certificate_dispatch(prober_owner(prober));
}

static void on_judged(struct prober *prober, const struct probe_result *result) {
        renewer_take_probe(&prober_owner(prober)->renewer, result);
}

static void on_probe_ended(struct prober *prober, bool was_asked) {
        struct certificate *certificate = prober_owner(prober);

        if (was_asked)
                end_operation(certificate, RENEWER_NOTHING);
        else
                certificate_dispatch(certificate);
}

static const struct prober_ops prober_ops = {
        .is_due = on_probe_due,
        .judged = on_judged,
        .ended = on_probe_ended,
};

static void on_key_due(struct key_ahead *ahead) {
        certificate_dispatch(container_of(ahead, struct certificate, key_ahead));
}

/* What was asked for while the key was being staged has waited for it. */
static void on_key_ended(struct key_ahead *ahead) {
        struct certificate *certificate = container_of(ahead, struct certificate, key_ahead);

        if (!certificate->core.is_retired)
                renewer_request(&certificate->renewer, certificate->renewer.pending);
        certificate_dispatch(certificate);
}

static const struct key_ahead_ops key_ahead_ops = { .is_due = on_key_due, .ended = on_key_ended };

/* --- Beginning and end --- */

int certificate_new(struct environment *env, struct config *owner, const struct config_certificate *config,
                    struct certificate **ret, struct error *error) {
        _cleanup_(certificate_freep) struct certificate *certificate = NULL;
        _cleanup_(freep) char *warning = NULL;
        struct core *core;
        int r;

        certificate = calloc(1, sizeof(*certificate));
        if (!certificate)
                return -ENOMEM;
        core = &certificate->core;
        core->env = env;
        core->config = config;
        core->reporter = &certificate->reporter;
        certificate->core.owner = config_ref(owner);

        r = state_file_new(&env->state_directory, config->name, &core->state_file, &warning, error);
        if (r < 0)
                return r;
        facts_restore(&core->facts, &core->state_file->state);
        reporter_init(&certificate->reporter, core, &certificate->renewer.renewal);
        renewer_init(&certificate->renewer, core, &renewer_ops);
        revoker_init(&certificate->revoker, core, &revoker_ops);
        prober_init(&certificate->prober, core, &prober_ops);
        key_ahead_init(&certificate->key_ahead, core, &key_ahead_ops);
        publisher_init(&certificate->publisher, core, &publisher_ops);
        if (warning)
                reporter_log(&certificate->reporter, LOG_WARNING, MESSAGE_HISTORY, "%s", warning);
        certificate_say_copied(certificate);
        revoker_resume(&certificate->revoker);
        prober_resume(&certificate->prober);
        r = use_configuration(certificate, true, false);
        if (r < 0)
                return r;
        *ret = take_ptr(certificate);
        return 0;
}

struct certificate *certificate_free(struct certificate *certificate) {
        if (!certificate)
                return NULL;
        if (certificate->core.state_file) {
                renewer_clear(&certificate->renewer);
                replica_free(certificate->core.replica);
                rollback_free(certificate->operation.rollback);
                adoption_free(certificate->operation.adoption);
                free(certificate->operation.text);
                revoker_clear(&certificate->revoker);
                prober_clear(&certificate->prober);
                key_ahead_clear(&certificate->key_ahead);
                publisher_clear(&certificate->publisher);
                reporter_clear(&certificate->reporter);
                facts_clear(&certificate->core.facts);
                state_file_free(certificate->core.state_file);
        }
        config_free(certificate->next_owner);
        config_free(certificate->core.owner);
        free(certificate);
        return NULL;
}

void certificate_start(struct certificate *certificate) {
        renewer_start(&certificate->renewer);
}

void certificate_inspect(struct certificate *certificate) {
        renewer_request(&certificate->renewer, RENEWER_REFRESH);
}

unsigned certificate_look(struct certificate *certificate) {
        return renewer_look(&certificate->renewer);
}

void certificate_raise_budget(struct certificate *certificate) {
        renewer_raise_budget(&certificate->renewer);
}

void certificate_save_state(struct certificate *certificate) {
        if (certificate->core.state_file->has_file)
                state_file_save(certificate->core.state_file);
}

void certificate_reconfigure(struct certificate *certificate, struct config *owner,
                             const struct config_certificate *config, bool has_changed) {
        struct core *core = &certificate->core;

        config_free(certificate->next_owner);
        certificate->next_owner = config_ref(owner);
        certificate->next_config = config;
        certificate->next_has_changed = certificate->next_has_changed || has_changed || core->is_retired;
        core->is_retired = false;
        certificate_dispatch(certificate);
}

void certificate_retire(struct certificate *certificate) {
        certificate->core.is_retired = true;
        revoker_retire(&certificate->revoker);
        prober_retire(&certificate->prober);
        key_ahead_retire(&certificate->key_ahead);
        renewer_stop_waiting(&certificate->renewer);
        publisher_stop_waiting(&certificate->publisher);
        /* An attempt that waited for its turn, and has no inspection under way that would end with it. */
        if (reporter_expects_attempt(&certificate->reporter) && !renewer_is_busy(&certificate->renewer))
                renewer_give_up(&certificate->renewer, "removed from the configuration");
        certificate_dispatch(certificate);
}
