/*
 * Publishing: everybody who uses the current set gets it. The order is what makes it safe against a kill at
 * any moment: what is owed is in the journal first, then the exports are written, then the dependents are
 * told. A set that the journal does not name is one that nobody was told of; an export is stale when its
 * bytes say so. So the next start finds out by itself where this one ended.
 */

#include <limits.h>

#include "daemon/certificate/attempt.h"
#include "daemon/certificate/certificate-private.h"
#include "daemon/loop/backoff.h"

static int on_export_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        certificate_inspect(userdata);
        return 0;
}

/* An export that could not be written is tried again, as a dependent is, for ever. How long until then; 0
 * when it is not. */
static usec_t arm_export_timer(struct certificate *certificate, bool has_failed) {
        usec_t wait;

        certificate->export_timer = sd_event_source_disable_unref(certificate->export_timer);
        if (!has_failed) {
                certificate->export_failures = 0;
                return 0;
        }
        certificate->failed = true;
        if (certificate->export_failures < UINT_MAX)
                certificate->export_failures++;
        if (certificate->context->once || certificate->is_retired)
                return 0;
        wait = backoff_for_ever(FAILURE_LOCAL, certificate->export_failures);
        if (sd_event_add_time_relative(certificate->context->event, &certificate->export_timer,
                                       CLOCK_BOOTTIME, wait, 0, on_export_timer, certificate) < 0) {
                log_error("%s: out of memory; exports are tried again with the next look only",
                          certificate->config->name);
                return 0;
        }
        return wait;
}

/* All that could be done for the exports is done. */
static void finish(struct certificate *certificate) {
        const struct attempt *attempt = certificate->attempt;
        unsigned n_failed = 0;

        for (size_t i = 0; attempt->exports && i < certificate->config->n_exports; i++)
                n_failed += attempt->exports[i].is_stale && !attempt->exports[i].is_written ? 1 : 0;
        certificate->n_exports_failed = n_failed;
        certificate_log_exports(certificate, arm_export_timer(certificate, n_failed > 0));
        if (certificate->notifications)
                notifications_start(certificate->notifications);
        certificate->published(certificate);
}

static void owe(struct certificate *certificate, int (*how)(struct notifications *notifications)) {
        if (how(certificate->notifications) < 0)
                log_error("%s: out of memory; some dependents are told with the next renewal only",
                          certificate->config->name);
}

static void on_exports_written(void *userdata) {
        struct certificate *certificate = userdata;
        const struct attempt *attempt = certificate->attempt;
        bool any_written = false;

        for (size_t i = 0; i < certificate->config->n_exports; i++)
                any_written = any_written || attempt->exports[i].is_written;
        if (certificate->notifications && !certificate->is_news) {
                if (any_written)
                        owe(certificate, notifications_schedule_again);
                else
                        notifications_cancel(certificate->notifications);
                state_file_save(certificate->state_file);
        }
        finish(certificate);
}

/* What is owed is on disk, or could not be saved: that is in the log, and no reason to tell nobody. */
static void on_pending_saved(_unused_ int r, _unused_ const char *error, void *userdata) {
        struct certificate *certificate = userdata;

        if (certificate->attempt->has_exports_to_write)
                attempt_write_exports(certificate->attempt, on_exports_written);
        else
                finish(certificate);
}

void certificate_publish(struct certificate *certificate, void (*next)(struct certificate *certificate)) {
        const struct attempt *attempt = certificate->attempt;
        struct state *state = &certificate->state_file->state;

        if (!attempt->has_set) {
                certificate_log_exports(certificate, 0);
                next(certificate);
                return;
        }
        certificate->published = next;
        certificate->is_news = !streq(state->fingerprint, certificate->fingerprint);
        state->generation = certificate->generation;
        memcpy(state->fingerprint, certificate->fingerprint, sizeof(state->fingerprint));

        if (!certificate->notifications || !(certificate->is_news || attempt->has_exports_to_write)) {
                /* Where nobody is to be told, a set alone is not worth a file. */
                if (certificate->is_news && certificate->state_file->has_file)
                        state_file_save(certificate->state_file);
                on_pending_saved(0, NULL, certificate);
                return;
        }
        owe(certificate, notifications_schedule);
        state_file_save_then(certificate->state_file, on_pending_saved, certificate);
}
