/*
 * An operator at work: the real rekeyctl, rekeyd and devconnector. What rekeyctl says is all that the
 * operator knows, so it must be enough; and it must never be a secret.
 */

#include <curl/curl.h>
#include <fcntl.h>
#include <signal.h>

#include "tests/operator/operator-fixture.h"
#include "tests/support/pty.h"
#include "tests/test.h"

#define CARED_FOR                                                                         \
        "  orders:\n"                                                                     \
        "    connector: dev\n"                                                            \
        "    directory: %s/orders\n"                                                      \
        "    keep: 3\n"                                                                   \
        "    exports:\n"                                                                  \
        "      - {path: %s/orders.p12, format: pkcs12, passphrase_file: %s/passphrase}\n" \
        "    notify:\n"                                                                   \
        "      - {command: [/bin/true]}\n"                                                \
        "      - {command: [/usr/bin/test, -e, %s/is-there]}\n"

static size_t hear(char *data, size_t size, size_t n, void *userdata) {
        return fwrite(data, size, n, userdata);
}

static void fetch(struct operator_fixture *console, const char *path) {
        _cleanup_(freep) char *socket = scratch_path(console->fixture->directory, "control.sock"),
                              *url = NULL;
        CURL *easy = curl_easy_init();
        long status = 0;

        ck_assert_int_ge(asprintf(&url, "http://rekeyd%s", path), 0);
        curl_easy_setopt(easy, CURLOPT_URL, url);
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, socket);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, hear);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, console->heard);
        ck_assert_int_eq(curl_easy_perform(easy), CURLE_OK);
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_cleanup(easy);
        ck_assert_msg(status == 200, "%s: %ld", path, status);
        fputc('\n', console->heard);
}

static unsigned revocations(struct operator_fixture *console) {
        return fixture_calls(console->fixture, "revoke");
}

/* --- A day --- */

START_TEST(from_the_first_token_to_the_second) {
        struct operator_fixture console;

        operator_init(&console, CARED_FOR);
        operator_check(&console, "status", 0, "waiting-for-token");
        operator_check(&console, "renew orders", 6, "enrol it first");
        operator_check(&console, "revoke orders --yes", 6, "no certificate");
        operator_check(&console, "rollback orders", 6, "no certificate");
        operator_check(&console, "renew billing", 5, "there is no certificate 'billing'");
        operator_enrol(&console);
        operator_check(&console, "status", 0, "current");
        operator_check(&console, "show orders", 0, "rsa-2048");
        operator_mint_token(&console);
        operator_settle(&console);
        operator_check(&console, "enrol orders -", 6, "is valid until");
        operator_check(&console, "renew orders --force", 0, "orders: renewed: generation 2 ");
        operator_check(&console, "renew --all --force", 0, "orders: renewed: generation 3 ");

        operator_check(&console, "rollback orders", 0, "a copy of generation 2 is now current");
        operator_check(&console, "rollback orders --generation 3", 0,
                       "a copy of generation 3 is now current");
        operator_check(&console, "rollback orders --generation 77", 1, "there is no generation 77");
        operator_check(&console, "history orders", 0, "rolled-back");

        operator_check(&console, "notify orders", 0, "command /bin/true: notified\n");

        operator_check(&console, "revoke orders", 2, "rekeyctl revoke --yes orders");
        ck_assert_uint_eq(revocations(&console), 0);
        operator_check(&console, "revoke orders --yes", 0, "orders: revoked, generation 5");
        ck_assert_uint_eq(revocations(&console), 1);
        operator_check(&console, "status", 0, "revoked");
        operator_check(&console, "renew orders", 6, "enrol it again");
        operator_check(&console, "revoke orders --yes", 6, "already revoked");
        operator_enrol(&console);
        operator_check_fine(&console);
        operator_check(&console, "history orders", 0, "revoked");
        ck_assert_int_eq(fixture_stop(console.fixture), 0);
        operator_clear(&console);
}
END_TEST

