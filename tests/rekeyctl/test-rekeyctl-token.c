/* What rekeyctl asks its user: for one-time tokens, which nobody else may see, and for a yes to a revocation.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "tests/rekeyctl/ctl-fixture.h"
#include "tests/support/scratch.h"
#include "tests/test.h"

#define TOKEN "one-time-4711-abcdef"

/* --- Tokens --- */

#define ENROL "POST /v1/certificates/orders/enrol"

/* Whether the file of process PID holds TEXT. */
static bool proc_holds(pid_t pid, const char *name, const char *text) {
        char path[64], buffer[65536];
        size_t n;
        FILE *file;

        snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
        file = fopen(path, "re");
        ck_assert_ptr_nonnull(file);
        n = fread(buffer, 1, sizeof(buffer), file);
        fclose(file);
        return memmem(buffer, n, text, strlen(text)) != NULL;
}

static void check_no_token(struct process *process) {
        ck_assert_ptr_null(strstr(process_output(process, PROCESS_STDOUT), TOKEN));
        ck_assert_ptr_null(strstr(process_output(process, PROCESS_STDERR), TOKEN));
}

START_TEST(a_token_is_read_from_file_and_pipe_and_shown_nowhere) {
        static const char *const lines[] = {
                "enrol orders --token-file %s/token",
                "enrol orders --token-file - --force",
                "enrol orders - --no-wait",
        };
        static const char *const bodies[] = {
                "{\"token\":\"" TOKEN "\"}\n",
                "{\"token\":\"" TOKEN "\",\"force\":true}\n",
                "{\"token\":\"" TOKEN "\"}\n",
        };
        struct ctl_fixture fixture = ctl_fixture_new();

        scratch_write(fixture.directory, "token", "\n  " TOKEN " \r\n", 0600);
        fake_api_answer(fixture.api, ENROL, 202, ACCEPTED);
        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                _cleanup_(process_freep) struct process *process = NULL;
                _cleanup_(freep) char *requests = NULL;
                const bool waits = !strstr(lines[i], "--no-wait");
                char line[256];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
                snprintf(line, sizeof(line), lines[i], fixture.directory);
#pragma GCC diagnostic pop
                process = ctl_fixture_start_with(&fixture, "token", line);
                fake_api_await(fixture.api, ENROL, (unsigned)i + 1);
                if (waits) {
                        ck_assert(!proc_holds(process_pid(process), "cmdline", TOKEN));
                        ck_assert(!proc_holds(process_pid(process), "environ", TOKEN));
                        fake_api_tell(fixture.api,
                                      EVENT("orders", "enrolled", "enrolled: generation 1", OVER("enrol")));
                }
                ctl_fixture_check_exit(process, 0);
                check_no_token(process);
                requests = fake_api_requests(fixture.api);
                ck_assert_msg(strstr(requests, bodies[i]), "%s", requests);
        }
        ctl_fixture_clear(&fixture);
}
END_TEST

/* As <(COMMAND) of a shell: /dev/fd/N is a pipe. And a FIFO whose writer comes late. */
START_TEST(a_token_comes_through_a_pipe) {
        struct ctl_fixture fixture = ctl_fixture_new();
        _cleanup_(freep) char *fifo = scratch_path(fixture.directory, "fifo"), *requests = NULL;
        char line[256];

        ck_assert_int_eq(mkfifo(fifo, 0600), 0);
        fake_api_answer(fixture.api, ENROL, 202, ACCEPTED);
        for (unsigned is_late = 0; is_late < 2; is_late++) {
                _cleanup_(process_freep) struct process *process = NULL;
                const char token[] = TOKEN "\n";
                int fds[2], fd;

                ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
                ck_assert_int_eq(fcntl(fds[0], F_SETFD, 0), 0);
                if (is_late)
                        snprintf(line, sizeof(line), "enrol orders --no-wait --token-file %s", fifo);
                else
                        snprintf(line, sizeof(line), "enrol orders --no-wait --token-file /dev/fd/%d",
                                 fds[0]);
                process = ctl_fixture_start(&fixture, line);
                fd = is_late ? open(fifo, O_WRONLY) : dup(fds[1]);
                close(fds[0]);
                close(fds[1]);
                ck_assert_int_eq(write(fd, token, 4), 4);
                ck_assert_int_eq(write(fd, &token[4], strlen(token) - 4), (ssize_t)strlen(token) - 4);
                close(fd);
                ctl_fixture_check_exit(process, 0);
                check_no_token(process);
        }
        requests = fake_api_requests(fixture.api);
        ck_assert_uint_eq(count_text(requests, "{\"token\":\"" TOKEN "\"}"), 2);
        ctl_fixture_clear(&fixture);
}
END_TEST

