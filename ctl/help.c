/* What `rekeyctl --help` and `rekeyctl help COMMAND` print, from the table of commands. */

#include "ctl/help.h"

#include <ctype.h>

#include "ctl/terminal/term.h"
#include "ctl/terminal/text.h"

#define WIDTH_LEFT  28u  /* of names, before their help */
#define WIDTH_PROSE 100u /* lines that are longer are hard to read */
#define WIDTH_PIPE  80u

/* Help is read by people wherever it goes: it has lines in a pipe, too. */
static size_t width_of_lines(void) {
        const struct term term = term_detect(STDOUT_FILENO);

        return term.width == 0 ? WIDTH_PIPE : term.width > WIDTH_PROSE ? WIDTH_PROSE : term.width;
}

static void print_prose(const char *text) {
        text_wrap(stdout, text, width_of_lines(), 0, 0);
        putchar('\n');
}

static const char *const section_titles[CTL_SECTION_MAX] = {
        [CTL_INSPECT] = "Inspect:",
        [CTL_CHANGE] = "Change:",
        [CTL_OTHER] = "Other:",
};

static void print_row(const char *left, const char *help) {
        const size_t columns = width_of_lines(), beside = WIDTH_LEFT + 4;
        const bool is_narrow = columns < 2 * beside;
        const size_t indent = is_narrow ? 8 : beside;

        if (is_narrow || strlen(left) > WIDTH_LEFT)
                printf("  %s\n%*s", left, (int)indent, "");
        else
                printf("  %-*s  ", (int)WIDTH_LEFT, left);
        text_wrap(stdout, help, columns, indent, indent);
        putchar('\n');
}

static void print_option(const struct ctl_option *option) {
        char left[64], help[200];

        snprintf(left, sizeof(left), "%s%c%s--%s%s%s", option->letter ? "-" : " ",
                 option->letter ? option->letter : ' ', option->letter ? ", " : "  ", option->name,
                 option->argument ? " " : "", option->argument ? option->argument : "");
        snprintf(help, sizeof(help), "%s%s%s%s", option->help, option->default_text ? " (" : "",
                 option->default_text ? option->default_text : "", option->default_text ? ")" : "");
        print_row(left, help);
}

/* "show NAME", "status [NAME]...". */
static void format_usage(const struct ctl_command *command, char *buffer, size_t size) {
        size_t n = (size_t)snprintf(buffer, size, "%s", command->name);

        for (size_t i = 0; i < command->n_arguments && n < size; i++) {
                const struct ctl_argument *argument = &command->arguments[i];

                n += (size_t)snprintf(buffer + n, size - n, " %s%s%s%s", argument->is_optional ? "[" : "",
                                      argument->name, argument->is_optional ? "]" : "",
                                      argument->repeats ? "..." : "");
        }
}

static void print_all(const struct ctl_table *table) {
        puts("Usage: rekeyctl [OPTION]... COMMAND [ARGUMENT]...");
        print_prose("Shows and controls what rekeyd does with its client certificates.");
        for (enum ctl_section section = CTL_INSPECT; section < CTL_SECTION_MAX; section++) {
                bool is_first = true;

                for (size_t i = 0; i < table->n; i++) {
                        const struct ctl_command *command = table->commands[i];
                        char usage[100];

                        if (command->is_hidden || command->section != section)
                                continue;
                        if (is_first)
                                printf("\n%s\n", section_titles[section]);
                        is_first = false;
                        format_usage(command, usage, sizeof(usage));
                        print_row(usage, command->help);
                }
        }
        puts("\nOptions:");
        for (size_t i = 0; i < n_ctl_global_options; i++)
                print_option(&ctl_global_options[i]);
        putchar('\n');
        print_prose("Without a command: status. `rekeyctl help COMMAND` explains each; so does rekeyctl(1).");
}

static void print_command(const struct ctl_command *command) {
        char usage[100], summary[200];

        format_usage(command, usage, sizeof(usage));
        printf("Usage: rekeyctl %s%s\n\n", usage, command->n_options > 0 ? " [OPTION]..." : "");
        snprintf(summary, sizeof(summary), "%c%s.", toupper((unsigned char)command->help[0]),
                 command->help + 1);
        print_prose(summary);
        if (command->more) {
                putchar('\n');
                print_prose(command->more);
        }
        if (command->n_options > 0)
                puts("\nOptions:");
        for (size_t i = 0; i < command->n_options; i++)
                print_option(&command->options[i]);
        puts("\nOptions of all commands:");
        for (size_t i = 0; i < n_ctl_global_options; i++)
                print_option(&ctl_global_options[i]);
}

void help_print(const struct ctl_table *table, const struct ctl_command *command) {
        if (command)
                print_command(command);
        else
                print_all(table);
}
