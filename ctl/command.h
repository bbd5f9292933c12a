#pragma once

/* One command of rekeyctl: a row that says everything about it. */

#include "lib/util/macro.h"
#include "lib/util/time.h"

struct ctl;

/* How rekeyctl ends. `check` has its own numbers, those of monitoring plugins. */
enum ctl_exit {
        CTL_OK = 0,
        CTL_FAILED = 1,
        CTL_USAGE = 2,
        CTL_UNREACHABLE = 3,    /* no process listens at the socket, or rekeyd is about to stop */
        CTL_DENIED = 4,         /* 403, or no right on a file */
        CTL_NO_CERTIFICATE = 5, /* 404 */
        CTL_NOT_NOW = 6,        /* 409: not in this state */
        CTL_OVER_BUDGET = 7,    /* 429 */
        CTL_TIMED_OUT = 8,      /* rekeyctl stopped waiting; the operation continues */
        CTL_NOT_DELIVERED = 9,  /* the set is in use, and not all of its dependents and exports have it */
        CTL_EXIT_MAX,
};
extern const char *const ctl_exit_help[CTL_EXIT_MAX]; /* for help and the manual */

/* What stands for an argument or the value of an option, for checks and completion. */
enum ctl_kind {
        CTL_NONE, /* an option without a value */
        CTL_TEXT,
        CTL_CERTIFICATE, /* a name; its characters are checked, so it may go into a path as it is */
        CTL_NEW_NAME,    /* the same, of one that is not there yet */
        CTL_GENERATION,  /* a number; completed with those of the certificate before it */
        CTL_NUMBER,
        CTL_DURATION, /* "90s" */
        CTL_FILE,
        CTL_WORD,    /* one of `words` */
        CTL_COMMAND, /* the name of a command */
        CTL_KIND_MAX,
};

struct ctl_option {
        const char *name; /* "json" is --json */
        char letter;      /* 0: none */
        enum ctl_kind kind;
        const char *argument;     /* "FILE", for the help */
        const char *help;         /* one line, without a capital and a full stop */
        const char *default_text; /* the value where the option is not given; NULL: none */
        uint64_t min, max;        /* of numbers, and of durations in microseconds; max 0: no bounds */
        const char *const *words; /* of CTL_WORD; ends with NULL */
};

struct ctl_argument {
        const char *name; /* "NAME" */
        enum ctl_kind kind;
        bool is_optional;
        bool repeats; /* the last one only */
        const char *const *words;
};

enum ctl_section { CTL_INSPECT, CTL_CHANGE, CTL_OTHER, CTL_SECTION_MAX };

struct ctl_command {
        const char *name;
        enum ctl_section section;
        const char *help; /* one line */
        const char *more; /* paragraphs for `rekeyctl help NAME`; NULL: the line says it all */
        const struct ctl_argument *arguments;
        size_t n_arguments;
        const struct ctl_option *options;
        size_t n_options;
        bool is_hidden;              /* neither in the help nor in completions */
        int usage_exit;              /* for wrong options and arguments; 0: CTL_USAGE */
        int (*run)(struct ctl *ctl); /* an exit status; the error was printed */
};

/* The table; its rows are in command-NAME.c. */
struct ctl_table {
        const struct ctl_command *const *commands; /* in the order of the help */
        size_t n;
};
const struct ctl_command *ctl_find_command(const struct ctl_table *table, const char *name); /* or NULL */

/* Options that go with every command, before or after its name. */
extern const struct ctl_option ctl_global_options[];
extern const size_t n_ctl_global_options;

#define CTL_OPTIONS_MAX 24 /* of one command, with the global ones */

/* The options of COMMAND, which may be NULL, and the global ones; NULL past the last. */
const struct ctl_option *ctl_option_at(const struct ctl_command *command, size_t i);
