/* The commands of rekeyctl that change something, and events: the real program, on pipes and on terminals,
 * against a rekeyd that is a script (tests/support/fake-api.h). */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/support/fake-api.h"
#include "tests/support/process.h"
#include "tests/support/pty.h"
#include "tests/support/scratch.h"
#include "tests/test.h"

#define TOKEN    "one-time-4711-abcdef"
#define ACCEPTED "{\"accepted\":\"x\"}"

/* An event of a certificate; the rest are more members. */
#define EVENT(name, event, message, ...)                                                     \
        "{\"time\":\"2026-11-20T18:06:53Z\",\"event\":\"" event "\",\"certificate\":\"" name \
        "\",\"message\":\"" message "\"" __VA_ARGS__ "}\n"
#define OVER(operation) ",\"operation\":\"" operation "\""

struct bench {
        char *directory;
        struct fake_api *api;
};

static struct bench bench_new(void) {
        struct bench bench = { .directory = scratch_new() };

        bench.api = fake_api_new(bench.directory);
        return bench;
}

static void bench_clear(struct bench *bench) {
        fake_api_free(bench->api);
        scratch_free(bench->directory);
}

#define ARGUMENTS_MAX 32

/* "rekeyctl --socket ... WORDS", words separated by blanks; WORDS is cut up. */
static void make_arguments(const struct bench *bench, char *words, const char *argv[ARGUMENTS_MAX]) {
        size_t n = 0;
        char *rest = NULL;

        argv[n++] = getenv("REKEYD_TEST_REKEYCTL");
        ck_assert_ptr_nonnull(argv[0]);
        argv[n++] = "--socket";
        argv[n++] = fake_api_socket(bench->api);
        for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
                ck_assert_uint_lt(n, ARGUMENTS_MAX - 1);
                argv[n++] = word;
        }
        argv[n] = NULL;
}

/* With INPUT, a file in the scratch directory, as standard input; NULL: nothing. */
static struct process *start_with(const struct bench *bench, const char *input, const char *line) {
        _cleanup_(freep) char *words = strdup(line), *path = NULL;
        const char *argv[ARGUMENTS_MAX];
        struct process *process;
        int before = dup(STDIN_FILENO), fd;

        path = input ? scratch_path(bench->directory, input) : strdup("/dev/null");
        fd = open(path, O_RDONLY | O_CLOEXEC);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(dup2(fd, STDIN_FILENO), STDIN_FILENO);
        make_arguments(bench, words, argv);
        process = process_start(argv, true);
        close(fd);
        if (before >= 0) {
                dup2(before, STDIN_FILENO);
                close(before);
        }
        return process;
}

static struct process *start(const struct bench *bench, const char *line) {
        return start_with(bench, NULL, line);
}

static struct pty *start_on_terminal(const struct bench *bench, unsigned columns, const char *line) {
        _cleanup_(freep) char *words = strdup(line);
        const char *argv[ARGUMENTS_MAX];

        make_arguments(bench, words, argv);
        return pty_start(argv, columns, 24);
}

static void check_says(struct process *process, enum process_stream stream, const char *text) {
        ck_assert_msg(strstr(process_output(process, stream), text), "it did not say '%s' but:\n%s%s", text,
                      process_output(process, PROCESS_STDOUT), process_output(process, PROCESS_STDERR));
}

static void check_exit(struct process *process, int expected) {
        int status = process_wait(process);

        ck_assert_msg(status == expected, "it ended with %d, not with %d:\n%s%s", status, expected,
                      process_output(process, PROCESS_STDOUT), process_output(process, PROCESS_STDERR));
}

/* Runs it to its end; SAYS is on standard error where EXPECTED is not 0, else on standard output. */
static void check_run(const struct bench *bench, const char *line, int expected, const char *says) {
        _cleanup_(process_freep) struct process *process = start(bench, line);

        check_exit(process, expected);
        check_says(process, expected == 0 ? PROCESS_STDOUT : PROCESS_STDERR, says);
}

static unsigned count(const char *text, const char *what) {
        unsigned n = 0;

        for (; (text = strstr(text, what)); text++)
                n++;
        return n;
}

/* --- What cannot be done --- */

