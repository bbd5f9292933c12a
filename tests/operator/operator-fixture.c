#include "tests/operator/operator-fixture.h"

#include <fcntl.h>
#include <unistd.h>

#include "tests/test.h"

void operator_init(struct operator_fixture *console, const char *certificates) {
        operator_init_with(console, certificates, FIXTURE_LASTING("2h"));
}

void operator_init_with(struct operator_fixture *console, const char *certificates,
                        const char *const *options) {
        _cleanup_(freep) char *control = NULL;

        *console = (struct operator_fixture) { .fixture = fixture_new(options) };

        ck_assert_int_ge(
                asprintf(&control, "control: {socket: %s/control.sock}\nlog: {", console->fixture->directory),
                0);
        scratch_write(console->fixture->directory, "passphrase", PASSPHRASE, 0600);
        scratch_write(console->fixture->directory, "is-there", "", 0600);
        fixture_configure(console->fixture, certificates);
        fixture_edit(console->fixture, "log: {", control);
        console->heard = open_memstream(&console->text, &console->size);
        ck_assert_ptr_nonnull(console->heard);
        fixture_start(console->fixture, NULL);
        fixture_expect(console->fixture, MESSAGE_READY);
}

void operator_clear(struct operator_fixture *console) {
        fclose(console->heard);
        free(console->text);
        free(console->token);
        fixture_free(console->fixture);
}

#define ARGUMENTS_MAX 32

static void make_arguments(char *words, const char *config, const char *argv[ARGUMENTS_MAX]) {
        size_t n = 0;
        char *rest = NULL;

        argv[n++] = getenv("REKEYD_TEST_REKEYCTL");
        ck_assert_ptr_nonnull(argv[0]);
        argv[n++] = "--config";
        argv[n++] = config;
        for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
                ck_assert_uint_lt(n, ARGUMENTS_MAX - 1);
                argv[n++] = word;
        }
        argv[n] = NULL;
}

struct process *operator_start(struct operator_fixture *console, const char *line) {
        _cleanup_(freep) char *words = strdup(line), *token = NULL, *config = NULL;
        const char *argv[ARGUMENTS_MAX];
        int before = dup(STDIN_FILENO), fd;
        struct process *process;

        token = console->token ? scratch_path(console->fixture->directory, "token") : strdup("/dev/null");
        config = scratch_path(console->fixture->directory, "rekeyd.yaml");
        fd = open(token, O_RDONLY | O_CLOEXEC);
        ck_assert_int_ge(fd, 0);
        dup2(fd, STDIN_FILENO);
        make_arguments(words, config, argv);
        process = process_start(argv, true);
        close(fd);
        if (before >= 0) {
                dup2(before, STDIN_FILENO);
                close(before);
        }
        return process;
}

char *operator_finish(struct operator_fixture *console, struct process *process, int *ret_status) {
        char *text;

        *ret_status = process_wait(process);
        ck_assert_int_ge(asprintf(&text, "%s%s", process_output(process, PROCESS_STDOUT),
                                  process_output(process, PROCESS_STDERR)),
                         0);
        fprintf(console->heard, "%s\n", text);
        fflush(console->heard);
        return text;
}

char *operator_run(struct operator_fixture *console, const char *line, int expected) {
        const usec_t deadline = now_usec(CLOCK_MONOTONIC) + patience_usec();
        char *text;
        int status;

        for (;;) {
                struct process *process = operator_start(console, line);

                text = operator_finish(console, process, &status);
                process_free(process);
                if (expected == 6 || status != 6 || !strstr(text, "is under way") ||
                    now_usec(CLOCK_MONOTONIC) > deadline)
                        break;
                free(text);
        }
        ck_assert_msg(status == expected, "rekeyctl %s ended with %d, not %d: %s", line, status, expected,
                      text);
        return text;
}

void operator_check(struct operator_fixture *console, const char *line, int expected, const char *says) {
        _cleanup_(freep) char *text = operator_run(console, line, expected);

        ck_assert_msg(strstr(text, says), "rekeyctl %s did not say '%s' but: %s", line, says, text);
}

void operator_mint_token(struct operator_fixture *console) {
        fixture_token(console->fixture, "client-1", "token");
        free(console->token);
        console->token = scratch_read(console->fixture->directory, "token");
}

void operator_enrol(struct operator_fixture *console) {
        operator_mint_token(console);
        operator_check(console, "enrol orders -", 0, "orders: enrolled: generation ");
}

void operator_settle(struct operator_fixture *console) {
        const usec_t deadline = now_usec(CLOCK_MONOTONIC) + patience_usec();

        for (;;) {
                _cleanup_(freep) char *text = operator_run(console, "status --json orders", 0);

                if (strstr(text, "\"step\":null") && strstr(text, "\"notifications_pending\":0"))
                        return;
                ck_assert_msg(now_usec(CLOCK_MONOTONIC) < deadline, "it never comes to rest: %s", text);
        }
}

void operator_check_fine(struct operator_fixture *console) {
        operator_settle(console);
        operator_check(console, "status", 0, "1 certificate: 1 OK.");
}
