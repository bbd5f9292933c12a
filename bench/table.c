/*
 * One run of a benchmark says little: the machine does other things as well. So each row keeps its values of
 * all runs, and the median is what counts.
 */

#include "bench/table.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 32

static struct {
        char what[80], unit[16];
        double most, values[TABLE_RUNS_MAX];
        int decimals;
        size_t n;
} rows[ROWS_MAX];
static size_t n_rows;

void table_add(const struct row *row, double value) {
        size_t i = 0;

        while (i < n_rows && strcmp(rows[i].what, row->what) != 0)
                i++;
        assert(i < ROWS_MAX && rows[i].n < TABLE_RUNS_MAX);
        if (i == n_rows) {
                n_rows++;
                snprintf(rows[i].what, sizeof(rows[i].what), "%s", row->what);
                snprintf(rows[i].unit, sizeof(rows[i].unit), "%s", row->unit);
                rows[i].most = row->most;
                rows[i].decimals = row->decimals;
        }
        rows[i].values[rows[i].n++] = value;
}

static int compare(const void *a, const void *b) {
        const double *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

/* Of two in the middle the greater one counts: the lower one would flatter. Whether it is within. */
static bool print_row(size_t i) {
        const double *values = rows[i].values;
        const size_t n = rows[i].n;
        const int decimals = rows[i].decimals;
        const bool has_budget = rows[i].most >= 0;
        char budget[32] = "-";
        bool within;

        qsort(rows[i].values, n, sizeof(values[0]), compare);
        within = !has_budget || values[n / 2] <= rows[i].most;
        if (has_budget)
                snprintf(budget, sizeof(budget), "%.*f", decimals, rows[i].most);
        printf("%-58s | %-4s | %9.*f | %9.*f | %9.*f | %9s | %s\n", rows[i].what, rows[i].unit, decimals,
               values[0], decimals, values[n / 2], decimals, values[n - 1], budget,
               !has_budget ? "-"
               : within    ? "yes"
                           : "NO");
        return within;
}

unsigned table_print(void) {
        unsigned n_missed = 0;

        printf("%-58s | %-4s | %9s | %9s | %9s | %9s | %s\n", "what", "unit", "minimum", "median", "maximum",
               "budget", "within");
        for (size_t i = 0; i < n_rows; i++)
                n_missed += !print_row(i);
        fflush(stdout);
        return n_missed;
}
