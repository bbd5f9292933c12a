/* The commands of rekeyctl that change something, and events: the real program, on pipes and on terminals,
 * against a rekeyd that is a script. */

#include <signal.h>

#include "tests/rekeyctl/ctl-fixture.h"
#include "tests/support/scratch.h"
#include "tests/test.h"

#define TOKEN "one-time-4711-abcdef"

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
        struct ctl_fixture fixture = ctl_fixture_new();

        scratch_write(fixture.directory, "token", TOKEN "\n", 0600);
        for (unsigned is_stale = 0; is_stale < 2; is_stale++) {
                for (size_t i = is_stale % test_step(3); i < ELEMENTSOF(lines); i += test_step(3)) {
                        _cleanup_(process_freep) struct process *process = NULL;
                        _cleanup_(freep) char *words = NULL;
                        const char *argv[CTL_ARGUMENTS_MAX];
                        char line[256];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
                        snprintf(line, sizeof(line), lines[i], fixture.directory);
#pragma GCC diagnostic pop
                        words = strdup(line);
                        ctl_fixture_make_arguments(&fixture, words, argv);
                        argv[2] = is_stale ? "/proc/self/status" : "/nowhere/control.sock";
                        process = process_start(argv, true);
                        ctl_fixture_check_exit(process, 3);
                        ctl_fixture_check_says(process, PROCESS_STDERR, "rekeyd is not running: ");
                        ctl_fixture_check_says(process, PROCESS_STDERR, "systemctl start rekeyd");
                        ck_assert_str_eq(process_output(process, PROCESS_STDOUT), "");
                }
        }
        ctl_fixture_clear(&fixture);
}
END_TEST

START_TEST(each_refusal_has_its_exit_status) {
        static const struct {
                unsigned status;
                int exit;
        } rows[] = { { 400, 1 }, { 403, 4 }, { 404, 5 }, { 409, 6 }, { 429, 7 }, { 500, 1 }, { 503, 3 } };
        static const char *const operations[] = { "renew", "revoke", "rollback", "enrol", "notify" };
        struct ctl_fixture fixture = ctl_fixture_new();

        scratch_write(fixture.directory, "token", TOKEN, 0600);
        fake_api_answer(fixture.api, "GET /v1/certificates/orders", 200,
                        "{\"dependents\":[{\"dependent\":\"x\"}]}");
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                for (size_t k = i % test_step(5); k < ELEMENTSOF(operations); k += test_step(5)) {
                        char request[100], line[300];

                        snprintf(request, sizeof(request), "POST /v1/certificates/orders/%s", operations[k]);
                        snprintf(line, sizeof(line), "%s orders%s%s%s", operations[k],
                                 streq(operations[k], "revoke")  ? " --yes"
                                 : streq(operations[k], "enrol") ? " --token-file "
                                                                 : "",
                                 streq(operations[k], "enrol") ? fixture.directory : "",
                                 streq(operations[k], "enrol") ? "/token" : "");
                        fake_api_answer(fixture.api, request, rows[i].status,
                                        "{\"error\":\"not so, says rekeyd\"}");
                        ctl_fixture_check_run(&fixture, line, rows[i].exit, "not so, says rekeyd");
                }
        ctl_fixture_clear(&fixture);
}
END_TEST

START_TEST(a_wrong_command_line_asks_for_nothing) {
        static const struct {
                const char *line, *says;
        } rows[] = {
                { "renew", "name the certificates, or use --all" },
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
                { "renew --issuer Kyma", "a SHA-256 fingerprint is needed" },
                { "renew --issued-before yesterday", "a time is needed" },
                { "renew --connector ucl orders", "contradict the name of a certificate" },
                { "renew --connector ucl --all", "contradict --all" },
                { "renew orders --within 31d", "it must be between" },
                { "renew orders --within 6h --force", "contradict each other" },
                { "renew orders --within 6h --timeout 1s", "contradict each other" },
        };
        struct ctl_fixture fixture = ctl_fixture_new();
        _cleanup_(freep) char *requests = NULL;

        for (size_t i = 0; i < ELEMENTSOF(rows); i += test_step(4))
                ctl_fixture_check_run(&fixture, rows[i].line, 2, rows[i].says);
        requests = fake_api_requests(fixture.api);
        ck_assert_str_eq(requests, "");
        ctl_fixture_clear(&fixture);
}
END_TEST

/* --- Waiting --- */

