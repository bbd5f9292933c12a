/*
 * The command line, by the table. Global options may stand before and after the command's name. Errors have
 * our own texts, with the nearest known word; getopt only splits the line.
 */

#include <getopt.h>
#include <stdio.h>

#include "ctl/ctl.h"
#include "ctl/help.h"
#include "lib/util/parse.h"

#define NAME_MAX_LENGTH 64  /* of a certificate's name */
#define FIRST_VALUE     256 /* what getopt returns for option 0: beyond all letters */

/* --- Mistakes --- */

static int complain(const struct ctl *ctl, const char *what, const char *word, const char *nearest,
                    const char *prefix) {
        const char *name = ctl->command ? ctl->command->name : NULL;

        ctl_warn(ctl, "%s%s%s'%s'; %s%s%s%s: rekeyctl help%s%s", name ? name : "", name ? ": " : "", what,
                 word, nearest ? "did you mean '" : "", nearest ? prefix : "", nearest ? nearest : "",
                 nearest ? "'? See" : "see", name ? " " : "", name ? name : "");
        return -EINVAL;
}

static int complain_option(const struct ctl *ctl, const char *word) {
        const char *names[CTL_OPTIONS_MAX + 1] = { 0 }, *value = strchrnul(word, '=');
        const struct ctl_option *option;

        for (size_t i = 0; (option = ctl_option_at(ctl->command, i)); i++) {
                names[i] = option->name;
                if (*value && has_prefix(word, "--") && strlen(option->name) == (size_t)(value - word - 2) &&
                    has_prefix(word + 2, option->name)) {
                        ctl_warn(ctl, "--%s takes no value", option->name);
                        return -EINVAL;
                }
        }
        return complain(ctl, "no such option: ", word,
                        has_prefix(word, "--") ? nearest_word(word + 2, names) : NULL, "--");
}

static int complain_command(const struct ctl *ctl, const char *word) {
        const struct ctl_table *table = ctl->table;
        _cleanup_(freep) const char **names = calloc(table->n + 1, sizeof(*names));
        size_t n = 0;

        for (size_t i = 0; names && i < table->n; i++)
                if (!table->commands[i]->is_hidden)
                        names[n++] = table->commands[i]->name;
        return complain(ctl, "no such command: ", word, names ? nearest_word(word, names) : NULL, "");
}

/* --- Values --- */

static bool is_name(const char *text) {
        static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        size_t n = strlen(text);

        return n >= 1 && n <= NAME_MAX_LENGTH && strchr(letters, text[0]) && strspn(text, letters) > 0 &&
               text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")] ==
                       '\0';
}

static bool is_word(const char *text, const char *const *words) {
        for (; *words; words++)
                if (streq(*words, text))
                        return true;
        return false;
}

/* What would be right where TEXT is not of KIND; NULL where it is. BUFFER has room for it. */
static const char *mistake(const struct ctl *ctl, enum ctl_kind kind, const char *const *words,
                           const char *text, uint64_t *ret_number, char buffer[200]) {
        usec_t usec;
        size_t n = 0;

        switch (kind) {
        case CTL_CERTIFICATE:
        case CTL_NEW_NAME:
                return is_name(text) ? NULL
                                     : "it must begin with a letter or digit and contain at most 64 letters, "
                                       "digits, '.', '_' and '-'";
        case CTL_NUMBER:
        case CTL_GENERATION:
                return parse_unsigned(text, 0, INT64_MAX, ret_number) == 0 ? NULL : "a number is needed";
        case CTL_DURATION:
                if (parse_duration(text, &usec) < 0)
                        return "a duration is needed, such as 90s, 30m, 12h or 14d";
                *ret_number = usec;
                return NULL;
        case CTL_WORD:
                if (is_word(text, words))
                        return NULL;
                n = (size_t)snprintf(buffer, 200, "it must be ");
                for (bool is_first = true; *words && n < 200; words++, is_first = false)
                        n += (size_t)snprintf(buffer + n, 200 - n, "%s%s", is_first ? "" : " or ", *words);
                return buffer;
        case CTL_COMMAND:
                return ctl_find_command(ctl->table, text) ? NULL : "there is no such command";
        default:
                return *text ? NULL : "it is empty";
        }
}

static int take_value(const struct ctl *ctl, struct ctl_value *value, const char *text) {
        const struct ctl_option *option = value->option;
        char buffer[200], low[TIMESPAN_MAX], high[TIMESPAN_MAX];
        const char *reason = NULL;

        value->text = text;
        if (option->kind != CTL_NONE && text)
                reason = mistake(ctl, option->kind, option->words, text, &value->number, buffer);
        if (!reason && text && option->max > 0 &&
            (value->number < option->min || value->number > option->max)) {
                if (option->kind == CTL_DURATION)
                        snprintf(buffer, sizeof(buffer), "it must be between %s and %s",
                                 format_timespan(low, option->min), format_timespan(high, option->max));
                else
                        snprintf(buffer, sizeof(buffer), "it must be between %" PRIu64 " and %" PRIu64,
                                 option->min, option->max);
                reason = buffer;
        }
        if (reason) {
                ctl_warn(ctl, "%s%s--%s '%s': %s", ctl->command ? ctl->command->name : "",
                         ctl->command ? ": " : "", option->name, text, reason);
                return -EINVAL;
        }
        return 0;
}

/* --- Parsing --- */

