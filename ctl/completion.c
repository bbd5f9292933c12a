/*
 * Completions for bash, zsh and fish (completion-fish.c), written from the table of commands: what can be
 * typed is what the table has. Names of certificates and numbers of generations come from `rekeyctl complete`
 * at the time of completion, which is silent on errors.
 *
 * The scripts are the generic part as it stands here, with functions in the middle that answer, for a command
 * and an option or a position, what may come there.
 */

#include <errno.h>

#include "ctl/completion-fish.h"
#include "ctl/help.h"

const char *const completion_shells[] = { "bash", "zsh", "fish", NULL };

/* What the script calls a kind. */
static const char *kind_name(enum ctl_kind kind) {
        static const char *const names[CTL_KIND_MAX] = {
                [CTL_NONE] = "none",
                [CTL_TEXT] = "text",
                [CTL_CERTIFICATE] = "certificate",
                [CTL_NEW_NAME] = "text",
                [CTL_GENERATION] = "generation",
                [CTL_NUMBER] = "text",
                [CTL_DURATION] = "text",
                [CTL_FILE] = "file",
                [CTL_WORD] = "word",
                [CTL_COMMAND] = "command",
        };

        return names[kind];
}

/* The kind, and the words of one that has some. */
static void put_kind(FILE *out, enum ctl_kind kind, const char *const *words) {
        fputs(kind_name(kind), out);
        for (; kind == CTL_WORD && *words; words++)
                fprintf(out, " %s", *words);
}

/* --- The table as functions of a shell --- */

/* "kind": what the value of option $2 of command $1 is; nothing where it has none. */
static void put_value_kinds(FILE *out, const char *command, const struct ctl_option *options, size_t n) {
        for (size_t i = 0; i < n; i++) {
                const struct ctl_option *option = &options[i];

                if (option->kind == CTL_NONE)
                        continue;
                fprintf(out, "        %s:--%s", command, option->name);
                if (option->letter)
                        fprintf(out, "|%s:-%c", command, option->letter);
                fputs(") echo '", out);
                put_kind(out, option->kind, option->words);
                fputs("' ;;\n", out);
        }
}

static void put_argument_kinds(FILE *out, const struct ctl_command *command) {
        for (size_t i = 0; i < command->n_arguments; i++) {
                const struct ctl_argument *argument = &command->arguments[i];

                if (argument->repeats)
                        fprintf(out, "        %s:*) echo '", command->name);
                else
                        fprintf(out, "        %s:%zu) echo '", command->name, i);
                put_kind(out, argument->kind, argument->words);
                fputs("' ;;\n", out);
        }
}

static void put_names(FILE *out, const struct ctl_option *options, size_t n) {
        for (size_t i = 0; i < n; i++)
                fprintf(out, "%s--%s", i > 0 ? " " : "", options[i].name);
}

static void put_bash_tables(FILE *out, const struct ctl_table *table) {
        fputs("# The kind of value that option $2 of command $1 takes.\n_rekeyctl_value() {\n        case "
              "$1:$2 in\n",
              out);
        put_value_kinds(out, "*", ctl_global_options, n_ctl_global_options);
        for (size_t i = 0; i < table->n; i++)
                put_value_kinds(out, table->commands[i]->name, table->commands[i]->options,
                                table->commands[i]->n_options);
        fputs("        esac\n"
              "}\n"
              "\n"
              "# The kind of argument number $2 of command $1.\n"
              "_rekeyctl_argument() {\n"
              "        case $1:$2 in\n",
              out);
        for (size_t i = 0; i < table->n; i++)
                if (!table->commands[i]->is_hidden)
                        put_argument_kinds(out, table->commands[i]);
        fputs("        esac\n}\n\n"
              "# The options of command $1.\n"
              "_rekeyctl_options() {\n        echo '",
              out);
        put_names(out, ctl_global_options, n_ctl_global_options);
        fputs("'\n        case $1 in\n", out);
        for (size_t i = 0; i < table->n; i++) {
                if (table->commands[i]->is_hidden || table->commands[i]->n_options == 0)
                        continue;
                fprintf(out, "        %s) echo '", table->commands[i]->name);
                put_names(out, table->commands[i]->options, table->commands[i]->n_options);
                fputs("' ;;\n", out);
        }
        fputs("        esac\n}\n\n"
              "_rekeyctl_commands='",
              out);
        for (size_t i = 0, n = 0; i < table->n; i++)
                if (!table->commands[i]->is_hidden)
                        fprintf(out, "%s%s", n++ > 0 ? " " : "", table->commands[i]->name);
        fputs("'\n", out);
}

