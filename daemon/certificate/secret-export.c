/*
 * The Secret is read, and what is ours is compared. Whether it could be written the server itself says: it is
 * asked to apply what would be written, without storing it. A write whose outcome is unknown is not repeated:
 * the Secret is read once more, and has our values or not.
 */

#include "daemon/certificate/secret-export.h"

#include "lib/kube/kube-name.h"

enum step {
        STEP_READ,
        STEP_TRY,   /* apply, without storing */
        STEP_WRITE, /* apply */
        STEP_AGAIN, /* read, since the outcome is unknown */
};

struct secret_export {
        struct secret_export_options options;
        struct kube_name name;
        struct kube_call *call;
        enum step step;
        json_t *current; /* the Secret as it was read; NULL: there is none */
        bool is_seen, is_current;
        struct error unknown; /* what left the outcome unknown */
};

static int begin(struct secret_export *run, enum step step, struct error *error);

/* The run may be freed. */
static void finish(struct secret_export *run, struct secret_export_result result) {
        result.is_seen = run->is_seen;
        run->options.done(&result, run->options.userdata);
}

static void finish_failed(struct secret_export *run, const char *text) {
        finish(run, (struct secret_export_result) { .is_stale = run->options.values && !run->is_current,
                                                    .error = text });
}

/* The next step, or the end of all. */
static void go_on(struct secret_export *run, enum step step) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        int r = begin(run, step, &error);

        if (r < 0)
                finish_failed(run, error.code != 0 ? error_text(&error) : error_code_text(r));
}

static void on_read(struct secret_export *run, const struct kube_result *result) {
        if (result->outcome != KUBE_DONE && result->outcome != KUBE_NOT_FOUND) {
                finish_failed(run, result->error);
                return;
        }
        run->is_seen = true;
        run->current = json_incref(result->object);
        run->is_current = run->options.values && run->current &&
                          export_values_are_in(run->options.values, run->current);
        if (!run->options.values || (run->is_current && !run->options.closely))
                finish(run, (struct secret_export_result) { .is_writable = true });
        else
                go_on(run, run->options.write ? STEP_WRITE : STEP_TRY);
}

static void on_tried(struct secret_export *run, const struct kube_result *result) {
        if (result->outcome == KUBE_DONE)
                finish(run,
                       (struct secret_export_result) { .is_stale = !run->is_current, .is_writable = true });
        else
                finish_failed(run, result->error);
}

static void on_written(struct secret_export *run, const struct kube_result *result) {
        if (result->outcome == KUBE_UNCERTAIN) {
                (void)error_set(&run->unknown, -EIO, "%s", result->error);
                go_on(run, STEP_AGAIN);
        } else if (result->outcome == KUBE_DONE)
                finish(run, (struct secret_export_result) {
                                    .is_stale = true, .is_writable = true, .is_written = true });
        else
                finish_failed(run, result->error);
}

static void on_read_again(struct secret_export *run, const struct kube_result *result) {
        if (result->outcome == KUBE_DONE && export_values_are_in(run->options.values, result->object))
                finish(run, (struct secret_export_result) {
                                    .is_stale = true, .is_writable = true, .is_written = true });
        else
                finish_failed(run, error_text(&run->unknown));
}

static void on_done(const struct kube_result *result, void *userdata) {
        static void (*const rows[])(struct secret_export * run, const struct kube_result *result) = {
                [STEP_READ] = on_read,
                [STEP_TRY] = on_tried,
                [STEP_WRITE] = on_written,
                [STEP_AGAIN] = on_read_again,
        };
        struct secret_export *run = userdata;
        /* The result, and with it the call, is needed until the step has been judged. */
        _unused_ _cleanup_(kube_call_freep) struct kube_call *call = take_ptr(run->call);

        rows[run->step](run, result);
}

static int begin(struct secret_export *run, enum step step, struct error *error) {
        const bool writes = step == STEP_TRY || step == STEP_WRITE;
        const struct kube_callbacks callbacks = { .done = on_done, .userdata = run };
        _cleanup_(json_decrefp) json_t *body = NULL;
        struct kube_ask ask = {
                .verb = writes ? KUBE_APPLY : KUBE_GET,
                .resource = KUBE_SECRET(run->name.namespace, run->name.name),
                .dry_run = step == STEP_TRY,
                .force = writes,
                .manager = EXPORT_MANAGER,
        };
        int r;

        run->step = step;
        if (writes) {
                r = export_values_apply(run->options.export, run->options.values, run->current, &body);
                if (r < 0)
                        return r;
                ask.body = body;
        }
        return kube_call_new(run->options.client, &ask, 0, &callbacks, &run->call, error);
}

int secret_export_new(const struct secret_export_options *options, struct secret_export **ret,
                      struct error *error) {
        _cleanup_(secret_export_freep) struct secret_export *run = calloc(1, sizeof(*run));
        int r;

        if (!run)
                return -ENOMEM;
        run->options = *options;
        r = kube_name_parse(options->export->secret, &run->name);
        if (r == 0)
                r = begin(run, STEP_READ, error);
        if (r < 0)
                return r;
        *ret = take_ptr(run);
        return 0;
}

struct secret_export *secret_export_free(struct secret_export *run) {
        if (!run)
                return NULL;
        kube_call_free(run->call);
        json_decref(run->current);
        error_clear(&run->unknown);
        free(run);
        return NULL;
}