static size_t describe_options(const struct ctl *ctl, bool stops_early, struct option *longs, char *letters) {
        const struct ctl_option *option;
        size_t n = 0, m = 0;

        if (stops_early)
                letters[m++] = '+'; /* at the first that is no option: the command's name */
        letters[m++] = ':';
        for (; (option = ctl_option_at(ctl->command, n)); n++) {
                const bool has_value = option->kind != CTL_NONE;

                assert(n < CTL_OPTIONS_MAX);
                longs[n] = (struct option) { option->name, has_value ? required_argument : no_argument, NULL,
                                             FIRST_VALUE + (int)n };
                if (option->letter)
                        letters[m++] = option->letter;
                if (option->letter && has_value)
                        letters[m++] = ':';
        }
        letters[m] = '\0';
        return n;
}

static int index_of(const struct ctl *ctl, int letter) {
        const struct ctl_option *option;

        if (letter >= FIRST_VALUE)
                return letter - FIRST_VALUE;
        for (size_t i = 0; (option = ctl_option_at(ctl->command, i)); i++)
                if (option->letter == letter)
                        return (int)i;
        return -1;
}

static struct ctl_value *slot_of(struct ctl *ctl, const struct ctl_option *option) {
        for (size_t i = 0; i < ctl->n_values; i++)
                if (ctl->values[i].option == option)
                        return &ctl->values[i];
        assert(ctl->n_values < CTL_OPTIONS_MAX);
        ctl->values[ctl->n_values] = (struct ctl_value) { .option = option };
        return &ctl->values[ctl->n_values++];
}

static int parse_options(struct ctl *ctl, bool stops_early, int argc, char *argv[]) {
        struct option longs[CTL_OPTIONS_MAX + 1] = { 0 };
        char letters[2 * CTL_OPTIONS_MAX + 3];
        int letter, r;

        (void)describe_options(ctl, stops_early, longs, letters);
        optind = 0; /* glibc: start again, with the "+" in mind */
        opterr = 0;
        for (;;) {
                const int at = optind > 0 ? optind : 1;
                int index;

                letter = getopt_long(argc, argv, letters, longs, NULL);
                if (letter == -1)
                        return 0;
                if (letter == '?' || letter == ':') {
                        const char *word = optind > at || at >= argc ? argv[optind - 1] : argv[at];

                        if (letter == ':' && (index = index_of(ctl, optopt)) >= 0) {
                                const struct ctl_option *option = ctl_option_at(ctl->command, (size_t)index);

                                ctl_warn(ctl, "--%s needs %s: %s", option->name, option->argument,
                                         option->help);
                                return -EINVAL;
                        }
                        return complain_option(ctl, word);
                }
                index = index_of(ctl, letter);
                if (index >= 0) {
                        struct ctl_value *value = slot_of(ctl, ctl_option_at(ctl->command, (size_t)index));

                        value->is_given = true;
                        r = take_value(ctl, value, optarg);
                        if (r < 0)
                                return r;
                }
        }
}

/* Every option has a slot, with its standard value where it was not given. */
static int fill_values(struct ctl *ctl) {
        const struct ctl_option *option;
        int r = 0;

        for (size_t i = 0; r == 0 && (option = ctl_option_at(ctl->command, i)); i++) {
                struct ctl_value *value = slot_of(ctl, option);

                if (!value->is_given)
                        r = take_value(ctl, value, option->default_text);
        }
        return r;
}

static int check_arguments(const struct ctl *ctl) {
        const struct ctl_command *command = ctl->command;
        const struct ctl_argument *argument;
        uint64_t number;
        char buffer[200];

        for (size_t i = 0; i < ctl->n_arguments; i++) {
                const char *text = ctl->arguments[i], *reason;

                if (i < command->n_arguments)
                        argument = &command->arguments[i];
                else if (command->n_arguments > 0 && command->arguments[command->n_arguments - 1].repeats)
                        argument = &command->arguments[command->n_arguments - 1];
                else
                        return complain(ctl, "unexpected argument ", text, NULL, "");
                if (argument->kind == CTL_COMMAND && !ctl_find_command(ctl->table, text))
                        return complain_command(ctl, text);
                reason = mistake(ctl, argument->kind, argument->words, text, &number, buffer);
                if (reason) {
                        ctl_warn(ctl, "%s: %s '%s': %s", command->name, argument->name, text, reason);
                        return -EINVAL;
                }
        }
        if (ctl->n_arguments < command->n_arguments && !command->arguments[ctl->n_arguments].is_optional) {
                ctl_warn(ctl, "%s: %s is missing; see: rekeyctl help %s", command->name,
                         command->arguments[ctl->n_arguments].name, command->name);
                return -EINVAL;
        }
        return 0;
}

int ctl_parse(struct ctl *ctl, int argc, char *argv[]) {
        int r, first;

        r = parse_options(ctl, true, argc, argv);
        if (r < 0)
                return r;
        first = optind;
        if (first < argc) {
                const struct ctl_command *command = ctl_find_command(ctl->table, argv[first]);

                if (!command)
                        return complain_command(ctl, argv[first]);
                ctl->command = command;
                r = parse_options(ctl, false, argc - first, argv + first);
                if (r < 0)
                        return r;
                first += optind;
        }
        r = fill_values(ctl);
        if (r < 0)
                return r;

        if (ctl_has(ctl, "help")) {
                help_print(ctl->table, ctl->command);
                return 1;
        }
        if (ctl_has(ctl, "version")) {
                puts("rekeyctl " REKEYD_VERSION);
                return 1;
        }
        if (!ctl->command) {
                /* No command: the status. */
                ctl->command = ctl_find_command(ctl->table, "status");
                r = fill_values(ctl);
                if (r < 0)
                        return r;
        }
        ctl->arguments = (const char *const *)argv + first;
        ctl->n_arguments = (size_t)(argc - first);
        return check_arguments(ctl);
}
