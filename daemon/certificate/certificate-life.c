/*
 * A certificate's beginning, its changes of configuration, and its end. All three leave alone what is under
 * way: a new configuration, or the end, comes when nothing is (certificate_settle()).
 */

#include "daemon/certificate/attempt.h"
#include "daemon/certificate/certificate-private.h"

static void on_notifications_idle(void *userdata) {
        certificate_settle(userdata);
}

static void on_slot(struct slot_waiter *waiter) {
        struct certificate *certificate = container_of(waiter, struct certificate, slot_waiter);

        certificate->has_slot = true;
        certificate_wake(certificate);
}

/* Slots are shared between Connectors. One that waits in another's line leaves it. */
static int join_group(struct certificate *certificate) {
        struct slot_group *group;
        int r;

        r = slots_group(&certificate->context->slots, certificate->config->connector->name, &group);
        if (r < 0)
                return r;
        if (group != certificate->slot_waiter.group)
                slots_leave(&certificate->slot_waiter);
        certificate->slot_waiter.group = group;
        return 0;
}

static int make_notifications(struct certificate *certificate) {
        if (certificate->config->n_notify == 0)
                return 0;
        return notifications_new(certificate->context->event, certificate->config, certificate->state_file,
                                 !certificate->context->once, on_notifications_idle, certificate,
                                 &certificate->notifications);
}

int certificate_new(struct context *context, struct config *owner, const struct config_certificate *config,
                    struct certificate **ret, struct error *error) {
        _cleanup_(certificate_freep) struct certificate *certificate = NULL;
        _cleanup_(freep) char *warning = NULL;
        const struct state *state;
        int r;

        certificate = calloc(1, sizeof(*certificate));
        if (!certificate)
                return -ENOMEM;
        certificate->context = context;
        certificate->slot_waiter.granted = on_slot;
        certificate->owner = config_ref(owner);
        certificate->config = config;
        certificate->seed = schedule_seed(context->machine_id, config->name);
        certificate->inspect_closely = true;

        r = state_file_new(context, config->name, &certificate->state_file, &warning, error);
        if (r < 0)
                return r;
        if (warning)
                certificate_log(certificate, LOG_WARNING, MESSAGE_HISTORY, "%s", warning);
        state = &certificate->state_file->state;
        renewal_restore(&certificate->renewal, state->failures, state->failure);
        certificate->last_token = certificate->tried_token = state->token;
        if (state->failures == 0)
                certificate->burnt_token = state->token; /* it has brought what is there */
        certificate_resume_revocation(certificate);
        certificate->generation = state->generation;
        memcpy(certificate->fingerprint, state->fingerprint, sizeof(certificate->fingerprint));

        r = join_group(certificate);
        if (r == 0)
                r = make_notifications(certificate);
        if (r < 0)
                return r;
        *ret = take_ptr(certificate);
        return 0;
}

struct certificate *certificate_free(struct certificate *certificate) {
        if (!certificate)
                return NULL;
        certificate_stop_waiting(certificate);
        if (certificate->attempt && certificate->attempt->is_recorded) {
                /* The attempt has not failed: it was told to stop. */
                certificate_remember_failure(certificate, certificate->renewal.failures,
                                             certificate->renewal.failure, USEC_INFINITY);
                state_file_save(certificate->state_file);
        }
        attempt_free(certificate->attempt);
        operation_free(certificate->job);
        certificate_stop_revocation(certificate);
        free_secret(certificate->offered_token);
        free(certificate->last_result_error);
        notifications_free(certificate->notifications);
        state_file_free(certificate->state_file);
        config_free(certificate->next_owner);
        config_free(certificate->owner);
        free(certificate);
        return NULL;
}

const char *certificate_name(const struct certificate *certificate) {
        return certificate->config->name;
}

const struct config_certificate *certificate_config(const struct certificate *certificate) {
        return certificate->next_config ? certificate->next_config : certificate->config;
}

bool certificate_is_retiring(const struct certificate *certificate) {
        return certificate->is_retired;
}

bool certificate_is_usable(const struct certificate *certificate) {
        return certificate->renewal.expiry > now_usec(CLOCK_REALTIME) && !certificate_is_revoked(certificate);
}

bool certificate_is_revoked(const struct certificate *certificate) {
        return state_has_revoked(&certificate->state_file->state, certificate->fingerprint);
}

