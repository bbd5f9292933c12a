/*
 * An operator at work: the real rekeyctl, rekeyd and devconnector. What rekeyctl says is all that the
 * operator knows, so it must be enough; and it must never be a secret.
 */

#include <curl/curl.h>
#include <fcntl.h>
#include <signal.h>

#include "tests/support/desk.h"
#include "tests/support/pty.h"
#include "tests/test.h"

#define ORDERS                                                                            \
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

static void fetch(struct desk *desk, const char *path) {
        _cleanup_(freep) char *socket = scratch_path(desk->stand->directory, "control.sock"), *url = NULL;
        CURL *easy = curl_easy_init();
        long status = 0;

        ck_assert_int_ge(asprintf(&url, "http://rekeyd%s", path), 0);
        curl_easy_setopt(easy, CURLOPT_URL, url);
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, socket);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, hear);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, desk->heard);
        ck_assert_int_eq(curl_easy_perform(easy), CURLE_OK);
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_cleanup(easy);
        ck_assert_msg(status == 200, "%s: %ld", path, status);
        fputc('\n', desk->heard);
}

static unsigned revocations(struct desk *desk) {
        return stand_calls(desk->stand, "revoke");
}

/* --- A day --- */

START_TEST(from_the_first_token_to_the_second) {
        struct desk desk;

        desk_init(&desk, ORDERS);
        desk_check(&desk, "status", 0, "waiting-for-token");
        desk_check(&desk, "renew orders", 6, "has to be enrolled first");
        desk_check(&desk, "revoke orders --yes", 6, "no certificate");
        desk_check(&desk, "rollback orders", 6, "no certificate");
        desk_check(&desk, "renew billing", 5, "there is no certificate 'billing'");
        desk_enrol(&desk);
        desk_check(&desk, "status", 0, "current");
        desk_check(&desk, "show orders", 0, "rsa-2048");
        desk_mint_token(&desk);
        desk_settle(&desk);
        desk_check(&desk, "enrol orders -", 6, "can be used until");
        desk_check(&desk, "renew orders --force", 0, "orders: renewed: generation 2 ");
        desk_check(&desk, "renew --all --force", 0, "orders: renewed: generation 3 ");

        desk_check(&desk, "rollback orders", 0, "a copy of generation 2 is current now");
        desk_check(&desk, "rollback orders --generation 3", 0, "a copy of generation 3 is current now");
        desk_check(&desk, "rollback orders --generation 77", 1, "there is no generation 77");
        desk_check(&desk, "history orders", 0, "rolled-back");

        desk_check(&desk, "notify orders", 0, "command /bin/true: told\n");

        desk_check(&desk, "revoke orders", 2, "rekeyctl revoke --yes orders");
        ck_assert_uint_eq(revocations(&desk), 0);
        desk_check(&desk, "revoke orders --yes", 0, "orders: revoked, generation 5");
        ck_assert_uint_eq(revocations(&desk), 1);
        desk_check(&desk, "status", 0, "revoked");
        desk_check(&desk, "renew orders", 6, "has to be enrolled anew");
        desk_check(&desk, "revoke orders --yes", 6, "revoked already");
        desk_enrol(&desk);
        desk_check_fine(&desk);
        desk_check(&desk, "history orders", 0, "revoked");
        ck_assert_int_eq(stand_stop(desk.stand), 0);
        desk_clear(&desk);
}
END_TEST

