/*
 * Exports are inspected after each inspection, while the set is in hand, and what is not as it should be is
 * written before any dependent is notified of the set. An export cannot fail an attempt: a copy that cannot
 * be written keeps nobody from the certificate. Exports have workers of their own: a file system that hangs
 * under one holds up no certificate without exports.
 *
 * Whether a stale export could be written is found out first. What could not be is promised to nobody, so an
 * export that fails for a year is tried for a year without a notification or a write of the state file.
 *
 * Files are a worker's, one job for all of them; Secrets follow on the loop, one after the other. What they
 * are to have is made on the worker.
 */

#include "daemon/certificate/exports-run.h"

#include "daemon/certificate/secret-export.h"
#include "lib/export/export-secret.h"
#include "lib/life/state.h"

struct exports_run {
        struct job job;
        struct workers *workers;
        const struct config_certificate *config;
        const struct set *set;
        char **old_ca_pems; /* for each export; NULL where it has none */

        /* Of exports to Secrets. */
        struct kube_client *kube;
        struct export_values *values; /* for each export; empty for a file, and for what could not be made */
        struct secret_export *secret; /* under way */
        size_t next;
        bool is_writing;

        usec_t end;
        bool closely, has_work;
        void (*done)(void *userdata);
        void *userdata;
        struct export_result results[]; /* as many as are configured */
};

/* What the I-th export is made of; borrowed. */
static struct set set_for(const struct exports_run *run, size_t i) {
        struct set set = *run->set;

        set.old_ca_pem = run->old_ca_pems[i];
        return set;
}

static void check(const struct exports_run *run, size_t i, struct export_result *result) {
        const struct export *export = &run->config->exports[i];
        const struct set set = run->set ? set_for(run, i) : (struct set) { 0 };
        _cleanup_(freep) char *warning = NULL;

        result->is_stale = run->set && !export_is_current(export, &set);
        if (!result->is_stale && !run->closely)
                return;
        result->is_writable =
                export_check(export, result->is_stale ? &set : NULL, &warning, &result->error) == 0;
        if (run->closely)
                result->warning = take_ptr(warning);
}

/* What the Secret of the I-th export is to have. */
static void prepare(struct exports_run *run, size_t i, struct export_result *result) {
        const struct set set = run->set ? set_for(run, i) : (struct set) { 0 };

        result->is_stale = run->set && export_values_make(&run->config->exports[i], &set, &run->values[i],
                                                          &result->error) < 0;
}

static void check_all(struct job *job) {
        struct exports_run *run = container_of(job, struct exports_run, job);

        for (size_t i = 0; i < run->config->n_exports; i++) {
                struct export_result *result = &run->results[i];

                if (run->config->exports[i].secret)
                        prepare(run, i, result);
                else
                        check(run, i, result);
                run->has_work = run->has_work || (result->is_stale && result->is_writable);
        }
}

static void write_all(struct job *job) {
        struct exports_run *run = container_of(job, struct exports_run, job);

        for (size_t i = 0; i < run->config->n_exports; i++) {
                struct export_result *result = &run->results[i];

                if (!run->config->exports[i].secret && result->is_stale && result->is_writable) {
                        const struct set set = set_for(run, i);

                        result->is_written =
                                export_write(&run->config->exports[i], &set, &result->error) == 0;
                }
        }
}

/* --- Secrets --- */

/* The I-th export is to be asked about, or written. */
static bool is_secret_due(const struct exports_run *run, size_t i) {
        const struct export_result *result = &run->results[i];

        if (!run->config->exports[i].secret || result->error.code < 0)
                return false;
        return run->is_writing ? result->is_stale && result->is_writable : true;
}

static void next_secret(struct exports_run *run);

static void on_secret(const struct secret_export_result *found, void *userdata) {
        struct exports_run *run = userdata;
        struct export_result *result = &run->results[run->next];

        result->is_seen = found->is_seen;
        result->is_stale = found->is_stale || run->is_writing;
        result->is_writable = found->is_writable;
        result->is_written = found->is_written;
        if (found->error)
                (void)error_set(&result->error, -EIO, "%s", found->error);
        run->has_work = run->has_work || (result->is_stale && result->is_writable);
        run->secret = secret_export_free(run->secret);
        run->next++;
        next_secret(run);
}

