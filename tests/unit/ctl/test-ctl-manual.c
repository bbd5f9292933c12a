/*
 * rekeyctl(1) against the table of commands: each command has its entry, with its arguments and options as
 * the rows have them, and nothing is in the page that rekeyctl does not know. The same for the exit statuses.
 */

#include "ctl/commands/commands.h"
#include "ctl/ctl.h"
#include "tests/support/scratch.h"
#include "tests/test.h"

#define LINES_MAX 400

/* A command's heading "*show* _NAME_", or an option's "*-j*, *--json*", with what follows it. */
struct topic {
        char *text;
        char *help; /* the paragraph below it */
        bool is_option, is_known;
};

struct topics {
        struct topic items[LINES_MAX];
        size_t n;
};

static char *read_section(const char *name) {
        _cleanup_(freep) char *directory = NULL, *page = NULL, *heading = NULL;
        char *start, *end;

        ck_assert_int_ge(asprintf(&directory, "%s/../../man", getenv("REKEYD_TEST_DATA")), 0);
        page = scratch_read(directory, "rekeyctl.1.scd");
        ck_assert_ptr_nonnull(page);
        ck_assert_int_ge(asprintf(&heading, "\n# %s\n", name), 0);
        start = strstr(page, heading);
        ck_assert_msg(start, "there is no section %s", name);
        start += strlen(heading);
        end = strstr(start, "\n# ");
        return end ? strndup(start, (size_t)(end - start) + 1) : strdup(start);
}

/* Each line's end, with the tabs after it, becomes a blank. */
static void join_lines(char *text) {
        char *to = text;

        for (const char *from = text; *from; from++)
                if (*from != '\t')
                        *to++ = *from == '\n' ? ' ' : *from;
        *to = '\0';
}

/* Terms stand alone in their line: those of commands at its beginning, those of options behind a tab. What
 * explains them is indented by one tab more. */
static void read_terms(const char *section, struct topics *ret) {
        ret->n = 0;
        for (const char *line = section, *next; *line; line = next) {
                size_t n = strcspn(line, "\n"), indent = *line == '\t';
                const char *end;

                next = line + n + (line[n] == '\n');
                if (line[indent] != '*' || (indent == 1 && line[2] != '-') ||
                    strspn(next, "\t") != indent + 1)
                        continue;
                ck_assert_uint_lt(ret->n, LINES_MAX);
                end = strstr(next, "\n\n");
                ret->items[ret->n++] = (struct topic) {
                        .text = strndup(line + indent, n - indent),
                        .help = end ? strndup(next, (size_t)(end - next)) : strdup(next),
                        .is_option = line[indent + 1] == '-',
                };
                join_lines(ret->items[ret->n - 1].help);
        }
}

static void clear_terms(struct topics *terms) {
        for (size_t i = 0; i < terms->n; i++) {
                free(terms->items[i].text);
                free(terms->items[i].help);
        }
}

/* "*status* [_NAME_]..." */
static char *command_text(const struct ctl_command *command) {
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        fprintf(out, "*%s*", command->name);
        for (size_t i = 0; i < command->n_arguments; i++) {
                const struct ctl_argument *argument = &command->arguments[i];

                fprintf(out, argument->is_optional ? " [_%s_]%s" : " _%s_%s", argument->name,
                        argument->repeats ? "..." : "");
        }
        ck_assert_int_eq(fclose(out), 0);
        return text;
}

/* "*-c*, *--config* _FILE_" */
static char *option_text(const struct ctl_option *option) {
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        if (option->letter)
                fprintf(out, "*-%c*, ", option->letter);
        fprintf(out, "*--%s*", option->name);
        if (option->kind != CTL_NONE)
                fprintf(out, " _%s_", option->argument);
        ck_assert_int_eq(fclose(out), 0);
        return text;
}

/* From FIRST up to the next command. */
static struct topic *find_option(struct topics *terms, size_t first, const char *text) {
        for (size_t i = first; i < terms->n && terms->items[i].is_option; i++)
                if (streq(terms->items[i].text, text))
                        return &terms->items[i];
        return NULL;
}

