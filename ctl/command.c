/* Look-ups in the table of commands, and the options of all commands. */

#include "ctl/command.h"

#include "ctl/ctl.h"

const struct ctl_option ctl_global_options[] = {
        { .name = "config",
          .letter = 'c',
          .kind = CTL_FILE,
          .argument = "FILE",
          .default_text = CTL_CONFIG,
          .help = "the configuration file, which also names the socket" },
        { .name = "socket",
          .letter = 's',
          .kind = CTL_FILE,
          .argument = "PATH",
          .help = "the socket of rekeyd; overrides the configuration" },
        { .name = "help", .letter = 'h', .help = "print help" },
        { .name = "version", .letter = 'V', .help = "print the version of rekeyctl" },
};
const size_t n_ctl_global_options = ELEMENTSOF(ctl_global_options);

const struct ctl_command *ctl_find_command(const struct ctl_table *table, const char *name) {
        for (size_t i = 0; i < table->n; i++)
                if (streq(table->commands[i]->name, name))
                        return table->commands[i];
        return NULL;
}

const struct ctl_option *ctl_option_at(const struct ctl_command *command, size_t i) {
        const size_t n = command ? command->n_options : 0;

        if (i < n)
                return &command->options[i];
        return i - n < n_ctl_global_options ? &ctl_global_options[i - n] : NULL;
}