START_TEST(what_fails_says_the_whole_sentence_and_what_to_do) {
        static const struct {
                const char *members, *says;
                int exit;
        } rows[] = {
                { ",\"failure\":\"transient\"",
                  "check the connection to the Connector, then: rekeyctl renew orders", 1 },
                { ",\"failure\":\"refused\"", "then: rekeyctl renew orders", 1 },
                { ",\"failure\":\"rejected\"", "rekeyctl enrol orders", 1 },
                { ",\"failure\":\"bad-reply\"", "rekeyctl history orders", 1 },
                { ",\"failure\":\"local\"", "fix it, then: rekeyctl renew orders", 1 },
                { "", "rekeyctl show orders", 1 },
                { ",\"failure\":\"of the future\"", "rekeyctl show orders", 1 },
        };
        struct ctl_fixture fixture = ctl_fixture_new();

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(process_freep) struct process *process = NULL;
                _cleanup_(freep) char *event = NULL;

                ck_assert_int_ge(asprintf(&event,
                                          "{\"event\":\"failed\",\"certificate\":\"orders\",\"operation\":"
                                          "\"renew\",\"message\":\"signing failed: no\"%s}\n",
                                          rows[i].members),
                                 0);
                fake_api_answer_then(fixture.api, "POST /v1/certificates/orders/renew", 202, ACCEPTED, event);
                process = ctl_fixture_start(&fixture, "renew orders");
                ctl_fixture_check_exit(process, rows[i].exit);
                ctl_fixture_check_says(process, PROCESS_STDERR, "rekeyctl: orders: signing failed: no; ");
                ctl_fixture_check_says(process, PROCESS_STDERR, rows[i].says);
                ck_assert_uint_eq(count_text(process_output(process, PROCESS_STDERR), "\n"), 1);
        }
        fake_api_answer_then(fixture.api, "POST /v1/certificates/orders/renew", 202, ACCEPTED,
                             EVENT("orders", "over-budget", "no more", OVER("renew")));
        ctl_fixture_check_run(&fixture, "renew orders", 7, "no more; to find the cause: ");
        fake_api_answer_then(fixture.api, "POST /v1/certificates/orders/rollback", 202, ACCEPTED,
                             EVENT("orders", "failed", "no", OVER("rollback") ",\"failure\":\"local\""));
        ctl_fixture_check_run(&fixture, "rollback orders", 1, "then: rekeyctl rollback orders");
        ctl_fixture_clear(&fixture);
}
END_TEST

START_TEST(only_the_event_of_the_operation_ends_it) {
        struct ctl_fixture fixture = ctl_fixture_new();
        _cleanup_(process_freep) struct process *process = NULL;
        _cleanup_(freep) char *line = NULL;

        fake_api_answer(fixture.api, "POST /v1/certificates/orders/renew", 202, ACCEPTED);
        process = ctl_fixture_start(&fixture, "renew orders --wait");
        fake_api_await(fixture.api, "POST", 1);
        fake_api_tell(fixture.api, EVENT("orders", "renewed", "one that was due"));
        fake_api_tell(fixture.api, EVENT("orders", "failed", "a rollback failed", OVER("rollback")));
        fake_api_tell(fixture.api, EVENT("billing", "renewed", "another one", OVER("renew")));
        fake_api_tell(fixture.api,
                      "{\"event\":\"reloaded\",\"message\":\"of all\",\"operation\":\"renew\"}\n\n");
        fake_api_tell(fixture.api, EVENT("orders", "renewed", "renewed: generation 43", OVER("renew")));
        line = process_await(process, PROCESS_STDOUT, "");
        ck_assert_str_eq(line, "orders: renewed: generation 43");
        ctl_fixture_check_exit(process, 0);
        ctl_fixture_clear(&fixture);
}
END_TEST

START_TEST(many_are_asked_for_by_one_stream) {
        struct ctl_fixture fixture = ctl_fixture_new();
        _cleanup_(process_freep) struct process *process = NULL;
        _cleanup_(freep) char *requests = NULL;

        fake_api_answer(fixture.api, "POST /v1/certificates/a/renew", 202, ACCEPTED);
        fake_api_answer(fixture.api, "POST /v1/certificates/b/renew", 409,
                        "{\"error\":\"b is being renewed\"}");
        fake_api_answer_then(fixture.api, "POST /v1/certificates/c/renew", 202, ACCEPTED,
                             EVENT("c", "renewed", "renewed: c", OVER("renew"))
                                     EVENT("a", "failed", "a failed", OVER("renew")));
        fake_api_answer(fixture.api, "POST /v1/certificates/d/renew", 404,
                        "{\"error\":\"there is no certificate 'd'\"}");
        process = ctl_fixture_start(&fixture, "renew a b --force d c a");
        ctl_fixture_check_exit(process, 1);
        ck_assert_str_eq(process_output(process, PROCESS_STDOUT), "c: renewed: c\n");
        ctl_fixture_check_says(process, PROCESS_STDERR, "rekeyctl: b is being renewed\n");
        ctl_fixture_check_says(process, PROCESS_STDERR, "rekeyctl: a: a failed; ");
        ctl_fixture_check_says(process, PROCESS_STDERR, "rekeyctl: there is no certificate 'd'\n");
        ck_assert_uint_eq(count_text(process_output(process, PROCESS_STDERR), "\n"), 3);

        requests = fake_api_requests(fixture.api);
        ck_assert_str_eq(requests, "GET /v1/events\n"
                                   "POST /v1/certificates/a/renew {\"force\":true}\n"
                                   "POST /v1/certificates/b/renew {\"force\":true}\n"
                                   "POST /v1/certificates/d/renew {\"force\":true}\n"
                                   "POST /v1/certificates/c/renew {\"force\":true}\n");
        ctl_fixture_clear(&fixture);
}
END_TEST

