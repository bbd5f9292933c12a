/* Events, as `history` and `events` show them: when, what, and in which words. */

#include "ctl/event-line.h"

#include <stdio.h>

#include "ctl/terminal/format.h"
#include "ctl/terminal/text.h"
#include "ctl/view.h"

#define BESIDE_MIN   36u /* columns of text that are worth a column of their own */
#define BELOW_INDENT 4u
#define KIND_WIDTH   17 /* of "waiting-for-token", the longest */

static enum term_style style_of(const char *kind) {
        static const struct {
                const char *kind;
                enum term_style style;
        } rows[] = {
                { "renewed", TERM_GOOD },        { "enrolled", TERM_GOOD },
                { "adopted", TERM_GOOD },        { "reloaded", TERM_GOOD },
                { "rolled-back", TERM_WARNING }, { "held", TERM_WARNING },
                { "over-budget", TERM_WARNING }, { "revoked", TERM_WARNING },
                { "warning", TERM_WARNING },     { "clock-set", TERM_WARNING },
                { "lost", TERM_WARNING },        { "failed", TERM_BAD },
                { "not-probed", TERM_BAD },      { "waiting-for-token", TERM_BAD },
                { "not-notified", TERM_BAD },    { "not-exported", TERM_BAD },
                { "not-reloaded", TERM_BAD },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (streq(rows[i].kind, kind))
                        return rows[i].style;
        return TERM_PLAIN;
}

void event_print_line(const struct ctl *ctl, const json_t *event, bool with_name) {
        const struct term *term = &ctl->term;
        const char *kind = view_string(event, "event"), *message = view_string(event, "message");
        const char *name = with_name ? view_string(event, "certificate") : NULL;
        _cleanup_(freep) char *line = NULL, *clean_kind = NULL, *clean = NULL;
        char time[LOCAL_TIME_MAX];
        size_t indent;

        kind = kind ? kind : "?";
        (void)format_local_time(time, view_member_time(event, "time"));
        clean_kind = text_clean(kind, term->is_utf8);
        if (!clean_kind ||
            asprintf(&line, "%s%s%s", name ? name : "", name ? ": " : "", message ? message : "") < 0) {
                line = NULL;
                return;
        }
        clean = text_clean(line, term->is_utf8);
        if (!clean)
                return;

        printf("%s  %s%-*s%s  ", time, term_begin(term, style_of(kind)), KIND_WIDTH, clean_kind,
               term_end(term, style_of(kind)));
        /* Broken beside the columns, or, where these take most of the line, below them. */
        indent = strlen(time) + KIND_WIDTH + 4;
        text_wrap(stdout, clean, term->width, indent,
                  term->width > indent + BESIDE_MIN ? indent : BELOW_INDENT);
        putchar('\n');
}
