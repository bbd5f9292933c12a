/* Many renewals at once, as the tests of the suite `scale` have them: with keys that have to be generated,
 * and with keys that were generated before. */

#include "bench/bench.h"
#include "bench/rows.h"
#include "tests/support/storm.h"

static void measure_without_keys(unsigned n) {
        const struct storm_options options = { .n = n, .key_bits = 2048 };
        const struct storm storm = storm_run(&options);

        storm_report(&storm, &options, "storm");
        rows_note(ROW_STORM_RATIO, storm.wall_ratio);
        rows_note(ROW_STORM_CPU, storm.cpu_ratio);
        rows_note(ROW_STORM_BARE, storm.sec / storm.bare_sec);
        rows_note(ROW_STORM_TURN, storm.longest_ms);
}

static void measure_with_keys(unsigned n) {
        const struct storm_options options = { .n = n, .key_bits = 4096, .with_keys = true };
        const struct storm storm = storm_run(&options);

        storm_report(&storm, &options, "storm");
        rows_note(ROW_KEYS_RATE, n / storm.sec);
        rows_note(ROW_KEYS_TURN, storm.longest_ms);
        rows_note(ROW_KEYS_FAILED, storm.failed);
}

void measure_storms(const struct bench_sizes *sizes) {
        if (sizes->storm > 0)
                measure_without_keys(sizes->storm);
        if (sizes->storm_with_keys > 0)
                measure_with_keys(sizes->storm_with_keys);
}