START_TEST(all_are_those_that_rekeyd_has) {
        struct ctl_fixture fixture = ctl_fixture_new();
        _cleanup_(freep) char *list = NULL;
        size_t size;
        FILE *out = open_memstream(&list, &size);
        _cleanup_(process_freep) struct process *process = NULL;
        enum { MANY = 300 };

        fake_api_answer(fixture.api, "GET /v1/certificates", 200, "{\"certificates\":[]}");
        ctl_fixture_check_run(&fixture, "renew --all", 0, "");

        for (unsigned i = 0; i < MANY; i++) {
                char request[64], event[200];

                fprintf(out, "%s{\"name\":\"c%u\"}", i == 0 ? "{\"certificates\":[" : ",", i);
                snprintf(request, sizeof(request), "POST /v1/certificates/c%u/renew", i);
                snprintf(event, sizeof(event),
                         "{\"event\":\"renewed\",\"certificate\":\"c%u\",\"operation\":\"renew\",\"message\":"
                         "\"ok\"}\n",
                         i);
                fake_api_answer_then(fixture.api, request, 202, ACCEPTED, event);
        }
        fputs("]}", out);
        fclose(out);
        fake_api_answer(fixture.api, "GET /v1/certificates", 200, list);
        process = ctl_fixture_start(&fixture, "renew --all");
        ctl_fixture_check_exit(process, 0);
        ck_assert_uint_eq(count_text(process_output(process, PROCESS_STDOUT), ": ok\n"), MANY);
        ctl_fixture_clear(&fixture);
}
END_TEST

#define CA_1 "0100000000000000000000000000000000000000000000000000000000000000"
#define CA_2 "0200000000000000000000000000000000000000000000000000000000000000"
#define KEY  "0900000000000000000000000000000000000000000000000000000000000000"

/* By what they are issued under, when they were issued, and who has signed them; what is planned is not
 * waited for. */
