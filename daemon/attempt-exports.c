/*
 * Exports: the copies that go with the current set. They are looked at with every look, by the worker that
 * has the set in hand, and what is not as it should be is written before anybody is told of the set. An
 * export cannot fail an attempt: a copy that cannot be written keeps nobody from the certificate.
 */

#include "daemon/attempt.h"

void attempt_check_exports(struct attempt *attempt) {
        const struct config_certificate *config = attempt->config;

        if (config->n_exports == 0 || !attempt->has_set)
                return;
        attempt->exports = calloc(config->n_exports, sizeof(*attempt->exports));
        if (!attempt->exports)
                return; /* the next look does it */

        for (size_t i = 0; i < config->n_exports; i++) {
                struct export_result *result = &attempt->exports[i];

                result->is_stale = !export_is_current(&config->exports[i], &attempt->set);
                if (result->is_stale)
                        attempt->exports_are_stale = true;
                else if (attempt->look_closely)
                        (void)export_check(&config->exports[i], &result->warning, &result->error);
        }
}

static void write_exports(struct job *job) {
        struct attempt *attempt = (struct attempt *)((char *)job - offsetof(struct attempt, job));
        const struct config_certificate *config = attempt->config;

        for (size_t i = 0; i < config->n_exports; i++) {
                struct export_result *result = &attempt->exports[i];

                if (!result->is_stale)
                        continue;
                if (attempt->look_closely)
                        (void)export_check(&config->exports[i], &result->warning, &result->error);
                error_clear(&result->error); /* the writing says it again, if it is still so */
                result->is_written = export_write(&config->exports[i], &attempt->set, &result->error) == 0;
        }
}

static void exports_are_written(struct job *job) {
        struct attempt *attempt = (struct attempt *)((char *)job - offsetof(struct attempt, job));

        attempt->exports_done(attempt->userdata);
}

void attempt_write_exports(struct attempt *attempt, void (*done)(void *userdata)) {
        attempt->exports_done = done;
        attempt->job = (struct job) { .run = write_exports, .done = exports_are_written };
        workers_submit(attempt->context->disk_workers, &attempt->job);
}

void attempt_free_exports(struct attempt *attempt) {
        for (size_t i = 0; attempt->exports && i < attempt->config->n_exports; i++) {
                free(attempt->exports[i].warning);
                error_clear(&attempt->exports[i].error);
        }
        free(attempt->exports);
}
