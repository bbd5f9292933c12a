/*
 * A certificate is made of parts that do not know each other: the renewer, the revoker, the publisher and,
 * for the log, the reporter. Here they are put together, and here it is decided what comes next when one of
 * them has come to its end: dispatch() does what is pending, in one order, once nothing is in the way of it.
 */

#include "daemon/certificate/certificate.h"

#include "daemon/certificate/prober.h"
#include "daemon/certificate/publisher.h"
#include "daemon/certificate/renewer.h"
#include "daemon/certificate/replica.h"
#include "daemon/certificate/revoker.h"
#include "daemon/certificate/rollback.h"
#include "lib/report/doubt.h"
#include "lib/util/quote.h"

struct certificate {
        struct core core;
        struct reporter reporter;
        struct renewer renewer;
        struct revoker revoker;
        struct prober prober;
        struct publisher publisher;

        /* What an operator asked for, beside an attempt: it waits until no attempt is under way, and no
         * attempt begins before its end. */
        struct {
                enum operation kind; /* OPERATION_NONE: there is none */
                bool is_running;
                bool is_named; /* of a rollback: the generation is */
                uint64_t generation;
                struct rollback *rollback;
                struct adoption *adoption; /* with what was handed over, from the request on */
        } operation;

        /* What waits until nothing is under way: another configuration. NULL: none. The other is
         * core.is_retired. */
        struct config *next_owner;
        const struct config_certificate *next_config;
        bool next_has_changed;

        bool is_exporting; /* an operator waits for the exports */
        bool is_settled;   /* --once: it has nothing more to do */
};

static void dispatch(struct certificate *certificate);

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
        dispatch(certificate);
}

