/*
 * What an operator sees first. In ten seconds it must be clear what is wrong and which command fixes it:
 * problems come first in the table, and once more, in words, at the end, where the eye is when the output has
 * scrolled by. Of thousands that are OK only the number matters.
 */

#include "ctl/overview.h"

#include <errno.h>

#include "ctl/terminal/format.h"
#include "ctl/terminal/table.h"
#include "ctl/terminal/text.h"

#define SENTENCES_MAX 12u /* below a folded table; the rest is counted */

struct row {
        struct view view;
        struct verdict verdict;
        size_t position; /* as rekeyd has it */
};

struct overview {
        json_t *list;
        usec_t now;
        bool is_offline, is_wide;
        struct row *rows;
        size_t n_rows;
        size_t counts[VERDICT_LEVEL_MAX];
};

static int compare_rows(const void *a, const void *b) {
        const struct row *x = a, *y = b;

        if (x->verdict.level != y->verdict.level)
                return x->verdict.level > y->verdict.level ? -1 : 1;
        return x->position < y->position ? -1 : 1;
}

int overview_new(json_t *list, usec_t now, bool is_offline, struct overview **ret) {
        _cleanup_(overview_freep) struct overview *overview = NULL;
        const size_t n = json_array_size(list);

        overview = calloc(1, sizeof(*overview));
        if (!overview)
                return -ENOMEM;
        overview->list = json_incref(list);
        overview->now = now;
        overview->is_offline = is_offline;
        overview->rows = calloc(n + 1, sizeof(*overview->rows));
        if (!overview->rows)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                struct row *row = &overview->rows[i];

                view_read(json_array_get(list, i), &row->view);
                row->position = i;
                overview->n_rows++;
                if (verdict_judge(&row->view, now, is_offline, &row->verdict) < 0)
                        return -ENOMEM;
                overview->counts[row->verdict.level]++;
        }
        qsort(overview->rows, n, sizeof(*overview->rows), compare_rows);
        *ret = take_ptr(overview);
        return 0;
}

struct overview *overview_free(struct overview *overview) {
        if (!overview)
                return NULL;
        for (size_t i = 0; i < overview->n_rows; i++)
                verdict_clear(&overview->rows[i].verdict);
        free(overview->rows);
        json_decref(overview->list);
        free(overview);
        return NULL;
}

void overview_widen(struct overview *overview) {
        overview->is_wide = true;
}

size_t overview_count(const struct overview *overview, enum verdict_level level) {
        return overview->counts[level];
}

static const struct {
        const char *mark, *ascii;
        enum term_style style;
} inspections[VERDICT_LEVEL_MAX] = {
        [VERDICT_FINE] = { "✓", "=", TERM_GOOD },
        [VERDICT_WATCH] = { "~", "~", TERM_WARNING },
        [VERDICT_CALL] = { "!", "!", TERM_WARNING },
        [VERDICT_DOWN] = { "✗", "X", TERM_BAD },
};

const char *overview_mark(enum verdict_level level, bool is_utf8) {
        return is_utf8 ? inspections[level].mark : inspections[level].ascii;
}

enum term_style overview_style(enum verdict_level level) {
        return inspections[level].style;
}

/* --- The table --- */

static const struct table_column columns[] = {
        { .title = "" },
        { .title = "NAME", .min = 12 },
        { .title = "STATE", .min = 17, .drop = 1 }, /* the mark and the sentences below say it, too */
        { .title = "EXPIRES IN" },
        { .title = "RENEWS IN", .drop = 2 },
        { .title = "LAST RESULT", .drop = 3 },
        { .title = "LIFETIME", .drop = 5 },
        { .title = "USED", .is_right = true, .drop = 4 }, /* the same in percent */
        { .title = "SUBJECT", .min = 14 },                /* from here on with --wide */
        { .title = "ISSUER", .min = 12 },
};
#define N_WIDE_COLUMNS 2u

static void cell_state(struct table *table, enum term_style style, const struct view *view) {
        if (view->knowledge == SET_UNREADABLE)
                table_cell(table, style, "cannot be read");
        else if (view->is_revoked)
                table_cell(table, style, view->is_revoking ? "may be revoked" : "revoked");
        else if (view->step)
                table_cell(table, style, "%s: %s", view->state, view->step);
        else
                table_cell(table, style, "%s", view->state);
}

static void cell_expiry(struct table *table, enum term_style style, const struct view *view, usec_t now) {
        const char *known = view->knowledge == SET_UNREADABLE ? ", last known" : "";
        char span[TIMESPAN_MAX];

        if (view->not_after == 0)
                table_cell(table, TERM_FAINT, view->knowledge == SET_NONE ? "-" : "unknown");
        else if (view->not_after == USEC_INFINITY)
                table_cell(table, TERM_FAINT, "never%s", known);
        else if (now >= view->not_after)
                table_cell(table, TERM_BAD, "%s ago%s", format_short_span(span, now - view->not_after),
                           known);
        else
                table_cell(table, style, "%s%s%s", format_timespan(span, view->not_after - now),
                           view->renewable.expires_first ? " (CA)" : "", known);
}

