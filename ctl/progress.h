#pragma once

/* What is under way, in some lines that are redrawn, below what has ended, which stays. */

#include "ctl/ctl.h"

struct progress;

/* One that is under way. */
struct progress_row {
        const char *label; /* whose it is */
        const char *doing; /* what is being done */
        usec_t since;      /* CLOCK_MONOTONIC */
};

/* The block is only drawn on a terminal that can move its cursor. NULL when memory is out. */
struct progress *progress_new(const struct ctl *ctl);

/* Wipes the block. */
struct progress *progress_free(struct progress *progress);
DEFINE_CLEANUP(struct progress *, progress_free);

/* How many rows are of use at most; 0: no block is drawn. */
size_t progress_room(const struct progress *progress);

/* Draws the rows and, unless it is NULL, SUMMARY below them. */
void progress_draw(struct progress *progress, const struct progress_row *rows, size_t n_rows,
                   const char *summary);

/* A line that stays: LABEL, which may be NULL, and its outcome, on standard output; where it IS_BAD, on
 * standard error. Cleaned and, on a terminal, wrapped. */
void progress_print(struct progress *progress, bool is_bad, const char *label, const char *format, ...)
        _printf_(4, 5);

/* How long there is nothing to draw, as long as nothing happens. */
#define PROGRESS_TICK_USEC (USEC_PER_SEC / 4)
