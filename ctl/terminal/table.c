/*
 * A table collects its rows, and knows the width of each column when it is printed. Where the terminal is too
 * narrow, the columns that may be cut are cut first, the widest before the others; when that is not enough,
 * whole columns go. Sentences in the last column are broken instead. Without a terminal nothing is cut:
 * programs read it, and people with wide editors.
 */

#include "ctl/terminal/table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>

#include "ctl/terminal/text.h"

#define GAP           2u  /* between columns */
#define WRAPPED_MIN   30u /* columns of a sentence that are worth a column of their own */
#define WRAPPED_BELOW 4u  /* its indent below the line, where there are fewer */

struct cell {
        char *text; /* NULL: empty */
        size_t width;
        enum term_style style;
};

struct table {
        const struct term *term;
        const struct table_column *columns;
        size_t n_columns;
        struct cell *cells; /* row by row */
        size_t n_rows, room, next;
        bool failed;
};

struct table *table_new(const struct term *term, const struct table_column *columns, size_t n_columns) {
        struct table *table = calloc(1, sizeof(*table));

        if (table) {
                table->term = term;
                table->columns = columns;
                table->n_columns = n_columns;
        }
        return table;
}

struct table *table_free(struct table *table) {
        if (!table)
                return NULL;
        for (size_t i = 0; i < table->n_rows * table->n_columns; i++)
                free(table->cells[i].text);
        free(table->cells);
        free(table);
        return NULL;
}

void table_row(struct table *table) {
        if (!table || table->failed)
                return;
        if (table->n_rows == table->room) {
                size_t room = table->room == 0 ? 16 : 2 * table->room;
                struct cell *grown;

                grown = reallocarray(table->cells, room * table->n_columns, sizeof(*grown));
                if (!grown) {
                        table->failed = true;
                        return;
                }
                table->cells = grown;
                table->room = room;
        }
        memset(table->cells + table->n_rows * table->n_columns, 0, table->n_columns * sizeof(*table->cells));
        table->n_rows++;
        table->next = 0;
}

void table_cell(struct table *table, enum term_style style, const char *format, ...) {
        _cleanup_(freep) char *text = NULL;
        struct cell *cell;
        va_list args;

        if (!table || table->failed)
                return;
        assert(table->n_rows > 0 && table->next < table->n_columns);
        cell = &table->cells[(table->n_rows - 1) * table->n_columns + table->next++];

        va_start(args, format);
        if (vasprintf(&text, format, args) < 0)
                text = NULL;
        va_end(args);
        cell->text = text ? text_clean(text, table->term->is_utf8) : NULL;
        if (!cell->text) {
                table->failed = true;
                return;
        }
        cell->width = text_width(cell->text);
        cell->style = style;
}

static bool has_titles(const struct table *table) {
        for (size_t i = 0; i < table->n_columns; i++)
                if (table->columns[i].title)
                        return true;
        return false;
}

/* The width of a column that is dropped, since 0 could also be an empty one. */
#define DROPPED SIZE_MAX

static size_t sum_of(const struct table *table, const size_t *widths) {
        size_t sum = 0;

        for (size_t i = 0; i < table->n_columns; i++)
                if (widths[i] != DROPPED)
                        sum += widths[i] + GAP;
        return sum > GAP ? sum - GAP : 0;
}

/* Takes one column of width from the widest that may be cut. */
static bool cut(const struct table *table, size_t *widths) {
        size_t widest = DROPPED;

        for (size_t i = 0; i < table->n_columns; i++) {
                if (widths[i] == DROPPED || table->columns[i].min == 0 || widths[i] <= table->columns[i].min)
                        continue;
                if (widest == DROPPED || widths[i] > widths[widest])
                        widest = i;
        }
        if (widest == DROPPED)
                return false;
        widths[widest]--;
        return true;
}

static bool drop(const struct table *table, size_t *widths) {
        size_t first = DROPPED;

        for (size_t i = 0; i < table->n_columns; i++)
                if (widths[i] != DROPPED && table->columns[i].drop > 0 &&
                    (first == DROPPED || table->columns[i].drop > table->columns[first].drop))
                        first = i;
        if (first == DROPPED)
                return false;
        widths[first] = DROPPED;
        return true;
}

