/*
 * Publishing: everybody who uses the current set gets it. The order is what makes it safe against a kill at
 * any moment: what is owed is in the journal first, then the exports are written, then the dependents are
 * told. A set that the journal does not name is one that nobody was told of; an export is stale when its
 * bytes say so. So the next start finds out by itself where this one ended.
 */

#include <limits.h>

#include "daemon/attempt.h"
#include "daemon/backoff.h"
#include "daemon/certificate-private.h"

static int on_export_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        certificate_look(userdata);
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
        certificate_say_exports(certificate, arm_export_timer(certificate, n_failed > 0));
        if (certificate->dependents)
                dependents_release(certificate->dependents);
        certificate->published(certificate);
}

static void owe(struct certificate *certificate, int (*how)(struct dependents *dependents)) {
        if (how(certificate->dependents) < 0)
                log_error("%s: out of memory; some dependents are told with the next renewal only",
                          certificate->config->name);
}

static void on_exports_written(void *userdata) {
        struct certificate *certificate = userdata;
        const struct attempt *attempt = certificate->attempt;
        bool any_written = false;

        for (size_t i = 0; i < certificate->config->n_exports; i++)
                any_written = any_written || attempt->exports[i].is_written;
        if (certificate->dependents && !certificate->is_news) {
                if (any_written)
                        owe(certificate, dependents_owe_anew);
                else
                        dependents_withdraw(certificate->dependents);
                history_save(certificate->history);
        }
        finish(certificate);
}

/* What is owed is on disk, or could not be saved: that is in the log, and no reason to tell nobody. */
static void on_owed(_unused_ int r, _unused_ const char *error, void *userdata) {
        struct certificate *certificate = userdata;

        if (certificate->attempt->has_exports_to_write)
                attempt_write_exports(certificate->attempt, on_exports_written);
        else
                finish(certificate);
}

void certificate_publish(struct certificate *certificate, void (*next)(struct certificate *certificate)) {
        const struct attempt *attempt = certificate->attempt;
        struct journal *journal = &certificate->history->journal;

        if (!attempt->has_set) {
                certificate_say_exports(certificate, 0);
                next(certificate);
                return;
        }
        certificate->published = next;
        certificate->is_news = !streq(journal->fingerprint, certificate->fingerprint);
        journal->generation = certificate->generation;
        memcpy(journal->fingerprint, certificate->fingerprint, sizeof(journal->fingerprint));

        if (!certificate->dependents || !(certificate->is_news || attempt->has_exports_to_write)) {
                /* Where nobody is to be told, a set alone is not worth a file. */
                if (certificate->is_news && certificate->history->has_file)
                        history_save(certificate->history);
                on_owed(0, NULL, certificate);
                return;
        }
        owe(certificate, dependents_owe);
        history_save_then(certificate->history, on_owed, certificate);
}