static int begin_secret(struct exports_run *run, struct error *error) {
        const struct secret_export_options options = {
                .client = run->kube,
                .export = &run->config->exports[run->next],
                .values = run->set ? &run->values[run->next] : NULL,
                .closely = run->closely,
                .write = run->is_writing,
                .done = on_secret,
                .userdata = run,
        };

        return secret_export_new(&options, &run->secret, error);
}

/* From run->next on; or the end, when there is none. */
static void next_secret(struct exports_run *run) {
        for (; run->next < run->config->n_exports; run->next++) {
                struct export_result *result = &run->results[run->next];
                int r;

                if (!is_secret_due(run, run->next))
                        continue;
                r = begin_secret(run, &result->error);
                if (r == 0)
                        return;
                if (result->error.code == 0)
                        (void)error_set_errno(&result->error, r, "cannot write Secret %s",
                                              run->config->exports[run->next].secret);
                result->is_stale = run->set;
                result->is_writable = false;
        }
        run->done(run->userdata);
}

static void on_files_done(struct job *job) {
        struct exports_run *run = container_of(job, struct exports_run, job);

        run->next = 0;
        next_secret(run);
}

static void submit(struct exports_run *run, void (*work)(struct job *job), void (*done)(void *userdata),
                   void *userdata) {
        run->done = done;
        run->userdata = userdata;
        run->job = (struct job) { .run = work, .done = on_files_done };
        workers_submit(run->workers, &run->job);
}

/* --- The run --- */

static int take_old_cas(struct exports_run *run, const struct state *state) {
        const usec_t now = now_usec(CLOCK_REALTIME);

        run->end = USEC_INFINITY;
        run->old_ca_pems = calloc(run->config->n_exports, sizeof(*run->old_ca_pems));
        if (!run->old_ca_pems)
                return -ENOMEM;
        for (size_t i = 0; i < run->config->n_exports; i++) {
                const usec_t overlap = run->config->exports[i].ca_overlap_usec;
                usec_t end;
                int r;

                if (overlap == 0)
                        continue;
                r = state_old_ca_pem(state, now, overlap, &run->old_ca_pems[i], &end);
                if (r < 0)
                        return r;
                if (end < run->end)
                        run->end = end;
        }
        return 0;
}

struct exports_run *exports_run_new(struct workers *workers, struct kube_client *kube,
                                    const struct config_certificate *config, const struct set *set,
                                    const struct state *state, bool closely) {
        struct exports_run *run;

        /* Without a set there is nothing to write, but time to say what would not work. */
        if (config->n_exports == 0 || !(set || closely))
                return NULL;
        run = calloc(1, sizeof(*run) + config->n_exports * sizeof(run->results[0]));
        if (run) {
                run->workers = workers;
                run->kube = kube;
                run->config = config;
                run->set = set;
                run->closely = closely;
                run->values = calloc(config->n_exports, sizeof(*run->values));
                if (!run->values || take_old_cas(run, state) < 0)
                        return exports_run_free(run);
        }
        return run;
}

struct exports_run *exports_run_free(struct exports_run *run) {
        if (!run)
                return NULL;
        secret_export_free(run->secret);
        for (size_t i = 0; i < run->config->n_exports; i++) {
                if (run->values)
                        export_values_clear(&run->values[i]);
                free(run->results[i].warning);
                error_clear(&run->results[i].error);
                if (run->old_ca_pems)
                        free(run->old_ca_pems[i]);
        }
        free(run->values);
        free(run->old_ca_pems);
        free(run);
        return NULL;
}

void exports_run_check(struct exports_run *run, void (*done)(void *userdata), void *userdata) {
        run->is_writing = false;
        submit(run, check_all, done, userdata);
}

void exports_run_write(struct exports_run *run, void (*done)(void *userdata), void *userdata) {
        run->is_writing = true;
        submit(run, write_all, done, userdata);
}

bool exports_run_has_work(const struct exports_run *run) {
        return run->has_work;
}

usec_t exports_run_end(const struct exports_run *run) {
        return run->end;
}

const struct export_result *exports_run_result(const struct exports_run *run, size_t i) {
        return &run->results[i];
}
