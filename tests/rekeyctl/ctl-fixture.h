#pragma once

/* The real rekeyctl against a rekeyd that is a script, or against nothing but files. */

#include "tests/rekeyctl/fake-api.h"
#include "tests/support/process.h"
#include "tests/support/pty.h"

#define ACCEPTED "{\"accepted\":\"x\"}"

/* An event of a certificate; the rest are more members. */
#define EVENT(name, event, message, ...)                                                     \
        "{\"time\":\"2026-11-20T18:06:53Z\",\"event\":\"" event "\",\"certificate\":\"" name \
        "\",\"message\":\"" message "\"" __VA_ARGS__ "}\n"
#define OVER(operation) ",\"operation\":\"" operation "\""

struct ctl_fixture {
        char *directory, *config; /* which is rekeyd.yaml in it, whether it is there or not */
        struct fake_api *api;     /* NULL: no rekeyd */
};
struct ctl_fixture ctl_fixture_new(void);
struct ctl_fixture ctl_fixture_new_alone(void);
void ctl_fixture_clear(struct ctl_fixture *fixture);

/* "rekeyctl --socket ... --config ... WORDS", words separated by blanks; WORDS is cut up, and borrowed. The
 * socket is only named where there is a script that listens. */
#define CTL_ARGUMENTS_MAX 32
void ctl_fixture_make_arguments(const struct ctl_fixture *fixture, char *words,
                                const char *argv[CTL_ARGUMENTS_MAX]);

/* With INPUT, a file in the scratch directory, as standard input; NULL: nothing. */
struct process *ctl_fixture_start_with(const struct ctl_fixture *fixture, const char *input,
                                       const char *line);
struct process *ctl_fixture_start(const struct ctl_fixture *fixture, const char *line);
struct pty *ctl_fixture_start_on_terminal(const struct ctl_fixture *fixture, unsigned columns,
                                          const char *line);

/* Awaits its end; or looks at what it has said. */
void ctl_fixture_check_exit(struct process *process, int expected);
void ctl_fixture_check_says(struct process *process, enum process_stream stream, const char *text);

/* Runs it to its end; SAYS is on standard error where EXPECTED is not 0, else on standard output. */
void ctl_fixture_check_run(const struct ctl_fixture *fixture, const char *line, int expected,
                           const char *says);

/* Runs it to its end, with what it then says: each of the texts must be there, up to NULL. Where none is
 * expected on standard error, there must be none. */
struct ctl_fixture_expected {
        int exit;
        const char *out[6], *err[3];
};
void ctl_fixture_check_output(const struct ctl_fixture *fixture, const char *line,
                              const struct ctl_fixture_expected *expected);
#define CHECK_RUN(fixture, line, ...) \
        ctl_fixture_check_output((fixture), (line), &(struct ctl_fixture_expected) { __VA_ARGS__ })

/* How often WHAT is in TEXT. */
unsigned count_text(const char *text, const char *what);
