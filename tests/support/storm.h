#pragma once

/*
 * Many certificates that are due at once: what their renewals cost beside the arithmetic that nobody can
 * spare them, and how long the loop is deaf meanwhile. A test judges it, and a benchmark prints it.
 */

#include "tests/support/fixture.h"
#include "tests/support/fleet.h"

struct storm_options {
        unsigned n;
        unsigned key_bits;
        bool with_keys; /* each has a staged key of its own, so none is generated */
};

struct storm {
        double sec;     /* from the first renewal that began to the last that ended */
        double cpu_sec; /* of rekeyd, its start included */
        double connector_cpu_sec;
        double longest_ms; /* turn of the loop */
        double foreign;    /* share of the machine's time that others took */
        double late_ms;    /* a thread that wanted to run, at worst */
        unsigned failed;
        int most; /* at once */

        /* Without staged keys. The last two are to the processor time of its own keys, since 500 keys differ
         * by several hundredths from 500 others; wall time is without devconnector's share of the processors,
         * as the Connector has a machine of its own in real life. */
        double bare_sec; /* as many keys alone, on all processors, half before and half after */
        double keys_cpu_sec;
        double wall_ratio, cpu_ratio;
};

/* In a fixture of its own. All N are renewed in the end, or the test is aborted. */
struct storm storm_run(const struct storm_options *options);

/* Prints what was measured as a report of test NAME. */
void storm_report(const struct storm *storm, const struct storm_options *options, const char *name);

/* Writes rekeyd.yaml into FIXTURE: a control socket, and the N fleets, each with the Connector of its name,
 * whose calls take TIMEOUT ("120s") at most. */
void storm_configure(struct fixture *fixture, const struct fleet_options *fleets,
                     const struct fixture *const *connectors, size_t n, unsigned key_bits,
                     const char *timeout);