START_TEST(a_renewal_is_watched) {
        struct operator_fixture console;
        _cleanup_(freep) char *line = NULL, *config = NULL;
        _cleanup_(process_freep) struct process *events = NULL;
        _cleanup_(pty_freep) struct pty *pty = NULL;

        operator_init(&console, CARED_FOR);
        config = scratch_path(console.fixture->directory, "rekeyd.yaml");
        const char *argv[] = {
                getenv("REKEYD_TEST_REKEYCTL"), "--config", config, "renew", "orders", "--force", NULL,
        };
        operator_enrol(&console);
        operator_check(&console, "renew orders --force", 0,
                       "generation 2"); /* until the look after the enrolment is over */
        events = operator_start(&console, "events orders");
        free(process_await(events, PROCESS_STDOUT, "hello"));
        fixture_fault(console.fixture, "{\"fault\":\"hold\",\"at\":\"sign\"}");
        pty = pty_start(argv, 80, 24);
        pty_await(pty, "signing");
        json_decref(fixture_await_connector(console.fixture, "\"held\""));
        fixture_lift_faults(console.fixture);
        pty_await(pty, "orders: renewed: generation 3");
        ck_assert_int_eq(pty_wait(pty), 0);

        line = process_await(events, PROCESS_STDOUT, "begun");
        ck_assert_ptr_nonnull(line);
        free(process_await(events, PROCESS_STDOUT, "step"));
        free(process_await(events, PROCESS_STDOUT, "renewed: generation 3"));
        process_signal(events, SIGINT);
        ck_assert_int_eq(process_wait(events), 0);
        ck_assert_int_eq(fixture_stop(console.fixture), 0);
        operator_clear(&console);
}
END_TEST

/* --- What is wrong --- */

START_TEST(the_cause_is_found_without_a_log) {
        static const struct {
                const char *fault, *class, *cause;
        } rows[] = {
                { "{\"fault\":\"graphql-error\",\"at\":\"sign\",\"message\":\"CSR: Invalid common name "
                  "provided.\"}",
                  "refused", "Invalid common name" },
                { "{\"fault\":\"bad-gateway-502\",\"at\":\"configuration\"}", "transient", "502" },
                { "{\"fault\":\"wrong-key\",\"at\":\"sign\"}", "bad-reply", "not for the key" },
                { "{\"fault\":\"html-400\",\"at\":\"configuration\"}", "rejected", "400" },
        };
        struct operator_fixture console;

        operator_init(&console, CARED_FOR);
        operator_enrol(&console);
        /* It is due, and stays so, since another key is asked for. */
        operator_settle(&console);
        fixture_fault(console.fixture, rows[0].fault);
        fixture_edit(console.fixture, "    keep: 3\n", "    keep: 3\n    key: {bits: 3072}\n");
        operator_check(&console, "reload", 0, "1 changed");
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                static const char *const lines[] = { "status orders", "show orders", "history orders" };

                fixture_lift_faults(console.fixture);
                fixture_fault(console.fixture, rows[i].fault);
                operator_check(&console, "renew orders", 1, rows[i].cause);
                operator_check(&console, "renew orders", 1, rows[i].class);
                operator_settle(&console);
                for (size_t k = 0; k < ELEMENTSOF(lines); k++)
                        operator_check(&console, lines[k], 0, rows[i].cause);
        }
        fixture_lift_faults(console.fixture);
        operator_check(&console, "renew orders", 0, "orders: renewed: generation ");
        operator_check_fine(&console);

        /* A dependent that cannot be told. */
        _cleanup_(freep) char *file = scratch_path(console.fixture->directory, "is-there");
        ck_assert_int_eq(unlink(file), 0);
        operator_check(&console, "notify orders", 1, "command /usr/bin/test: could not notify a dependent");
        operator_check(&console, "show orders", 0, ": command /usr/bin/test ended with status 1\n");
        operator_check(&console, "status", 0,
                       "! orders: 1 dependent could not be notified of the current certificate: command "
                       "/usr/bin/test ended with status 1.\n    rekeyctl notify orders\n");
        scratch_write(console.fixture->directory, "is-there", "", 0600);
        operator_check(&console, "notify orders", 0, "command /usr/bin/test: notified\n");
        operator_check_fine(&console);
        ck_assert_int_eq(fixture_stop(console.fixture), 0);
        operator_clear(&console);
}
END_TEST

