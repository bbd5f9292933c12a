#pragma once

/* The real rekeyctl against a rekeyd that is a script, or against nothing but files. */

#include "tests/support/fake-api.h"
#include "tests/support/process.h"
#include "tests/support/pty.h"

#define ACCEPTED "{\"accepted\":\"x\"}"

/* An event of a certificate; the rest are more members. */
#define EVENT(name, event, message, ...)                                                     \
        "{\"time\":\"2026-11-20T18:06:53Z\",\"event\":\"" event "\",\"certificate\":\"" name \
        "\",\"message\":\"" message "\"" __VA_ARGS__ "}\n"
#define OVER(operation) ",\"operation\":\"" operation "\""

struct bench {
        char *directory, *config; /* which is rekeyd.yaml in it, whether it is there or not */
        struct fake_api *api;     /* NULL: no rekeyd */
};
struct bench bench_new(void);
struct bench bench_new_alone(void);
void bench_clear(struct bench *bench);

/* "rekeyctl --socket ... --config ... WORDS", words separated by blanks; WORDS is cut up, and borrowed. The
 * socket is only named where there is a script that listens. */
#define BENCH_ARGUMENTS_MAX 32
void bench_make_arguments(const struct bench *bench, char *words, const char *argv[BENCH_ARGUMENTS_MAX]);

/* With INPUT, a file in the scratch directory, as standard input; NULL: nothing. */
struct process *bench_start_with(const struct bench *bench, const char *input, const char *line);
struct process *bench_start(const struct bench *bench, const char *line);
struct pty *bench_start_on_terminal(const struct bench *bench, unsigned columns, const char *line);

/* Awaits its end; or looks at what it has said. */
void bench_check_exit(struct process *process, int expected);
void bench_check_says(struct process *process, enum process_stream stream, const char *text);

/* Runs it to its end; SAYS is on standard error where EXPECTED is not 0, else on standard output. */
void bench_check_run(const struct bench *bench, const char *line, int expected, const char *says);

/* Runs it to its end, with what it then says: each of the texts must be there, up to NULL. Where none is
 * expected on standard error, there must be none. */
struct bench_expected {
        int exit;
        const char *out[6], *err[3];
};
void bench_check_output(const struct bench *bench, const char *line, const struct bench_expected *expected);
#define CHECK_RUN(bench, line, ...) \
        bench_check_output((bench), (line), &(struct bench_expected) { __VA_ARGS__ })

/* How often WHAT is in TEXT. */
unsigned count_text(const char *text, const char *what);
