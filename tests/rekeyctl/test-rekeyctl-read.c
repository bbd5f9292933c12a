/* The commands of rekeyctl that only look, beside a rekeyd that is a script. */

#include <jansson.h>
#include <stdio.h>

#include "tests/rekeyctl/ctl-fixture.h"
#include "tests/support/scratch.h"
#include "tests/test.h"

#define DAY (24 * 3600)

/* --- What rekeyd answers --- */

/* Seconds from now, as the API writes it. */
static const char *at(long seconds) {
        static char buffers[8][TIMESTAMP_MAX];
        static unsigned next;
        char *buffer = buffers[next++ % ELEMENTSOF(buffers)];

        return format_timestamp(buffer, now_usec(CLOCK_REALTIME) + (usec_t)(seconds * (int64_t)USEC_PER_SEC));
}

/* The status of NAME, without the closing brace. */
static char *open_status(const char *name, const char *state, long not_before, long not_after,
                         long renew_at) {
        char *text;

        ck_assert_int_ge(asprintf(&text,
                                  "{\"name\":\"%s\",\"connector\":\"ucl\",\"directory\":\"/srv/"
                                  "%s\",\"state\":\"%s\",\"step\":null,"
                                  "\"usable\":%s,\"revoked\":false,\"generation\":42,\"fingerprint\":"
                                  "\"3f1c\",\"not_before\":\"%s\","
                                  "\"not_after\":\"%s\",\"renew_at\":\"%s\",\"last_result\":\"renewed\","
                                  "\"last_result_at\":\"%s\"",
                                  name, name, state, not_after > 0 ? "true" : "false", at(not_before),
                                  at(not_after), at(renew_at), at(not_before)),
                         0);
        return text;
}

static char *fine(const char *name) {
        _cleanup_(freep) char *begin = open_status(name, "current", -20 * DAY, 70 * DAY, 40 * DAY);
        char *text;

        ck_assert_int_ge(asprintf(&text, "%s,\"failures\":0}", begin), 0);
        return text;
}

static char *expired(const char *name) {
        _cleanup_(freep) char *begin = open_status(name, "waiting-for-token", -92 * DAY, -2 * DAY, -30 * DAY);
        char *text;

        ck_assert_int_ge(asprintf(&text,
                                  "%s,\"failures\":40,\"failure\":\"rejected\",\"last_error\":\"the edge "
                                  "says \\u001b[31mno\"}",
                                  begin),
                         0);
        return text;
}

/* GET /v1/certificates with N that are fine, and one that is not where that is wanted. */
static void answer_list(struct ctl_fixture *fixture, unsigned n, bool with_expired) {
        _cleanup_(freep) char *text = NULL, *last = expired("payments");
        size_t size;
        FILE *out = open_memstream(&text, &size);

        fputs("{\"certificates\":[", out);
        for (unsigned i = 0; i < n; i++) {
                char name[32];

                snprintf(name, sizeof(name), i == 0 ? "orders" : "cert-%u", i);
                _cleanup_(freep) char *status = fine(name);
                fprintf(out, "%s%s", i > 0 ? "," : "", status);
        }
        if (with_expired)
                fprintf(out, "%s%s", n > 0 ? "," : "", last);
        fputs("]}", out);
        fclose(out);
        fake_api_answer(fixture->api, "GET /v1/certificates", 200, text);
}

/* --- rekeyd is there, and something is wrong --- */

START_TEST(refusals_have_their_exit_status) {
        static const struct {
                unsigned status;
                const char *body;
                int exit;
                const char *text;
        } rows[] = {
                { 400, "{\"error\":\"what is that\"}", 1, "rekeyctl: what is that" },
                { 403, "{\"error\":\"you may not\"}", 4, "rekeyctl: you may not\n" },
                { 503, "{\"error\":\"about to stop\"}", 3, "about to stop" },
                { 500, "oops", 1, "status 500 and no reason" },
                { 200, "oops", 1, "is not rekeyd: it is not JSON" },
                { 200, "{\"x\":1}", 1, "it has no certificates" },
                { 0, "", 1, "closed the connection" },
        };
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new();

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                fake_api_answer(fixture.api, "GET /v1/certificates", rows[i].status, rows[i].body);
                CHECK_RUN(&fixture, "status", .exit = rows[i].exit, .err = { rows[i].text });
                CHECK_RUN(&fixture, "check", .exit = 3, .out = { "REKEYD UNKNOWN - " });
        }
}
END_TEST