START_TEST(without_rekeyd_each_says_how_to_start_it) {
        static const char *const lines[] = {
                "renew orders",
                "renew --all",
                "renew orders --no-wait",
                "enrol orders --token-file %s/token",
                "revoke orders --yes",
                "rollback orders",
                "notify orders",
                "reload",
                "events",
        };
        struct bench bench = bench_new();

        scratch_write(bench.directory, "token", TOKEN "\n", 0600);
        for (unsigned is_stale = 0; is_stale < 2; is_stale++) {
                for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                        _cleanup_(process_freep) struct process *process = NULL;
                        _cleanup_(freep) char *words = NULL;
                        const char *argv[ARGUMENTS_MAX];
                        char line[256];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
                        snprintf(line, sizeof(line), lines[i], bench.directory);
#pragma GCC diagnostic pop
                        words = strdup(line);
                        make_arguments(&bench, words, argv);
                        argv[2] = is_stale ? "/proc/self/status" : "/nowhere/control.sock";
                        process = process_start(argv, true);
                        check_exit(process, 3);
                        check_says(process, PROCESS_STDERR, "rekeyd is not running, and nothing was done");
                        check_says(process, PROCESS_STDERR, "systemctl start rekeyd");
                        ck_assert_str_eq(process_output(process, PROCESS_STDOUT), "");
                }
        }
        bench_clear(&bench);
}
END_TEST

START_TEST(each_refusal_has_its_exit_status) {
        static const struct {
                unsigned status;
                int exit;
        } rows[] = { { 400, 1 }, { 403, 4 }, { 404, 5 }, { 409, 6 }, { 429, 7 }, { 500, 1 }, { 503, 3 } };
        static const char *const operations[] = { "renew", "revoke", "rollback", "enrol", "notify" };
        struct bench bench = bench_new();

        scratch_write(bench.directory, "token", TOKEN, 0600);
        fake_api_answer(bench.api, "GET /v1/certificates/orders", 200,
                        "{\"dependents\":[{\"dependent\":\"x\"}]}");
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                for (size_t k = 0; k < ELEMENTSOF(operations); k++) {
                        _cleanup_(process_freep) struct process *process = NULL;
                        char request[100], line[300];

                        snprintf(request, sizeof(request), "POST /v1/certificates/orders/%s", operations[k]);
                        snprintf(line, sizeof(line), "%s orders%s%s%s", operations[k],
                                 streq(operations[k], "revoke")  ? " --yes"
                                 : streq(operations[k], "enrol") ? " --token-file "
                                                                 : "",
                                 streq(operations[k], "enrol") ? bench.directory : "",
                                 streq(operations[k], "enrol") ? "/token" : "");
                        fake_api_answer(bench.api, request, rows[i].status,
                                        "{\"error\":\"not so, says rekeyd\"}");
                        check_run(&bench, line, rows[i].exit, "not so, says rekeyd");
                }
        bench_clear(&bench);
}
END_TEST

START_TEST(a_wrong_command_line_asks_for_nothing) {
        static const struct {
                const char *line, *says;
        } rows[] = {
                { "renew", "name the certificates, or say --all" },
                { "renew --all orders", "contradict each other" },
                { "renew orders --no-wait --wait", "contradict each other" },
                { "reload --no-wait --timeout 3s", "contradict each other" },
                { "notify orders --no-wait --wait", "contradict each other" },
                { "revoke orders --yes --no-wait --wait", "contradict each other" },
                { "renew orders --timeout 3", "a duration is needed" },
                { "revoke orders", "rekeyctl revoke --yes orders" },
                { "rollback orders --generation x", "a number is needed" },
                { "rollback", "NAME is missing" },
                { "enrol orders", "--token-file" },
                { "enrol orders - --token-file -", "contradict each other" },
                { "renew ../orders", "NAME '../orders'" },
        };
        struct bench bench = bench_new();
        _cleanup_(freep) char *requests = NULL;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                check_run(&bench, rows[i].line, 2, rows[i].says);
        requests = fake_api_requests(bench.api);
        ck_assert_str_eq(requests, "");
        bench_clear(&bench);
}
END_TEST

/* --- Waiting --- */

START_TEST(what_fails_says_the_whole_sentence_and_what_to_do) {
        static const struct {
                const char *members, *says;
                int exit;
        } rows[] = {
                { ",\"failure\":\"transient\"",
                  "tries again by itself shows: rekeyctl status orders", 1 },
                { ",\"failure\":\"refused\"", "and then: rekeyctl renew orders", 1 },
                { ",\"failure\":\"rejected\"", "rekeyctl enrol orders", 1 },
                { ",\"failure\":\"bad-reply\"", "rekeyctl history orders", 1 },
                { ",\"failure\":\"local\"", "mend that, and then: rekeyctl renew orders", 1 },
                { "", "rekeyctl show orders", 1 },
        };
        struct bench bench = bench_new();

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(process_freep) struct process *process = NULL;
                _cleanup_(freep) char *event = NULL;

                ck_assert_int_ge(
                        asprintf(&event,
                                 "{\"event\":\"failed\",\"certificate\":\"orders\",\"operation\":\"renew\","
                                 "\"message\":\"having it signed failed: no\"%s}\n",
                                 rows[i].members),
                        0);
                fake_api_answer_then(bench.api, "POST /v1/certificates/orders/renew", 202, ACCEPTED, event);
                process = start(&bench, "renew orders");
                check_exit(process, rows[i].exit);
                check_says(process, PROCESS_STDERR, "rekeyctl: orders: having it signed failed: no; ");
                check_says(process, PROCESS_STDERR, rows[i].says);
                ck_assert_uint_eq(count(process_output(process, PROCESS_STDERR), "\n"), 1);
        }
        fake_api_answer_then(bench.api, "POST /v1/certificates/orders/renew", 202, ACCEPTED,
                             EVENT("orders", "over-budget", "no more", OVER("renew")));
        check_run(&bench, "renew orders", 7, "no more; ");
        bench_clear(&bench);
}
END_TEST

