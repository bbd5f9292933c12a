/* Lines for people and for programs, from the same list. */

#include "ctl/diagnosis.h"

#include <stdarg.h>
#include <stdio.h>

#include "ctl/overview.h"
#include "ctl/terminal/text.h"
#include "lib/util/json.h"

void diagnosis_clear(struct diagnosis *diagnosis) {
        for (size_t i = 0; i < diagnosis->n; i++) {
                free(diagnosis->lines[i].about);
                free(diagnosis->lines[i].text);
                free(diagnosis->lines[i].fix);
        }
        free(diagnosis->lines);
        *diagnosis = (struct diagnosis) { 0 };
}

static bool make_room(struct diagnosis *diagnosis) {
        const size_t n = 2 * diagnosis->n_allocated + 16;
        struct diagnosis_line *grown;

        if (diagnosis->n < diagnosis->n_allocated)
                return true;
        grown = reallocarray(diagnosis->lines, n, sizeof(*grown));
        if (!grown)
                return false;
        diagnosis->lines = grown;
        diagnosis->n_allocated = n;
        return true;
}

static char *copy(const char *text, bool *is_lost) {
        char *copied = text ? strdup(text) : NULL;

        *is_lost = *is_lost || (text && !copied);
        return copied;
}

void diagnosis_add(struct diagnosis *diagnosis, enum diagnosis_result result, const char *check,
                   const char *about, const char *fix, const char *format, ...) {
        struct diagnosis_line line = { .result = result, .check = check };
        va_list args;

        if (!make_room(diagnosis)) {
                diagnosis->is_out_of_memory = true;
                return;
        }
        va_start(args, format);
        if (vasprintf(&line.text, format, args) < 0) {
                line.text = NULL;
                diagnosis->is_out_of_memory = true;
        }
        va_end(args);
        line.about = copy(about, &diagnosis->is_out_of_memory);
        line.fix = copy(fix, &diagnosis->is_out_of_memory);
        diagnosis->lines[diagnosis->n++] = line;
        diagnosis->n_bad += result == DIAGNOSIS_BAD;
        diagnosis->n_unknown += result == DIAGNOSIS_UNKNOWN;
}

static int end(const struct diagnosis *diagnosis, const struct ctl *ctl) {
        if (diagnosis->is_out_of_memory)
                return ctl_fail(ctl, CTL_FAILED, "out of memory");
        return diagnosis->n_bad > 0 ? CTL_FAILED : CTL_OK;
}

/* --- For people --- */

static const struct {
        enum verdict_level level; /* whose mark and style it has */
        const char *mark;         /* of its own; NULL: that of the level */
} looks[] = {
        [DIAGNOSIS_GOOD] = { VERDICT_FINE, NULL },
        [DIAGNOSIS_BAD] = { VERDICT_DOWN, NULL },
        [DIAGNOSIS_UNKNOWN] = { VERDICT_WATCH, "?" },
};

/* Broken lines continue below the text, so that the marks stay apart. */
static void print_hanging(const struct ctl *ctl, enum term_style style, const char *mark, const char *text) {
        _cleanup_(freep) char *clean = text_clean(text, ctl->term.is_utf8);

        printf("%s%s ", term_begin(&ctl->term, style), mark);
        text_wrap(stdout, clean ? clean : "out of memory", ctl->term.width, 2, 2);
        printf("%s\n", term_end(&ctl->term, style));
}

static void print_line(const struct diagnosis_line *line, const struct ctl *ctl) {
        const enum verdict_level level = looks[line->result].level;
        const char *mark =
                looks[line->result].mark ? looks[line->result].mark : overview_mark(level, ctl->term.is_utf8);
        _cleanup_(freep) char *text = NULL;

        if (asprintf(&text, "%s%s%s: %s", line->about ? line->about : "", line->about ? ": " : "",
                     line->check, line->text ? line->text : "out of memory") < 0)
                text = NULL;
        print_hanging(ctl, line->result == DIAGNOSIS_GOOD ? TERM_PLAIN : overview_style(level), mark,
                      text ? text : "out of memory");
        if (line->fix)
                ctl_print(ctl, "    fix: %s", line->fix);
}

int diagnosis_print(const struct diagnosis *diagnosis, struct ctl *ctl) {
        for (size_t i = 0; i < diagnosis->n; i++)
                print_line(&diagnosis->lines[i], ctl);
        ctl_print(ctl, "%s", "");
        ctl_print(ctl, "%zu checks: %zu failed, %zu could not be judged.", diagnosis->n, diagnosis->n_bad,
                  diagnosis->n_unknown);
        return end(diagnosis, ctl);
}

/* --- For programs --- */

static json_t *line_json(const struct diagnosis_line *line) {
        return json_pack("{s:s, s:o, s:o, s:o, s:o}", "check", line->check, "about",
                         line->about ? json_text(line->about) : json_null(), "ok",
                         line->result == DIAGNOSIS_UNKNOWN ? json_null()
                                                           : json_boolean(line->result == DIAGNOSIS_GOOD),
                         "text", json_text(line->text ? line->text : ""), "fix",
                         line->fix ? json_text(line->fix) : json_null());
}

int diagnosis_print_json(const struct diagnosis *diagnosis, struct ctl *ctl) {
        _cleanup_(json_decrefp) json_t *list = json_array(), *root = NULL;
        int exit;

        for (size_t i = 0; i < diagnosis->n; i++)
                if (json_array_append_new(list, line_json(&diagnosis->lines[i])) < 0)
                        return ctl_fail(ctl, CTL_FAILED, "out of memory");
        root = json_pack("{s:b, s:O}", "ok", diagnosis->n_bad == 0, "checks", list);
        if (!root)
                return ctl_fail(ctl, CTL_FAILED, "out of memory");
        exit = ctl_print_json(ctl, root);
        return exit == CTL_OK ? end(diagnosis, ctl) : exit;
}