/* Until something newer succeeds, and without calling anybody. */
static void check_told(struct operator_fixture *console, const char *operation, const char *cause) {
        _cleanup_(freep) char *result = NULL;

        ck_assert_int_ge(asprintf(&result, "%s failed", operation), 0);
        operator_settle(console);
        operator_check(console, "status", 0, result);
        operator_check(console, "status", 0, cause);
        operator_check(console, "show orders", 0, result);
        operator_check(console, "show orders", 0, cause);
        operator_check(console, "check", 0, "REKEYD OK - 1 certificate OK");
        fetch(console, "/readyz");
}

START_TEST(what_failed_though_nothing_was_due_is_told) {
        struct operator_fixture console;
        _cleanup_(freep) char *text = NULL;

        operator_init(&console, CARED_FOR);
        operator_enrol(&console);
        fixture_fault(console.fixture,
                      "{\"fault\":\"graphql-error\",\"at\":\"sign\",\"message\":\"CSR: no such luck\"}");
        operator_check(&console, "renew orders", 1, "no such luck");
        check_told(&console, "renew", "no such luck");
        operator_check(&console, "rollback orders --generation 77", 1, "there is no generation 77");
        check_told(&console, "rollback", "there is no generation 77");
        fixture_fault(console.fixture, "{\"fault\":\"status\",\"at\":\"revoke\",\"status\":404}");
        operator_check(&console, "revoke orders --yes", 1, "could not revoke");
        check_told(&console, "revoke", "could not revoke");
        operator_check(&console, "notify orders", 0, "notified");
        text = operator_run(&console, "status orders", 0);
        ck_assert_msg(!strstr(text, "failed"), "%s", text);
        ck_assert_int_eq(fixture_stop(console.fixture), 0);
        operator_clear(&console);
}
END_TEST

START_TEST(a_wrong_token_is_not_the_end) {
        struct operator_fixture console;

        operator_init(&console, CARED_FOR);
        operator_mint_token(&console);
        scratch_write(console.fixture->directory, "token", "wrong-token-4711", 0600);
        operator_check(&console, "enrol orders -", 1, "one-time token");
        operator_check(&console, "status", 0, "rekeyctl enrol orders");
        operator_enrol(&console);
        scratch_write(console.fixture->directory, "token", "wrong-token-4711", 0600);
        operator_check(&console, "enrol orders - --force", 1, "one-time token");
        operator_check(&console, "show orders", 0, "current");
        operator_settle(&console);
        operator_check(&console, "show orders", 0, "current");
        operator_check(&console, "history orders", 0, "one-time token");
        ck_assert_ptr_null(strstr(console.text, "wrong-token-4711"));
        ck_assert_int_eq(fixture_stop(console.fixture), 0);
        operator_clear(&console);
}
END_TEST

/* It is valid for long, and still what `status` advises must work, before and after a restart. */
START_TEST(a_rejected_certificate_is_enrolled_anew) {
        struct operator_fixture console;

        operator_init(&console, CARED_FOR);
        operator_enrol(&console);
        for (unsigned i = 0; i < 2; i++) {
                operator_settle(&console);
                fixture_fault(console.fixture, "{\"fault\":\"refuse-certificate\"}");
                if (i == 0)
                        operator_check(&console, "renew orders --force", 1, "rekeyctl enrol orders");
                else {
                        /* Due, and so it stays rejected where only the journal knows of it. */
                        fixture_edit(console.fixture, "    keep: 3\n",
                                     "    keep: 3\n    key: {bits: 3072}\n");
                        operator_check(&console, "reload", 0, "1 changed");
                        fixture_expect(console.fixture, MESSAGE_FAILED_REJECTED);
                        operator_settle(&console);
                        ck_assert_int_eq(fixture_stop(console.fixture), 0);
                        fixture_start(console.fixture, NULL);
                        fixture_expect(console.fixture, MESSAGE_READY);
                        operator_settle(&console);
                }
                operator_check(&console, "status", 0, "the Connector no longer accepts the certificate");
                operator_check(&console, "status", 0,
                               "get a new one-time token, then:\n    rekeyctl enrol orders");
                fixture_lift_faults(console.fixture);
                operator_enrol(&console);
                operator_check_fine(&console);
        }
        ck_assert_int_eq(fixture_stop(console.fixture), 0);
        operator_clear(&console);
}
END_TEST

