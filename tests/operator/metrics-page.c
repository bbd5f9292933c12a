/* Prints a page of metrics, for promtool to check. */

#include <stdio.h>

#include "tests/unit/observe/metrics-fleet.h"

int main(void) {
        _cleanup_(metrics_reader_freep) struct metrics_reader *reader = NULL;
        _cleanup_(freep) struct issuers *issuers = calloc(1, sizeof(*issuers) + sizeof(issuers->items[0]));
        struct metrics_fleet fleet;
        char buffer[4096];
        ssize_t n;

        if (!issuers)
                return EXIT_FAILURE;
        issuers->n = 1;
        issuers->items[0] =
                (struct issuer) { .fingerprint = { 0x46 }, .spki = { 0x9f }, .subject = "CN=Kyma" };
        metrics_fleet_init(&fleet, 6);
        fleet.statuses[0].renewable.issuers = issuers;
        if (metrics_reader_new(&fleet.metrics, &fleet.source, &reader) < 0)
                return EXIT_FAILURE;
        while ((n = metrics_read(reader, buffer, sizeof(buffer))) > 0)
                fwrite(buffer, 1, (size_t)n, stdout);
        metrics_fleet_clear(&fleet);
        return n < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