static void measure(const struct table *table, size_t *widths) {
        for (size_t i = 0; i < table->n_columns; i++) {
                widths[i] = table->columns[i].title ? text_width(table->columns[i].title) : 0;
                for (size_t row = 0; row < table->n_rows; row++)
                        if (table->cells[row * table->n_columns + i].width > widths[i])
                                widths[i] = table->cells[row * table->n_columns + i].width;
                /* What is broken anyway takes no room from the others. */
                if (table->columns[i].wraps && table->term->width > 0 && widths[i] > WRAPPED_MIN)
                        widths[i] = WRAPPED_MIN;
        }
}

static int lay_out(const struct table *table, unsigned indent, size_t *widths) {
        _cleanup_(freep) size_t *natural = calloc(table->n_columns, sizeof(*natural));
        const size_t width = table->term->width;

        if (!natural)
                return -ENOMEM;
        measure(table, natural);
        memcpy(widths, natural, table->n_columns * sizeof(*widths));
        while (width > 0 && indent + sum_of(table, widths) > width) {
                if (cut(table, widths))
                        continue;
                if (!drop(table, natural))
                        return 0; /* it does not fit; the terminal wraps it */
                memcpy(widths, natural, table->n_columns * sizeof(*widths)); /* there is room again */
        }
        return 0;
}

static void write_text(const struct table *table, FILE *out, const char *text, size_t text_columns,
                       enum term_style style, const struct table_column *column, size_t width, bool is_last) {
        const char *ellipsis = table->term->is_utf8 ? "…" : "~";
        size_t bytes = strlen(text), shown = text_columns;
        const bool is_cut = text_columns > width;

        if (is_cut)
                bytes = text_fit(text, width > 0 ? width - 1 : 0, &shown);
        if (is_cut)
                shown++;
        if (column->is_right && shown < width)
                fprintf(out, "%*s", (int)(width - shown), "");
        fprintf(out, "%s%.*s%s%s", term_begin(table->term, style), (int)bytes, text, is_cut ? ellipsis : "",
                term_end(table->term, style));
        if (!column->is_right && !is_last && shown < width)
                fprintf(out, "%*s", (int)(width - shown), "");
}

static void write_wrapped(const struct table *table, FILE *out, const struct cell *cell, size_t column,
                          unsigned indent) {
        const size_t width = table->term->width;

        fputs(term_begin(table->term, cell->style), out);
        text_wrap(out, cell->text ? cell->text : "", width, column,
                  width >= column + WRAPPED_MIN ? column : indent + WRAPPED_BELOW);
        fputs(term_end(table->term, cell->style), out);
}

/* ROW of the cells, or the titles for CELLS == NULL. */
static void write_row(const struct table *table, FILE *out, const struct cell *cells, const size_t *widths,
                      unsigned indent) {
        bool is_first = true;
        size_t last = 0, position = indent;

        /* Nothing is written after the last cell that has a text, so that no line ends in blanks. */
        for (size_t i = 0; i < table->n_columns; i++)
                if (widths[i] != DROPPED && (cells ? cells[i].width > 0 : !strempty(table->columns[i].title)))
                        last = i;

        fprintf(out, "%*s", (int)indent, "");
        for (size_t i = 0; i <= last; i++) {
                const struct table_column *column = &table->columns[i];
                const char *text = cells ? cells[i].text : column->title;

                if (widths[i] == DROPPED)
                        continue;
                if (!is_first)
                        fprintf(out, "%*s", (int)GAP, "");
                position += is_first ? 0 : GAP;
                is_first = false;
                if (cells && column->wraps && table->term->width > 0) {
                        write_wrapped(table, out, &cells[i], position, indent);
                        continue;
                }
                position += widths[i];
                write_text(table, out, text ? text : "",
                           cells ? cells[i].width : text_width(text ? text : ""),
                           cells ? cells[i].style : TERM_STRONG, column, widths[i], i == last);
        }
        fputc('\n', out);
}

int table_print(const struct table *table, FILE *out, unsigned indent) {
        _cleanup_(freep) size_t *widths = NULL;
        int r;

        if (!table || table->failed)
                return -ENOMEM;
        widths = calloc(table->n_columns, sizeof(*widths));
        if (!widths)
                return -ENOMEM;
        r = lay_out(table, indent, widths);
        if (r < 0)
                return r;
        if (has_titles(table))
                write_row(table, out, NULL, widths, indent);
        for (size_t row = 0; row < table->n_rows; row++)
                write_row(table, out, table->cells + row * table->n_columns, widths, indent);
        return 0;
}