START_TEST(a_renewal_is_watched) {
        struct desk desk;
        _cleanup_(freep) char *line = NULL, *config = NULL;
        _cleanup_(process_freep) struct process *events = NULL;
        _cleanup_(pty_freep) struct pty *pty = NULL;

        desk_init(&desk, ORDERS);
        config = scratch_path(desk.stand->directory, "rekeyd.yaml");
        const char *argv[] = {
                getenv("REKEYD_TEST_REKEYCTL"), "--config", config, "renew", "orders", "--force", NULL,
        };
        desk_enrol(&desk);
        desk_check(&desk, "renew orders --force", 0,
                   "generation 2"); /* until the look after the enrolment is over */
        events = desk_start(&desk, "events orders");
        free(process_await(events, PROCESS_STDOUT, "hello"));
        stand_fault(desk.stand, "{\"fault\":\"hold\",\"at\":\"sign\"}");
        pty = pty_start(argv, 80, 24);
        pty_await(pty, "having it signed");
        json_decref(stand_await_connector(desk.stand, "\"held\""));
        stand_lift_faults(desk.stand);
        pty_await(pty, "orders: renewed: generation 3");
        ck_assert_int_eq(pty_wait(pty), 0);

        line = process_await(events, PROCESS_STDOUT, "begun");
        ck_assert_ptr_nonnull(line);
        free(process_await(events, PROCESS_STDOUT, "step"));
        free(process_await(events, PROCESS_STDOUT, "renewed: generation 3"));
        process_signal(events, SIGINT);
        ck_assert_int_eq(process_wait(events), 0);
        ck_assert_int_eq(stand_stop(desk.stand), 0);
        desk_clear(&desk);
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
        struct desk desk;

        desk_init(&desk, ORDERS);
        desk_enrol(&desk);
        /* It is due, and stays so, since another key is asked for. */
        desk_settle(&desk);
        stand_fault(desk.stand, rows[0].fault);
        stand_edit(desk.stand, "    keep: 3\n", "    keep: 3\n    key: {bits: 3072}\n");
        desk_check(&desk, "reload", 0, "1 changed");
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                static const char *const lines[] = { "status orders", "show orders", "history orders" };

                stand_lift_faults(desk.stand);
                stand_fault(desk.stand, rows[i].fault);
                desk_check(&desk, "renew orders", 1, rows[i].cause);
                desk_check(&desk, "renew orders", 1, rows[i].class);
                desk_settle(&desk);
                for (size_t k = 0; k < ELEMENTSOF(lines); k++)
                        desk_check(&desk, lines[k], 0, rows[i].cause);
        }
        stand_lift_faults(desk.stand);
        desk_check(&desk, "renew orders", 0, "orders: renewed: generation ");
        desk_check_fine(&desk);

        /* A dependent that cannot be told. */
        _cleanup_(freep) char *file = scratch_path(desk.stand->directory, "is-there");
        ck_assert_int_eq(unlink(file), 0);
        desk_check(&desk, "notify orders", 1, "command /usr/bin/test: a dependent was not told");
        desk_check(&desk, "show orders", 0, ": command /usr/bin/test ended with status 1\n");
        desk_check(&desk, "status", 0,
                   "! orders: 1 dependent could not be told of the current certificate: "
                   "command /usr/bin/test ended with status 1.\n    rekeyctl notify orders\n");
        scratch_write(desk.stand->directory, "is-there", "", 0600);
        desk_check(&desk, "notify orders", 0, "command /usr/bin/test: told\n");
        desk_check_fine(&desk);
        ck_assert_int_eq(stand_stop(desk.stand), 0);
        desk_clear(&desk);
}
END_TEST

/* Until something newer succeeds, and without calling anybody. */
static void check_told(struct desk *desk, const char *operation, const char *cause) {
        _cleanup_(freep) char *result = NULL;

        ck_assert_int_ge(asprintf(&result, "%s failed", operation), 0);
        desk_settle(desk);
        desk_check(desk, "status", 0, result);
        desk_check(desk, "status", 0, cause);
        desk_check(desk, "show orders", 0, result);
        desk_check(desk, "show orders", 0, cause);
        desk_check(desk, "check", 0, "REKEYD OK - 1 certificate is fine");
        fetch(desk, "/readyz");
}

START_TEST(what_failed_though_nothing_was_due_is_told) {
        struct desk desk;
        _cleanup_(freep) char *text = NULL;

        desk_init(&desk, ORDERS);
        desk_enrol(&desk);
        stand_fault(desk.stand,
                    "{\"fault\":\"graphql-error\",\"at\":\"sign\",\"message\":\"CSR: no such luck\"}");
        desk_check(&desk, "renew orders", 1, "no such luck");
        check_told(&desk, "renew", "no such luck");
        desk_check(&desk, "rollback orders --generation 77", 1, "there is no generation 77");
        check_told(&desk, "rollback", "there is no generation 77");
        stand_fault(desk.stand, "{\"fault\":\"status\",\"at\":\"revoke\",\"status\":404}");
        desk_check(&desk, "revoke orders --yes", 1, "could not be revoked");
        check_told(&desk, "revoke", "could not be revoked");
        desk_check(&desk, "notify orders", 0, "told");
        text = desk_run(&desk, "status orders", 0);
        ck_assert_msg(!strstr(text, "failed"), "%s", text);
        ck_assert_int_eq(stand_stop(desk.stand), 0);
        desk_clear(&desk);
}
END_TEST