START_TEST(some_are_those_that_are_meant) {
        static const struct {
                const char *line, *asked;
        } rows[] = {
                { "renew --issuer " CA_1 " --within 6h", "a c" },
                { "renew --issuer spki:" KEY " --within 6h", "a b c" },
                { "renew --issuer " CA_1 " --connector ucl --within 6h", "a" },
                { "renew --connector old --within 6h", "c d" },
                { "renew --issued-before 2026-11-20 --within 6h", "a" },
                { "renew --issued-before 2026-11-21T01:00:00+01:00 --connector old --within 6h", "c" },
                { "renew d b --within 6h", "b d" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct ctl_fixture fixture = ctl_fixture_new();
                _cleanup_(freep) char *requests = NULL;
                unsigned n = 0;

                fake_api_answer(fixture.api, "GET /v1/cas", 200,
                                "{\"cas\":[{\"fingerprint\":\"" CA_1 "\",\"spki\":\"" KEY "\"},"
                                "{\"fingerprint\":\"" CA_2 "\",\"spki\":\"" KEY "\"}]}");
                fake_api_answer(
                        fixture.api, "GET /v1/certificates", 200,
                        "{\"certificates\":["
                        "{\"name\":\"a\",\"connector\":\"ucl\",\"issuers\":[\"" CA_1 "\"],"
                        "\"not_before\":\"2026-11-19T23:59:59Z\"},"
                        "{\"name\":\"b\",\"connector\":\"ucl\",\"issuers\":[\"x\",\"" CA_2 "\"],"
                        "\"not_before\":\"2026-11-20T00:00:00Z\"},"
                        "{\"name\":\"c\",\"connector\":\"old\",\"issuers\":[\"" CA_1 "\"],"
                        "\"not_before\":\"2026-11-20T00:00:00Z\"},"
                        "{\"name\":\"d\",\"connector\":\"old\",\"issuers\":null,\"not_before\":null}]}");
                for (char name = 'a'; name <= 'd'; name++) {
                        char request[64];

                        snprintf(request, sizeof(request), "POST /v1/certificates/%c/renew", name);
                        fake_api_answer(fixture.api, request, 202, ACCEPTED);
                }
                ctl_fixture_check_run(&fixture, rows[i].line, 0, ": renewal planned");
                requests = fake_api_requests(fixture.api);
                for (char name = 'a'; name <= 'd'; name++) {
                        char request[100];

                        snprintf(request, sizeof(request),
                                 "POST /v1/certificates/%c/renew {\"within\":21600}", name);
                        ck_assert_msg(!strstr(requests, request) == !strchr(rows[i].asked, name), "%s: %s",
                                      rows[i].line, requests);
                        n += strstr(requests, request) ? 1 : 0;
                }
                ck_assert_uint_gt(n, 0);
                ctl_fixture_clear(&fixture);
        }
}
END_TEST

START_TEST(where_none_is_meant_nothing_is_asked) {
        struct ctl_fixture fixture = ctl_fixture_new();
        _cleanup_(freep) char *requests = NULL;

        fake_api_answer(fixture.api, "GET /v1/cas", 200, "{\"cas\":[]}");
        fake_api_answer(fixture.api, "GET /v1/certificates", 200,
                        "{\"certificates\":[{\"name\":\"a\",\"connector\":\"ucl\",\"issuers\":[\"" CA_1
                        "\"]}]}");
        ctl_fixture_check_run(&fixture, "renew --issuer " CA_1, 0, "nothing to renew");
        ctl_fixture_check_run(&fixture, "renew --connector ucl2", 0, "nothing to renew");
        ctl_fixture_check_run(&fixture, "renew --issued-before 2026-11-20", 0, "nothing to renew");
        requests = fake_api_requests(fixture.api);
        ck_assert_ptr_null(strstr(requests, "POST"));
        ctl_fixture_clear(&fixture);
}
END_TEST

START_TEST(no_wait_returns_at_once) {
        struct ctl_fixture fixture = ctl_fixture_new();
        _cleanup_(freep) char *requests = NULL;

        fake_api_answer(fixture.api, "POST /v1/certificates/orders/renew", 202, ACCEPTED);
        fake_api_answer(fixture.api, "POST /v1/certificates/orders/rollback", 202, ACCEPTED);
        fake_api_answer(fixture.api, "POST /v1/certificates/orders/notify", 202, ACCEPTED);
        fake_api_answer(fixture.api, "POST /v1/reload", 202, ACCEPTED);
        ctl_fixture_check_run(&fixture, "renew orders --no-wait", 0, "orders: renewal requested\n");
        ctl_fixture_check_run(&fixture, "rollback orders --generation 41 --no-wait", 0,
                              "orders: rollback requested\n");
        ctl_fixture_check_run(&fixture, "rollback orders --generation 0 --no-wait", 0,
                              "orders: rollback requested\n");
        ctl_fixture_check_run(&fixture, "notify orders --no-wait", 0, "orders: ");
        ctl_fixture_check_run(&fixture, "reload --no-wait", 0, "reload requested\n");
        requests = fake_api_requests(fixture.api);
        ck_assert_str_eq(requests, "POST /v1/certificates/orders/renew {}\n"
                                   "POST /v1/certificates/orders/rollback {\"generation\":41}\n"
                                   "POST /v1/certificates/orders/rollback {\"generation\":0}\n"
                                   "POST /v1/certificates/orders/notify\n"
                                   "POST /v1/reload\n");
        ctl_fixture_clear(&fixture);
}
END_TEST

/* Every command that waits, when nothing more comes. */
static const char *const waiting[] = { "renew orders", "revoke orders --yes", "rollback orders",
                                       "notify orders", "reload" };

static void accept_all(const struct ctl_fixture *fixture) {
        fake_api_answer(fixture->api, "POST /v1/certificates/orders/renew", 202, ACCEPTED);
        fake_api_answer(fixture->api, "POST /v1/certificates/orders/revoke", 202, ACCEPTED);
        fake_api_answer(fixture->api, "POST /v1/certificates/orders/rollback", 202, ACCEPTED);
        fake_api_answer(fixture->api, "POST /v1/certificates/orders/notify", 202, ACCEPTED);
        fake_api_answer(fixture->api, "POST /v1/reload", 202, ACCEPTED);
        fake_api_answer(fixture->api, "GET /v1/certificates/orders", 200,
                        "{\"dependents\":[{\"dependent\":\"x\"}]}");
}

START_TEST(a_rekeyd_that_goes_leaves_its_result_unknown) {
        struct ctl_fixture fixture = ctl_fixture_new();

        accept_all(&fixture);
        for (size_t i = 0; i < ELEMENTSOF(waiting); i++) {
                _cleanup_(process_freep) struct process *process = ctl_fixture_start(&fixture, waiting[i]);

                fake_api_await(fixture.api, "POST", (unsigned)i + 1);
                fake_api_hang_up(fixture.api);
                ctl_fixture_check_exit(process, 3);
                ctl_fixture_check_says(process, PROCESS_STDERR,
                                       "rekeyd was stopped or restarted before completion");
                ctl_fixture_check_says(process, PROCESS_STDERR, "is unknown");
        }
        ctl_fixture_clear(&fixture);
}
END_TEST

START_TEST(what_was_lost_is_not_guessed) {
        struct ctl_fixture fixture = ctl_fixture_new();

        accept_all(&fixture);
        for (size_t i = 0; i < ELEMENTSOF(waiting); i++) {
                _cleanup_(process_freep) struct process *process = ctl_fixture_start(&fixture, waiting[i]);

                fake_api_await(fixture.api, "POST", (unsigned)i + 1);
                fake_api_tell(fixture.api, "{\"event\":\"lost\",\"message\":\"too slow\"}\n");
                fake_api_hang_up(fixture.api);
                ctl_fixture_check_exit(process, 8);
                ctl_fixture_check_says(process, PROCESS_STDERR, "events were lost");
        }
        ctl_fixture_clear(&fixture);
}
END_TEST

START_TEST(a_time_limit_is_kept) {
        struct ctl_fixture fixture = ctl_fixture_new();

        accept_all(&fixture);
        for (size_t i = 0; i < ELEMENTSOF(waiting); i++) {
                char line[100];

                snprintf(line, sizeof(line), "%s --timeout 100ms", waiting[i]);
                ctl_fixture_check_run(&fixture, line, 8,
                                      "not completed within --timeout; the operation continues");
        }
        ctl_fixture_clear(&fixture);
}
END_TEST

START_TEST(an_interrupt_says_that_it_goes_on) {
        struct ctl_fixture fixture = ctl_fixture_new();
        _cleanup_(process_freep) struct process *many = NULL;

        accept_all(&fixture);
        for (size_t i = 0; i < ELEMENTSOF(waiting); i++) {
                _cleanup_(process_freep) struct process *process = ctl_fixture_start(&fixture, waiting[i]);

                fake_api_await(fixture.api, "POST", (unsigned)i + 1);
                process_signal(process, SIGINT);
                ctl_fixture_check_exit(process, 8);
                ctl_fixture_check_says(process, PROCESS_STDERR, "the operation continues without rekeyctl");
        }

        /* Of many in one line. */
        fake_api_answer(fixture.api, "POST /v1/certificates/a/renew", 202, ACCEPTED);
        fake_api_answer(fixture.api, "POST /v1/certificates/b/renew", 202, ACCEPTED);
        many = ctl_fixture_start(&fixture, "renew a b");
        fake_api_await(fixture.api, "POST", ELEMENTSOF(waiting) + 2);
        process_signal(many, SIGINT);
        ctl_fixture_check_exit(many, 8);
        ctl_fixture_check_says(many, PROCESS_STDERR,
                               "rekeyctl: 2 certificates: the operation continues without rekeyctl");
        ck_assert_uint_eq(count_text(process_output(many, PROCESS_STDERR), "\n"), 1);
        ctl_fixture_clear(&fixture);
}
END_TEST

START_TEST(what_comes_from_outside_steers_no_terminal) {
        struct ctl_fixture fixture = ctl_fixture_new();
        _cleanup_(process_freep) struct process *process = NULL;

        fake_api_answer_then(fixture.api, "POST /v1/certificates/orders/renew", 202, ACCEPTED,
                             EVENT("orders", "failed", "it said \\u001b[2J\\nand\\u009b", OVER("renew")));
        process = ctl_fixture_start(&fixture, "renew orders");
        ctl_fixture_check_exit(process, 1);
        ctl_fixture_check_says(process, PROCESS_STDERR, "it said \\x1b[2J\\x0aand");
        ck_assert_ptr_null(strchr(process_output(process, PROCESS_STDERR), '\033'));
        ctl_fixture_clear(&fixture);
}
END_TEST

/* --- On a terminal --- */

START_TEST(steps_are_shown_as_they_happen) {
        struct ctl_fixture fixture = ctl_fixture_new();
        _cleanup_(pty_freep) struct pty *pty = NULL;

        fake_api_answer(fixture.api, "POST /v1/certificates/orders/renew", 202, ACCEPTED);
        pty = ctl_fixture_start_on_terminal(&fixture, 60, "renew orders");
        pty_await(pty, "waiting for its turn");
        fake_api_tell(fixture.api, EVENT("orders", "begun", "renewing"));
        pty_await(pty, "preparing");
        fake_api_tell(fixture.api, EVENT("orders", "step", "key", ",\"step\":\"key\""));
        pty_await(pty, "\033[1A\r\033[J");
        pty_await(pty, "fetching the configuration");
        fake_api_tell(fixture.api, EVENT("orders", "step", "csr", ",\"step\":\"csr\""));
        pty_await(pty, "signing");
        pty_await(pty, "1s"); /* it is drawn anew although nothing happens */
        fake_api_tell(fixture.api,
                      EVENT("orders", "renewed",
                            "renewed: generation 43 is current until 2027-02-18T18:06:50Z, sha256 0123",
                            OVER("renew")));
        pty_await(pty, "\033[1A\r\033[J"); /* nothing of the block stays */
        pty_await(pty, "✓");
        pty_await(pty, "orders: renewed: generation 43 is current until\r\n  2027-02-18");
        ck_assert_int_eq(pty_wait(pty), 0);
        ctl_fixture_clear(&fixture);
}
END_TEST

START_TEST(many_fit_the_terminal) {
        struct ctl_fixture fixture = ctl_fixture_new();
        _cleanup_(pty_freep) struct pty *pty = NULL;
        char line[100] = "renew";

        for (char c = 'a'; c < 'a' + 12; c++) {
                char request[64], event[100];

                snprintf(request, sizeof(request), "POST /v1/certificates/%c/renew", c);
                fake_api_answer(fixture.api, request, 202, ACCEPTED);
                snprintf(event, sizeof(event), " %c", c);
                strcat(line, event);
        }
        pty = ctl_fixture_start_on_terminal(&fixture, 40, line);
        fake_api_await(fixture.api, "POST", 12);
        pty_await(pty, "0 of 12 done, 0 failed, 12 waiting");
        fake_api_tell(fixture.api, EVENT("b", "begun", "renewing") EVENT("c", "failed", "no", OVER("renew")));
        pty_await(pty, "✗");
        pty_await(pty, "c: no; ");
        pty_await(pty, "preparing");
        pty_await(pty, "1 of 12 done, 1 failed, 10 waiting");
        pty_type(pty, "\003");
        pty_await(pty, "11 certificates: the operation");
        ck_assert_int_eq(pty_wait(pty), 1); /* one has failed, the others were not awaited */
        ctl_fixture_clear(&fixture);
}
END_TEST

/* --- Dependents --- */

#define THREE                                                                                \
        "{\"dependents\":[{\"dependent\":\"unit a.service\"},{\"dependent\":\"command b\"}," \
        "{\"dependent\":\"command b\"}]}"
#define TOLD(who) EVENT("orders", "notified", "told of generation 42: " who, ",\"dependent\":\"" who "\"")
#define NOT_TOLD(who)                                                                                  \
        EVENT("orders", "not-notified", "could not notify a dependent: exit status 1; retrying in 5s", \
              ",\"dependent\":\"" who "\"")
#define NOTIFY "POST /v1/certificates/orders/notify"

START_TEST(each_dependent_is_shown) {
        struct ctl_fixture fixture = ctl_fixture_new();
        _cleanup_(process_freep) struct process *process = NULL;
        _cleanup_(pty_freep) struct pty *pty = NULL;

        fake_api_answer(fixture.api, "GET /v1/certificates/orders", 200, THREE);
        /* What was told before was owed for something else. */
        fake_api_answer_then(fixture.api, NOTIFY, 202, ACCEPTED,
                             NOT_TOLD("unit a.service")
                                     EVENT("orders", "notifying", "telling all", OVER("notify"))
                                             TOLD("command b") TOLD("unit a.service") TOLD("command b"));
        ctl_fixture_check_run(&fixture, "notify orders", 0,
                              "command b: notified\nunit a.service: notified\ncommand b: notified\n");

        fake_api_answer_then(fixture.api, NOTIFY, 202, ACCEPTED,
                             EVENT("orders", "notifying", "telling all", OVER("notify")) TOLD("command b")
                                     NOT_TOLD("unit a.service") TOLD("command b"));
        process = ctl_fixture_start(&fixture, "notify orders");
        ctl_fixture_check_exit(process, 1);
        ctl_fixture_check_says(
                process, PROCESS_STDERR,
                "unit a.service: could not notify a dependent: exit status 1; retrying in 5s\n");
        ck_assert_uint_eq(count_text(process_output(process, PROCESS_STDOUT), "command b: notified\n"), 2);

        /* Nor does it count that one was just being told of the set before. */
        fake_api_answer(fixture.api, "GET /v1/certificates/orders", 200,
                        "{\"dependents\":[{\"dependent\":\"command b\"}]}");
        fake_api_answer_then(
                fixture.api, NOTIFY, 202, ACCEPTED,
                EVENT("orders", "notifying", "telling all", OVER("notify") ",\"generation\":3")
                        EVENT("orders", "notified", "told", ",\"dependent\":\"command b\",\"generation\":2")
                                EVENT("orders", "not-notified", "gone",
                                      ",\"dependent\":\"command b\",\"generation\":3"));
        process_free(process);
        process = ctl_fixture_start(&fixture, "notify orders");
        ctl_fixture_check_exit(process, 1);
        fake_api_answer(fixture.api, "GET /v1/certificates/orders", 200, THREE);

        fake_api_answer_then(fixture.api, NOTIFY, 202, ACCEPTED,
                             EVENT("orders", "notifying", "telling all", OVER("notify")) TOLD("command b"));
        pty = ctl_fixture_start_on_terminal(&fixture, 80, "notify orders");
        pty_await(pty, "command b: notified");
        pty_await(pty, "unit a.service");
        pty_await(pty, "being notified");
        fake_api_tell(fixture.api, TOLD("unit a.service") TOLD("command b"));
        pty_await(pty, "command b: notified");
        ck_assert_int_eq(pty_wait(pty), 0);
        ctl_fixture_clear(&fixture);
}
END_TEST

/* --- Reload --- */

#define RELOAD(event, message, ...) "{\"event\":\"" event "\",\"message\":\"" message "\"" __VA_ARGS__ "}\n"

/* What rekeyd refuses does not stay, and what it refuses to do without comes back. */
START_TEST(a_drop_in_that_rekeyd_refuses_is_gone) {
        static const char config[] = "connectors: {dev: {url: 'https://x/'}}\n";
        static const char refusal[] = RELOAD("not-reloaded", "/etc/r.yaml:3:1: one")
                RELOAD("not-reloaded", "1 error", ",\"final\":true");
        struct ctl_fixture fixture = ctl_fixture_new();
        _cleanup_(freep) char *folder = scratch_path(fixture.directory, "conf.d"), *empty = NULL,
                              *back = NULL;

        scratch_write(fixture.directory, "rekeyd.yaml", config, 0600);
        fake_api_answer(fixture.api, "GET /v1/version", 200, "{\"version\":\"9\"}");
        fake_api_answer_then(fixture.api, "POST /v1/reload", 202, ACCEPTED, refusal);
        ctl_fixture_check_run(&fixture, "add orders --connector dev --directory /srv/orders", 1,
                              "orders was not added");
        empty = scratch_list(folder);
        ck_assert_str_eq(empty, "");

        fake_api_answer_then(fixture.api, "POST /v1/reload", 202, ACCEPTED, RELOAD("reloaded", "1 added"));
        ctl_fixture_check_run(&fixture, "add orders --connector dev --directory /srv/orders", 0, "added in");
        fake_api_answer_then(fixture.api, "POST /v1/reload", 202, ACCEPTED, refusal);
        ctl_fixture_check_run(&fixture, "remove orders", 1, "nothing was removed");
        back = scratch_list(folder);
        ck_assert_str_eq(back, "orders.yaml");

        /* Nobody waits for --no-wait, so nothing can be taken back. */
        ctl_fixture_check_run(&fixture, "remove orders --no-wait", 0, "orders: removed");
        ctl_fixture_clear(&fixture);
}
END_TEST

/* Delivery is awaited where rekeyd says that there is some. */
START_TEST(an_operation_ends_with_its_delivery) {
        static const struct {
                const char *events;
                int exit;
                const char *says;
        } rows[] = {
                { EVENT("orders", "renewed", "renewed", OVER("renew")), 0, "renewed" },
                { EVENT("orders", "renewed", "renewed", OVER("renew") ",\"delivery\":\"pending\"")
                          EVENT("orders", "notified", "notified x") EVENT("orders", "delivered", "all of it"),
                  0, "orders: all of it" },
                { EVENT("orders", "renewed", "renewed", OVER("renew") ",\"delivery\":\"pending\"")
                          EVENT("orders", "not-delivered", "half of it"),
                  9, "orders: half of it; see: rekeyctl show orders" },
        };
        struct ctl_fixture fixture = ctl_fixture_new();

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                fake_api_answer_then(fixture.api, "POST /v1/certificates/orders/renew", 202, ACCEPTED,
                                     rows[i].events);
                ctl_fixture_check_run(&fixture, "renew orders", rows[i].exit, rows[i].says);
        }
        fake_api_answer_then(
                fixture.api, "POST /v1/certificates/orders/renew", 202, ACCEPTED,
                EVENT("orders", "renewed", "renewed", OVER("renew") ",\"delivery\":\"pending\""));
        ctl_fixture_check_run(&fixture, "renew orders --timeout 300ms", 8, "the set is in use");
        ctl_fixture_clear(&fixture);
}
END_TEST

