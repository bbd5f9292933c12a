/* fish has no functions to fill in: each option and each argument of each command is a line of its own, with
 * the condition under which it counts. */

#include "ctl/completion-fish.h"

/* What is offered for a value or an argument; after "complete -c rekeyctl ...". */
static const char *const offers[CTL_KIND_MAX] = {
        [CTL_NONE] = "",
        [CTL_TEXT] = " -x",
        [CTL_CERTIFICATE] = " -x -a '(__rekeyctl_ask names)'",
        [CTL_NEW_NAME] = " -x",
        [CTL_GENERATION] = " -x -a '(__rekeyctl_generations)'",
        [CTL_NUMBER] = " -x",
        [CTL_DURATION] = " -x",
        [CTL_FILE] = " -r -F",
        [CTL_WORD] = " -x",
        [CTL_COMMAND] = " -x -a '(__rekeyctl_commands)'",
};

/* TEXT between single quotes. */
static void put_text(FILE *out, const char *text) {
        fputc('\'', out);
        for (; *text; text++) {
                if (*text == '\'' || *text == '\\')
                        fputc('\\', out);
                fputc(*text, out);
        }
        fputc('\'', out);
}

static void put_offer(FILE *out, enum ctl_kind kind, const char *const *words) {
        fputs(offers[kind], out);
        if (kind != CTL_WORD)
                return;
        fputs(" -a '", out);
        for (size_t i = 0; words[i]; i++)
                fprintf(out, "%s%s", i > 0 ? " " : "", words[i]);
        fputc('\'', out);
}

/* COMMAND NULL: everywhere. */
static void put_condition(FILE *out, const struct ctl_command *command) {
        fputs("complete -c rekeyctl", out);
        if (command)
                fprintf(out, " -n '__fish_seen_subcommand_from %s'", command->name);
}

static void put_option(FILE *out, const struct ctl_command *command, const struct ctl_option *option) {
        put_condition(out, command);
        fprintf(out, " -l %s", option->name);
        if (option->letter)
                fprintf(out, " -s %c", option->letter);
        put_offer(out, option->kind, option->words);
        fputs(" -d ", out);
        put_text(out, option->help);
        fputc('\n', out);
}

static void put_command(FILE *out, const struct ctl_command *command) {
        fprintf(out, "complete -c rekeyctl -n __fish_use_subcommand -a %s -d ", command->name);
        put_text(out, command->help);
        fputc('\n', out);
        for (size_t i = 0; i < command->n_options; i++)
                put_option(out, command, &command->options[i]);
        for (size_t i = 0; i < command->n_arguments; i++) {
                if (command->arguments[i].kind == CTL_TEXT)
                        continue;
                put_condition(out, command);
                put_offer(out, command->arguments[i].kind, command->arguments[i].words);
                fputc('\n', out);
        }
}

static void put_functions(FILE *out, const struct ctl_table *table) {
        fputs("# rekeyctl with the options that name its configuration and socket.\n"
              "function __rekeyctl_ask\n"
              "        set -l where\n"
              "        set -l take ''\n"
              "        for word in (commandline -opc)\n"
              "                if test -n \"$take\"\n"
              "                        set -a where $word\n"
              "                        set take ''\n"
              "                else if contains -- $word -c --config -s --socket\n"
              "                        set -a where $word\n"
              "                        set take yes\n"
              "                else if string match -qr -- '^--(config|socket)=' $word\n"
              "                        set -a where $word\n"
              "                end\n"
              "        end\n"
              "        rekeyctl $where complete $argv 2>/dev/null\n"
              "end\n"
              "\n"
              "# Those of the certificate that is named already: the last word that is no option.\n"
              "function __rekeyctl_generations\n"
              "        set -l words (string match -v -- '-*' (commandline -opc))\n"
              "        test (count $words) -gt 2; and __rekeyctl_ask generations $words[3]\n"
              "end\n"
              "\n"
              "function __rekeyctl_commands\n"
              "        printf '%s\\n'",
              out);
        for (size_t i = 0; i < table->n; i++)
                if (!table->commands[i]->is_hidden)
                        fprintf(out, " %s", table->commands[i]->name);
        fputs("\nend\n\n", out);
}

void completion_write_fish(FILE *out, const struct ctl_table *table) {
        fputs("# Completions of rekeyctl for fish, generated from its table of commands.\n\n", out);
        put_functions(out, table);
        fputs("complete -c rekeyctl -f\n", out);
        for (size_t i = 0; i < n_ctl_global_options; i++)
                put_option(out, NULL, &ctl_global_options[i]);
        for (size_t i = 0; i < table->n; i++)
                if (!table->commands[i]->is_hidden)
                        put_command(out, table->commands[i]);
}