START_TEST(unknown_certificates) {
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new();

        answer_list(&fixture, 2, false);
        CHECK_RUN(&fixture, "status nobody", .exit = 5, .err = { "there is no certificate 'nobody'" });
        CHECK_RUN(&fixture, "status orders nobody", .exit = 5, .err = { "there is no certificate 'nobody'" });
        CHECK_RUN(&fixture, "show nobody", .exit = 5, .err = { "there is no certificate 'nobody'" });

        /* Written into the file, and not read yet. */
        scratch_write(fixture.directory, "rekeyd.yaml",
                      "connectors: {ucl: {url: 'https://connector.example.com/graphql'}}\n"
                      "certificates: {later: {connector: ucl, directory: /srv/later}}\n",
                      0600);
        CHECK_RUN(&fixture, "show later", .exit = 5,
                  .err = { "rekeyd has not loaded certificate 'later' of", "rekeyctl reload" });
        CHECK_RUN(&fixture, "history nobody", .exit = 5, .err = { "there is no certificate 'nobody'" });
        CHECK_RUN(&fixture, "check nobody", .exit = 3,
                  .out = { "REKEYD UNKNOWN - there is no certificate 'nobody'" });
}
END_TEST

START_TEST(mistakes_on_the_command_line) {
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new();

        CHECK_RUN(&fixture, "stats", .exit = 2, .err = { "did you mean 'status'?" });
        CHECK_RUN(&fixture, "show", .exit = 2, .err = { "NAME is missing" });
        CHECK_RUN(&fixture, "status --watch", .exit = 2, .err = { "--watch needs a terminal" });
        CHECK_RUN(&fixture, "check --warning soon", .exit = 3, .err = { "a duration is needed" });
        CHECK_RUN(&fixture, "check -w 1d -k 2d", .exit = 3, .out = { "REKEYD UNKNOWN" });
}
END_TEST

/* --- status --- */

START_TEST(what_is_wrong_stands_first) {
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new();
        _cleanup_(process_freep) struct process *process = NULL;
        const char *out;

        answer_list(&fixture, 2, true);
        process = ctl_fixture_start(&fixture, "status");
        ck_assert_int_eq(process_wait(process), 0);
        out = process_output(process, PROCESS_STDOUT);
        ck_assert_msg(strstr(out, "payments") < strstr(out, "orders"), "%s", out);
        ck_assert_msg(strstr(out, "payments: expired 2d ago: the edge says \\x1b[31mno."), "%s", out);
        ck_assert_msg(strstr(out, "    rekeyctl enrol payments\n"), "%s", out);
        ck_assert_msg(strstr(out, "3 certificates: 1 does not work, 2 OK."), "%s", out);
        ck_assert_ptr_null(strchr(out, '\033'));
}
END_TEST

START_TEST(status_in_parts) {
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new();
        _cleanup_(freep) char *one = fine("orders");

        answer_list(&fixture, 3, true);
        fake_api_answer(fixture.api, "GET /v1/certificates/orders", 200, one);
        CHECK_RUN(&fixture, "status orders",
                  .out = { "orders ", "current", "69d 23h", "39d 23h", "renewed 20d", "22%" });
        CHECK_RUN(&fixture, "status cert-1 payments", .out = { "2 certificates: 1 does not work, 1 OK." });
        CHECK_RUN(&fixture, "", .out = { "4 certificates" });
        fake_api_answer(fixture.api, "GET /v1/certificates", 200, "{\"certificates\":[]}");
        CHECK_RUN(&fixture, "status", .out = { "has no certificates" });
}
END_TEST

START_TEST(status_as_json) {
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new();
        _cleanup_(process_freep) struct process *process = NULL;
        _cleanup_(json_decrefp) json_t *answer = NULL;

        answer_list(&fixture, 2, true);
        process = ctl_fixture_start(&fixture, "status --json payments cert-1");
        ck_assert_int_eq(process_wait(process), 0);
        answer = json_loads(process_output(process, PROCESS_STDOUT), JSON_REJECT_DUPLICATES, NULL);
        ck_assert_uint_eq(json_array_size(json_object_get(answer, "certificates")), 2);
        ck_assert_str_eq(json_string_value(json_object_get(
                                 json_array_get(json_object_get(answer, "certificates"), 0), "name")),
                         "payments");
}
END_TEST