/* Neither is one waited for that nobody writes to, nor is more read than a token has. */
START_TEST(a_pipe_has_limits) {
        struct ctl_fixture fixture = ctl_fixture_new();
        _cleanup_(freep) char *fifo = scratch_path(fixture.directory, "fifo"), *requests = NULL;
        _cleanup_(process_freep) struct process *silent = NULL, *endless = NULL;
        char line[256], much[20000];
        int fd;

        ck_assert_int_eq(mkfifo(fifo, 0600), 0);
        snprintf(line, sizeof(line), "enrol orders --timeout 50ms --token-file %s", fifo);
        silent = ctl_fixture_start(&fixture, line);
        ctl_fixture_check_exit(silent, 1);
        ctl_fixture_check_says(silent, PROCESS_STDERR, "is a pipe, and its writer has not ended in time");

        snprintf(line, sizeof(line), "enrol orders --token-file %s", fifo);
        endless = ctl_fixture_start(&fixture, line);
        fd = open(fifo, O_WRONLY);
        memset(much, 'x', sizeof(much));
        ck_assert_int_eq(write(fd, much, sizeof(much)), sizeof(much));
        ctl_fixture_check_exit(endless, 1);
        close(fd);
        ctl_fixture_check_says(endless, PROCESS_STDERR, "too long for a one-time token");
        requests = fake_api_requests(fixture.api);
        ck_assert_str_eq(requests, "");
        ctl_fixture_clear(&fixture);
}
END_TEST

START_TEST(what_is_no_token_is_refused_unseen) {
        static const struct {
                const char *content, *says;
        } rows[] = {
                { "", "is empty" },
                { " \n\n", "is empty" },
                { TOKEN " " TOKEN, "without blanks" },
                { TOKEN "\n" TOKEN "\n", "several lines" },
                { TOKEN "\t1", "without blanks" },
                { TOKEN "\xc3\xa4", "of printable ASCII" },
                { TOKEN "\033", "of printable ASCII" },
                { "{\"token\": 1}", "JSON without a `token`" },
        };
        struct ctl_fixture fixture = ctl_fixture_new();
        _cleanup_(freep) char *requests = NULL, *large = NULL;
        _cleanup_(process_freep) struct process *argument = NULL;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(process_freep) struct process *process = NULL;

                scratch_write(fixture.directory, "token", rows[i].content, 0600);
                process = ctl_fixture_start_with(&fixture, "token", "enrol orders -");
                ctl_fixture_check_exit(process, 1);
                ctl_fixture_check_says(process, PROCESS_STDERR, rows[i].says);
                check_no_token(process);
        }
        large = calloc(1, 20001);
        memset(large, 'x', 20000);
        scratch_write(fixture.directory, "large", large, 0600);
        for (unsigned is_file = 0; is_file < 2; is_file++) {
                char line[256];
                _cleanup_(process_freep) struct process *process = NULL;

                snprintf(line, sizeof(line), "enrol orders --token-file %s%s",
                         is_file ? fixture.directory : "-", is_file ? "/large" : "");
                process = ctl_fixture_start_with(&fixture, "large", line);
                ctl_fixture_check_exit(process, 1);
                ctl_fixture_check_says(process, PROCESS_STDERR, "too long");
        }
        ctl_fixture_check_run(
                &fixture, "enrol orders --token-file /nowhere/token", 1,
                "cannot read the one-time token from /nowhere/token: No such file or directory");

        argument = ctl_fixture_start(&fixture, "enrol orders " TOKEN);
        ctl_fixture_check_exit(argument, 2);
        ctl_fixture_check_says(argument, PROCESS_STDERR, "every user of this machine can read it there");
        check_no_token(argument);

        requests = fake_api_requests(fixture.api);
        ck_assert_str_eq(requests, "");
        ctl_fixture_clear(&fixture);
}
END_TEST

