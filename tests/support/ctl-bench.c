/* The bench is a scratch directory, the script in it, and words that become the arguments of rekeyctl. */

#include "tests/support/ctl-bench.h"

#include <check.h>
#include <fcntl.h>

#include "tests/support/scratch.h"

struct bench bench_new(void) {
        struct bench bench = { .directory = scratch_new() };

        bench.api = fake_api_new(bench.directory);
        return bench;
}

void bench_clear(struct bench *bench) {
        fake_api_free(bench->api);
        scratch_free(bench->directory);
}

void bench_make_arguments(const struct bench *bench, char *words, const char *argv[BENCH_ARGUMENTS_MAX]) {
        size_t n = 0;
        char *rest = NULL;

        argv[n++] = getenv("REKEYD_TEST_REKEYCTL");
        ck_assert_ptr_nonnull(argv[0]);
        argv[n++] = "--socket";
        argv[n++] = fake_api_socket(bench->api);
        for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
                ck_assert_uint_lt(n, BENCH_ARGUMENTS_MAX - 1);
                argv[n++] = word;
        }
        argv[n] = NULL;
}

struct process *bench_start_with(const struct bench *bench, const char *input, const char *line) {
        _cleanup_(freep) char *words = strdup(line), *path = NULL;
        const char *argv[BENCH_ARGUMENTS_MAX];
        struct process *process;
        int before = dup(STDIN_FILENO), fd;

        path = input ? scratch_path(bench->directory, input) : strdup("/dev/null");
        fd = open(path, O_RDONLY | O_CLOEXEC);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(dup2(fd, STDIN_FILENO), STDIN_FILENO);
        bench_make_arguments(bench, words, argv);
        process = process_start(argv, true);
        close(fd);
        if (before >= 0) {
                dup2(before, STDIN_FILENO);
                close(before);
        }
        return process;
}

struct process *bench_start(const struct bench *bench, const char *line) {
        return bench_start_with(bench, NULL, line);
}

struct pty *bench_start_on_terminal(const struct bench *bench, unsigned columns, const char *line) {
        _cleanup_(freep) char *words = strdup(line);
        const char *argv[BENCH_ARGUMENTS_MAX];

        bench_make_arguments(bench, words, argv);
        return pty_start(argv, columns, 24);
}

void bench_check_says(struct process *process, enum process_stream stream, const char *text) {
        ck_assert_msg(strstr(process_output(process, stream), text), "it did not say '%s' but:\n%s%s", text,
                      process_output(process, PROCESS_STDOUT), process_output(process, PROCESS_STDERR));
}

void bench_check_exit(struct process *process, int expected) {
        int status = process_wait(process);

        ck_assert_msg(status == expected, "it ended with %d, not with %d:\n%s%s", status, expected,
                      process_output(process, PROCESS_STDOUT), process_output(process, PROCESS_STDERR));
}

void bench_check_run(const struct bench *bench, const char *line, int expected, const char *says) {
        _cleanup_(process_freep) struct process *process = bench_start(bench, line);

        bench_check_exit(process, expected);
        bench_check_says(process, expected == 0 ? PROCESS_STDOUT : PROCESS_STDERR, says);
}

unsigned count_text(const char *text, const char *what) {
        unsigned n = 0;

        for (; (text = strstr(text, what)); text++)
                n++;
        return n;
}
