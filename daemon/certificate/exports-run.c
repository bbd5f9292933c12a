/*
 * Exports are inspected after each inspection, while the set is in hand, and what is not as it should be is
 * written before any dependent is notified of the set. An export cannot fail an attempt: a copy that cannot
 * be written keeps nobody from the certificate. Exports have workers of their own: a file system that hangs
 * under one holds up no certificate without exports.
 *
 * Whether a stale export could be written is found out first. What could not be is promised to nobody, so an
 * export that fails for a year is tried for a year without a notification or a write of the state file.
 */

#include "daemon/certificate/exports-run.h"

#include "lib/export/export.h"

struct exports_run {
        struct job job;
        struct workers *workers;
        const struct config_certificate *config;
        const struct set *set;
        bool closely, has_work;
        void (*done)(void *userdata);
        void *userdata;
        struct export_result results[]; /* as many as are configured */
};

static void check(const struct exports_run *run, const struct export *export, struct export_result *result) {
        _cleanup_(freep) char *warning = NULL;

        result->is_stale = run->set && !export_is_current(export, run->set);
        if (!result->is_stale && !run->closely)
                return;
        result->is_writable =
                export_check(export, result->is_stale ? run->set : NULL, &warning, &result->error) == 0;
        if (run->closely)
                result->warning = take_ptr(warning);
}

static void check_all(struct job *job) {
        struct exports_run *run = container_of(job, struct exports_run, job);

        for (size_t i = 0; i < run->config->n_exports; i++) {
                struct export_result *result = &run->results[i];

                check(run, &run->config->exports[i], result);
                run->has_work = run->has_work || (result->is_stale && result->is_writable);
        }
}

static void write_all(struct job *job) {
        struct exports_run *run = container_of(job, struct exports_run, job);

        for (size_t i = 0; i < run->config->n_exports; i++) {
                struct export_result *result = &run->results[i];

                if (result->is_stale && result->is_writable)
                        result->is_written =
                                export_write(&run->config->exports[i], run->set, &result->error) == 0;
        }
}

static void on_done(struct job *job) {
        struct exports_run *run = container_of(job, struct exports_run, job);

        run->done(run->userdata);
}

static void submit(struct exports_run *run, void (*work)(struct job *job), void (*done)(void *userdata),
                   void *userdata) {
        run->done = done;
        run->userdata = userdata;
        run->job = (struct job) { .run = work, .done = on_done };
        workers_submit(run->workers, &run->job);
}

struct exports_run *exports_run_new(struct workers *workers, const struct config_certificate *config,
                                    const struct set *set, bool closely) {
        struct exports_run *run;

        /* Without a set there is nothing to write, but time to say what would not work. */
        if (config->n_exports == 0 || !(set || closely))
                return NULL;
        run = calloc(1, sizeof(*run) + config->n_exports * sizeof(run->results[0]));
        if (run) {
                run->workers = workers;
                run->config = config;
                run->set = set;
                run->closely = closely;
        }
        return run;
}

struct exports_run *exports_run_free(struct exports_run *run) {
        if (!run)
                return NULL;
        for (size_t i = 0; i < run->config->n_exports; i++) {
                free(run->results[i].warning);
                error_clear(&run->results[i].error);
        }
        free(run);
        return NULL;
}

void exports_run_check(struct exports_run *run, void (*done)(void *userdata), void *userdata) {
        submit(run, check_all, done, userdata);
}

void exports_run_write(struct exports_run *run, void (*done)(void *userdata), void *userdata) {
        submit(run, write_all, done, userdata);
}

bool exports_run_has_work(const struct exports_run *run) {
        return run->has_work;
}

const struct export_result *exports_run_result(const struct exports_run *run, size_t i) {
        return &run->results[i];
}