START_TEST(a_terminal_has_colours_and_an_end) {
        const char *argv[] = { "env", "NO_COLOR=1", NULL, "--socket", NULL, "status", NULL };
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new();
        _cleanup_(pty_freep) struct pty *narrow = NULL, *folded = NULL, *all = NULL;

        answer_list(&fixture, 100, true);
        folded = ctl_fixture_start_on_terminal(&fixture, 80, "status");
        ck_assert_int_eq(pty_wait(folded), 0);
        ck_assert_msg(strstr(pty_output(folded), "\033[1;31m✗"), "%s", pty_output(folded));
        ck_assert_msg(strstr(pty_output(folded), "100 OK, not shown"), "%s", pty_output(folded));
        ck_assert_ptr_null(strstr(pty_output(folded), "cert-1"));

        all = ctl_fixture_start_on_terminal(&fixture, 120, "status --all");
        ck_assert_int_eq(pty_wait(all), 0);
        ck_assert_ptr_nonnull(strstr(pty_output(all), "cert-99"));

        argv[4] = fake_api_socket(fixture.api);
        argv[2] = getenv("REKEYD_TEST_REKEYCTL");
        narrow = pty_start(argv, 80, 200);
        ck_assert_int_eq(pty_wait(narrow), 0);
        ck_assert_ptr_null(strchr(pty_output(narrow), '\033'));
        ck_assert_ptr_nonnull(strstr(pty_output(narrow), "cert-99"));
}
END_TEST

/* The widest line of a terminal, in columns: all of it is ASCII but the marks and the bars. */
static size_t widest_line(const char *text) {
        size_t widest = 0, n = 0;
        bool is_escape = false;

        for (; *text; text++) {
                if (*text == '\n')
                        n = 0;
                else if (*text == '\033' || is_escape)
                        is_escape = *text != 'm';
                else if (*text != '\r' && (*text & 0xc0) != 0x80 && ++n > widest)
                        widest = n;
        }
        return widest;
}

START_TEST(every_width_is_used) {
        static const struct {
                unsigned columns;
                bool has_percent;
        } rows[] = { { 60, true }, { 80, true }, { 120, true }, { 240, true } };
        static const char *const lines[] = { "status", "status --wide", "history orders" };
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new();

        answer_list(&fixture, 2, false);
        fake_api_answer(
                fixture.api, "GET /v1/certificates/orders/history", 200,
                "{\"events\":[{\"time\":\"2026-11-20T18:06:53Z\",\"event\":\"waiting-for-token\","
                "\"message\":\"one two three four five six seven eight nine ten eleven twelve thirteen "
                "fourteen fifteen sixteen seventeen eighteen nineteen twenty\"}]}");
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                for (size_t k = i % test_step(3); k < ELEMENTSOF(lines); k += test_step(3)) {
                        _cleanup_(pty_freep) struct pty *pty =
                                ctl_fixture_start_on_terminal(&fixture, rows[i].columns, lines[k]);

                        ck_assert_int_eq(pty_wait(pty), 0);
                        ck_assert_msg(widest_line(pty_output(pty)) <= rows[i].columns, "%s in %u:\n%s",
                                      lines[k], rows[i].columns, pty_output(pty));
                        if (k == 0)
                                ck_assert_msg(!strchr(pty_output(pty), '%') != rows[i].has_percent,
                                              "in %u:\n%s", rows[i].columns, pty_output(pty));
                        if (k == 2)
                                ck_assert_ptr_nonnull(strstr(pty_output(pty), "twenty"));
                }
}
END_TEST

/* Help is read on terminals of any width, and in pipes. */
START_TEST(help_fits_every_width) {
        static const unsigned widths[] = { 40, 60, 80, 240 };
        static const char *const lines[] = { "--help", "help status", "renew --help", "help check" };
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new();

        for (size_t i = 0; i < ELEMENTSOF(widths); i++)
                for (size_t k = 0; k < ELEMENTSOF(lines); k++) {
                        _cleanup_(pty_freep) struct pty *pty =
                                ctl_fixture_start_on_terminal(&fixture, widths[i], lines[k]);

                        ck_assert_int_eq(pty_wait(pty), 0);
                        ck_assert_msg(widest_line(pty_output(pty)) <=
                                              (widths[i] == 40 ? 60 : widths[i]), /* "Usage:" is not broken */
                                      "%s in %u:\n%s", lines[k], widths[i], pty_output(pty));
                        ck_assert_ptr_nonnull(strstr(pty_output(pty), "print help"));
                }
        CHECK_RUN(&fixture, "help renew",
                  .out = { "  -a, --all                     renew all certificates;\n"
                           "                                limits.concurrent_renewals" });
}
END_TEST

