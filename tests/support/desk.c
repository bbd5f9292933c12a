#include "tests/support/desk.h"

#include <fcntl.h>
#include <unistd.h>

#include "tests/test.h"

void desk_init(struct desk *desk, const char *certificates) {
        _cleanup_(freep) char *control = NULL;

        *desk = (struct desk) { .stand = stand_new((const char *[]) { "--lifetime", "2h", NULL }) };

        ck_assert_int_ge(
                asprintf(&control, "control: {socket: %s/control.sock}\nlog: {", desk->stand->directory), 0);
        scratch_write(desk->stand->directory, "passphrase", PASSPHRASE, 0600);
        scratch_write(desk->stand->directory, "is-there", "", 0600);
        stand_configure(desk->stand, certificates);
        stand_edit(desk->stand, "log: {", control);
        desk->heard = open_memstream(&desk->text, &desk->size);
        ck_assert_ptr_nonnull(desk->heard);
        stand_start(desk->stand, NULL);
        json_decref(stand_await(desk->stand, MESSAGE_READY));
}

void desk_clear(struct desk *desk) {
        fclose(desk->heard);
        free(desk->text);
        free(desk->token);
        stand_free(desk->stand);
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

struct process *desk_start(struct desk *desk, const char *line) {
        _cleanup_(freep) char *words = strdup(line), *token = NULL, *config = NULL;
        const char *argv[ARGUMENTS_MAX];
        int before = dup(STDIN_FILENO), fd;
        struct process *process;

        token = desk->token ? scratch_path(desk->stand->directory, "token") : strdup("/dev/null");
        config = scratch_path(desk->stand->directory, "rekeyd.yaml");
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

char *desk_finish(struct desk *desk, struct process *process, int *ret_status) {
        char *text;

        *ret_status = process_wait(process);
        ck_assert_int_ge(asprintf(&text, "%s%s", process_output(process, PROCESS_STDOUT),
                                  process_output(process, PROCESS_STDERR)),
                         0);
        fprintf(desk->heard, "%s\n", text);
        fflush(desk->heard);
        return text;
}

char *desk_run(struct desk *desk, const char *line, int expected) {
        const usec_t deadline = now_usec(CLOCK_MONOTONIC) + patience_usec();
        char *text;
        int status;

        for (;;) {
                struct process *process = desk_start(desk, line);

                text = desk_finish(desk, process, &status);
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

void desk_check(struct desk *desk, const char *line, int expected, const char *says) {
        _cleanup_(freep) char *text = desk_run(desk, line, expected);

        ck_assert_msg(strstr(text, says), "rekeyctl %s did not say '%s' but: %s", line, says, text);
}

void desk_mint_token(struct desk *desk) {
        stand_token(desk->stand, "client-1", "token");
        free(desk->token);
        desk->token = scratch_read(desk->stand->directory, "token");
}

void desk_enrol(struct desk *desk) {
        desk_mint_token(desk);
        desk_check(desk, "enrol orders -", 0, "orders: enrolled: generation ");
}

void desk_settle(struct desk *desk) {
        const usec_t deadline = now_usec(CLOCK_MONOTONIC) + patience_usec();

        for (;;) {
                _cleanup_(freep) char *text = desk_run(desk, "status --json orders", 0);

                if (strstr(text, "\"step\":null") && strstr(text, "\"notifications_owed\":0"))
                        return;
                ck_assert_msg(now_usec(CLOCK_MONOTONIC) < deadline, "it never comes to rest: %s", text);
        }
}

void desk_check_fine(struct desk *desk) {
        desk_settle(desk);
        desk_check(desk, "status", 0, "1 certificate: 1 is fine.");
}