START_TEST(only_the_event_of_the_operation_ends_it) {
        struct bench bench = bench_new();
        _cleanup_(process_freep) struct process *process = NULL;
        _cleanup_(freep) char *line = NULL;

        fake_api_answer(bench.api, "POST /v1/certificates/orders/renew", 202, ACCEPTED);
        process = start(&bench, "renew orders --wait");
        fake_api_await(bench.api, "POST", 1);
        fake_api_tell(bench.api, EVENT("orders", "renewed", "one that was due"));
        fake_api_tell(bench.api, EVENT("orders", "failed", "a rollback failed", OVER("rollback")));
        fake_api_tell(bench.api, EVENT("billing", "renewed", "another one", OVER("renew")));
        fake_api_tell(bench.api,
                      "{\"event\":\"reloaded\",\"message\":\"of all\",\"operation\":\"renew\"}\n\n");
        fake_api_tell(bench.api, EVENT("orders", "renewed", "renewed: generation 43", OVER("renew")));
        line = process_await(process, PROCESS_STDOUT, "");
        ck_assert_str_eq(line, "orders: renewed: generation 43");
        check_exit(process, 0);
        bench_clear(&bench);
}
END_TEST

START_TEST(many_are_asked_for_by_one_stream) {
        struct bench bench = bench_new();
        _cleanup_(process_freep) struct process *process = NULL;
        _cleanup_(freep) char *requests = NULL;

        fake_api_answer(bench.api, "POST /v1/certificates/a/renew", 202, ACCEPTED);
        fake_api_answer(bench.api, "POST /v1/certificates/b/renew", 409,
                        "{\"error\":\"b is being renewed\"}");
        fake_api_answer_then(bench.api, "POST /v1/certificates/c/renew", 202, ACCEPTED,
                             EVENT("c", "renewed", "renewed: c", OVER("renew"))
                                     EVENT("a", "failed", "a failed", OVER("renew")));
        process = start(&bench, "renew a b --force c a");
        check_exit(process, 1);
        ck_assert_str_eq(process_output(process, PROCESS_STDOUT), "c: renewed: c\n");
        check_says(process, PROCESS_STDERR, "rekeyctl: b is being renewed\n");
        check_says(process, PROCESS_STDERR, "rekeyctl: a: a failed; ");
        ck_assert_uint_eq(count(process_output(process, PROCESS_STDERR), "\n"), 2);

        requests = fake_api_requests(bench.api);
        ck_assert_str_eq(requests, "GET /v1/events\n"
                                   "POST /v1/certificates/a/renew {\"force\":true}\n"
                                   "POST /v1/certificates/b/renew {\"force\":true}\n"
                                   "POST /v1/certificates/c/renew {\"force\":true}\n");
        bench_clear(&bench);
}
END_TEST

START_TEST(all_are_those_that_rekeyd_has) {
        struct bench bench = bench_new();
        _cleanup_(freep) char *list = NULL;
        size_t size;
        FILE *out = open_memstream(&list, &size);
        _cleanup_(process_freep) struct process *process = NULL;
        enum { MANY = 300 };

        fake_api_answer(bench.api, "GET /v1/certificates", 200, "{\"certificates\":[]}");
        check_run(&bench, "renew --all", 0, "");

        for (unsigned i = 0; i < MANY; i++) {
                char request[64], event[200];

                fprintf(out, "%s{\"name\":\"c%u\"}", i == 0 ? "{\"certificates\":[" : ",", i);
                snprintf(request, sizeof(request), "POST /v1/certificates/c%u/renew", i);
                snprintf(event, sizeof(event),
                         "{\"event\":\"renewed\",\"certificate\":\"c%u\",\"operation\":\"renew\",\"message\":"
                         "\"ok\"}\n",
                         i);
                fake_api_answer_then(bench.api, request, 202, ACCEPTED, event);
        }
        fputs("]}", out);
        fclose(out);
        fake_api_answer(bench.api, "GET /v1/certificates", 200, list);
        process = start(&bench, "renew --all");
        check_exit(process, 0);
        ck_assert_uint_eq(count(process_output(process, PROCESS_STDOUT), ": ok\n"), MANY);
        bench_clear(&bench);
}
END_TEST

