#pragma once

/* The command line of rekeyca, as tables. */

#include <stdio.h>

#include "lib/util/macro.h"

/* How rekeyca ends. */
enum exit_status {
        EXIT_DONE = 0,
        EXIT_FAILED = 1,
        EXIT_USAGE = 2,
        EXIT_REFUSED = 3,    /* a check, the guard, or the phase does not allow it */
        EXIT_BUSY = 4,       /* another rekeyca is at work */
        EXIT_CHANGED = 5,    /* another writer was there */
        EXIT_UNVERIFIED = 6, /* a gateway or the Connector does not do what it should yet */
        EXIT_STATUS_MAX,
};
extern const char *const exit_texts[EXIT_STATUS_MAX]; /* for help and the manual */

enum verb_id {
        VERB_INSPECT,
        VERB_PLAN,
        VERB_APPLY,
        VERB_STATUS,
        VERB_PROBE,
        VERB_RETIRE,
        VERB_ROLLBACK,
        VERB_ABORT,
        VERB_COMPLETION,
        VERB_MAX,
};

struct verb_row {
        const char *name;
        const char *help; /* one line */
};
extern const struct verb_row verb_rows[VERB_MAX];

#define OPTIONS_REPEAT_MAX 32

/* All texts are borrowed from the command line; NULL or empty where not given. */
struct options {
        enum verb_id verb;
        const char *config, *signer, *state, *kubeconfig, *gateway_trust, *reason, *until, *force,
                *prometheus, *shell;
        const char *trust[OPTIONS_REPEAT_MAX + 1], *gateway[OPTIONS_REPEAT_MAX + 1],
                *reload[OPTIONS_REPEAT_MAX + 1], *control[OPTIONS_REPEAT_MAX + 1];
        bool json, dry_run, take_over;
};

enum option_kind { OPTION_TEXT, OPTION_LIST, OPTION_FLAG };

struct option_row {
        const char *name;
        enum option_kind kind;
        size_t offset;
        const char *argument;
        unsigned verbs; /* bits, 1 << VERB_PLAN */
        const char *help;
};
extern const struct option_row option_rows[];
extern const size_t n_option_rows;

/* 0 with *RET filled; 1 where --help or --version was printed; -EINVAL after the error was printed. */
int options_parse(int argc, char *argv[], struct options *ret);

/* The help, and completions for bash or zsh. */
void options_print_help(FILE *out);
int options_print_completion(const char *shell, FILE *out); /* 0 or -EINVAL */