START_TEST(watching) {
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new();
        _cleanup_(pty_freep) struct pty *pty = NULL;

        answer_list(&fixture, 2, false);
        pty = ctl_fixture_start_on_terminal(&fixture, 100, "status --watch");
        pty_await(pty, "2 certificates: ");
        pty_await(pty, "2 OK");

        /* an event, and it asks again */
        answer_list(&fixture, 2, true);
        fake_api_tell(fixture.api,
                      "{\"time\":\"2026-11-20T18:06:53Z\",\"event\":\"failed\",\"message\":\"x\"}\n");
        pty_await(pty, "1 does not work");

        /* rekeyd is restarted */
        answer_list(&fixture, 3, false);
        fake_api_hang_up(fixture.api);
        pty_await(pty, "3 OK");
        fake_api_await(fixture.api, "GET /v1/events", 2);

        pty_type(pty, "\003");
        ck_assert_int_eq(pty_wait(pty), 0);
        ck_assert_msg(has_suffix(pty_output(pty), "\033[?25h\033[?1049l"),
                      "the screen is not as it was before");
}
END_TEST

/* --- show, history, check, version, completions --- */

START_TEST(showing_one) {
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new();
        _cleanup_(freep) char *begin = open_status("orders", "current", -20 * DAY, 70 * DAY, 40 * DAY),
                              *text = NULL;

        ck_assert_int_ge(
                asprintf(
                        &text,
                        "%s,\"failures\":0,\"budget_left\":5,\"set\":{\"subject\":\"CN=orders\",\"issuer\":"
                        "\"CN=Kyma\","
                        "\"serial\":\"02\",\"key\":\"rsa-4096\",\"spki\":\"9a0b\",\"chain\":[{\"subject\":"
                        "\"CN=Kyma\","
                        "\"issuer\":\"CN=Root\",\"not_after\":\"2030-01-01T00:00:00Z\",\"fingerprint\":"
                        "\"ab\"}],"
                        "\"ca\":[],\"director_url\":null,\"connector_url\":\"https://c\"},\"generations\":"
                        "[{\"number\":42,\"current\":true,\"fingerprint\":\"3f1c\",\"not_before\":\"2026-11-"
                        "01T00:00:00Z\","
                        "\"not_after\":\"2027-01-30T00:00:00Z\",\"error\":null},{\"number\":41,\"current\":"
                        "false,"
                        "\"fingerprint\":null,\"not_before\":null,\"not_after\":null,\"error\":\"it is "
                        "torn\"}],"
                        "\"staged\":{\"key\":true,\"csr\":true,\"token\":false,\"certificate\":false},"
                        "\"exports\":[{\"path\":\"/"
                        "e.pem\",\"format\":\"pem\",\"current\":true,\"error\":null},"
                        "{\"path\":\"/f.pem\",\"format\":\"pem\",\"current\":null,\"error\":null}],"
                        "\"dependents\":[{\"dependent\":\"unit "
                        "x.service\",\"pending\":42,\"failures\":2,\"next_attempt\":"
                        "null,\"error\":\"it is masked\"}],\"attempts_before_expiry\":1000,\"problem\":null}",
                        begin),
                0);
        fake_api_answer(fixture.api, "GET /v1/certificates/orders", 200, text);
        CHECK_RUN(&fixture, "show orders",
                  .out = { "Subject        CN=orders\n", "1000 or more possible",
                           "41 cannot be used: it is torn\n", "a key, a CSR\n", "/f.pem  pem     unknown\n",
                           "pending: generation 42, 2 failures: it is masked\n" });
        CHECK_RUN(&fixture, "show orders",
                  .out = { "Intermediates\n", "5 signatures left", "Connector URL  https://c\n", "in 69d 23h",
                           "20d ago" });
        CHECK_RUN(&fixture, "show --json orders", .out = { "\"serial\":\"02\"" });
        CHECK_RUN(&fixture, "complete generations orders", .out = { "42\n41\n" });
}
END_TEST