START_TEST(no_wait_returns_at_once) {
        struct bench bench = bench_new();
        _cleanup_(freep) char *requests = NULL;

        fake_api_answer(bench.api, "POST /v1/certificates/orders/renew", 202, ACCEPTED);
        fake_api_answer(bench.api, "POST /v1/certificates/orders/rollback", 202, ACCEPTED);
        fake_api_answer(bench.api, "POST /v1/certificates/orders/notify", 202, ACCEPTED);
        fake_api_answer(bench.api, "POST /v1/reload", 202, ACCEPTED);
        check_run(&bench, "renew orders --no-wait", 0, "orders: the renewal was asked for\n");
        check_run(&bench, "rollback orders --generation 41 --no-wait", 0,
                  "orders: the rollback was asked for\n");
        check_run(&bench, "notify orders --no-wait", 0, "orders: ");
        check_run(&bench, "reload --no-wait", 0, "the reload was asked for\n");
        requests = fake_api_requests(bench.api);
        ck_assert_str_eq(requests, "POST /v1/certificates/orders/renew {}\n"
                                   "POST /v1/certificates/orders/rollback {\"generation\":41}\n"
                                   "POST /v1/certificates/orders/notify\n"
                                   "POST /v1/reload\n");
        bench_clear(&bench);
}
END_TEST

/* Every command that waits, when nothing more comes. */
static const char *const waiting[] = { "renew orders", "revoke orders --yes", "rollback orders",
                                       "notify orders", "reload" };

static void accept_all(const struct bench *bench) {
        fake_api_answer(bench->api, "POST /v1/certificates/orders/renew", 202, ACCEPTED);
        fake_api_answer(bench->api, "POST /v1/certificates/orders/revoke", 202, ACCEPTED);
        fake_api_answer(bench->api, "POST /v1/certificates/orders/rollback", 202, ACCEPTED);
        fake_api_answer(bench->api, "POST /v1/certificates/orders/notify", 202, ACCEPTED);
        fake_api_answer(bench->api, "POST /v1/reload", 202, ACCEPTED);
        fake_api_answer(bench->api, "GET /v1/certificates/orders", 200,
                        "{\"dependents\":[{\"dependent\":\"x\"}]}");
}

START_TEST(a_rekeyd_that_goes_leaves_its_result_unknown) {
        struct bench bench = bench_new();

        accept_all(&bench);
        for (size_t i = 0; i < ELEMENTSOF(waiting); i++) {
                _cleanup_(process_freep) struct process *process = start(&bench, waiting[i]);

                fake_api_await(bench.api, "POST", (unsigned)i + 1);
                fake_api_hang_up(bench.api);
                check_exit(process, 3);
                check_says(process, PROCESS_STDERR, "rekeyd was stopped or restarted before it was over");
                check_says(process, PROCESS_STDERR, "is not known");
        }
        bench_clear(&bench);
}
END_TEST

START_TEST(what_was_lost_is_not_guessed) {
        struct bench bench = bench_new();

        accept_all(&bench);
        for (size_t i = 0; i < ELEMENTSOF(waiting); i++) {
                _cleanup_(process_freep) struct process *process = start(&bench, waiting[i]);

                fake_api_await(bench.api, "POST", (unsigned)i + 1);
                fake_api_tell(bench.api, "{\"event\":\"lost\",\"message\":\"too slow\"}\n");
                fake_api_hang_up(bench.api);
                check_exit(process, 8);
                check_says(process, PROCESS_STDERR, "more than could be read");
        }
        bench_clear(&bench);
}
END_TEST

START_TEST(a_time_limit_is_kept) {
        struct bench bench = bench_new();

        accept_all(&bench);
        for (size_t i = 0; i < ELEMENTSOF(waiting); i++) {
                char line[100];

                snprintf(line, sizeof(line), "%s --timeout 100ms", waiting[i]);
                check_run(&bench, line, 8, "takes longer than --timeout allows, and goes on");
        }
        bench_clear(&bench);
}
END_TEST

START_TEST(an_interrupt_says_that_it_goes_on) {
        struct bench bench = bench_new();

        accept_all(&bench);
        for (size_t i = 0; i < ELEMENTSOF(waiting); i++) {
                _cleanup_(process_freep) struct process *process = start(&bench, waiting[i]);

                fake_api_await(bench.api, "POST", (unsigned)i + 1);
                process_signal(process, SIGINT);
                check_exit(process, 8);
                check_says(process, PROCESS_STDERR, "it goes on without rekeyctl");
        }
        bench_clear(&bench);
}
END_TEST

START_TEST(what_comes_from_outside_steers_no_terminal) {
        struct bench bench = bench_new();
        _cleanup_(process_freep) struct process *process = NULL;

        fake_api_answer_then(bench.api, "POST /v1/certificates/orders/renew", 202, ACCEPTED,
                             EVENT("orders", "failed", "it said \\u001b[2J\\nand\\u009b", OVER("renew")));
        process = start(&bench, "renew orders");
        check_exit(process, 1);
        check_says(process, PROCESS_STDERR, "it said \\x1b[2J\\x0aand");
        ck_assert_ptr_null(strchr(process_output(process, PROCESS_STDERR), '\033'));
        bench_clear(&bench);
}
END_TEST

