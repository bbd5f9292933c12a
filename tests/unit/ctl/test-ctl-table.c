/* Tables: aligned in display width, and no wider than the terminal. */

#include <errno.h>

#include "ctl/terminal/table.h"
#include "ctl/terminal/text.h"
#include "tests/test.h"

static const struct table_column columns[] = {
        { .title = "NAME", .min = 4 },
        { .title = "N", .is_right = true },
        { .title = "STATE", .drop = 1 },
        { .title = "BAR", .drop = 2 },
};

/* A table of a few rows at WIDTH; owned by the caller. */
static char *print(struct term term, const char *second_name, unsigned indent) {
        _cleanup_(table_freep) struct table *table = table_new(&term, columns, ELEMENTSOF(columns));
        char *text = NULL;
        size_t size;
        FILE *out;

        table_row(table);
        table_cell(table, TERM_GOOD, "orders");
        table_cell(table, TERM_PLAIN, "%d", 7);
        table_cell(table, TERM_PLAIN, "current");
        table_cell(table, TERM_PLAIN, "####");
        table_row(table);
        table_cell(table, TERM_BAD, "%s", second_name);
        table_cell(table, TERM_PLAIN, "%d", 1234);
        out = open_memstream(&text, &size);
        ck_assert_int_eq(table_print(table, out, indent), 0);
        fclose(out);
        return text;
}

START_TEST(without_memory_it_says_so) {
        ck_assert_int_eq(table_print(NULL, stdout, 0), -ENOMEM);
        table_row(NULL);
        table_cell(NULL, TERM_PLAIN, "x");
}
END_TEST

/* Nothing of a sentence is cut, and no line is wider than the terminal. */
START_TEST(sentences_are_broken) {
        static const struct table_column sentences[] = { { .title = "NAME" },
                                                         { .title = "STATE", .wraps = true } };
        static const struct {
                unsigned width;
                const char *text;
        } rows[] = {
                { 0, "NAME    STATE\norders  one two three four five six seven eight nine ten\n" },
                { 40, "NAME    STATE\n"
                      "orders  one two three four five six\n"
                      "        seven eight nine ten\n" },
                { 30, "NAME    STATE\n"
                      "orders  one two three four\n"
                      "    five six seven eight nine\n"
                      "    ten\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const struct term term = { .width = rows[i].width };
                _cleanup_(table_freep) struct table *table = table_new(&term, sentences, 2);
                _cleanup_(freep) char *text = NULL;
                size_t size;
                FILE *out = open_memstream(&text, &size);

                table_row(table);
                table_cell(table, TERM_PLAIN, "orders");
                table_cell(table, TERM_PLAIN, "one two three four five six seven eight nine ten");
                ck_assert_int_eq(table_print(table, out, 0), 0);
                fclose(out);
                ck_assert_str_eq(text, rows[i].text);
        }
}
END_TEST

START_TEST(layouts) {
        static const struct {
                unsigned width, indent;
                bool is_utf8;
                const char *second, *text;
        } rows[] = {
                /* no terminal, no limit; no blanks at the ends of lines */
                { 0, 0, false, "a-rather-long-name",
                  "NAME                   N  STATE    BAR\n"
                  "orders                 7  current  ####\n"
                  "a-rather-long-name  1234\n" },
                { 0, 2, false, "b",
                  "  NAME       N  STATE    BAR\n"
                  "  orders     7  current  ####\n"
                  "  b       1234\n" },
                /* what may be cut is cut */
                { 30, 0, true, "a-rather-long-name",
                  "NAME          N  STATE    BAR\n"
                  "orders        7  current  ####\n"
                  "a-rather…  1234\n" },
                { 30, 0, false, "a-rather-long-name",
                  "NAME          N  STATE    BAR\n"
                  "orders        7  current  ####\n"
                  "a-rather~  1234\n" },
                /* then columns go, and what was cut has room again */
                { 22, 0, true, "a-rather-long-name",
                  "NAME        N  STATE\n"
                  "orders      7  current\n"
                  "a-rath…  1234\n" },
                { 16, 0, true, "a-rather-long-name",
                  "NAME           N\n"
                  "orders         7\n"
                  "a-rather-…  1234\n" },
                /* wide characters are not cut in half */
                { 24, 0, true, "\xe8\xaf\x81\xe4\xb9\xa6\xe8\xaf\x81\xe4\xb9\xa6\xe8\xaf\x81",
                  "NAME          N  STATE\n"
                  "orders        7  current\n"
                  "\xe8\xaf\x81\xe4\xb9\xa6\xe8\xaf\x81\xe4\xb9\xa6…  1234\n" },
                /* nothing steers */
                { 0, 0, true, "\033[2J",
                  "NAME        N  STATE    BAR\n"
                  "orders      7  current  ####\n"
                  "\\x1b[2J  1234\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const struct term term = { .is_terminal = rows[i].width > 0,
                                           .width = rows[i].width,
                                           .is_utf8 = rows[i].is_utf8 };
                _cleanup_(freep) char *text = print(term, rows[i].second, rows[i].indent);

                ck_assert_msg(streq(text, rows[i].text), "row %zu:\n%s\nexpected:\n%s", i, text,
                              rows[i].text);
        }
}
END_TEST

START_TEST(no_line_is_wider_than_the_terminal) {
        for (unsigned width = 14; width < 60; width++) {
                const struct term term = { .is_terminal = true, .width = width, .is_utf8 = true };
                _cleanup_(freep) char *text = print(term, "a-rather-long-name-\xe8\xaf\x81\xe4\xb9\xa6", 2);
                char *rest = text, *line;

                while ((line = strsep(&rest, "\n")))
                        ck_assert_msg(text_width(line) <= width, "%u: %s", width, line);
        }
}
END_TEST

START_TEST(colours_take_no_room) {
        const struct term term = { .is_terminal = true, .has_colours = true, .width = 80 };
        _cleanup_(freep) char *text = print(term, "b", 0);

        ck_assert_msg(strstr(text, "\033[32morders\033[0m     7"), "%s", text);
        ck_assert_msg(strstr(text, "\033[1;31mb\033[0m       1234"), "%s", text);
}
END_TEST

START_TEST(terminals) {
        const struct term none = { .has_colours = false };
        struct term term;
        int fds[2];

        for (enum term_style style = TERM_PLAIN; style < TERM_STYLE_MAX; style++) {
                const struct term colours = { .has_colours = true };

                ck_assert_str_eq(term_begin(&none, style), "");
                ck_assert_str_eq(term_end(&none, style), "");
                ck_assert(strempty(term_begin(&colours, style)) == (style == TERM_PLAIN));
                ck_assert(strempty(term_end(&colours, style)) == (style == TERM_PLAIN));
        }

        /* What is no terminal has neither width nor colours, whatever the environment says. */
        ck_assert_int_eq(pipe(fds), 0);
        setenv("COLUMNS", "40", 1);
        setenv("TERM", "xterm", 1);
        setenv("LC_ALL", "C", 1);
        term = term_detect(fds[1]);
        ck_assert(!term.is_terminal && !term.has_colours && !term.is_utf8 && term.width == 0);
        setenv("LC_ALL", "C.UTF-8", 1);
        term = term_detect(fds[1]);
        ck_assert(term.is_utf8);
        close(fds[0]);
        close(fds[1]);
}
END_TEST

TEST_MAIN("ctl-table", without_memory_it_says_so, sentences_are_broken, layouts,
          no_line_is_wider_than_the_terminal, colours_take_no_room, terminals)
