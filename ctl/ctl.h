#pragma once

/* One call of rekeyctl: what its command line says, and what commands need to do their work and to speak. */

#include <jansson.h>

#include "ctl/client/client.h"
#include "ctl/command.h"
#include "ctl/terminal/term.h"
#include "lib/config/config.h"

#define CTL_CONFIG "/etc/rekeyd/rekeyd.yaml"
#define CTL_SOCKET "/run/rekeyd/control.sock"

struct ctl_value {
        const struct ctl_option *option;
        bool is_given;
        const char *text; /* given or standard; NULL: neither */
        uint64_t number;  /* of numbers and durations */
};

struct ctl {
        struct term term; /* standard output */
        const struct ctl_table *table;
        const struct ctl_command *command;
        const char *const *arguments; /* ends with NULL */
        size_t n_arguments;

        /* For ctl.c only. */
        struct ctl_value values[CTL_OPTIONS_MAX];
        size_t n_values;
        struct client *client;
        char *socket;
        bool has_read_config;
        int config_result;
        struct config *config;
        struct config_errors config_errors;
};

/*
 * Reads the command line, which is one of ctl->table. 0; 1 when all is done (help, version); or -EINVAL after
 * the error was printed, with ctl->command as far as it is known. ARGV is permuted and borrowed.
 */
int ctl_parse(struct ctl *ctl, int argc, char *argv[]);
void ctl_clear(struct ctl *ctl);

/* Options by name; one that the command does not have is a mistake of the program. */
bool ctl_has(const struct ctl *ctl, const char *name);
const char *ctl_text(const struct ctl *ctl, const char *name); /* NULL: not given, and no standard */
uint64_t ctl_number(const struct ctl *ctl, const char *name);  /* 0: not given, and no standard */
usec_t ctl_usec(const struct ctl *ctl, const char *name);

/* "rekeyctl: ..." on standard error. All that these print is cleaned (ctl/terminal/text.h). Returns EXIT. */
int ctl_fail(const struct ctl *ctl, int exit, const char *format, ...) _printf_(3, 4);
void ctl_warn(const struct ctl *ctl, const char *format, ...) _printf_(2, 3);

/* A line on standard output, cleaned; as STYLE, and broken to the width of the terminal. */
void ctl_print(const struct ctl *ctl, const char *format, ...) _printf_(2, 3);
void ctl_print_as(const struct ctl *ctl, enum term_style style, const char *format, ...) _printf_(3, 4);

/* JSON with a final newline, indented for a terminal and compact elsewhere, in ASCII. CTL_OK or CTL_FAILED.
 */
int ctl_print_json(const struct ctl *ctl, const json_t *json);

/* The configuration of --config, read once; borrowed. 0, -EINVAL with ctl->config_errors, or -ENOMEM. */
int ctl_config(struct ctl *ctl, const struct config **ret);
const char *ctl_config_path(const struct ctl *ctl);

/* The socket: --socket, else what the configuration says, which may be NULL for none; CTL_SOCKET where that
 * cannot be read. Borrowed. */
const char *ctl_socket(struct ctl *ctl);

/* The client for that socket; borrowed. NULL when memory is out. */
struct client *ctl_client(struct ctl *ctl);

/*
 * Asks rekeyd. Returns CTL_OK with the answer of a 2xx, owned by the caller, in *RET (which may be NULL where
 * it is of no interest); otherwise it says what is wrong in one sentence and returns the exit status for it.
 * BODY may be NULL.
 */
int ctl_ask(struct ctl *ctl, const char *method, const char *path, const json_t *body, json_t **ret);

/* For direct users of the client: the exit status for the result R of a client function, after printing the
 * status of an answer, or the sentence of ERROR. */
int ctl_fail_call(struct ctl *ctl, int r, const struct client_reply *reply, const struct error *error);

/* The same without saying it: *RET_SENTENCE is owned, NULL when memory is out. */
int ctl_explain_call(struct ctl *ctl, int r, const struct client_reply *reply, const struct error *error,
                     char **ret_sentence);
