/*
 * The block is at the end of what was printed, with the cursor below it: so whatever ends rekeyctl, the
 * terminal is in order. Before a line that stays is printed, the block is wiped, and drawn again with the
 * next tick. Its lines are cut to the width, for a line that wraps would be two to step over.
 *
 * Elsewhere than on a terminal there are only the lines that stay.
 */

#include "ctl/progress.h"

#include <stdarg.h>
#include <stdio.h>

#include "ctl/overview.h"
#include "ctl/terminal/table.h"
#include "ctl/terminal/text.h"
#include "lib/util/text-stream.h"

#define ROWS_MAX 12u

struct progress {
        const struct ctl *ctl;
        bool is_live;
        size_t n_lines; /* of the block as it stands */
};

struct progress *progress_new(const struct ctl *ctl) {
        struct progress *progress = calloc(1, sizeof(*progress));
        const char *type = getenv("TERM");

        if (!progress)
                return NULL;
        progress->ctl = ctl;
        progress->is_live = ctl->term.is_terminal && !strempty(type) && !streq(type, "dumb");
        return progress;
}

static void wipe(struct progress *progress) {
        if (progress->n_lines > 0)
                printf("\033[%zuA\r\033[J", progress->n_lines);
        progress->n_lines = 0;
        fflush(stdout);
}

struct progress *progress_free(struct progress *progress) {
        if (progress)
                wipe(progress);
        free(progress);
        return NULL;
}

size_t progress_room(const struct progress *progress) {
        const unsigned height = progress->ctl->term.height;

        if (!progress->is_live || height < 4)
                return 0;
        return height - 3 < ROWS_MAX ? height - 3 : ROWS_MAX;
}

static const struct table_column columns[] = {
        { .title = NULL, .min = 8 },
        { .title = NULL, .min = 8 },
        { .title = NULL, .is_right = true },
};

static size_t count_lines(const char *text) {
        size_t n = 0;

        for (; (text = strchr(text, '\n')); text++)
                n++;
        return n;
}

void progress_draw(struct progress *progress, const struct progress_row *rows, size_t n_rows,
                   const char *summary) {
        _cleanup_(table_freep) struct table *table =
                table_new(&progress->ctl->term, columns, ELEMENTSOF(columns));
        const usec_t now = now_usec(CLOCK_MONOTONIC);
        _cleanup_(freep) char *text = NULL;
        size_t size = 0, width;
        FILE *out;

        if (progress_room(progress) == 0)
                return;
        for (size_t i = 0; i < n_rows; i++) {
                /* Whole seconds: tenths would only flicker. */
                const usec_t elapsed = usec_sub(now, rows[i].since) / USEC_PER_SEC * USEC_PER_SEC;
                char span[TIMESPAN_MAX];

                table_row(table);
                table_cell(table, TERM_PLAIN, "%s", rows[i].label);
                table_cell(table, TERM_FAINT, "%s", rows[i].doing);
                table_cell(table, TERM_FAINT, "%s", elapsed > 0 ? format_timespan(span, elapsed) : "");
        }
        out = text_stream_open(&text, &size);
        if (!out)
                return;
        (void)table_print(table, out, 2);
        if (summary)
                fprintf(out, "%.*s\n", (int)text_fit(summary, progress->ctl->term.width - 1, &width),
                        summary);
        if (fclose(out) != 0)
                return;
        wipe(progress);
        fputs(text, stdout);
        progress->n_lines = count_lines(text);
        fflush(stdout);
}

static void say_on_terminal(const struct progress *progress, bool is_bad, FILE *out, const char *line) {
        const enum verdict_level level = is_bad ? VERDICT_DOWN : VERDICT_FINE;
        const struct term *term = &progress->ctl->term;

        fprintf(out, "%s%s%s ", term_begin(term, overview_style(level)), overview_mark(level, term->is_utf8),
                term_end(term, overview_style(level)));
        text_wrap(out, line, term->width, 2, 2);
        fputc('\n', out);
}

void progress_print(struct progress *progress, bool is_bad, const char *label, const char *format, ...) {
        _cleanup_(freep) char *message = NULL, *line = NULL, *clean = NULL;
        FILE *out = is_bad ? stderr : stdout;
        va_list args;
        int n;

        va_start(args, format);
        if (vasprintf(&message, format, args) < 0)
                message = NULL;
        va_end(args);
        n = message ? asprintf(&line, "%s%s%s", label ? label : "", label ? ": " : "", message) : -1;
        if (n < 0)
                line = NULL;
        clean = line ? text_clean(line, progress->ctl->term.is_utf8) : NULL;

        wipe(progress);
        if (!clean)
                fputs("out of memory\n", out);
        else if (progress->ctl->term.is_terminal && isatty(fileno(out)))
                say_on_terminal(progress, is_bad, out, clean);
        else if (is_bad)
                fprintf(out, "rekeyctl: %s\n", clean);
        else
                fprintf(out, "%s\n", clean);
        fflush(out);
}