/* --- bash --- */

static void write_bash(FILE *out, const struct ctl_table *table) {
        fputs("# Completions of rekeyctl for bash, generated from its table of commands.\n\n", out);
        put_bash_tables(out, table);
        fputs("\n"
              "_rekeyctl() {\n"
              "        local cur=${COMP_WORDS[COMP_CWORD]} command='' value='' kind='' word i n=0\n"
              "        local -a words=() where=() names=()\n"
              "\n"
              "        # \"--config=FILE\" arrives as three words.\n"
              "        for ((i = 1; i < COMP_CWORD; i++)); do\n"
              "                [[ ${COMP_WORDS[i]} == '=' ]] || words+=(\"${COMP_WORDS[i]}\")\n"
              "        done\n"
              "        [[ $cur == '=' ]] && cur=''\n"
              "\n"
              "        for word in \"${words[@]}\"; do\n"
              "                if [[ -n $value ]]; then\n"
              "                        case $value in\n"
              "                        --config | -c | --socket | -s) where+=(\"$value\" \"$word\") ;;\n"
              "                        esac\n"
              "                        value=''\n"
              "                elif [[ $word == -* ]]; then\n"
              "                        [[ -n $(_rekeyctl_value \"$command\" \"$word\") ]] && value=$word\n"
              "                elif [[ -z $command ]]; then\n"
              "                        command=$word\n"
              "                else\n"
              "                        names+=(\"$word\")\n"
              "                        n=$((n + 1))\n"
              "                fi\n"
              "        done\n"
              "\n"
              "        if [[ -n $value ]]; then\n"
              "                kind=$(_rekeyctl_value \"$command\" \"$value\")\n"
              "        elif [[ $cur == -* ]]; then\n"
              "                COMPREPLY=($(compgen -W \"$(_rekeyctl_options \"$command\")\" -- \"$cur\"))\n"
              "                return\n"
              "        elif [[ -z $command ]]; then\n"
              "                kind=command\n"
              "        else\n"
              "                kind=$(_rekeyctl_argument \"$command\" \"$n\")\n"
              "        fi\n"
              "\n"
              "        case $kind in\n"
              "        command) COMPREPLY=($(compgen -W \"$_rekeyctl_commands\" -- \"$cur\")) ;;\n"
              "        word*) COMPREPLY=($(compgen -W \"${kind#word}\" -- \"$cur\")) ;;\n"
              "        file) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
              "        certificate)\n"
              "                COMPREPLY=($(compgen -W \"$(rekeyctl \"${where[@]}\" complete names "
              "2>/dev/null)\" \\\n"
              "                        -- \"$cur\"))\n"
              "                ;;\n"
              "        generation)\n"
              "                [[ -n ${names[0]} ]] && COMPREPLY=($(compgen -W \\\n"
              "                        \"$(rekeyctl \"${where[@]}\" complete generations \"${names[0]}\" "
              "2>/dev/null)\" \\\n"
              "                        -- \"$cur\"))\n"
              "                ;;\n"
              "        esac\n"
              "}\n"
              "complete -F _rekeyctl rekeyctl\n",
              out);
}

/* --- zsh --- */

/* TEXT as a part of a specification of _arguments, where colons and brackets have a meaning. */
static void put_zsh_text(FILE *out, const char *text) {
        for (; *text; text++) {
                if (strchr("[]:\\", *text))
                        fputc('\\', out);
                if (*text == '\'')
                        fputs("'\\''", out);
                else
                        fputc(*text, out);
        }
}

static void put_zsh_action(FILE *out, enum ctl_kind kind, const char *const *words) {
        static const char *const actions[CTL_KIND_MAX] = {
                [CTL_NONE] = "",
                [CTL_TEXT] = " ",
                [CTL_CERTIFICATE] = "_rekeyctl_names",
                [CTL_NEW_NAME] = " ",
                [CTL_GENERATION] = "_rekeyctl_generations",
                [CTL_NUMBER] = " ",
                [CTL_DURATION] = " ",
                [CTL_FILE] = "_files",
                [CTL_WORD] = "",
                [CTL_COMMAND] = "_rekeyctl_commands",
        };

        if (kind != CTL_WORD) {
                fputs(actions[kind], out);
                return;
        }
        fputc('(', out);
        for (size_t i = 0; words[i]; i++)
                fprintf(out, "%s%s", i > 0 ? " " : "", words[i]);
        fputc(')', out);
}