START_TEST(a_token_is_asked_for_without_echo) {
        static const char *const rejected[] = {
                "{\"name\":\"orders\",\"usable\":true,\"state\":\"waiting-for-token\",\"failure\":"
                "\"transient\"}",
                "{\"name\":\"orders\",\"usable\":true,\"state\":\"retrying\",\"failure\":\"rejected\"}",
        };
        struct ctl_fixture fixture = ctl_fixture_new();
        _cleanup_(pty_freep) struct pty *pty = NULL, *stopped = NULL, *unknown = NULL, *usable = NULL,
                                        *forced = NULL;
        _cleanup_(freep) char *requests = NULL;

        fake_api_answer(fixture.api, "GET /v1/certificates/orders", 200, "{\"name\":\"orders\"}");
        fake_api_answer(fixture.api, ENROL, 202, ACCEPTED);
        pty = ctl_fixture_start_on_terminal(&fixture, 80, "enrol orders");
        pty_await(pty, "One-time token for orders (not shown): ");
        ck_assert(!pty_echoes(pty));
        pty_type(pty, TOKEN "\n");
        fake_api_await(fixture.api, ENROL, 1);
        ck_assert(pty_echoes(pty));
        fake_api_tell(fixture.api, EVENT("orders", "enrolled", "enrolled: generation 1", OVER("enrol")));
        pty_await(pty, "enrolled: generation 1");
        ck_assert_int_eq(pty_wait(pty), 0);
        ck_assert_ptr_null(strstr(pty_output(pty), TOKEN));
        requests = fake_api_requests(fixture.api);
        ck_assert_ptr_nonnull(strstr(requests, "{\"token\":\"" TOKEN "\"}"));

        stopped = ctl_fixture_start_on_terminal(&fixture, 80, "enrol orders");
        pty_await(stopped, "(not shown): ");
        ck_assert(!pty_echoes(stopped));
        pty_type(stopped, "one-\003");
        ck_assert_int_eq(pty_wait(stopped), 128 + SIGINT);
        ck_assert(pty_echoes(stopped));

        /* Before anything is typed in vain. */
        unknown = ctl_fixture_start_on_terminal(&fixture, 80, "enrol billing");
        ck_assert_int_eq(pty_wait(unknown), 5);
        ck_assert_ptr_null(strstr(pty_output(unknown), "not shown"));
        fake_api_answer(fixture.api, "GET /v1/certificates/orders", 200,
                        "{\"name\":\"orders\",\"usable\":true,\"state\":\"current\",\"failure\":null}");
        usable = ctl_fixture_start_on_terminal(&fixture, 80, "enrol orders");
        ck_assert_int_eq(pty_wait(usable), 6);
        ck_assert_ptr_null(strstr(pty_output(usable), "not shown"));
        forced = ctl_fixture_start_on_terminal(&fixture, 80, "enrol orders --force");
        pty_await(forced, "(not shown): ");
        pty_type(forced, "\003");
        ck_assert_int_eq(pty_wait(forced), 128 + SIGINT);

        /* rekeyd takes one where the Connector accepts the certificate no more, valid as it may be. */
        for (size_t i = 0; i < ELEMENTSOF(rejected); i++) {
                _cleanup_(pty_freep) struct pty *asked = NULL;

                fake_api_answer(fixture.api, "GET /v1/certificates/orders", 200, rejected[i]);
                asked = ctl_fixture_start_on_terminal(&fixture, 80, "enrol orders");
                pty_await(asked, "(not shown): ");
                pty_type(asked, "\003");
                ck_assert_int_eq(pty_wait(asked), 128 + SIGINT);
        }
        ctl_fixture_clear(&fixture);
}
END_TEST

/* All of what PID may write to. */
static unsigned search_process(pid_t pid, const char *text) {
        static char buffer[1 << 16];
        const size_t overlap = strlen(text) - 1;
        char path[64], row[512];
        unsigned n = 0;
        int memory;
        FILE *maps;

        snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
        memory = open(path, O_RDONLY | O_CLOEXEC);
        ck_assert_msg(memory >= 0, "%s: %s", path, strerror(errno));
        snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
        maps = fopen(path, "re");
        ck_assert_ptr_nonnull(maps);
        while (fgets(row, sizeof(row), maps)) {
                unsigned long begin, end;
                char access[8];

                if (sscanf(row, "%lx-%lx %7s", &begin, &end, access) != 3 || access[1] != 'w')
                        continue;
                for (unsigned long at = begin; at < end; at += sizeof(buffer) - overlap) {
                        ssize_t got = pread(memory, buffer, sizeof(buffer), (off_t)at);

                        for (char *p = buffer;
                             got > 0 && (p = memmem(p, (size_t)(buffer + got - p), text, strlen(text))); p++)
                                n++;
                }
        }
        fclose(maps);
        close(memory);
        return n;
}