START_TEST(a_wrong_token_is_not_the_end) {
        struct desk desk;

        desk_init(&desk, ORDERS);
        desk_mint_token(&desk);
        scratch_write(desk.stand->directory, "token", "wrong-token-4711", 0600);
        desk_check(&desk, "enrol orders -", 1, "one-time token");
        desk_check(&desk, "status", 0, "rekeyctl enrol orders");
        desk_enrol(&desk);
        scratch_write(desk.stand->directory, "token", "wrong-token-4711", 0600);
        desk_check(&desk, "enrol orders - --force", 1, "one-time token");
        desk_check(&desk, "show orders", 0, "current");
        desk_settle(&desk);
        desk_check(&desk, "show orders", 0, "current");
        desk_check(&desk, "history orders", 0, "one-time token");
        ck_assert_ptr_null(strstr(desk.text, "wrong-token-4711"));
        ck_assert_int_eq(stand_stop(desk.stand), 0);
        desk_clear(&desk);
}
END_TEST

/* It is valid for long, and still what `status` advises must work, before and after a restart. */
START_TEST(a_rejected_certificate_is_enrolled_anew) {
        struct desk desk;

        desk_init(&desk, ORDERS);
        desk_enrol(&desk);
        for (unsigned i = 0; i < 2; i++) {
                desk_settle(&desk);
                stand_fault(desk.stand, "{\"fault\":\"refuse-certificate\"}");
                if (i == 0)
                        desk_check(&desk, "renew orders --force", 1, "rekeyctl enrol orders");
                else {
                        /* Due, and so it stays rejected where only the journal knows of it. */
                        stand_edit(desk.stand, "    keep: 3\n", "    keep: 3\n    key: {bits: 3072}\n");
                        desk_check(&desk, "reload", 0, "1 changed");
                        json_decref(stand_await(desk.stand, MESSAGE_FAILED_REJECTED));
                        desk_settle(&desk);
                        ck_assert_int_eq(stand_stop(desk.stand), 0);
                        stand_start(desk.stand, NULL);
                        json_decref(stand_await(desk.stand, MESSAGE_READY));
                        desk_settle(&desk);
                }
                desk_check(&desk, "status", 0, "the Connector no longer accepts the certificate");
                desk_check(&desk, "status", 0,
                           "get a new one-time token, and then:\n    rekeyctl enrol orders");
                stand_lift_faults(desk.stand);
                desk_enrol(&desk);
                desk_check_fine(&desk);
        }
        ck_assert_int_eq(stand_stop(desk.stand), 0);
        desk_clear(&desk);
}
END_TEST

START_TEST(an_adopted_set_comes_back) {
        static const char *const files[] = { "tls.key", "tls.crt", "ca.crt" };
        struct desk desk;
        struct stand *stand;
        _cleanup_(freep) char *connector = NULL, *adopted = NULL;

        desk_init(&desk, ORDERS);
        stand = desk.stand;
        desk_enrol(&desk);
        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                _cleanup_(freep) char *path = NULL, *text = NULL;

                ck_assert_int_ge(asprintf(&path, "orders/%s", files[i]), 0);
                text = scratch_read(stand->directory, path);
                scratch_write(stand->directory, files[i], text, 0600);
        }
        ck_assert_int_ge(asprintf(&connector, "ca_window: 1s, url: '%s'", stand->certificate_url), 0);
        stand_edit(stand, "ca_window: 1s", connector);
        ck_assert_int_ge(asprintf(&adopted,
                                  "certificates:\n"
                                  "  old:\n"
                                  "    connector: dev\n"
                                  "    directory: %s/old\n"
                                  "    import: {key: %s/tls.key, certificate: %s/tls.crt, ca: %s/ca.crt}\n",
                                  stand->directory, stand->directory, stand->directory, stand->directory),
                         0);
        stand_edit(stand, "certificates:\n", adopted);
        desk_check(&desk, "reload", 0, "1 added");
        json_decref(stand_await(stand, MESSAGE_ADOPTED));

        desk_check(&desk, "rollback old --generation 0", 1, "generation 0 is the current one");
        desk_check(&desk, "renew old --force", 0, "old: renewed: generation 1 ");
        desk_check(&desk, "rollback old", 0, "a copy of generation 0 is current now");
        desk_check(&desk, "rollback old --generation 0", 0, "a copy of generation 0 is current now");
        desk_check(&desk, "rollback orders --generation 0", 1, "there is no generation 0");
        desk_check(&desk, "rollback orders", 1, "there is no other generation");
        ck_assert_int_eq(stand_stop(stand), 0);
        desk_clear(&desk);
}
END_TEST