/* --- On a terminal --- */

START_TEST(steps_are_shown_as_they_happen) {
        struct bench bench = bench_new();
        _cleanup_(pty_freep) struct pty *pty = NULL;

        fake_api_answer(bench.api, "POST /v1/certificates/orders/renew", 202, ACCEPTED);
        pty = start_on_terminal(&bench, 60, "renew orders");
        pty_await(pty, "waiting for its turn");
        fake_api_tell(bench.api, EVENT("orders", "begun", "renewing"));
        pty_await(pty, "getting ready");
        fake_api_tell(bench.api, EVENT("orders", "step", "key", ",\"step\":\"key\""));
        pty_await(pty, "\033[1A\r\033[J");
        pty_await(pty, "asking for the configuration");
        fake_api_tell(bench.api, EVENT("orders", "step", "csr", ",\"step\":\"csr\""));
        pty_await(pty, "having it signed");
        pty_await(pty, "1s"); /* it is drawn anew although nothing happens */
        fake_api_tell(bench.api,
                      EVENT("orders", "renewed",
                            "renewed: generation 43 is current until 2027-02-18T18:06:50Z, sha256 0123",
                            OVER("renew")));
        pty_await(pty, "\033[1A\r\033[J"); /* nothing of the block stays */
        pty_await(pty, "✓");
        pty_await(pty, "orders: renewed: generation 43 is current until\r\n  2027-02-18");
        ck_assert_int_eq(pty_wait(pty), 0);
        bench_clear(&bench);
}
END_TEST

START_TEST(many_fit_the_terminal) {
        struct bench bench = bench_new();
        _cleanup_(pty_freep) struct pty *pty = NULL;
        char line[100] = "renew";

        for (char c = 'a'; c < 'a' + 12; c++) {
                char request[64], event[100];

                snprintf(request, sizeof(request), "POST /v1/certificates/%c/renew", c);
                fake_api_answer(bench.api, request, 202, ACCEPTED);
                snprintf(event, sizeof(event), " %c", c);
                strcat(line, event);
        }
        pty = start_on_terminal(&bench, 40, line);
        fake_api_await(bench.api, "POST", 12);
        pty_await(pty, "0 of 12 over, 0 failed, 12 not begun");
        fake_api_tell(bench.api, EVENT("b", "begun", "renewing") EVENT("c", "failed", "no", OVER("renew")));
        pty_await(pty, "✗");
        pty_await(pty, "c: no; ");
        pty_await(pty, "getting ready");
        pty_await(pty, "1 of 12 over, 1 failed, 10 not begun");
        pty_type(pty, "\003");
        pty_await(pty, "it goes on without rekeyctl");
        ck_assert_int_eq(pty_wait(pty), 1); /* one has failed, the others were not awaited */
        bench_clear(&bench);
}
END_TEST

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
        struct bench bench = bench_new();

        scratch_write(bench.directory, "token", "\n  " TOKEN " \r\n", 0600);
        fake_api_answer(bench.api, ENROL, 202, ACCEPTED);
        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                _cleanup_(process_freep) struct process *process = NULL;
                _cleanup_(freep) char *requests = NULL;
                const bool waits = !strstr(lines[i], "--no-wait");
                char line[256];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
                snprintf(line, sizeof(line), lines[i], bench.directory);
#pragma GCC diagnostic pop
                process = start_with(&bench, "token", line);
                fake_api_await(bench.api, ENROL, (unsigned)i + 1);
                if (waits) {
                        ck_assert(!proc_holds(process_pid(process), "cmdline", TOKEN));
                        ck_assert(!proc_holds(process_pid(process), "environ", TOKEN));
                        fake_api_tell(bench.api,
                                      EVENT("orders", "enrolled", "enrolled: generation 1", OVER("enrol")));
                }
                check_exit(process, 0);
                check_no_token(process);
                requests = fake_api_requests(bench.api);
                ck_assert_msg(strstr(requests, bodies[i]), "%s", requests);
        }
        bench_clear(&bench);
}
END_TEST

