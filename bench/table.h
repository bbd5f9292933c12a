#pragma once

/* What was measured in several runs, held against its budgets. */

#include <stdbool.h>

/* A row of the table. WHAT tells it from the others. */
struct row {
        const char *what;
        const char *unit;
        double most; /* the budget, in that unit; ROW_NO_BUDGET: there is none */
        int decimals;
};

#define ROW_NO_BUDGET (-1.0)

#define TABLE_RUNS_MAX 100u

/* One more value of ROW, whose texts are copied: TABLE_RUNS_MAX at most. Rows are kept in the order in which
 * they came first. */
void table_add(const struct row *row, double value);

/* Prints the rows with their least, median and greatest value. Returns how many medians miss their budget. */
unsigned table_print(void);