START_TEST(a_reload_prints_every_mistake) {
        struct ctl_fixture fixture = ctl_fixture_new();
        _cleanup_(process_freep) struct process *process = NULL;

        fake_api_answer_then(
                fixture.api, "POST /v1/reload", 202, ACCEPTED,
                RELOAD("not-reloaded", "/etc/r.yaml:3:1: one") EVENT("orders", "warning", "not of it")
                        RELOAD("not-reloaded", "/etc/r.yaml:4:1: two")
                                RELOAD("not-reloaded", "it was not reloaded: 2 errors", ",\"final\":true"));
        process = ctl_fixture_start(&fixture, "reload");
        ctl_fixture_check_exit(process, 1);
        ck_assert_str_eq(process_output(process, PROCESS_STDOUT), "");
        ctl_fixture_check_says(
                process, PROCESS_STDERR,
                "/etc/r.yaml:3:1: one\n/etc/r.yaml:4:1: two\nrekeyctl: it was not reloaded: 2 errors\n");
        ck_assert_ptr_null(strstr(process_output(process, PROCESS_STDERR), "not of it"));

        fake_api_answer_then(
                fixture.api, "POST /v1/reload", 202, ACCEPTED,
                RELOAD("warning", "option `state_directory` has changed; restart rekeyd to apply it")
                        RELOAD("reloaded", "configuration reloaded: 1 added"));
        process_free(process);
        process = ctl_fixture_start(&fixture, "reload");
        ctl_fixture_check_exit(process, 0);
        ctl_fixture_check_says(process, PROCESS_STDOUT, "configuration reloaded: 1 added\n");
        ctl_fixture_check_says(process, PROCESS_STDERR, "restart rekeyd to apply it\n");
        ctl_fixture_clear(&fixture);
}
END_TEST

