/*
 * The state of everything in one line, for `systemctl status`: what is wrong comes first, then what happens
 * next. It is made when a certificate has changed, once a second at most, since with thousands of them in a
 * storm it would cost more than it tells.
 */

#include "daemon/manager/manager-private.h"

#include <stdio.h>

#include "daemon/loop/service.h"
#include "daemon/observe/metrics-file.h"

const char *manager_trouble(const struct report_status *status) {
        if (!status->is_usable)
                return status->state == RENEWAL_WAITING_FOR_TOKEN ? "waits for a token"
                       : status->is_revoked                       ? "is revoked"
                       : status->not_after > 0                    ? "has expired"
                                                                  : "is not enrolled";
        if (status->state == RENEWAL_WAITING_FOR_TOKEN)
                return "cannot be renewed without a token";
        if (status->failures > 0)
                return "could not be renewed yet";
        if (status->n_exports_failed > 0)
                return "has an export that cannot be written";
        if (status->n_pending_failed > 0)
                return "has a dependent that was not told";
        return NULL;
}

/* Which of two troubles comes first: who cannot be used, then who expires first. */
static bool is_worse(const struct report_status *a, const struct report_status *b) {
        if (a->is_usable != b->is_usable)
                return !a->is_usable;
        return a->not_after < b->not_after;
}

char *manager_describe(const struct manager *manager) {
        struct report_status worst = { 0 }, next = { 0 };
        usec_t next_usec = USEC_INFINITY;
        size_t n = manager->n_certificates, n_usable = 0, n_troubled = 0;
        char *text = NULL, when[TIMESTAMP_MAX];
        size_t size;
        FILE *out;

        for (size_t i = 0; i < n; i++) {
                struct report_status status;

                certificate_get_status(manager->certificates[i], &status);
                n_usable += status.is_usable ? 1 : 0;
                if (manager_trouble(&status) && (n_troubled++ == 0 || is_worse(&status, &worst)))
                        worst = status;
                if (status.next_attempt < status.renew_at)
                        status.renew_at = status.next_attempt;
                if (status.renew_at < next_usec) {
                        next_usec = status.renew_at;
                        next = status;
                }
        }

        out = open_memstream(&text, &size);
        if (!out)
                return NULL;
        if (n == 0)
                fprintf(out, "no certificate is configured");
        else
                fprintf(out, "%zu of %zu certificate%s current", n_usable, n, n == 1 ? "" : "s");
        if (n_troubled > 0)
                fprintf(out, "; %s %s", worst.name, manager_trouble(&worst));
        if (n_troubled > 1)
                fprintf(out, ", and %zu more need%s attention", n_troubled - 1, n_troubled == 2 ? "s" : "");
        if (next_usec != USEC_INFINITY)
                fprintf(out, "; next: %s at %s", next.name, format_timestamp(when, next_usec));
        if (fclose(out) != 0)
                free(take_ptr(text));
        return text;
}

static void source_status(void *userdata, size_t i, struct report_status *ret) {
        const struct manager *manager = userdata;

        certificate_get_status(manager->certificates[i], ret);
}

static uint64_t source_serial(void *userdata) {
        const struct manager *manager = userdata;

        return manager->serial;
}

struct metrics_source manager_metrics_source(struct manager *manager) {
        return (struct metrics_source) {
                .n = manager->n_certificates,
                .status = source_status,
                .serial = source_serial,
                .userdata = manager,
                .is_ready = manager->n_uninspected == 0,
                .connections = manager->control ? control_connections(manager->control) : 0,
        };
}

static int on_status(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        struct manager *manager = userdata;
        _cleanup_(freep) char *text = NULL;

        manager->status = sd_event_source_disable_unref(manager->status);
        text = manager_describe(manager);
        if (text)
                service_status(text);
        return 0;
}

void manager_status_changed(struct context *context) {
        struct manager *manager = context_manager(context);

        if (manager->metrics_file)
                metrics_file_changed(manager->metrics_file);
        if (manager->status || manager->context.once)
                return;
        (void)sd_event_add_time_relative(context->event, &manager->status, CLOCK_BOOTTIME, USEC_PER_SEC, 0,
                                         on_status, manager);
}
