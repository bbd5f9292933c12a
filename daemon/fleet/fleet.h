#pragma once

/* The certificates of the configuration, as a list, and facts about all of them together. */

#include "daemon/certificate/certificate.h"
#include "daemon/observe/metrics.h"

/* Read by all, changed by fleet*.c alone; {0} is an empty one. */
struct fleet {
        struct certificate **certificates; /* in the order of the configuration */
        size_t n;
        uint64_t serial;      /* of that array: another one has another */
        size_t n_uninspected; /* have not inspected their files yet */

        struct certificate **retiring; /* left the configuration, and have not come to their ends */
        size_t n_retiring;
};

/* Frees the certificates, also those that retire. */
void fleet_clear(struct fleet *fleet);

/* NULL: the configuration has none of that name. */
struct certificate *fleet_find(const struct fleet *fleet, const char *name);

/* How many have a set that can be used. */
size_t fleet_count_usable(const struct fleet *fleet);

/* Every certificate has inspected its files. */
bool fleet_is_ready(const struct fleet *fleet);

/* One more has done so for the first time. True: it was the last. */
bool fleet_count_inspected(struct fleet *fleet);

/* CERTIFICATE has come to its end: it is taken off the list of those that retire, and freed. */
void fleet_remove_retired(struct fleet *fleet, struct certificate *certificate);

/* What needs attention about a certificate, in a few words; NULL for nothing. */
const char *fleet_trouble(const struct report_status *status);

/* All of them in one line, owned by the caller: what is wrong first, then what happens next. NULL when memory
 * is out. */
char *fleet_describe(const struct fleet *fleet);

/* For the page of metrics; FLEET is borrowed. The numbers in it are those of now. */
struct metrics_source fleet_metrics_source(const struct fleet *fleet);