static bool is_narrow(const struct term *term) {
        return term->width > 0 && term->width < 100;
}

static void cell_renewal(struct table *table, const struct view *view, usec_t now, const struct term *term) {
        char span[TIMESPAN_MAX];

        if (view->step)
                table_cell(table, TERM_PLAIN, "under way");
        else if (view->next_attempt > now)
                table_cell(table, TERM_PLAIN, "retry %s",
                           (is_narrow(term) ? format_short_span : format_timespan)(span,
                                                                                   view->next_attempt - now));
        else if (view->renew_at == 0 || !view_has_set(view) || view->is_revoked)
                table_cell(table, TERM_FAINT, "-");
        else if (view->renew_at <= now)
                table_cell(table, TERM_WARNING, "due");
        else
                table_cell(table, TERM_PLAIN, "%s", format_timespan(span, view->renew_at - now));
}

static void cell_result(struct table *table, const struct view *view, usec_t now) {
        static const struct {
                const char *event, *label;
        } labels[] = {
                { "waiting-for-token", "no token" },
                { "over-budget", "no budget" },
                { "notifying", "notify" },
        };
        const char *label = view->last_result ? view->last_result : view->last_error ? "failed" : NULL;
        const char *operation = view_failed_operation(view);
        const usec_t when = view->last_result ? view->last_result_at : view->last_error_at;
        char span[TIMESPAN_MAX];

        for (size_t i = 0; i < ELEMENTSOF(labels); i++)
                if (streq_null(label, labels[i].event))
                        label = labels[i].label;
        if (!label)
                table_cell(table, TERM_FAINT, "-");
        else
                table_cell(table, TERM_PLAIN, "%s%s%s%s%s", operation, *operation ? " " : "", label,
                           when > 0 ? " " : "", when > 0 ? format_short_span(span, usec_sub(now, when)) : "");
}

/* A wider terminal has a longer bar. */
static void cell_lifetime(struct table *table, enum term_style style, const struct view *view, usec_t now,
                          const struct term *term) {
        const unsigned used = view_used(view, now);
        const unsigned width = is_narrow(term) || term->width == 0 ? 8 : term->width < 120 ? 12 : 20;
        char bar[3 * BAR_COLUMNS_MAX + 1];

        table_cell(table, style, "%s", view_expires(view) ? format_bar(bar, used, width, term->is_utf8) : "");
        if (view_expires(view))
                table_cell(table, style, "%u%%", used);
        else
                table_cell(table, style, "%s", "");
}

/* Where no rekeyd runs nobody renews it: no tick. */
static void cell_mark(struct table *table, enum verdict_level level, bool is_offline,
                      const struct term *term) {
        if (is_offline && level == VERDICT_FINE)
                table_cell(table, TERM_FAINT, "?");
        else
                table_cell(table, inspections[level].style, "%s", overview_mark(level, term->is_utf8));
}

static void cell_name(struct table *table, const char *name) {
        table_cell(table, name ? TERM_PLAIN : TERM_FAINT, "%s", name ? name : "-");
}

static void add_row(struct table *table, const struct row *row, const struct overview *overview,
                    const struct term *term) {
        const usec_t now = overview->now;
        const struct view *view = &row->view;
        const enum verdict_level level = row->verdict.level;
        const enum term_style style = level == VERDICT_FINE ? TERM_PLAIN : inspections[level].style;

        table_row(table);
        cell_mark(table, level, overview->is_offline, term);
        table_cell(table, level == VERDICT_FINE ? TERM_PLAIN : TERM_STRONG, "%s", view->name);
        cell_state(table, style, view);
        cell_expiry(table, TERM_PLAIN, view, now);
        cell_renewal(table, view, now, term);
        cell_result(table, view, now);
        cell_lifetime(table, inspections[level].style, view, now, term);
        if (overview->is_wide) {
                cell_name(table, view->subjects.current);
                cell_name(table, view->renewable.issuer);
        }
}

/* --- What is wrong, in words --- */

/* Ends with a newline. */
static int print_clean(FILE *out, const struct term *term, enum term_style style, const char *text,
                       size_t column, size_t indent) {
        _cleanup_(freep) char *clean = text_clean(text, term->is_utf8);

        if (!clean)
                return -ENOMEM;
        fputs(term_begin(term, style), out);
        text_wrap(out, clean, term->width, column, indent);
        fprintf(out, "%s\n", term_end(term, style));
        return 0;
}