START_TEST(looking_back) {
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new();

        fake_api_answer(
                fixture.api, "GET /v1/certificates/orders/history", 200,
                "{\"events\":[{\"time\":\"2026-11-20T18:06:53Z\",\"event\":\"begun\",\"message\":\"begins\"},"
                "{\"time\":\"2026-11-20T18:06:59Z\",\"event\":\"failed\",\"message\":\"no \\u001b[2J\"}]}");
        setenv("TZ", "UTC", 1);
        CHECK_RUN(&fixture, "history orders",
                  .out = { "2026-11-20T18:06:53Z  begun              begins\n",
                           "2026-11-20T18:06:59Z  failed             no \\x1b[2J\n" });
        CHECK_RUN(&fixture, "history orders --json", .out = { "{\"events\":[{\"time\":" });
        CHECK_RUN(&fixture, "history orders --json -n 1",
                  .out = { "{\"events\":[{\"time\":\"2026-11-20T18:06:59Z\"" });
        fake_api_answer(fixture.api, "GET /v1/certificates/orders/history", 200, "{\"events\":[]}");
        CHECK_RUN(&fixture, "history orders", .out = { "orders has no history yet." });
}
END_TEST

START_TEST(checking) {
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new();

        answer_list(&fixture, 2, false);
        CHECK_RUN(&fixture, "check",
                  .out = { "REKEYD OK - 2 certificates OK, orders is the first", " | certificates=2" });
        CHECK_RUN(&fixture, "check --warning 80d", .exit = 1,
                  .out = { "REKEYD WARNING - orders: expires in 69d 23h" });
        CHECK_RUN(&fixture, "check --critical 75d --warning 80d", .exit = 2, .out = { "REKEYD CRITICAL" });
        answer_list(&fixture, 2, true);
        CHECK_RUN(&fixture, "check", .exit = 2, .out = { "REKEYD CRITICAL - payments: expired 2d ago" });
}
END_TEST

#define CA_FIELDS "\"sets\":2,\"connectors\":[\"ucl\",\"old\"],\"newest_of\":[],\"distrusted_by\":[\"ucl\"]"

START_TEST(what_the_sets_hang_on) {
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new();

        CHECK_RUN(&fixture, "cas", .exit = 5, .err = { "rekeyctl: " });
        fake_api_answer(fixture.api, "GET /v1/connectors", 200, "{\"connectors\":[{}]}");
        CHECK_RUN(&fixture, "connectors", .out = { "?\n" }); /* of another version */
        fake_api_answer(fixture.api, "GET /v1/connectors", 200,
                        "{\"connectors\":[{\"name\":\"ucl\",\"certificates\":2,\"usable\":1,\"failing\":1,"
                        "\"silent_at\":\"2026-11-20T18:06:53Z\",\"last_error\":\"no \\u001b answer\"}]}");
        CHECK_RUN(&fixture, "connectors",
                  .out = { "ucl\n", "2: 1 usable, 1 failing", "2026-11-20T18:06:53Z", "no \\x1b answer" });
        fake_api_answer(fixture.api, "GET /v1/cas", 200, "{\"cas\":[]}");
        CHECK_RUN(&fixture, "cas", .out = { "No set has a known CA" });
        fake_api_answer(fixture.api, "GET /v1/cas", 200, "{\"cas\":[{}]}"); /* another version */
        CHECK_RUN(&fixture, "cas", .out = { "?\n" });
        fake_api_answer(fixture.api, "GET /v1/cas", 200,
                        "{\"cas\":[{\"subject\":\"CN=Last\",\"not_after\":\"9999-12-31T23:59:59Z\"},"
                        "{\"subject\":\"CN=Kyma\",\"fingerprint\":\"01ab\",\"spki\":\"09cd\","
                        "\"not_after\":\"2020-02-20T17:44:35Z\"," CA_FIELDS "}]}");
        CHECK_RUN(&fixture, "cas",
                  .out = { "CN=Kyma\n", "spki:09cd\n", "2020-02-20T17:44:35Z: expired\n", "ucl, old\n",
                           "never\n" });
        CHECK_RUN(&fixture, "cas --json", .out = { "\"distrusted_by\":[\"ucl\"]" });
}
END_TEST

