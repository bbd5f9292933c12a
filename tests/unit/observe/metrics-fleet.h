#pragma once

/* Certificates in every condition, and counters that have counted, for those who render them. */

#include "daemon/observe/metrics.h"

struct metrics_fleet {
        struct report_status *statuses;
        size_t n;
        uint64_t serial;
        unsigned n_asked; /* how often a status was asked for */
        struct metrics metrics;
        struct metrics_source source;
};

/* N certificates "c-00000" and so on; the first few are in a condition each. */
void metrics_fleet_init(struct metrics_fleet *fleet, size_t n);
void metrics_fleet_clear(struct metrics_fleet *fleet);