START_TEST(what_is_no_token_is_refused_unseen) {
        static const struct {
                const char *content, *says;
        } rows[] = {
                { "", "is empty" },
                { " \n\n", "is empty" },
                { TOKEN " " TOKEN, "without blanks" },
                { TOKEN "\n" TOKEN "\n", "one line" },
                { TOKEN "\t1", "without blanks" },
                { TOKEN "\xc3\xa4", "printable ASCII" },
                { TOKEN "\033", "printable ASCII" },
        };
        struct bench bench = bench_new();
        _cleanup_(freep) char *requests = NULL, *large = NULL;
        _cleanup_(process_freep) struct process *argument = NULL;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(process_freep) struct process *process = NULL;

                scratch_write(bench.directory, "token", rows[i].content, 0600);
                process = start_with(&bench, "token", "enrol orders -");
                check_exit(process, 1);
                check_says(process, PROCESS_STDERR, rows[i].says);
                check_no_token(process);
        }
        large = calloc(1, 5001);
        memset(large, 'x', 5000);
        scratch_write(bench.directory, "large", large, 0600);
        for (unsigned is_file = 0; is_file < 2; is_file++) {
                char line[256];
                _cleanup_(process_freep) struct process *process = NULL;

                snprintf(line, sizeof(line), "enrol orders --token-file %s%s",
                         is_file ? bench.directory : "-", is_file ? "/large" : "");
                process = start_with(&bench, "large", line);
                check_exit(process, 1);
                check_says(process, PROCESS_STDERR, "too long");
        }
        check_run(&bench, "enrol orders --token-file /nowhere/token", 1,
                  "cannot read the one-time token from /nowhere/token: No such file or directory");

        argument = start(&bench, "enrol orders " TOKEN);
        check_exit(argument, 2);
        check_says(argument, PROCESS_STDERR, "everybody on this machine can read it there");
        check_no_token(argument);

        requests = fake_api_requests(bench.api);
        ck_assert_str_eq(requests, "");
        bench_clear(&bench);
}
END_TEST

START_TEST(a_token_is_asked_for_without_echo) {
        struct bench bench = bench_new();
        _cleanup_(pty_freep) struct pty *pty = NULL, *stopped = NULL, *unknown = NULL;
        _cleanup_(freep) char *requests = NULL;

        fake_api_answer(bench.api, "GET /v1/certificates/orders", 200, "{\"name\":\"orders\"}");
        fake_api_answer(bench.api, ENROL, 202, ACCEPTED);
        pty = start_on_terminal(&bench, 80, "enrol orders");
        pty_await(pty, "One-time token for orders (is not shown): ");
        ck_assert(!pty_echoes(pty));
        pty_type(pty, TOKEN "\n");
        fake_api_await(bench.api, ENROL, 1);
        ck_assert(pty_echoes(pty));
        fake_api_tell(bench.api, EVENT("orders", "enrolled", "enrolled: generation 1", OVER("enrol")));
        pty_await(pty, "enrolled: generation 1");
        ck_assert_int_eq(pty_wait(pty), 0);
        ck_assert_ptr_null(strstr(pty_output(pty), TOKEN));
        requests = fake_api_requests(bench.api);
        ck_assert_ptr_nonnull(strstr(requests, "{\"token\":\"" TOKEN "\"}"));

        stopped = start_on_terminal(&bench, 80, "enrol orders");
        pty_await(stopped, "(is not shown): ");
        ck_assert(!pty_echoes(stopped));
        pty_type(stopped, "one-\003");
        ck_assert_int_eq(pty_wait(stopped), 128 + SIGINT);
        ck_assert(pty_echoes(stopped));

        /* Before anything is typed in vain. */
        unknown = start_on_terminal(&bench, 80, "enrol billing");
        ck_assert_int_eq(pty_wait(unknown), 5);
        ck_assert_ptr_null(strstr(pty_output(unknown), "is not shown"));
        bench_clear(&bench);
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
        struct bench bench = bench_new();
        _cleanup_(process_freep) struct process *process = NULL;
        unsigned n;

        if (test_is_instrumented()) {
                test_skip("%s", test_is_instrumented());
                bench_clear(&bench);
                return;
        }
        scratch_write(bench.directory, "token", TOKEN "\n", 0600);
        fake_api_answer(bench.api, ENROL, 202, ACCEPTED);
        process = start_with(&bench, "token", "enrol orders -");
        fake_api_await(bench.api, ENROL, 1);
        /* A step that was read tells that the request is over. */
        fake_api_tell(bench.api, EVENT("orders", "begun", "needle-of-an-event"));
        for (usec_t end = now_usec(CLOCK_MONOTONIC) + patience_usec();
             search_process(process_pid(process), "needle-of-an-event") == 0 &&
             now_usec(CLOCK_MONOTONIC) < end;)
                ;
        n = search_process(process_pid(process), TOKEN);
        ck_assert_msg(n == 0, "the token is in memory %u times", n);
        fake_api_tell(bench.api, EVENT("orders", "enrolled", "enrolled", OVER("enrol")));
        check_exit(process, 0);
        bench_clear(&bench);
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
        struct bench bench = bench_new();
        unsigned n = 0;

        fake_api_answer(bench.api, "GET /v1/certificates/orders", 200, DETAILS);
        fake_api_answer_then(bench.api, "POST /v1/certificates/orders/revoke", 202, ACCEPTED,
                             EVENT("orders", "revoked", "revoked, generation 42", OVER("revoke")));
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(pty_freep) struct pty *pty = start_on_terminal(&bench, 120, "revoke orders");
                _cleanup_(freep) char *requests = NULL;
                int status;

                pty_await(pty, "CN=orders,O=Org");
                pty_await(pty, "3f1c0123");
                pty_await(pty, "2027-01-30 09:00:00");
                pty_await(pty, "[y/N] ");
                pty_type(pty, rows[i].typed);
                status = pty_wait(pty);
                ck_assert_msg(status == rows[i].exit, "%s: %d", rows[i].typed, status);
                ck_assert_ptr_nonnull(strstr(pty_output(pty), rows[i].exit == 0 ? "revoked, generation 42"
                                                                                : "nothing was revoked"));
                n += rows[i].exit == 0;
                requests = fake_api_requests(bench.api);
                ck_assert_uint_eq(count(requests, "POST"), n);
        }
        check_run(&bench, "revoke --yes orders", 0, "orders: revoked, generation 42\n");
        bench_clear(&bench);
}
END_TEST