struct config *certificate_config_owner(const struct certificate *certificate) {
        return certificate->next_config ? certificate->next_owner : certificate->owner;
}

const struct state *certificate_journal(const struct certificate *certificate) {
        return &certificate->state_file->state;
}

void certificate_get_status(const struct certificate *certificate, struct report_status *ret) {
        const struct renewal *renewal = &certificate->renewal;
        const struct state *state = &certificate->state_file->state;

        *ret = (struct report_status) {
                .name = certificate->config->name,
                .connector = certificate->config->connector->name,
                .directory = certificate->config->directory,
                .state = renewal->state,
                .step = renewal->step,
                .is_usable = certificate_is_usable(certificate),
                .is_revoked = certificate_is_revoked(certificate),
                .is_revoking = certificate_is_revocation_in_doubt(certificate),
                .generation = certificate->generation,
                .fingerprint = certificate->fingerprint,
                .not_before = certificate->not_before,
                .not_after = certificate->expiry,
                .renew_at = renewal->due_usec > 0 ? renewal->due_usec : USEC_INFINITY,
                .next_attempt = USEC_INFINITY,
                .failures = renewal->failures,
                .failure = renewal->failure,
                .last_error = state->error,
                .last_error_at = state->failed_usec,
                .last_result = certificate->last_result,
                .last_result_at = certificate->last_result_usec,
                .last_operation = certificate->last_operation,
                .last_result_error = certificate->last_result_error,
                .n_exports_failed = certificate->n_exports_failed,
                .n_pending = (unsigned)state->n_pending,
                .pending_error = state_pending_error(state),
                .budget_left = schedule_budget_left(state->issuances, state->n_issuances,
                                                    certificate->context->issuances_per_hour,
                                                    now_usec(CLOCK_BOOTTIME)),
        };
        if (renewal->step == STEP_NONE && renewal->backoff_usec != USEC_INFINITY &&
            certificate->backoff_until > 0)
                ret->next_attempt = usec_add(now_usec(CLOCK_REALTIME),
                                             usec_sub(certificate->backoff_until, now_usec(CLOCK_BOOTTIME)));
        for (size_t i = 0; i < state->n_pending; i++)
                ret->n_pending_failed += state->pending[i].failures > 0 ? 1 : 0;
}

void certificate_take_configuration(struct certificate *certificate) {
        /* What the operator has corrected goes before what `configuration` once said. */
        if (!streq_null(certificate->config->connector->url, certificate->next_config->connector->url))
                certificate->configured_url_first = true;

        certificate->notifications = notifications_free(certificate->notifications);
        config_free(certificate->owner);
        certificate->owner = take_ptr(certificate->next_owner);
        certificate->config = take_ptr(certificate->next_config);
        if (join_group(certificate) < 0 || make_notifications(certificate) < 0) {
                log_error("%s: out of memory", certificate->config->name);
                sd_event_exit(certificate->context->event, EXIT_FAILURE);
                return;
        }
        if (certificate->notifications && certificate->fingerprint[0])
                notifications_start(certificate->notifications);

        if (!certificate->next_has_changed) {
                /* Who asks for a reload may have mended what an export has failed for. */
                if (certificate->export_timer)
                        certificate_inspect(certificate);
                return;
        }
        certificate->next_has_changed = false;
        certificate_stop_waiting(certificate);
        certificate_resume_revocation(certificate);
        certificate->told_due_usec = 0;
        certificate->inspect_closely = true;
        certificate_wake(certificate);
}

void certificate_reconfigure(struct certificate *certificate, struct config *owner,
                             const struct config_certificate *config, bool has_changed) {
        config_free(certificate->next_owner);
        certificate->next_owner = config_ref(owner);
        certificate->next_config = config;
        certificate->next_has_changed =
                certificate->next_has_changed || has_changed || certificate->is_retired;
        certificate->is_retired = false;
        certificate_settle(certificate);
}

void certificate_retire(struct certificate *certificate) {
        certificate->is_retired = true;
        certificate->revoke_timer = sd_event_source_disable_unref(certificate->revoke_timer);
        certificate_stop_waiting(certificate);
        /* One that waited for its turn, and has no look under way that would end with it. */
        if (certificate_asks_attempt(certificate) && !certificate->attempt)
                certificate_give_up_attempt(certificate, "not in the configuration any more");
        certificate_settle(certificate);
}