/* '(-j --json)'{-j,--json}'[help]:FILE:_files' */
static void put_zsh_option(FILE *out, const struct ctl_option *option) {
        fputs("                ", out);
        if (option->letter)
                fprintf(out, "'(-%c --%s)'{-%c,--%s%s}'[", option->letter, option->name, option->letter,
                        option->name, option->kind == CTL_NONE ? "" : "=");
        else
                fprintf(out, "'--%s%s[", option->name, option->kind == CTL_NONE ? "" : "=");
        put_zsh_text(out, option->help);
        fputc(']', out);
        if (option->kind != CTL_NONE) {
                fputc(':', out);
                put_zsh_text(out, option->argument);
                fputc(':', out);
                put_zsh_action(out, option->kind, option->words);
        }
        fputs("'\n", out);
}

static void put_zsh_command(FILE *out, const struct ctl_command *command) {
        fprintf(out, "        %s)\n                specs=(\n", command->name);
        for (size_t i = 0; i < command->n_options; i++)
                put_zsh_option(out, &command->options[i]);
        for (size_t i = 0; i < command->n_arguments; i++) {
                const struct ctl_argument *argument = &command->arguments[i];

                if (argument->repeats)
                        fputs("                '*:", out);
                else
                        fprintf(out, "                '%zu:", i + 1);
                put_zsh_text(out, argument->name);
                fputc(':', out);
                put_zsh_action(out, argument->kind, argument->words);
                fputs("'\n", out);
        }
        fputs("                )\n                ;;\n", out);
}

static void write_zsh(FILE *out, const struct ctl_table *table) {
        fputs("#compdef rekeyctl\n"
              "# Completions of rekeyctl for zsh, generated from its table of commands.\n"
              "\n"
              "# rekeyctl with the options that name its configuration and socket.\n"
              "_rekeyctl_ask() {\n"
              "        rekeyctl $_rekeyctl_where complete \"$@\" 2>/dev/null\n"
              "}\n"
              "\n"
              "_rekeyctl_names() {\n"
              "        local -a names=(${(f)\"$(_rekeyctl_ask names)\"})\n"
              "        compadd -a names\n"
              "}\n"
              "\n"
              "_rekeyctl_generations() {\n"
              "        local -a numbers=(${(f)\"$(_rekeyctl_ask generations $line[1])\"})\n"
              "        compadd -a numbers\n"
              "}\n"
              "\n"
              "_rekeyctl_commands() {\n"
              "        local -a commands=(\n",
              out);
        for (size_t i = 0; i < table->n; i++) {
                if (table->commands[i]->is_hidden)
                        continue;
                fprintf(out, "                '%s:", table->commands[i]->name);
                put_zsh_text(out, table->commands[i]->help);
                fputs("'\n", out);
        }
        fputs("        )\n"
              "        _describe -t commands command commands\n"
              "}\n"
              "\n"
              "_rekeyctl() {\n"
              "        local curcontext=$curcontext state line i\n"
              "        typeset -A opt_args\n"
              "        local -a specs _rekeyctl_where\n"
              "        local -a globals=(\n",
              out);
        for (size_t i = 0; i < n_ctl_global_options; i++)
                put_zsh_option(out, &ctl_global_options[i]);
        fputs("        )\n"
              "\n"
              "        for ((i = 2; i < CURRENT; i++)); do\n"
              "                case $words[i] in\n"
              "                -c | --config | -s | --socket) _rekeyctl_where+=($words[i] $words[i+1]) ;;\n"
              "                --config=* | --socket=*) _rekeyctl_where+=($words[i]) ;;\n"
              "                esac\n"
              "        done\n"
              "\n"
              "        _arguments -C -s $globals '1:command:_rekeyctl_commands' '*::argument:->arguments' && "
              "return\n"
              "        [[ $state == arguments ]] || return 1\n"
              "        case $words[1] in\n",
              out);
        for (size_t i = 0; i < table->n; i++)
                if (!table->commands[i]->is_hidden)
                        put_zsh_command(out, table->commands[i]);
        fputs("        esac\n"
              "        _arguments -s $globals $specs\n"
              "}\n"
              "\n"
              "_rekeyctl \"$@\"\n",
              out);
}

int completion_write(FILE *out, const struct ctl_table *table, const char *shell) {
        static const struct {
                const char *shell;
                void (*write)(FILE *out, const struct ctl_table *table);
        } rows[] = { { "bash", write_bash }, { "zsh", write_zsh }, { "fish", completion_write_fish } };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (streq(rows[i].shell, shell)) {
                        rows[i].write(out, table);
                        return 0;
                }
        return -EINVAL;
}