/* --- Events --- */

START_TEST(events_are_printed_until_an_interrupt) {
        struct ctl_fixture fixture = ctl_fixture_new();
        _cleanup_(process_freep) struct process *process = NULL, *json = NULL, *one = NULL, *ended = NULL;
        _cleanup_(freep) char *line = NULL, *raw = NULL, *requests = NULL, *lost = NULL;

        process = ctl_fixture_start(&fixture, "events");
        free(process_await(process, PROCESS_STDOUT, "hello"));
        json = ctl_fixture_start(&fixture, "events --json");
        free(process_await(json, PROCESS_STDOUT, "\"event\":\"hello\""));
        one = ctl_fixture_start(&fixture, "events orders");
        free(process_await(one, PROCESS_STDOUT, "hello"));

        fake_api_tell(fixture.api,
                      EVENT("orders", "renewed", "renewed: generation 43", ",\"unknown\":[1,{\"a\":null}]"));
        line = process_await(process, PROCESS_STDOUT, "renewed");
        ck_assert_msg(strstr(line, "orders: renewed: generation 43"), "%s", line);
        raw = process_await(json, PROCESS_STDOUT, "renewed");
        ck_assert_str_eq(
                raw, "{\"time\":\"2026-11-20T18:06:53Z\",\"event\":\"renewed\",\"certificate\":\"orders\","
                     "\"message\":\"renewed: generation 43\",\"unknown\":[1,{\"a\":null}]}");
        free(process_await(one, PROCESS_STDOUT, "renewed: generation 43"));
        requests = fake_api_requests(fixture.api);
        ck_assert_str_eq(requests, "GET /v1/events\nGET /v1/events\nGET /v1/events?certificate=orders\n");

        process_signal(process, SIGINT);
        ctl_fixture_check_exit(process, 0);
        process_signal(one, SIGTERM);
        ctl_fixture_check_exit(one, 0);
        ck_assert_str_eq(process_output(process, PROCESS_STDERR), "");
        fake_api_hang_up(fixture.api);
        ctl_fixture_check_exit(json, 3);
        ctl_fixture_check_says(json, PROCESS_STDERR, "it was stopped or restarted");

        ended = ctl_fixture_start(&fixture, "events");
        free(process_await(ended, PROCESS_STDOUT, "hello"));
        fake_api_tell(fixture.api, "{\"event\":\"lost\",\"message\":\"too slow\"}\n");
        lost = process_await(ended, PROCESS_STDOUT, "lost");
        ck_assert_ptr_nonnull(lost);
        fake_api_hang_up(fixture.api);
        ctl_fixture_check_exit(ended, 1);
        ctl_fixture_check_says(ended, PROCESS_STDERR, "some are lost");
        ctl_fixture_clear(&fixture);
}
END_TEST

TEST_MAIN("rekeyctl-write", without_rekeyd_each_says_how_to_start_it, each_refusal_has_its_exit_status,
          a_wrong_command_line_asks_for_nothing, what_fails_says_the_whole_sentence_and_what_to_do,
          only_the_event_of_the_operation_ends_it, many_are_asked_for_by_one_stream,
          all_are_those_that_rekeyd_has, some_are_those_that_are_meant, where_none_is_meant_nothing_is_asked,
          no_wait_returns_at_once, a_rekeyd_that_goes_leaves_its_result_unknown, what_was_lost_is_not_guessed,
          a_time_limit_is_kept, an_interrupt_says_that_it_goes_on, what_comes_from_outside_steers_no_terminal,
          steps_are_shown_as_they_happen, many_fit_the_terminal, each_dependent_is_shown,
          a_drop_in_that_rekeyd_refuses_is_gone, an_operation_ends_with_its_delivery,
          a_reload_prints_every_mistake, events_are_printed_until_an_interrupt)