/* --- Dependents --- */

#define THREE                                                                                \
        "{\"dependents\":[{\"dependent\":\"unit a.service\"},{\"dependent\":\"command b\"}," \
        "{\"dependent\":\"command b\"}]}"
#define TOLD(who) EVENT("orders", "notified", "told of generation 42: " who, ",\"dependent\":\"" who "\"")
#define NOT_TOLD(who)                                                                                  \
        EVENT("orders", "not-notified", "a dependent was not told: exit status 1; trying again in 5s", \
              ",\"dependent\":\"" who "\"")
#define NOTIFY "POST /v1/certificates/orders/notify"

START_TEST(each_dependent_is_shown) {
        struct bench bench = bench_new();
        _cleanup_(process_freep) struct process *process = NULL;
        _cleanup_(pty_freep) struct pty *pty = NULL;

        fake_api_answer(bench.api, "GET /v1/certificates/orders", 200, THREE);
        /* What was told before was owed for something else. */
        fake_api_answer_then(bench.api, NOTIFY, 202, ACCEPTED,
                             NOT_TOLD("unit a.service")
                                     EVENT("orders", "notifying", "telling all", OVER("notify"))
                                             TOLD("command b") TOLD("unit a.service") TOLD("command b"));
        check_run(&bench, "notify orders", 0, "command b: told\nunit a.service: told\ncommand b: told\n");

        fake_api_answer_then(bench.api, NOTIFY, 202, ACCEPTED,
                             EVENT("orders", "notifying", "telling all", OVER("notify")) TOLD("command b")
                                     NOT_TOLD("unit a.service") TOLD("command b"));
        process = start(&bench, "notify orders");
        check_exit(process, 1);
        check_says(process, PROCESS_STDERR,
                   "unit a.service: a dependent was not told: exit status 1; trying again in 5s\n");
        ck_assert_uint_eq(count(process_output(process, PROCESS_STDOUT), "command b: told\n"), 2);

        fake_api_answer_then(bench.api, NOTIFY, 202, ACCEPTED,
                             EVENT("orders", "notifying", "telling all", OVER("notify")) TOLD("command b"));
        pty = start_on_terminal(&bench, 80, "notify orders");
        pty_await(pty, "command b: told");
        pty_await(pty, "unit a.service");
        pty_await(pty, "being told");
        fake_api_tell(bench.api, TOLD("unit a.service") TOLD("command b"));
        pty_await(pty, "command b: told");
        ck_assert_int_eq(pty_wait(pty), 0);
        bench_clear(&bench);
}
END_TEST

/* --- Reload --- */

#define RELOAD(event, message, ...) "{\"event\":\"" event "\",\"message\":\"" message "\"" __VA_ARGS__ "}\n"

START_TEST(a_reload_prints_every_mistake) {
        struct bench bench = bench_new();
        _cleanup_(process_freep) struct process *process = NULL;

        fake_api_answer_then(
                bench.api, "POST /v1/reload", 202, ACCEPTED,
                RELOAD("not-reloaded", "/etc/r.yaml:3:1: one") EVENT("orders", "warning", "not of it")
                        RELOAD("not-reloaded", "/etc/r.yaml:4:1: two")
                                RELOAD("not-reloaded", "it was not reloaded: 2 errors", ",\"final\":true"));
        process = start(&bench, "reload");
        check_exit(process, 1);
        ck_assert_str_eq(process_output(process, PROCESS_STDOUT), "");
        check_says(process, PROCESS_STDERR,
                   "/etc/r.yaml:3:1: one\n/etc/r.yaml:4:1: two\nrekeyctl: it was not reloaded: 2 errors\n");
        ck_assert_ptr_null(strstr(process_output(process, PROCESS_STDERR), "not of it"));

        fake_api_answer_then(bench.api, "POST /v1/reload", 202, ACCEPTED,
                             RELOAD("warning", "another `state_directory`, which takes a restart")
                                     RELOAD("reloaded", "reloaded the configuration: 1 added"));
        process_free(process);
        process = start(&bench, "reload");
        check_exit(process, 0);
        check_says(process, PROCESS_STDOUT, "reloaded the configuration: 1 added\n");
        check_says(process, PROCESS_STDERR, "which takes a restart\n");
        bench_clear(&bench);
}
END_TEST