/* In the entry of its command, or in SHARED (may be NULL): what several commands have is explained once. */
static void check_option(struct topics *terms, size_t first, struct topics *shared,
                         const struct ctl_option *option, const char *whose) {
        _cleanup_(freep) char *text = option_text(option), *default_text = NULL;
        struct topic *term = find_option(terms, first, text);

        if (!term && shared)
                term = find_option(shared, 0, text);
        ck_assert_msg(term, "the manual lacks option '%s' of %s: %s", text, whose, option->help);
        term->is_known = true;
        if (!option->default_text)
                return;
        ck_assert_int_ge(asprintf(&default_text, "default *%s*", option->default_text), 0);
        ck_assert_msg(strstr(term->help, default_text), "the manual does not say '%s' of '%s' of %s",
                      default_text, text, whose);
}

/* Whoever changes something has all of SHARED, and nobody else has any of it. */
static void check_shared(struct topics *shared, const struct ctl_command *command) {
        for (size_t i = 0; i < shared->n; i++) {
                bool has = false;

                for (size_t j = 0; j < command->n_options; j++) {
                        _cleanup_(freep) char *text = option_text(&command->options[j]);

                        has = has || streq(text, shared->items[i].text);
                }
                ck_assert_msg(has == (command->section == CTL_CHANGE), "'%s' %s '%s', against WAITING",
                              command->name, has ? "has" : "lacks", shared->items[i].text);
        }
}

static void check_command(struct topics *terms, struct topics *shared, const struct ctl_command *command) {
        _cleanup_(freep) char *text = command_text(command);
        size_t i = 0;

        while (i < terms->n && !streq(terms->items[i].text, text))
                i++;
        ck_assert_msg(i < terms->n, "the manual lacks '%s': %s", text, command->help);
        terms->items[i].is_known = true;
        for (size_t j = 0; j < command->n_options; j++)
                check_option(terms, i + 1, shared, &command->options[j], command->name);
        check_shared(shared, command);
}

static void check_nothing_else(const struct topics *terms) {
        const char *command = "all commands";

        for (size_t i = 0; i < terms->n; i++) {
                const struct topic *term = &terms->items[i];

                if (!term->is_option)
                        command = term->text;
                ck_assert_msg(term->is_known, "the manual has '%s' (%s), which rekeyctl does not know",
                              term->text, command);
        }
}

START_TEST(commands_and_their_options) {
        _cleanup_(freep) char *section = read_section("COMMANDS"), *waiting = read_section("WAITING");
        struct topics terms, shared;

        read_terms(section, &terms);
        read_terms(waiting, &shared);
        for (size_t i = 0; i < commands.n; i++)
                if (!commands.commands[i]->is_hidden)
                        check_command(&terms, &shared, commands.commands[i]);
        check_nothing_else(&terms);
        check_nothing_else(&shared);
        test_report("rekeyctl(1): %zu commands and options", terms.n + shared.n);
        clear_terms(&terms);
        clear_terms(&shared);
}
END_TEST

START_TEST(options_of_all_commands) {
        _cleanup_(freep) char *section = read_section("OPTIONS");
        struct topics terms;

        read_terms(section, &terms);
        for (size_t i = 0; i < n_ctl_global_options; i++)
                check_option(&terms, 0, NULL, &ctl_global_options[i], "all commands");
        check_nothing_else(&terms);
        clear_terms(&terms);
}
END_TEST

/* A table of two columns: "|  *3*" and ":  rekeyd cannot be reached", which may go on in the next line. */
START_TEST(exit_statuses) {
        _cleanup_(freep) char *section = read_section("EXIT STATUS");
        unsigned n_rows = 0;

        for (char *p = section; (p = strstr(p, "\n   ")); p++) /* cells that go on */
                memmove(p + 1, p + 4, strlen(p + 4) + 1), *p = ' ';
        for (int i = 0; i < CTL_EXIT_MAX; i++) {
                _cleanup_(freep) char *first = NULL, *other = NULL;

                ck_assert_ptr_nonnull(ctl_exit_help[i]);
                ck_assert_int_ge(asprintf(&first, "|[ *%d*\n:< %s", i, ctl_exit_help[i]), 0);
                ck_assert_int_ge(asprintf(&other, "|  *%d*\n:  %s", i, ctl_exit_help[i]), 0);
                ck_assert_msg(strstr(section, first) || strstr(section, other),
                              "the manual lacks '%s' of\n%s", other, section);
        }
        for (char *p = section; (p = strstr(p, "\n|")); p++)
                n_rows += p[4] == '*' && strchr("0123456789", p[5]);
        ck_assert_uint_eq(n_rows, CTL_EXIT_MAX);
}
END_TEST

TEST_MAIN("ctl-manual", commands_and_their_options, options_of_all_commands, exit_statuses)