START_TEST(an_adopted_set_comes_back) {
        static const char *const files[] = { "tls.key", "tls.crt", "ca.crt" };
        struct operator_fixture console;
        struct fixture *fixture;
        _cleanup_(freep) char *connector = NULL, *adopted = NULL;

        operator_init(&console, CARED_FOR);
        fixture = console.fixture;
        operator_enrol(&console);
        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                _cleanup_(freep) char *path = NULL, *text = NULL;

                ck_assert_int_ge(asprintf(&path, "orders/%s", files[i]), 0);
                text = scratch_read(fixture->directory, path);
                scratch_write(fixture->directory, files[i], text, 0600);
        }
        ck_assert_int_ge(asprintf(&connector, "ca_window: 1s, url: '%s'", fixture->certificate_url), 0);
        fixture_edit(fixture, "ca_window: 1s", connector);
        ck_assert_int_ge(asprintf(&adopted,
                                  "certificates:\n"
                                  "  old:\n"
                                  "    connector: dev\n"
                                  "    directory: %s/old\n"
                                  "    import: {key: %s/tls.key, certificate: %s/tls.crt, ca: %s/ca.crt}\n",
                                  fixture->directory, fixture->directory, fixture->directory,
                                  fixture->directory),
                         0);
        fixture_edit(fixture, "certificates:\n", adopted);
        operator_check(&console, "reload", 0, "1 added");
        fixture_expect(fixture, MESSAGE_ADOPTED);

        operator_check(&console, "rollback old --generation 0", 1, "generation 0 is the current one");
        operator_check(&console, "renew old --force", 0, "old: renewed: generation 1 ");
        operator_check(&console, "rollback old", 0, "a copy of generation 0 is now current");
        operator_check(&console, "rollback old --generation 0", 0, "a copy of generation 0 is now current");
        operator_check(&console, "rollback orders --generation 0", 1, "there is no generation 0");
        operator_check(&console, "rollback orders", 1, "there is no other generation");
        ck_assert_int_eq(fixture_stop(fixture), 0);
        operator_clear(&console);
}
END_TEST

START_TEST(a_reload_with_mistakes_changes_nothing) {
        struct operator_fixture console;
        _cleanup_(freep) char *line = NULL, *text = NULL, *again = NULL;

        operator_init(&console, CARED_FOR);
        ck_assert_int_ge(asprintf(&line, "--socket %s/control.sock reload", console.fixture->directory), 0);
        fixture_edit(console.fixture, "    keep: 3\n", "    kept: 3\n    owner: [1]\n");
        text = operator_run(&console, line, 1);
        ck_assert_msg(strstr(text, "rekeyd.yaml:") && strstr(text, "kept") && strstr(text, "owner") &&
                              strstr(text, "2 errors"),
                      "%s", text);
        operator_check(&console, "reload", 3, "check-config");
        fixture_edit(console.fixture, "    kept: 3\n    owner: [1]\n", "    keep: 4\n");
        again = operator_run(&console, "reload", 0);
        ck_assert_msg(strstr(again, "1 changed"), "%s", again);
        ck_assert_int_eq(fixture_stop(console.fixture), 0);
        operator_clear(&console);
}
END_TEST

