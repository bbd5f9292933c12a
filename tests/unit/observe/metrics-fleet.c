/* Certificates that are nothing but their status. */

#include "tests/unit/observe/metrics-fleet.h"

#include <stdio.h>

#define NOW (1800000000 * USEC_PER_SEC)

static void get_status(void *userdata, size_t i, struct report_status *ret) {
        struct metrics_fleet *fleet = userdata;

        fleet->n_asked++;
        *ret = fleet->statuses[i];
}

static uint64_t get_serial(void *userdata) {
        const struct metrics_fleet *fleet = userdata;

        return fleet->serial;
}

static const struct report_status healthy = {
        .connector = "ucl",
        .directory = "/var/lib/rekeyd/certs/orders",
        .state = RENEWAL_CURRENT,
        .knowledge = SET_KNOWN,
        .is_usable = true,
        .generation = 42,
        .fingerprint = "3f1c",
        .not_before = NOW - 10 * USEC_PER_DAY,
        .not_after = NOW + 80 * USEC_PER_DAY,
        .renew_at = NOW + 50 * USEC_PER_DAY,
        .next_attempt = USEC_INFINITY,
        .budget_left = 6,
};

/* What differs, from the second on. */
static void make_special(struct report_status *status, size_t i) {
        switch (i) {
        case 1: /* never enrolled, and no token yet */
                *status = (struct report_status) {
                        .name = status->name,
                        .connector = "ucl",
                        .state = RENEWAL_WAITING_FOR_TOKEN,
                        .knowledge = SET_NONE,
                        .renew_at = USEC_INFINITY,
                        .next_attempt = USEC_INFINITY,
                        .budget_left = 6,
                };
                break;
        case 2: /* the Connector is out of order */
                status->state = RENEWAL_RETRYING;
                status->failures = 7;
                status->failure = FAILURE_TRANSIENT;
                status->renew_at = USEC_INFINITY;
                status->next_attempt = NOW + 350 * USEC_PER_MSEC;
                break;
        case 3: /* expired */
                status->state = RENEWAL_WAITING_FOR_TOKEN;
                status->is_usable = false;
                status->not_after = NOW - USEC_PER_DAY;
                status->failures = 1;
                status->failure = FAILURE_REJECTED;
                status->renew_at = status->next_attempt = USEC_INFINITY;
                break;
        case 5: /* its files cannot be read, and it is last known */
                status->state = RENEWAL_RETRYING;
                status->knowledge = SET_UNREADABLE;
                status->is_usable = false;
                status->failures = 2;
                status->failure = FAILURE_LOCAL;
                status->renew_at = USEC_INFINITY;
                status->next_attempt = NOW + USEC_PER_MINUTE;
                break;
        case 4: /* revoked through rekeyd; dependents and exports in trouble */
                status->is_revoked = true;
                status->is_usable = false;
                status->files.n_exports_failed = 2;
                status->notices.n_pending = 3;
                status->notices.n_failed = 1;
                status->budget_left = 0;
                status->files.is_unwatched = true;
                break;
        }
}

void metrics_fleet_init(struct metrics_fleet *fleet, size_t n) {
        struct metrics *metrics = &fleet->metrics;

        *fleet = (struct metrics_fleet) { .statuses = calloc(n + 1, sizeof(*fleet->statuses)), .n = n };
        if (!fleet->statuses)
                abort();
        for (size_t i = 0; i < n; i++) {
                char *name;

                if (asprintf(&name, "c-%05zu", i) < 0)
                        abort();
                fleet->statuses[i] = healthy;
                fleet->statuses[i].name = name;
                make_special(&fleet->statuses[i], i);
        }

        *metrics = (struct metrics) {
                .started_usec = NOW - USEC_PER_DAY,
                .enrolments = 1,
                .renewals = 2,
                .attempts = 17,
                .signatures = 5,
                .notifications = 6,
                .notification_failures = 7,
                .revocations = 8,
                .reloads = 3,
                .reload_failures = 4,
                .reload_has_failed = true,
                .last_reload_usec = NOW - USEC_PER_HOUR - 1,
                .key_cpu_usec = 3141590,
        };
        for (unsigned i = FAILURE_TRANSIENT; i < FAILURE_MAX; i++)
                metrics->failures[i] = 10 + i;
        for (unsigned i = STEP_INSPECT; i < STEP_MAX; i++)
                metrics_count_step(metrics, i, i * 1500);
        metrics_count_turn(metrics, 20001);

        fleet->source = (struct metrics_source) {
                .n = n,
                .status = get_status,
                .serial = get_serial,
                .userdata = fleet,
                .is_ready = true,
                .connections = 2,
        };
}

void metrics_fleet_clear(struct metrics_fleet *fleet) {
        for (size_t i = 0; i < fleet->n; i++)
                free((char *)fleet->statuses[i].name);
        free(fleet->statuses);
}