START_TEST(versions_and_names) {
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new();

        fake_api_answer(fixture.api, "GET /v1/version", 200, "{\"version\":\"9.9\"}");
        answer_list(&fixture, 2, true);
        CHECK_RUN(&fixture, "version", .out = { "rekeyctl ", "rekeyd 9.9\n" });
        CHECK_RUN(&fixture, "complete names", .out = { "orders\ncert-1\npayments\n" });
        CHECK_RUN(&fixture, "--version", .out = { "rekeyctl " });
        CHECK_RUN(&fixture, "--help", .out = { "status [NAME]...", "--socket PATH" });
        CHECK_RUN(&fixture, "help status",
                  .out = { "Usage: rekeyctl status [NAME]... [OPTION]...", "--watch" });
}
END_TEST

/* --- The configuration --- */

static void answer_check(struct ctl_fixture *fixture, const char *config, const char *checks) {
        _cleanup_(freep) char *body = NULL;

        ck_assert_int_ge(asprintf(&body,
                                  "{\"config\":\"%s\",\"user\":\"'rekeyd'\",\"errors\":[],\"checks\":[%s]}",
                                  config, checks),
                         0);
        fake_api_answer(fixture->api, "GET /v1/check-config", 200, body);
}

#define CHECK(certificate, ok, text)                                                            \
        "{\"check\":\"trust\",\"connector\":\"ucl\",\"certificate\":" certificate ",\"ok\":" ok \
        ",\"text\":\"" text "\"}"

/* What only the service knows is asked of it, and only of its own configuration. */
START_TEST(the_service_judges_its_configuration) {
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new();
        _cleanup_(process_freep) struct process *process = NULL;
        char line[256];

        scratch_write(fixture.directory, "rekeyd.yaml", "connectors: {}\n", 0600);
        scratch_write(fixture.directory, "other.yaml", "connectors: {}\n", 0600);
        answer_check(&fixture, fixture.config, CHECK("null", "true", "all right"));
        CHECK_RUN(&fixture, "check-config",
                  .out = { "is valid: 0 certificates", "rekeyd, as user 'rekeyd', can use all files" });
        answer_check(
                &fixture, fixture.config,
                CHECK("null", "false", "it cannot be read") "," CHECK("\"orders\"", "false", "it rains"));
        CHECK_RUN(&fixture, "check-config", .exit = 1,
                  .err = { "connector ucl: it cannot be read", "orders: it rains",
                           "2 problems, judged by rekeyd as user 'rekeyd'" });
        process = ctl_fixture_start(&fixture, "check-config");
        ctl_fixture_check_exit(process, 1);
        ck_assert_str_eq(process_output(process, PROCESS_STDOUT), ""); /* nothing says that it is valid */
        snprintf(line, sizeof(line), "check-config %s/other.yaml", fixture.directory);
        CHECK_RUN(&fixture, line, .out = { "not judged: ", "rekeyd runs with another configuration" });
        fake_api_answer(fixture.api, "GET /v1/check-config", 404, "{\"error\":\"no such endpoint\"}");
        CHECK_RUN(&fixture, "check-config", .out = { "not judged: ", "older than rekeyctl" });
}
END_TEST

/* From standard input, which is no file that rekeyd reads. */
START_TEST(a_configuration_comes_through_a_pipe) {
        static const struct {
                const char *yaml;
                int exit;
                const char *says;
        } rows[] = {
                { "connectors: {}\n", 0, "standard input is valid: 0 certificates, 0 connectors." },
                { "connectors: {}\n", 0, "not judged: " },
                { "nonsense: 1\n", 1, "<stdin>:1:1: unknown option 'nonsense'" },
                { "", 0, "standard input is valid" },
        };
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new();

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(process_freep) struct process *process = NULL;

                scratch_write(fixture.directory, "input", rows[i].yaml, 0600);
                process = ctl_fixture_start_with(&fixture, "input", "check-config -");
                ctl_fixture_check_exit(process, rows[i].exit);
                ctl_fixture_check_says(process, rows[i].exit == 0 ? PROCESS_STDOUT : PROCESS_STDERR,
                                       rows[i].says);
        }
}
END_TEST

TEST_MAIN("rekeyctl-read", refusals_have_their_exit_status, unknown_certificates,
          mistakes_on_the_command_line, what_is_wrong_stands_first, status_in_parts, status_as_json,
          a_terminal_has_colours_and_an_end, every_width_is_used, help_fits_every_width, watching,
          showing_one, looking_back, checking, what_the_sets_hang_on, the_service_judges_its_configuration,
          a_configuration_comes_through_a_pipe, versions_and_names)