int overview_print_finding(FILE *out, const struct term *term, const char *name,
                           const struct finding *finding) {
        /* Where all is fine nothing has to be done. */
        const char *command = finding->level > VERDICT_FINE ? finding->command : NULL;
        const char *advice = command ? finding->advice : NULL;
        _cleanup_(freep) char *line = NULL;
        int r;

        if (asprintf(&line, "%s %s: %s%s%s%s", overview_mark(finding->level, term->is_utf8), name,
                     finding->sentence, advice ? "; " : "", advice ? advice : "", advice ? ":" : ".") < 0) {
                line = NULL;
                return -ENOMEM;
        }
        r = print_clean(out, term, inspections[finding->level].style, line, 0, 2);
        if (r < 0 || !command)
                return r;
        fputs("    ", out);
        r = print_clean(out, term, TERM_STRONG, command, 4, 4);
        if (r < 0 || !finding->then)
                return r;
        fputs("    ", out);
        return print_clean(out, term, TERM_STRONG, finding->then, 4, 4);
}

static int print_findings(const struct overview *overview, const struct term *term, bool is_folded,
                          FILE *out) {
        size_t printed = 0, left = 0;
        int r;

        for (size_t i = 0; i < overview->n_rows; i++) {
                const struct row *row = &overview->rows[i];

                for (size_t k = 0; k < row->verdict.n_findings; k++) {
                        if (is_folded && printed >= SENTENCES_MAX) {
                                left++;
                                continue;
                        }
                        if (printed++ == 0)
                                fputc('\n', out);
                        r = overview_print_finding(out, term, row->view.name, &row->verdict.findings[k]);
                        if (r < 0)
                                return r;
                }
        }
        if (left > 0)
                fprintf(out, "%zu more: rekeyctl status --all, or status NAME.\n", left);
        return 0;
}

static void print_summary(const struct overview *overview, const struct term *term, FILE *out) {
        static const struct {
                enum verdict_level level;
                const char *one, *many;
        } parts[] = {
                { VERDICT_DOWN, "does not work", "do not work" },
                { VERDICT_CALL, "needs attention", "need attention" },
                { VERDICT_WATCH, "in progress", "in progress" },
                { VERDICT_FINE, "OK", "OK" },
        };
        bool is_first = true;

        fprintf(out, "\n%zu certificate%s: ", overview->n_rows, overview->n_rows == 1 ? "" : "s");
        for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
                const size_t n = overview->counts[parts[i].level];
                const enum term_style style = inspections[parts[i].level].style;

                if (n == 0)
                        continue;
                if (overview->is_offline && parts[i].level == VERDICT_FINE) {
                        fprintf(out, "%s%zu valid, but not managed", is_first ? "" : ", ", n);
                        is_first = false;
                        continue;
                }
                fprintf(out, "%s%s%zu %s%s", is_first ? "" : ", ", term_begin(term, style), n,
                        n == 1 ? parts[i].one : parts[i].many, term_end(term, style));
                is_first = false;
        }
        fputs(".\n", out);
}

/* What is shown without rekeyd is old, and nobody works on it. */
static int print_absence(const struct overview *overview, const struct term *term, FILE *out) {
        _cleanup_(freep) char *line = NULL;
        char moment[MOMENT_MAX];
        usec_t saved = 0;

        if (!overview->is_offline)
                return 0;
        for (size_t i = 0; i < overview->n_rows; i++)
                if (overview->rows[i].view.files.saved_at > saved)
                        saved = overview->rows[i].view.files.saved_at;
        if (asprintf(&line,
                     "Read from the disk%s%s. Nothing is renewed while rekeyd is not running; start it: "
                     "systemctl start rekeyd",
                     saved > 0 ? "; rekeyd last saved its state at " : "; rekeyd has left no state",
                     saved > 0 ? format_moment(moment, saved, overview->now) : "") < 0) {
                line = NULL;
                return -ENOMEM;
        }
        return print_clean(out, term, TERM_WARNING, line, 0, 0);
}

int overview_print(const struct overview *overview, const struct term *term, bool is_folded, FILE *out) {
        _cleanup_(table_freep) struct table *table = NULL;
        size_t hidden = 0;
        int r;

        if (overview->n_rows == 0) {
                fputs("The configuration has no certificates. To add one: rekeyctl help add, or "
                      "rekeyd.yaml(5).\n",
                      out);
                return 0;
        }
        /* With titles, the blank line and the summary. */
        is_folded = is_folded && term->height > 0 && overview->n_rows + 4 > term->height;

        table = table_new(term, columns, ELEMENTSOF(columns) - (overview->is_wide ? 0 : N_WIDE_COLUMNS));
        for (size_t i = 0; i < overview->n_rows; i++) {
                const struct row *row = &overview->rows[i];

                if (is_folded && row->verdict.level == VERDICT_FINE)
                        hidden++;
                else
                        add_row(table, row, overview, term);
        }
        if (hidden < overview->n_rows) {
                r = table_print(table, out, 0);
                if (r < 0)
                        return r;
        }
        if (hidden > 0)
                fprintf(out, "%s%zu OK, not shown: rekeyctl status --all%s\n", term_begin(term, TERM_FAINT),
                        hidden, term_end(term, TERM_FAINT));
        r = print_findings(overview, term, is_folded, out);
        if (r < 0)
                return r;
        print_summary(overview, term, out);
        return print_absence(overview, term, out);
}