static void on_rollback(int r, uint64_t generation, const char *error, void *userdata) {
        struct certificate *certificate = userdata;

        if (r < 0)
                reporter_log(&certificate->reporter, LOG_ERR, MESSAGE_OPERATION_FAILED, "not rolled back: %s",
                             error);
        else
                reporter_log(&certificate->reporter, LOG_NOTICE, MESSAGE_ROLLED_BACK,
                             "a copy of generation %" PRIu64 " is now current", generation);
        end_operation(certificate, r == 0 ? RENEWER_TRY : RENEWER_NOTHING);
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
        struct reporter *reporter = &certificate->reporter;

        if (r < 0)
                reporter_log(reporter, LOG_ERR, MESSAGE_OPERATION_FAILED,
                             "not adopted, and nothing was changed: %s", text);
        else
                reporter_log(reporter, LOG_NOTICE, MESSAGE_ADOPTED,
                             "adopted the given key and certificate as generation %" PRIu64
                             ", which %s accepts",
                             generation, text);
        end_operation(certificate, r == 0 ? RENEWER_TRY : RENEWER_NOTHING);
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

static void end_export(struct certificate *certificate, const char *why) {
        const unsigned n = (unsigned)certificate->core.config->n_exports;
        const unsigned n_failed = certificate->publisher.notes.n_failed;

        if (!certificate->is_exporting)
                return;
        certificate->is_exporting = false;
        if (why || n_failed > 0)
                reporter_log(&certificate->reporter, LOG_ERR, MESSAGE_OPERATION_FAILED,
                             "%u of %u exports could not be written%s%s; see: rekeyctl show %s",
                             why ? n : n_failed, n, why ? ": " : "", why ? why : "",
                             certificate_name(certificate));
        else
                reporter_log(&certificate->reporter, LOG_INFO, MESSAGE_EXPORTED, "%u export%s %s current", n,
                             n == 1 ? "" : "s", n == 1 ? "is" : "are");
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
        dispatch(userdata);
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
        dispatch(certificate);
}

static void on_replica_idle(void *userdata) {
        dispatch(userdata);
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
        reporter_forget_current(&certificate->reporter);
        renewer_request(&certificate->renewer, RENEWER_TRY);
}

/* The end. Should the certificate come back, its state file must be whole. */
static void finish(struct certificate *certificate) {
        struct core *core = &certificate->core;

        end_export(certificate, "the certificate was removed from the configuration");
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

/* Something has come to its end, or is new: does what is pending, first an operation, then the end, then
 * another configuration, once nothing is in the way of it. The certificate may be freed. */
static void dispatch(struct certificate *certificate) {
        struct core *core = &certificate->core;

        core->env->ops->changed(core->env);
        if (renewer_is_busy(&certificate->renewer))
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
        return renewer_owner(renewer)->operation.kind != OPERATION_NONE;
}

static void on_inspected(struct renewer *renewer, bool is_first, bool has_failed) {
        struct environment *env = renewer->core->env;

        end_export(renewer_owner(renewer), has_failed ? "the set cannot be inspected" : NULL);
        env->ops->inspected(env, renewer_owner(renewer), is_first, has_failed);
}

static void on_observed(struct renewer *renewer, const struct findings *findings, bool closely) {
        struct certificate *certificate = renewer_owner(renewer);

        if (findings->set)
                revoker_cancel(&certificate->revoker);
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
        dispatch(renewer_owner(renewer));
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

static void on_published(struct publisher *publisher) {
        struct renewer *renewer = &publisher_owner(publisher)->renewer;

        waits_settle_files(&renewer->waits);
        renewer_continue(renewer);
}

static void on_export_retry(struct publisher *publisher) {
        renewer_request(&publisher_owner(publisher)->renewer, RENEWER_REFRESH);
}

static void on_publisher_idle(struct publisher *publisher) {
        dispatch(publisher_owner(publisher));
}

static const struct publisher_ops publisher_ops = {
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
        dispatch(certificate);
}

static const struct revoker_ops revoker_ops = {
        .is_blocked = revoker_is_blocked,
        .ended = on_revoker_ended,
};

static struct certificate *prober_owner(struct prober *prober) {
        return container_of(prober, struct certificate, prober);
}

static void on_probe_due(struct prober *prober) {
        dispatch(prober_owner(prober));
}

static void on_judged(struct prober *prober, const struct probe_result *result) {
        renewer_take_probe(&prober_owner(prober)->renewer, result);
}

static void on_probe_ended(struct prober *prober, bool was_asked) {
        struct certificate *certificate = prober_owner(prober);

        if (was_asked)
                end_operation(certificate, RENEWER_NOTHING);
        else
                dispatch(certificate);
}

static const struct prober_ops prober_ops = {
        .is_due = on_probe_due,
        .judged = on_judged,
        .ended = on_probe_ended,
};

/* --- Beginning and end --- */

/* Said once: from now on the state is this machine's. */
static void say_copied(struct certificate *certificate) {
        struct state_file *state_file = certificate->core.state_file;

        if (!state_file->state.is_copy_news)
                return;
        reporter_log(&certificate->reporter, LOG_WARNING, MESSAGE_COPIED,
                     "the state was copied from another machine, which may use the same certificate; "
                     "`revoke_old` revokes nothing until this machine has renewed it; fix: rekeyctl renew %s",
                     certificate_name(certificate));
        state_file->state.is_copy_news = false;
        state_file_save(state_file);
}

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
        publisher_init(&certificate->publisher, core, &publisher_ops);
        if (warning)
                reporter_log(&certificate->reporter, LOG_WARNING, MESSAGE_HISTORY, "%s", warning);
        say_copied(certificate);
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
                revoker_clear(&certificate->revoker);
                prober_clear(&certificate->prober);
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
        dispatch(certificate);
}

void certificate_retire(struct certificate *certificate) {
        certificate->core.is_retired = true;
        revoker_retire(&certificate->revoker);
        prober_retire(&certificate->prober);
        renewer_stop_waiting(&certificate->renewer);
        publisher_stop_waiting(&certificate->publisher);
        /* An attempt that waited for its turn, and has no inspection under way that would end with it. */
        if (reporter_expects_attempt(&certificate->reporter) && !renewer_is_busy(&certificate->renewer))
                renewer_give_up(&certificate->renewer, "removed from the configuration");
        dispatch(certificate);
}

/* --- What is asked of it --- */

const char *certificate_name(const struct certificate *certificate) {
        return certificate->core.config->name;
}

const struct config_certificate *certificate_config(const struct certificate *certificate) {
        return certificate->next_config ? certificate->next_config : certificate->core.config;
}

struct config *certificate_config_owner(const struct certificate *certificate) {
        return certificate->next_config ? certificate->next_owner : certificate->core.owner;
}

const struct state *certificate_state(const struct certificate *certificate) {
        return &certificate->core.state_file->state;
}

bool certificate_is_retiring(const struct certificate *certificate) {
        return certificate->core.is_retired;
}

const struct issuers *certificate_issuers(const struct certificate *certificate) {
        return certificate->core.facts.issuers;
}

usec_t certificate_not_before(const struct certificate *certificate) {
        return certificate->core.facts.not_before;
}

void certificate_log_other_ca(struct certificate *certificate, const struct issuer *new,
                              const struct issuer *old, size_t n_old) {
        const struct core *core = &certificate->core;
        char new_hex[FINGERPRINT_HEX], old_hex[FINGERPRINT_HEX];

        reporter_log(
                &certificate->reporter, LOG_NOTICE, MESSAGE_OTHER_CA,
                "connector %s signs with another CA: '%s' (sha256 %s); %zu certificate%s of it %s "
                "still issued under '%s' (sha256 %.16s...); fix: rekeyctl renew --issuer %s --connector %s "
                "--within 6h",
                core->config->connector->name, quoted(new->subject),
                hex_format(new_hex, new->fingerprint, FINGERPRINT_SIZE), n_old, n_old == 1 ? "" : "s",
                n_old == 1 ? "is" : "are", quoted(old->subject),
                hex_format(old_hex, old->fingerprint, FINGERPRINT_SIZE), old_hex,
                core->config->connector->name);
}

bool certificate_is_usable(const struct certificate *certificate) {
        return facts_is_usable(&certificate->core.facts, certificate_state(certificate),
                               now_usec(CLOCK_REALTIME));
}

/* Why the set is replaced before its age makes it due; NULL: it is not. */
static const char *replacement_of(const struct core *core) {
        const struct replacement_rule rule = config_replacement_rule(core->config);
        const struct issuer *issuer;

        if (!facts_has_set(&core->facts))
                return NULL;
        return replacement_names[replacement_find(&rule, core->facts.issuers, core->facts.not_before,
                                                  &issuer)];
}

void certificate_get_status(const struct certificate *certificate, struct report_status *ret) {
        const struct core *core = &certificate->core;
        const struct facts *facts = &core->facts;
        const struct reporter *reporter = &certificate->reporter;
        const struct renewal *renewal = &certificate->renewer.renewal;
        const struct state *state = certificate_state(certificate);

        *ret = (struct report_status) {
                .name = core->config->name,
                .connector = core->config->connector->name,
                .directory = core->config->directory,
                .state = renewal->state,
                .step = renewal->step,
                .knowledge = facts->knowledge,
                .unreadable = facts_is_unreadable(facts) ? state->error : NULL,
                .is_usable = certificate_is_usable(certificate),
                .is_revoked = facts_is_revoked(facts, state),
                .is_revoking = facts_is_revocation_in_doubt(facts, state),
                .is_copied = state->is_copied,
                .generation = facts->generation,
                .fingerprint = facts->fingerprint,
                .not_before = facts->not_before,
                .not_after = facts->expiry,
                .renew_at = renewal->due_usec > 0 ? renewal->due_usec : USEC_INFINITY,
                .next_attempt = renewer_next_attempt(&certificate->renewer),
                .failures = renewal->failures,
                .failure = renewal->failure,
                .renewable.cause = renewal->failures > 0 ? state->cause : CAUSE_NONE,
                .subjects.last = state->subject,
                .subjects.refused = state_refused_subject(state),
                .subjects.accepted = state_accepted_subject(state),
                .last_error = state->error,
                .last_error_at = state->failed_usec,
                .last_result = reporter->last_result,
                .last_result_at = reporter->last_usec,
                .last_operation = operation_names[reporter->last_operation],
                .last_result_error = reporter->last_error,
                .files.rights_error = facts->rights_error,
                .files.n_exports_failed = certificate->publisher.notes.n_failed,
                .files.export_error = certificate->publisher.notes.error,
                .files.secrets = &certificate->publisher.notes.secrets,
                .notices.n_pending = (unsigned)state->n_pending,
                .notices.error = state_pending_error(state),
                .renewable.doubt = doubt_texts[facts->doubt],
                .renewable.answer = certificate->prober.last_answer,
                .renewable.probed_at = certificate->prober.probed_usec,
                .renewable.issuers = facts->issuers,
                .renewable.replacement = replacement_of(core),
                .budget_left = schedule_budget_left(state->issuances, state->n_issuances,
                                                    core->env->issuances_per_hour, now_usec(CLOCK_BOOTTIME)),
                .files.is_unwatched = waits_are_blind(&certificate->renewer.waits),
        };
        for (size_t i = 0; i < state->n_pending; i++)
                ret->notices.n_failed += state->pending[i].failures > 0 ? 1 : 0;
}

/* --- What an operator asks for --- */

static int check_request(const struct certificate *certificate, enum operation operation,
                         const struct operation_arguments *arguments, usec_t *ret_wait_usec,
                         struct error *error) {
        const struct core *core = &certificate->core;
        const struct renewer *renewer = &certificate->renewer;
        const struct state *state = certificate_state(certificate);
        const struct request_facts facts = {
                .name = core->config->name,
                .directory = core->config->directory,
                .look = arguments->look,
                .under_way = certificate->reporter.operation,
                .force = arguments->force,
                .attempt.is_under_way = renewer_is_attempting(renewer) || renewer_is_queued(renewer),
                .attempt.is_waiting = renewer_is_queued(renewer),
                .attempt.by_token = renewer->renewal.by_token,
                .is_retired = core->is_retired,
                .may_have_set = core->facts.knowledge != SET_NONE,
                .has_set = facts_remember_set(&core->facts),
                .unreadable = !facts_is_unreadable(&core->facts) ? NULL
                              : state->error                     ? state->error
                                                                 : "out of memory",
                .is_usable = certificate_is_usable(certificate),
                .is_rejected = renewer_is_rejected(renewer),
                .is_revoked = facts_is_revoked(&core->facts, state),
                .is_in_doubt = facts_is_revocation_in_doubt(&core->facts, state),
                .is_token_offered = renewer->renewal.token_offered,
                .is_revoking = revoker_is_busy(&certificate->revoker),
                .has_dependents = publisher_has_dependents(&certificate->publisher),
                .has_exports = core->config->n_exports > 0,
                .has_refused_subject = state_refused_subject(state),
                .connector = core->config->connector->name,
                .expiry = core->facts.expiry,
                .budget_wait = arguments->within_usec > 0
                                       ? 0
                                       : facts_budget_wait(state, core->env->issuances_per_hour,
                                                           now_usec(CLOCK_BOOTTIME)),
                .budget = core->env->issuances_per_hour,
        };
        int r;

        r = request_check(operation, &facts, error);
        if (r == -EDQUOT)
                *ret_wait_usec = facts.budget_wait;
        return r;
}

/* It is due then, and ends as any other renewal does: nobody waits for it. */
static void plan_renewal(struct certificate *certificate, usec_t within_usec, const char *peer) {
        const usec_t when = renewer_plan(&certificate->renewer, within_usec);
        char span[TIMESPAN_MAX], then[TIMESTAMP_MAX];

        reporter_log(&certificate->reporter, LOG_NOTICE, MESSAGE_ASKED,
                     "renew within %s requested by %s: due at %s", format_timespan(span, within_usec), peer,
                     format_timestamp(then, when));
}

static int take_token(struct certificate *certificate, const struct operation_arguments *arguments,
                      struct error *error) {
        const struct config_connector *connector = certificate->core.config->connector;
        struct renewer *renewer = &certificate->renewer;
        char *token;
        int r;

        r = protocol_take_token(connector->protocol, arguments->token, strlen(arguments->token),
                                connector->enrol_url, &token, error);
        if (r == -ENOMEM)
                return error_set(error, r, "out of memory");
        if (r == -ENODATA)
                return error_set(error, -EINVAL, "there is no one-time token in it");
        if (r < 0)
                return error_prefix(error, "this is no one-time token that can be used");
        /* What is rejected has nothing left to lose. */
        renewer_offer_token(renewer, token, arguments->force || renewer_is_rejected(renewer),
                            arguments->force);
        return 0;
}

int certificate_operate(struct certificate *certificate, enum operation operation,
                        const struct operation_arguments *arguments, const char *peer, usec_t *ret_wait_usec,
                        struct error *error) {
        int r;

        r = check_request(certificate, operation, arguments, ret_wait_usec, error);
        if (r == 0 && operation == OPERATION_ENROL)
                r = take_token(certificate, arguments, error);
        if (r == 0 && operation == OPERATION_ADOPT)
                r = adoption_new(&arguments->handed, &certificate->operation.adoption, error);
        if (r < 0)
                return r;
        if (operation == OPERATION_RENEW && arguments->within_usec > 0) {
                plan_renewal(certificate, arguments->within_usec, peer);
                return 0;
        }
        reporter_accept(&certificate->reporter, operation, peer);
        if (operation == OPERATION_RENEW) {
                reporter_begin(&certificate->reporter);
                renewer_force(&certificate->renewer, arguments->force);
                return 0;
        }
        certificate->operation.kind = operation;
        certificate->operation.is_named = arguments->has_generation;
        certificate->operation.generation = arguments->generation;
        dispatch(certificate);
        return 0;
}

void certificate_log_refused(struct certificate *certificate, enum operation operation, const char *peer,
                             const char *why) {
        reporter_refuse(&certificate->reporter, operation, peer, why);
}