START_TEST(a_reload_with_mistakes_changes_nothing) {
        struct desk desk;
        _cleanup_(freep) char *line = NULL, *text = NULL, *again = NULL;

        desk_init(&desk, ORDERS);
        ck_assert_int_ge(asprintf(&line, "--socket %s/control.sock reload", desk.stand->directory), 0);
        stand_edit(desk.stand, "    keep: 3\n", "    kept: 3\n    owner: [1]\n");
        text = desk_run(&desk, line, 1);
        ck_assert_msg(strstr(text, "rekeyd.yaml:") && strstr(text, "kept") && strstr(text, "owner") &&
                              strstr(text, "2 errors"),
                      "%s", text);
        desk_check(&desk, "reload", 3, "check-config");
        stand_edit(desk.stand, "    kept: 3\n    owner: [1]\n", "    keep: 4\n");
        again = desk_run(&desk, "reload", 0);
        ck_assert_msg(strstr(again, "1 changed"), "%s", again);
        ck_assert_int_eq(stand_stop(desk.stand), 0);
        desk_clear(&desk);
}
END_TEST

START_TEST(without_rekeyd_the_files_are_read) {
        struct desk desk;
        _cleanup_(process_freep) struct process *renewal = NULL;
        _cleanup_(freep) char *text = NULL;
        int status;

        desk_init(&desk, ORDERS);
        desk_enrol(&desk);
        desk_check(&desk, "renew orders --force", 0, "generation 2");
        stand_fault(desk.stand, "{\"fault\":\"hold\",\"at\":\"sign\"}");
        renewal = desk_start(&desk, "renew orders --force");
        json_decref(stand_await_connector(desk.stand, "\"held\""));
        ck_assert_int_eq(stand_stop(desk.stand), 0);
        text = desk_finish(&desk, renewal, &status);
        ck_assert_msg(status == 3 && strstr(text, "was stopped or restarted before it was over"), "%d %s",
                      status, text);
        stand_lift_faults(desk.stand);

        desk_check(&desk, "status", 0, "orders");
        desk_check(&desk, "show orders", 0, "rsa-2048");
        desk_check(&desk, "history orders", 0, "enrolled");
        desk_check(&desk, "renew orders", 3, "systemctl start rekeyd");
        desk_check(&desk, "revoke orders --yes", 3, "systemctl start rekeyd");
        desk_check(&desk, "events", 3, "systemctl start rekeyd");
        desk_clear(&desk);
}
END_TEST

/* --- revoke_old --- */

/* The revocations that devconnector has seen, by the fingerprint of who called. */
static unsigned revocations_of(struct stand *stand, const char *fingerprint) {
        json_t *calls = stand_admin(stand, "/calls", NULL), *list, *call;
        unsigned n = 0;
        size_t i;

        list = json_is_array(calls) ? calls : json_object_get(calls, "calls");
        json_array_foreach(list, i, call) n +=
                streq(member(call, "operation"), "revoke") && streq(member(call, "fingerprint"), fingerprint);
        json_decref(calls);
        return n;
}

static void await_set(struct stand *stand, const char *message_id, char fingerprint[80]) {
        json_t *line = stand_await(stand, message_id);

        snprintf(fingerprint, 80, "%s", member(line, "fingerprint"));
        json_decref(line);
}

/* What is owed in the journal is due now. */
static void hasten(struct stand *stand) {
        _cleanup_(freep) char *directory = scratch_path(stand->directory, "state"),
                              *text = scratch_read(directory, "orders.json"), *edited = NULL;
        json_t *journal = json_loads(text, 0, NULL), *due = json_object_get(journal, "revoke_usec");

        ck_assert_msg(json_integer_value(due) > 0, "nothing is to be revoked: %s", text);
        json_integer_set(due, 1);
        edited = json_dumps(journal, JSON_INDENT(4));
        scratch_write(directory, "orders.json", edited, 0600);
        json_decref(journal);
}

