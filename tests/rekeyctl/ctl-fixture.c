/* The bench is a scratch directory, the script in it, and words that become the arguments of rekeyctl. */

#include "tests/rekeyctl/ctl-fixture.h"

#include <check.h>
#include <fcntl.h>

#include "tests/support/scratch.h"

struct ctl_fixture ctl_fixture_new_alone(void) {
        struct ctl_fixture fixture = { .directory = scratch_new() };

        fixture.config = scratch_path(fixture.directory, "rekeyd.yaml");
        return fixture;
}

struct ctl_fixture ctl_fixture_new(void) {
        struct ctl_fixture fixture = ctl_fixture_new_alone();

        fixture.api = fake_api_new(fixture.directory);
        return fixture;
}

void ctl_fixture_clear(struct ctl_fixture *fixture) {
        fake_api_free(fixture->api);
        free(fixture->config);
        scratch_free(fixture->directory);
}

void ctl_fixture_make_arguments(const struct ctl_fixture *fixture, char *words,
                                const char *argv[CTL_ARGUMENTS_MAX]) {
        size_t n = 0;
        char *rest = NULL;

        argv[n++] = getenv("REKEYD_TEST_REKEYCTL");
        ck_assert_ptr_nonnull(argv[0]);
        if (fixture->api) {
                argv[n++] = "--socket";
                argv[n++] = fake_api_socket(fixture->api);
        }
        argv[n++] = "--config";
        argv[n++] = fixture->config;
        for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
                ck_assert_uint_lt(n, CTL_ARGUMENTS_MAX - 1);
                argv[n++] = word;
        }
        argv[n] = NULL;
}

struct process *ctl_fixture_start_with(const struct ctl_fixture *fixture, const char *input,
                                       const char *line) {
        _cleanup_(freep) char *words = strdup(line), *path = NULL;
        const char *argv[CTL_ARGUMENTS_MAX];
        struct process *process;
        int before = dup(STDIN_FILENO), fd;

        path = input ? scratch_path(fixture->directory, input) : strdup("/dev/null");
        fd = open(path, O_RDONLY | O_CLOEXEC);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(dup2(fd, STDIN_FILENO), STDIN_FILENO);
        ctl_fixture_make_arguments(fixture, words, argv);
        process = process_start(argv, true);
        close(fd);
        if (before >= 0) {
                dup2(before, STDIN_FILENO);
                close(before);
        }
        return process;
}

struct process *ctl_fixture_start(const struct ctl_fixture *fixture, const char *line) {
        return ctl_fixture_start_with(fixture, NULL, line);
}

struct pty *ctl_fixture_start_on_terminal(const struct ctl_fixture *fixture, unsigned columns,
                                          const char *line) {
        _cleanup_(freep) char *words = strdup(line);
        const char *argv[CTL_ARGUMENTS_MAX];

        ctl_fixture_make_arguments(fixture, words, argv);
        return pty_start(argv, columns, 24);
}

void ctl_fixture_check_says(struct process *process, enum process_stream stream, const char *text) {
        ck_assert_msg(strstr(process_output(process, stream), text), "it did not say '%s' but:\n%s%s", text,
                      process_last_words(process, PROCESS_STDOUT),
                      process_last_words(process, PROCESS_STDERR));
}

void ctl_fixture_check_exit(struct process *process, int expected) {
        int status = process_wait(process);

        ck_assert_msg(status == expected, "it ended with %d, not with %d:\n%s%s", status, expected,
                      process_last_words(process, PROCESS_STDOUT),
                      process_last_words(process, PROCESS_STDERR));
}

void ctl_fixture_check_run(const struct ctl_fixture *fixture, const char *line, int expected,
                           const char *says) {
        _cleanup_(process_freep) struct process *process = ctl_fixture_start(fixture, line);

        ctl_fixture_check_exit(process, expected);
        ctl_fixture_check_says(process, expected == 0 ? PROCESS_STDOUT : PROCESS_STDERR, says);
}

static void check_texts(const char *output, const char *const *texts, size_t max, const char *line) {
        for (size_t i = 0; i < max && texts[i]; i++)
                ck_assert_msg(strstr(output, texts[i]), "'%s' does not say '%s' but:\n%s", line, texts[i],
                              output);
}

void ctl_fixture_check_output(const struct ctl_fixture *fixture, const char *line,
                              const struct ctl_fixture_expected *expected) {
        _cleanup_(process_freep) struct process *process = ctl_fixture_start(fixture, line);
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
