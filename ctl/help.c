/* What `rekeyctl --help` and `rekeyctl help COMMAND` print, from the table of commands. */

#include "ctl/help.h"

#include <ctype.h>

#define WIDTH_LEFT 28 /* of names, before their help */

static const char *const section_titles[CTL_SECTION_MAX] = {
        [CTL_INSPECT] = "Inspect:",
        [CTL_CHANGE] = "Change:",
        [CTL_OTHER] = "Other:",
};

static void print_row(const char *left, const char *help) {
        if (strlen(left) > WIDTH_LEFT)
                printf("  %s\n  %-*s  %s\n", left, WIDTH_LEFT, "", help);
        else
                printf("  %-*s  %s\n", WIDTH_LEFT, left, help);
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
        puts("Usage: rekeyctl [OPTION]... COMMAND [ARGUMENT]...\nShows and controls what rekeyd does with "
             "its client certificates.");
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
        puts("\nWithout a command: status. `rekeyctl help COMMAND` explains each; so does rekeyctl(1).");
}

static void print_command(const struct ctl_command *command) {
        char usage[100];

        format_usage(command, usage, sizeof(usage));
        printf("Usage: rekeyctl %s%s\n\n%c%s.\n", usage, command->n_options > 0 ? " [OPTION]..." : "",
               toupper((unsigned char)command->help[0]), command->help + 1);
        if (command->more)
                printf("\n%s\n", command->more);
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