START_TEST(the_old_one_is_revoked_after_a_while) {
        struct desk desk;
        struct stand *stand;
        char first[80], second[80];

        desk_init(&desk, ORDERS "    revoke_old: 1m\n");
        stand = desk.stand;
        desk_enrol(&desk);
        await_set(stand, MESSAGE_ENROLLED, first);
        desk_check(&desk, "renew orders --force", 0, "generation 2");
        await_set(stand, MESSAGE_RENEWED, second);
        ck_assert_uint_eq(revocations_of(stand, first), 0);

        desk_settle(&desk);
        /* It survives a restart, and is done when its time has come. */
        ck_assert_int_eq(stand_stop(stand), 0);
        hasten(stand);
        stand_start(stand, NULL);
        json_decref(stand_await(stand, MESSAGE_REVOKED));
        ck_assert_uint_eq(revocations_of(stand, first), 1);

        /* And before its time where its files are about to go. */
        desk_check(&desk, "renew orders --force", 0, "generation 3");
        ck_assert_uint_eq(revocations_of(stand, second), 0);
        desk_check(&desk, "renew orders --force", 0, "generation 4");
        json_decref(stand_await(stand, MESSAGE_REVOKED));
        ck_assert_uint_eq(revocations_of(stand, second), 1);
        desk_check(&desk, "history orders", 0, "as `revoke_old` asks for");
        desk_check_fine(&desk);
        ck_assert_int_eq(stand_stop(stand), 0);
        desk_clear(&desk);
}
END_TEST

/* --- Secrets --- */

static void check_unheard(const struct desk *desk, const char *what, const char *secret) {
        ck_assert_msg(!strstr(desk->text, secret), "%s was said", what);
        ck_assert_msg(!strstr(process_output(desk->stand->rekeyd, PROCESS_STDERR), secret),
                      "%s is in the log", what);
}

static void check_no_key(const struct desk *desk) {
        _cleanup_(freep) char *key = scratch_read(desk->stand->directory, "orders/tls.key");
        char *rest = NULL;
        unsigned n = 0;

        ck_assert_ptr_nonnull(key);
        for (char *line = strtok_r(key, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
                if (!has_prefix(line, "-----") && strlen(line) > 16) {
                        check_unheard(desk, "a line of a key", line);
                        n++;
                }
        ck_assert_uint_gt(n, 10);
        check_unheard(desk, "a key", "PRIVATE KEY");
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
        struct desk desk;
        struct stand *stand;
        _cleanup_(process_freep) struct process *events = NULL;
        _cleanup_(freep) char *text = NULL, *first = NULL;
        int status;

        desk_init(&desk, ORDERS);
        stand = desk.stand;
        events = desk_start(&desk, "events --json");
        free(process_await(events, PROCESS_STDOUT, "hello"));
        desk_enrol(&desk);
        first = strdup(desk.token);
        desk_check(&desk, "renew orders --force", 0, "generation 2");
        check_no_key(&desk);
        for (unsigned is_failing = 0; is_failing < 2; is_failing++) {
                for (size_t i = 0; i < ELEMENTSOF(paths); i++)
                        fetch(&desk, paths[i]);
                for (size_t i = 0; i < ELEMENTSOF(lines); i++)
                        free(desk_run(&desk, lines[i],
                                      is_failing && streq(lines[i], "renew orders --force") ? 1 : 0));
                check_no_key(&desk);
                stand_fault(stand, "{\"fault\":\"graphql-error\",\"at\":\"sign\",\"message\":\"no\"}");
        }
        stand_lift_faults(stand);
        desk_check(&desk, "revoke orders --yes", 0, "revoked");
        desk_enrol(&desk);
        process_signal(events, SIGINT);
        text = desk_finish(&desk, events, &status);
        ck_assert_int_eq(status, 0);
        ck_assert_msg(strstr(text, "\"enrolled\"") && strstr(text, "\"operation\":\"renew\""), "%s", text);

        check_no_key(&desk);
        check_unheard(&desk, "a token", first);
        check_unheard(&desk, "a token", desk.token);
        check_unheard(&desk, "a passphrase", PASSPHRASE);
        test_report("%zu bytes said, without a secret", desk.size);
        ck_assert_int_eq(stand_stop(stand), 0);
        desk_clear(&desk);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("operator");

        TEST_CASE(suite, from_the_first_token_to_the_second);
        TEST_CASE(suite, a_renewal_is_watched);
        TEST_CASE(suite, the_cause_is_found_without_a_log);
        TEST_CASE(suite, what_failed_though_nothing_was_due_is_told);
        TEST_CASE(suite, a_wrong_token_is_not_the_end);
        TEST_CASE(suite, a_rejected_certificate_is_enrolled_anew);
        TEST_CASE(suite, an_adopted_set_comes_back);
        TEST_CASE(suite, a_reload_with_mistakes_changes_nothing);
        TEST_CASE(suite, without_rekeyd_the_files_are_read);
        TEST_CASE(suite, the_old_one_is_revoked_after_a_while);
        TEST_CASE(suite, no_secret_can_be_obtained);
        return test_run(suite);
}
