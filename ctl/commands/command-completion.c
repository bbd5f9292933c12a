/* The hidden `completion`, by which the build makes the completions of shells. */

#include <stdio.h>

#include "ctl/ctl.h"
#include "ctl/help.h"

static int run_completion(struct ctl *ctl) {
        return completion_write(stdout, ctl->table, ctl->arguments[0]) < 0 ? CTL_FAILED : CTL_OK;
}

static const struct ctl_argument completion_arguments[] = {
        { .name = "SHELL", .kind = CTL_WORD, .words = completion_shells },
};

const struct ctl_command command_completion = {
        .name = "completion",
        .section = CTL_OTHER,
        .help = "print the completions for a shell",
        .arguments = completion_arguments,
        .n_arguments = ELEMENTSOF(completion_arguments),
        .is_hidden = true,
        .run = run_completion,
};