START_TEST(a_token_stays_in_no_memory) {
        struct ctl_fixture fixture = ctl_fixture_new();
        _cleanup_(process_freep) struct process *process = NULL;
        unsigned n;

        if (test_is_instrumented()) {
                test_skip("%s", test_is_instrumented());
                ctl_fixture_clear(&fixture);
                return;
        }
        scratch_write(fixture.directory, "token", TOKEN "\n", 0600);
        fake_api_answer(fixture.api, ENROL, 202, ACCEPTED);
        process = ctl_fixture_start_with(&fixture, "token", "enrol orders -");
        fake_api_await(fixture.api, ENROL, 1);
        /* A step that was read tells that the request is over. */
        fake_api_tell(fixture.api, EVENT("orders", "begun", "needle-of-an-event"));
        for (usec_t end = now_usec(CLOCK_MONOTONIC) + patience_usec();
             search_process(process_pid(process), "needle-of-an-event") == 0 &&
             now_usec(CLOCK_MONOTONIC) < end;)
                ;
        n = search_process(process_pid(process), TOKEN);
        ck_assert_msg(n == 0, "the token is in memory %u times", n);
        fake_api_tell(fixture.api, EVENT("orders", "enrolled", "enrolled", OVER("enrol")));
        ctl_fixture_check_exit(process, 0);
        ctl_fixture_clear(&fixture);
}
END_TEST

/* --- Revocation --- */

#define DETAILS                                                                                     \
        "{\"name\":\"orders\",\"fingerprint\":\"3f1c0123\",\"not_after\":\"2027-01-30T09:00:00Z\"," \
        "\"set\":{\"subject\":\"CN=orders,O=Org\"}}"

START_TEST(a_revocation_takes_a_yes) {
        static const struct {
                const char *typed;
                int exit;
        } rows[] = { { "y\n", 0 }, { "yes\n", 0 }, { "\n", 1 }, { "n\n", 1 }, { "yep\n", 1 }, { "\004", 1 } };
        struct ctl_fixture fixture = ctl_fixture_new();
        unsigned n = 0;

        fake_api_answer(fixture.api, "GET /v1/certificates/orders", 200, DETAILS);
        fake_api_answer_then(fixture.api, "POST /v1/certificates/orders/revoke", 202, ACCEPTED,
                             EVENT("orders", "revoked", "revoked, generation 42", OVER("revoke")));
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(pty_freep) struct pty *pty =
                        ctl_fixture_start_on_terminal(&fixture, 120, "revoke orders");
                _cleanup_(freep) char *requests = NULL;
                int status;

                pty_await(pty, "CN=orders,O=Org");
                pty_await(pty, "3f1c0123");
                pty_await(pty, "2027-01-30T09:00:00");
                pty_await(pty, "[y/N] ");
                pty_type(pty, rows[i].typed);
                status = pty_wait(pty);
                ck_assert_msg(status == rows[i].exit, "%s: %d", rows[i].typed, status);
                ck_assert_ptr_nonnull(strstr(pty_output(pty), rows[i].exit == 0 ? "revoked, generation 42"
                                                                                : "nothing was revoked"));
                n += rows[i].exit == 0;
                requests = fake_api_requests(fixture.api);
                ck_assert_uint_eq(count_text(requests, "POST"), n);
        }
        ctl_fixture_check_run(&fixture, "revoke --yes orders", 0, "orders: revoked, generation 42\n");
        ctl_fixture_clear(&fixture);
}
END_TEST

TEST_MAIN("rekeyctl-token", a_token_is_read_from_file_and_pipe_and_shown_nowhere,
          a_token_comes_through_a_pipe, a_pipe_has_limits, what_is_no_token_is_refused_unseen,
          a_token_is_asked_for_without_echo, a_token_stays_in_no_memory, a_revocation_takes_a_yes)