START_TEST(without_rekeyd_the_files_are_read) {
        struct operator_fixture console;
        _cleanup_(process_freep) struct process *renewal = NULL;
        _cleanup_(freep) char *text = NULL;
        int status;

        operator_init(&console, CARED_FOR);
        operator_enrol(&console);
        operator_check(&console, "renew orders --force", 0, "generation 2");
        fixture_fault(console.fixture, "{\"fault\":\"hold\",\"at\":\"sign\"}");
        renewal = operator_start(&console, "renew orders --force");
        json_decref(fixture_await_connector(console.fixture, "\"held\""));
        ck_assert_int_eq(fixture_stop(console.fixture), 0);
        text = operator_finish(&console, renewal, &status);
        ck_assert_msg(status == 3 && strstr(text, "was stopped or restarted before completion"), "%d %s",
                      status, text);
        fixture_lift_faults(console.fixture);

        operator_check(&console, "status", 0, "orders");
        operator_check(&console, "show orders", 0, "rsa-2048");
        operator_check(&console, "history orders", 0, "enrolled");
        operator_check(&console, "renew orders", 3, "systemctl start rekeyd");
        operator_check(&console, "revoke orders --yes", 3, "systemctl start rekeyd");
        operator_check(&console, "events", 3, "systemctl start rekeyd");
        operator_clear(&console);
}
END_TEST

/* --- revoke_old --- */

/* The revocations that devconnector has seen, by the fingerprint of who called. */
static unsigned revocations_of(struct fixture *fixture, const char *fingerprint) {
        json_t *calls = fixture_admin(fixture, "/calls", NULL), *list, *call;
        unsigned n = 0;
        size_t i;

        list = json_is_array(calls) ? calls : json_object_get(calls, "calls");
        json_array_foreach(list, i, call) n +=
                streq(member(call, "operation"), "revoke") && streq(member(call, "fingerprint"), fingerprint);
        json_decref(calls);
        return n;
}

static void await_set(struct fixture *fixture, const char *message_id, char fingerprint[80]) {
        json_t *line = fixture_await(fixture, message_id);

        snprintf(fingerprint, 80, "%s", member(line, "fingerprint"));
        json_decref(line);
}

/* What is owed in the journal is due now. */
static void hasten(struct fixture *fixture) {
        _cleanup_(freep) char *directory = scratch_path(fixture->directory, "state"),
                              *text = scratch_read(directory, "orders.json"), *edited = NULL;
        json_t *state = json_loads(text, 0, NULL), *due = json_object_get(state, "revoke_usec");

        ck_assert_msg(json_integer_value(due) > 0, "nothing is to be revoked: %s", text);
        json_integer_set(due, 1);
        edited = json_dumps(state, JSON_INDENT(4));
        scratch_write(directory, "orders.json", edited, 0600);
        json_decref(state);
}

START_TEST(the_old_one_is_revoked_after_a_while) {
        struct operator_fixture console;
        struct fixture *fixture;
        char first[80], second[80];

        operator_init(&console, CARED_FOR "    revoke_old: 1m\n");
        fixture = console.fixture;
        operator_enrol(&console);
        await_set(fixture, MESSAGE_ENROLLED, first);
        operator_check(&console, "renew orders --force", 0, "generation 2");
        await_set(fixture, MESSAGE_RENEWED, second);
        ck_assert_uint_eq(revocations_of(fixture, first), 0);

        operator_settle(&console);
        /* It survives a restart, and is done when its time has come. */
        ck_assert_int_eq(fixture_stop(fixture), 0);
        hasten(fixture);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_REVOKED);
        ck_assert_uint_eq(revocations_of(fixture, first), 1);

        /* And before its time where its files are about to go. */
        operator_check(&console, "renew orders --force", 0, "generation 3");
        ck_assert_uint_eq(revocations_of(fixture, second), 0);
        operator_check(&console, "renew orders --force", 0, "generation 4");
        fixture_expect(fixture, MESSAGE_REVOKED);
        ck_assert_uint_eq(revocations_of(fixture, second), 1);
        operator_check(&console, "history orders", 0, "because of `revoke_old`");
        operator_check_fine(&console);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        operator_clear(&console);
}
END_TEST

