#pragma once

/* Aligned columns, in display width, that fit the terminal. */

#include <stdio.h>

#include "ctl/terminal/term.h"

struct table_column {
        const char *title; /* NULL in all columns: no line of titles */
        bool is_right;     /* numbers */
        bool wraps;        /* the last one: where there is no room its texts have several lines */
        unsigned min;      /* may be cut down to this width where there is no room; 0: is never cut */
        unsigned drop; /* the column with the largest number goes first where cutting is not enough; 0: never
                        */
};

struct table;

/* COLUMNS is borrowed. NULL when memory is out, which all functions accept. */
struct table *table_new(const struct term *term, const struct table_column *columns, size_t n_columns);
struct table *table_free(struct table *table);
DEFINE_CLEANUP(struct table *, table_free);

/* Begins a row; then one cell for each column, from the left. Missing cells are empty. Text is cleaned. */
void table_row(struct table *table);
void table_cell(struct table *table, enum term_style style, const char *format, ...) _printf_(3, 4);

/* Writes all rows, each after INDENT blanks. 0, or -ENOMEM where memory was out here or before. */
int table_print(const struct table *table, FILE *out, unsigned indent);