/* --- Events --- */

START_TEST(events_are_printed_until_an_interrupt) {
        struct bench bench = bench_new();
        _cleanup_(process_freep) struct process *process = NULL, *json = NULL, *one = NULL, *ended = NULL;
        _cleanup_(freep) char *line = NULL, *raw = NULL, *requests = NULL, *lost = NULL;

        process = start(&bench, "events");
        free(process_await(process, PROCESS_STDOUT, "hello"));
        json = start(&bench, "events --json");
        free(process_await(json, PROCESS_STDOUT, "\"event\":\"hello\""));
        one = start(&bench, "events orders");
        free(process_await(one, PROCESS_STDOUT, "hello"));

        fake_api_tell(bench.api,
                      EVENT("orders", "renewed", "renewed: generation 43", ",\"unknown\":[1,{\"a\":null}]"));
        line = process_await(process, PROCESS_STDOUT, "renewed");
        ck_assert_msg(strstr(line, "orders: renewed: generation 43"), "%s", line);
        raw = process_await(json, PROCESS_STDOUT, "renewed");
        ck_assert_str_eq(
                raw, "{\"time\":\"2026-11-20T18:06:53Z\",\"event\":\"renewed\",\"certificate\":\"orders\","
                     "\"message\":\"renewed: generation 43\",\"unknown\":[1,{\"a\":null}]}");
        free(process_await(one, PROCESS_STDOUT, "renewed: generation 43"));
        requests = fake_api_requests(bench.api);
        ck_assert_str_eq(requests, "GET /v1/events\nGET /v1/events\nGET /v1/events?certificate=orders\n");

        process_signal(process, SIGINT);
        check_exit(process, 0);
        process_signal(one, SIGTERM);
        check_exit(one, 0);
        ck_assert_str_eq(process_output(process, PROCESS_STDERR), "");
        fake_api_hang_up(bench.api);
        check_exit(json, 3);
        check_says(json, PROCESS_STDERR, "it was stopped or restarted");

        ended = start(&bench, "events");
        free(process_await(ended, PROCESS_STDOUT, "hello"));
        fake_api_tell(bench.api, "{\"event\":\"lost\",\"message\":\"too slow\"}\n");
        lost = process_await(ended, PROCESS_STDOUT, "lost");
        ck_assert_ptr_nonnull(lost);
        fake_api_hang_up(bench.api);
        check_exit(ended, 1);
        check_says(ended, PROCESS_STDERR, "events are missing");
        bench_clear(&bench);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("rekeyctl-write");

        TEST_CASE(suite, without_rekeyd_each_says_how_to_start_it);
        TEST_CASE(suite, each_refusal_has_its_exit_status);
        TEST_CASE(suite, a_wrong_command_line_asks_for_nothing);
        TEST_CASE(suite, what_fails_says_the_whole_sentence_and_what_to_do);
        TEST_CASE(suite, only_the_event_of_the_operation_ends_it);
        TEST_CASE(suite, many_are_asked_for_by_one_stream);
        TEST_CASE(suite, all_are_those_that_rekeyd_has);
        TEST_CASE(suite, no_wait_returns_at_once);
        TEST_CASE(suite, a_rekeyd_that_goes_leaves_its_result_unknown);
        TEST_CASE(suite, what_was_lost_is_not_guessed);
        TEST_CASE(suite, a_time_limit_is_kept);
        TEST_CASE(suite, an_interrupt_says_that_it_goes_on);
        TEST_CASE(suite, what_comes_from_outside_steers_no_terminal);
        TEST_CASE(suite, steps_are_shown_as_they_happen);
        TEST_CASE(suite, many_fit_the_terminal);
        TEST_CASE(suite, a_token_is_read_from_file_and_pipe_and_shown_nowhere);
        TEST_CASE(suite, what_is_no_token_is_refused_unseen);
        TEST_CASE(suite, a_token_is_asked_for_without_echo);
        TEST_CASE(suite, a_token_stays_in_no_memory);
        TEST_CASE(suite, a_revocation_takes_a_yes);
        TEST_CASE(suite, each_dependent_is_shown);
        TEST_CASE(suite, a_reload_prints_every_mistake);
        TEST_CASE(suite, events_are_printed_until_an_interrupt);
        return test_run(suite);
}
