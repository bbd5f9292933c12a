/*
 * The list of certificates and a few questions to all of them. It neither starts nor changes one, and logs
 * nothing; how the list goes over to another configuration is in fleet-change.c.
 */

#include "daemon/fleet/fleet.h"

#include <stdio.h>

#include "lib/util/text-stream.h"

static void free_certificates(struct certificate **certificates, size_t n) {
        for (size_t i = 0; i < n; i++)
                certificate_free(certificates[i]);
        free(certificates);
}

void fleet_clear(struct fleet *fleet) {
        free_certificates(fleet->certificates, fleet->n);
        free_certificates(fleet->retiring, fleet->n_retiring);
        *fleet = (struct fleet) { 0 };
}

struct certificate *fleet_find(const struct fleet *fleet, const char *name) {
        for (size_t i = 0; i < fleet->n; i++)
                if (streq(certificate_name(fleet->certificates[i]), name))
                        return fleet->certificates[i];
        return NULL;
}

size_t fleet_count_usable(const struct fleet *fleet) {
        size_t n = 0;

        for (size_t i = 0; i < fleet->n; i++)
                n += certificate_is_usable(fleet->certificates[i]) ? 1 : 0;
        return n;
}

bool fleet_is_ready(const struct fleet *fleet) {
        return fleet->n_uninspected == 0;
}

bool fleet_count_inspected(struct fleet *fleet) {
        return --fleet->n_uninspected == 0;
}

void fleet_remove_retired(struct fleet *fleet, struct certificate *certificate) {
        for (size_t i = 0; i < fleet->n_retiring; i++)
                if (fleet->retiring[i] == certificate) {
                        fleet->retiring[i] = fleet->retiring[--fleet->n_retiring];
                        break;
                }
        certificate_free(certificate);
}

/* --- What needs attention --- */

const char *fleet_trouble(const struct report_status *status) {
        if (status->knowledge == SET_UNKNOWN)
                return "is not inspected yet";
        if (status->knowledge == SET_UNREADABLE)
                return "cannot be read";
        if (!status->is_usable)
                return status->state == RENEWAL_WAITING_FOR_TOKEN ? "waits for a token"
                       : status->is_revoked                       ? "is revoked"
                       : status->knowledge == SET_KNOWN           ? "has expired"
                                                                  : "is not enrolled";
        if (status->state == RENEWAL_WAITING_FOR_TOKEN)
                return "cannot be renewed without a token";
        if (status->failures > 0)
                return "could not be renewed yet";
        if (status->files.n_exports_failed > 0)
                return "has an export that cannot be written";
        if (status->notices.n_failed > 0)
                return "has a dependent that was not notified";
        return NULL;
}

/* Which of two troubles comes first: who cannot be used, then who cannot be read, then who expires first.
 * Nothing at all is worse than what has expired. */
static unsigned badness(const struct report_status *status) {
        return status->is_usable                     ? 0
               : status->knowledge == SET_UNKNOWN    ? 1
               : status->knowledge == SET_UNREADABLE ? 2
               : status->knowledge == SET_KNOWN      ? 3
                                                     : 4;
}

static bool is_worse(const struct report_status *a, const struct report_status *b) {
        if (badness(a) != badness(b))
                return badness(a) > badness(b);
        return a->not_after < b->not_after;
}

char *fleet_describe(const struct fleet *fleet) {
        struct report_status worst = { 0 }, next = { 0 };
        usec_t next_usec = USEC_INFINITY;
        size_t n = fleet->n, n_usable = 0, n_troubled = 0;
        char *text = NULL, when[TIMESTAMP_MAX];
        size_t size;
        FILE *out;

        for (size_t i = 0; i < n; i++) {
                struct report_status status;

                certificate_get_status(fleet->certificates[i], &status);
                n_usable += status.is_usable ? 1 : 0;
                if (fleet_trouble(&status) && (n_troubled++ == 0 || is_worse(&status, &worst)))
                        worst = status;
                if (status.next_attempt < status.renew_at)
                        status.renew_at = status.next_attempt;
                if (status.renew_at < next_usec) {
                        next_usec = status.renew_at;
                        next = status;
                }
        }

        out = text_stream_open(&text, &size);
        if (!out)
                return NULL;
        if (n == 0)
                fprintf(out, "no certificate is configured");
        else
                fprintf(out, "%zu of %zu certificate%s current", n_usable, n, n == 1 ? "" : "s");
        if (n_troubled > 0)
                fprintf(out, "; %s %s%s%s", worst.name, fleet_trouble(&worst), worst.unreadable ? ": " : "",
                        worst.unreadable ? worst.unreadable : "");
        if (n_troubled > 1)
                fprintf(out, ", and %zu more need%s attention", n_troubled - 1, n_troubled == 2 ? "s" : "");
        if (next_usec != USEC_INFINITY)
                fprintf(out, "; next: %s at %s", next.name, format_timestamp(when, next_usec));
        if (fclose(out) != 0)
                free(take_ptr(text));
        return text;
}

/* --- For the metrics --- */

static void source_status(void *userdata, size_t i, struct report_status *ret) {
        const struct fleet *fleet = userdata;

        certificate_get_status(fleet->certificates[i], ret);
}

static uint64_t source_serial(void *userdata) {
        const struct fleet *fleet = userdata;

        return fleet->serial;
}

struct metrics_source fleet_metrics_source(const struct fleet *fleet) {
        return (struct metrics_source) {
                .n = fleet->n,
                .status = source_status,
                .serial = source_serial,
                .userdata = (void *)fleet, /* only read, above */
                .is_ready = fleet_is_ready(fleet),
        };
}