/* --- Secrets --- */

static void check_unheard(const struct operator_fixture *console, const char *what, const char *secret) {
        ck_assert_msg(!strstr(console->text, secret), "%s was said", what);
        ck_assert_msg(!strstr(process_output(console->fixture->rekeyd, PROCESS_STDERR), secret),
                      "%s is in the log", what);
}

static void check_no_key(const struct operator_fixture *console) {
        _cleanup_(freep) char *key = scratch_read(console->fixture->directory, "orders/tls.key");
        char *rest = NULL;
        unsigned n = 0;

        ck_assert_ptr_nonnull(key);
        for (char *line = strtok_r(key, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
                if (!has_prefix(line, "-----") && strlen(line) > 16) {
                        check_unheard(console, "a line of a key", line);
                        n++;
                }
        ck_assert_uint_gt(n, 10);
        check_unheard(console, "a key", "PRIVATE KEY");
}

START_TEST(no_secret_can_be_obtained) {
        static const char *const paths[] = {
                "/v1/version",
                "/v1/certificates",
                "/v1/certificates/orders",
                "/v1/certificates/orders/history",
                "/metrics",
                "/healthz",
                "/readyz",
        };
        static const char *const lines[] = {
                "status",
                "status --json",
                "status --all",
                "show orders",
                "show orders --json",
                "history orders",
                "history orders --json",
                "check",
                "version --json",
                "check-config",
                "notify orders",
                "reload",
                "rollback orders",
                "renew orders --force",
        };
        struct operator_fixture console;
        struct fixture *fixture;
        _cleanup_(process_freep) struct process *events = NULL;
        _cleanup_(freep) char *text = NULL, *first = NULL;
        int status;

        operator_init(&console, CARED_FOR);
        fixture = console.fixture;
        events = operator_start(&console, "events --json");
        free(process_await(events, PROCESS_STDOUT, "hello"));
        operator_enrol(&console);
        first = strdup(console.token);
        operator_check(&console, "renew orders --force", 0, "generation 2");
        check_no_key(&console);
        for (unsigned is_failing = 0; is_failing < 2; is_failing++) {
                for (size_t i = 0; i < ELEMENTSOF(paths); i++)
                        fetch(&console, paths[i]);
                for (size_t i = 0; i < ELEMENTSOF(lines); i++)
                        free(operator_run(&console, lines[i],
                                          is_failing && streq(lines[i], "renew orders --force") ? 1 : 0));
                check_no_key(&console);
                fixture_fault(fixture, "{\"fault\":\"graphql-error\",\"at\":\"sign\",\"message\":\"no\"}");
        }
        fixture_lift_faults(fixture);
        operator_check(&console, "revoke orders --yes", 0, "revoked");
        operator_enrol(&console);
        process_signal(events, SIGINT);
        text = operator_finish(&console, events, &status);
        ck_assert_int_eq(status, 0);
        ck_assert_msg(strstr(text, "\"enrolled\"") && strstr(text, "\"operation\":\"renew\""), "%s", text);

        check_no_key(&console);
        check_unheard(&console, "a token", first);
        check_unheard(&console, "a token", console.token);
        check_unheard(&console, "a passphrase", PASSPHRASE);
        test_report("%zu bytes said, without a secret", console.size);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        operator_clear(&console);
}
END_TEST

TEST_MAIN("operator", from_the_first_token_to_the_second, a_renewal_is_watched,
          the_cause_is_found_without_a_log, what_failed_though_nothing_was_due_is_told,
          a_wrong_token_is_not_the_end, a_rejected_certificate_is_enrolled_anew, an_adopted_set_comes_back,
          a_reload_with_mistakes_changes_nothing, without_rekeyd_the_files_are_read,
          the_old_one_is_revoked_after_a_while, no_secret_can_be_obtained)
