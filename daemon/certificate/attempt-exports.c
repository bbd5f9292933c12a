/*
 * Exports: the copies that go with the current set. They are looked at after every look, while the set is in
 * hand, and what is not as it should be is written before anybody is told of the set. An export cannot fail
 * an attempt: a copy that cannot be written keeps nobody from the certificate. They have workers of their
 * own: a file system that hangs under one holds up nobody who has no exports.
 *
 * Whether a stale one could be written is found out first. What could not be is promised to nobody, so an
 * export that fails for a year is tried for a year without a word to dependents or the journal.
 */

#include "daemon/certificate/attempt.h"

static void look_at(const struct attempt *attempt, const struct export *export,
                    struct export_result *result) {
        const struct set *set = attempt->has_set ? &attempt->set : NULL;
        _cleanup_(freep) char *warning = NULL;

        result->is_stale = set && !export_is_current(export, set);
        if (!result->is_stale && !attempt->inspect_closely)
                return;
        result->is_writable =
                export_check(export, result->is_stale ? set : NULL, &warning, &result->error) == 0;
        if (attempt->inspect_closely)
                result->warning = take_ptr(warning);
}

static void check_exports(struct job *job) {
        struct attempt *attempt = container_of(job, struct attempt, job);
        const struct config_certificate *config = attempt->config;

        for (size_t i = 0; i < config->n_exports; i++) {
                struct export_result *result = &attempt->exports[i];

                look_at(attempt, &config->exports[i], result);
                attempt->has_exports_to_write =
                        attempt->has_exports_to_write || (result->is_stale && result->is_writable);
        }
}

static void write_exports(struct job *job) {
        struct attempt *attempt = container_of(job, struct attempt, job);
        const struct config_certificate *config = attempt->config;

        for (size_t i = 0; i < config->n_exports; i++) {
                struct export_result *result = &attempt->exports[i];

                if (result->is_stale && result->is_writable)
                        result->is_written =
                                export_write(&config->exports[i], &attempt->set, &result->error) == 0;
        }
}

static void exports_are_done(struct job *job) {
        struct attempt *attempt = container_of(job, struct attempt, job);

        attempt->exports_done(attempt->userdata);
}

static void submit(struct attempt *attempt, void (*run)(struct job *job), void (*done)(void *userdata)) {
        attempt->exports_done = done;
        attempt->job = (struct job) { .run = run, .done = exports_are_done };
        workers_submit(attempt->context->export_workers, &attempt->job);
}

void attempt_check_exports(struct attempt *attempt, void (*done)(void *userdata)) {
        const struct config_certificate *config = attempt->config;

        /* Without a set there is nothing to write, but time to say what would not work. Without memory, the
         * next look does it. */
        if (config->n_exports > 0 && (attempt->has_set || attempt->inspect_closely))
                attempt->exports = calloc(config->n_exports, sizeof(*attempt->exports));
        if (attempt->exports)
                submit(attempt, check_exports, done);
        else
                done(attempt->userdata);
}

void attempt_write_exports(struct attempt *attempt, void (*done)(void *userdata)) {
        submit(attempt, write_exports, done);
}

void attempt_free_exports(struct attempt *attempt) {
        for (size_t i = 0; attempt->exports && i < attempt->config->n_exports; i++) {
                free(attempt->exports[i].warning);
                error_clear(&attempt->exports[i].error);
        }
        free(attempt->exports);
}
