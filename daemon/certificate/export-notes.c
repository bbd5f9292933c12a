#include "daemon/certificate/export-notes.h"

#include "daemon/certificate/exports-run.h"

void export_notes_clear(struct export_notes *notes) {
        report_exports_clear(&notes->secrets);
        free(notes->error);
        *notes = (struct export_notes) { 0 };
}

static bool has_failed(const struct export_result *result) {
        return result->is_stale && !result->is_written;
}

unsigned export_notes_count(const struct exports_run *run, const struct core *core) {
        unsigned n = 0;

        for (size_t i = 0; run && i < core->config->n_exports; i++)
                n += has_failed(exports_run_result(run, i)) ? 1 : 0;
        return n;
}

/* When it was written, as long as it is the same export of the same generation. */
static usec_t written_before(const struct export_notes *notes, const struct export *export,
                             uint64_t generation) {
        const struct report_export *before = report_exports_find(&notes->secrets, export);

        return before && before->is_current && before->generation == generation ? before->written_at : 0;
}

static void take_secret(const struct export_notes *before, const struct export *export,
                        const struct export_result *result, const struct core *core, usec_t wait_usec,
                        struct report_export *ret) {
        const usec_t now = now_usec(CLOCK_REALTIME);

        ret->secret = strdup(export->secret);
        ret->layout = export->layout;
        ret->generation = core->facts.generation;
        ret->is_known = facts_has_set(&core->facts) && result->is_seen;
        ret->is_current = ret->is_known && !has_failed(result);
        if (result->is_written)
                ret->written_at = now;
        else if (ret->is_current)
                ret->written_at = written_before(before, export, ret->generation);
        if (has_failed(result) && wait_usec > 0)
                ret->next_attempt = now + wait_usec;
        if (result->error.code < 0)
                ret->error = strdup(error_text(&result->error));
}

void export_notes_take(struct export_notes *notes, const struct exports_run *run, const struct core *core,
                       usec_t wait_usec) {
        const struct config_certificate *config = core->config;
        struct export_notes made = { .n_failed = export_notes_count(run, core) };

        made.secrets.items = run ? calloc(config->n_exports, sizeof(*made.secrets.items)) : NULL;
        for (size_t i = 0; run && i < config->n_exports; i++) {
                const struct export_result *result = exports_run_result(run, i);

                if (has_failed(result) && result->error.code < 0 && !made.error)
                        made.error = strdup(error_text(&result->error));
                if (!config->exports[i].secret || !made.secrets.items)
                        continue;
                take_secret(notes, &config->exports[i], result, core, wait_usec,
                            &made.secrets.items[made.secrets.n]);
                made.secrets.n += made.secrets.items[made.secrets.n].secret ? 1 : 0;
        }
        export_notes_clear(notes);
        *notes = made;
}
