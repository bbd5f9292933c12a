#pragma once

/* The table that bench/run prints: what is measured, and which of it has a budget. */

#include <stdbool.h>

#define RUNS_MAX 25u

enum row {
        ROW_PRIVATE,
        ROW_LIBRARIES,
        ROW_RESIDENT,
        ROW_EACH,
        ROW_EACH_RELOADED,
        ROW_START,
        ROW_START_CPU,
        ROW_READING,
        ROW_START_FIRST,
        ROW_START_COLD,
        ROW_MOST_CPU,
        ROW_MOST,
        ROW_METRICS_BYTES,
        ROW_METRICS_TIME,
        ROW_WAKEUPS,
        ROW_STORM_RATIO,
        ROW_STORM_CPU,
        ROW_STORM_BARE,
        ROW_STORM_TURN,
        ROW_KEYS_RATE,
        ROW_KEYS_TURN,
        ROW_KEYS_FAILED,
        ROW_SIGNATURE,
        ROW_RENEWAL,
        ROW_TUTORIAL,
        ROW_SHARE,
        ROW_FSYNCS,
        ROW_MAX,
};

/* How many certificates rows are about. Budgets do not depend on it. */
struct rows_sizes {
        unsigned many, most, storm, storm_with_keys;
};

/* Before anything else. */
void rows_begin(const struct rows_sizes *sizes);

/* One value of a run. */
void rows_note(enum row row, double value);

/* This machine cannot measure it, and WHY (static). A row without a value misses no budget. */
void rows_omit(enum row row, const char *why);

/* Prints the table of what was noted or omitted, and returns how many budgets the medians miss. */
unsigned rows_print(void);
