/* The bench is a scratch directory, the script in it, and words that become the arguments of rekeyctl. */

#include "tests/support/ctl-bench.h"

#include <check.h>
#include <fcntl.h>

#include "tests/support/scratch.h"

struct bench bench_new_alone(void) {
        struct bench bench = { .directory = scratch_new() };

        bench.config = scratch_path(bench.directory, "rekeyd.yaml");
        return bench;
}

struct bench bench_new(void) {
        struct bench bench = bench_new_alone();

        bench.api = fake_api_new(bench.directory);
        return bench;
}

void bench_clear(struct bench *bench) {
        fake_api_free(bench->api);
        free(bench->config);
        scratch_free(bench->directory);
}

void bench_make_arguments(const struct bench *bench, char *words, const char *argv[BENCH_ARGUMENTS_MAX]) {
        size_t n = 0;
        char *rest = NULL;

        argv[n++] = getenv("REKEYD_TEST_REKEYCTL");
        ck_assert_ptr_nonnull(argv[0]);
        if (bench->api) {
                argv[n++] = "--socket";
                argv[n++] = fake_api_socket(bench->api);
        }
        argv[n++] = "--config";
        argv[n++] = bench->config;
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

static void check_texts(const char *output, const char *const *texts, size_t max, const char *line) {
        for (size_t i = 0; i < max && texts[i]; i++)
                ck_assert_msg(strstr(output, texts[i]), "'%s' does not say '%s' but:\n%s", line, texts[i],
                              output);
}

void bench_check_output(const struct bench *bench, const char *line, const struct bench_expected *expected) {
        _cleanup_(process_freep) struct process *process = bench_start(bench, line);
        const int status = process_wait(process);
        const char *out = process_output(process, PROCESS_STDOUT),
                   *err = process_output(process, PROCESS_STDERR);

        ck_assert_msg(status == expected->exit, "'%s' ended with %d, not with %d:\n%s%s", line, status,
                      expected->exit, out, err);
        check_texts(out, expected->out, ELEMENTSOF(expected->out), line);
        check_texts(err, expected->err, ELEMENTSOF(expected->err), line);
        if (!expected->err[0])
                ck_assert_msg(!*err, "'%s' complains:\n%s", line, err);
}

unsigned count_text(const char *text, const char *what) {
        unsigned n = 0;

        for (; (text = strstr(text, what)); text++)
                n++;
        return n;
}
