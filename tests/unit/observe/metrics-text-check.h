#pragma once

/* Reads a page of metrics as strictly as can be, and fails the test where it is not version 0.0.4 of the
 * format, or not named as Prometheus wants it. */

struct metrics_text_counts {
        unsigned n_families, n_samples;
};

struct metrics_text_counts metrics_text_check(const char *page);
