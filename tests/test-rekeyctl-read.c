/* The commands of rekeyctl that only look: the real program against a rekeyd that is a script
 * (tests/support/fake-api.h), and against nothing but files. */

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "lib/journal.h"
#include "tests/support/fake-api.h"
#include "tests/support/process.h"
#include "tests/support/pty.h"
#include "tests/support/scratch.h"
#include "tests/support/sets.h"
#include "tests/test.h"

#define DAY (24 * 3600)

struct bench {
        char *directory;
        struct fake_api *api; /* NULL: no rekeyd */
};

static struct bench bench_new(bool with_api) {
        struct bench bench = { .directory = scratch_new() };

        if (with_api)
                bench.api = fake_api_new(bench.directory);
        return bench;
}

static void bench_clear(struct bench *bench) {
        fake_api_free(bench->api);
        scratch_free(bench->directory);
}

/* --- Running it --- */

#define ARGUMENTS_MAX 24

/* "rekeyctl WORDS" with the socket and the configuration of the bench; WORDS is cut up. */
static void make_arguments(char *words, char *config, char *socket, const char *argv[ARGUMENTS_MAX]) {
        size_t n = 0;
        char *rest = NULL;

        argv[n++] = getenv("REKEYD_TEST_REKEYCTL");
        ck_assert_ptr_nonnull(argv[0]);
        argv[n++] = "--config";
        argv[n++] = config;
        if (socket) {
                argv[n++] = "--socket";
                argv[n++] = socket;
        }
        for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
                ck_assert_uint_lt(n, ARGUMENTS_MAX - 1);
                argv[n++] = word;
        }
        argv[n] = NULL;
}

static struct process *start(const struct bench *bench, const char *line) {
        _cleanup_(freep) char *words = strdup(line), *config = scratch_path(bench->directory, "rekeyd.yaml");
        _cleanup_(freep) char *socket = bench->api ? strdup(fake_api_socket(bench->api)) : NULL;
        const char *argv[ARGUMENTS_MAX];

        make_arguments(words, config, socket, argv);
        return process_start(argv, true);
}

static struct pty *start_on_terminal(const struct bench *bench, unsigned columns, unsigned lines,
                                     const char *line) {
        _cleanup_(freep) char *words = strdup(line), *config = scratch_path(bench->directory, "rekeyd.yaml");
        _cleanup_(freep) char *socket = bench->api ? strdup(fake_api_socket(bench->api)) : NULL;
        const char *argv[ARGUMENTS_MAX];

        make_arguments(words, config, socket, argv);
        return pty_start(argv, columns, lines);
}

/* What it says: each of the texts must be there, up to NULL. */
struct expected {
        int exit;
        const char *out[6], *err[3];
};

static void check_texts(const char *output, const char *const *texts, size_t max, const char *line) {
        for (size_t i = 0; i < max && texts[i]; i++)
                ck_assert_msg(strstr(output, texts[i]), "'%s' does not say '%s' but:\n%s", line, texts[i],
                              output);
}

static void check_run(const struct bench *bench, const char *line, const struct expected *expected) {
        _cleanup_(process_freep) struct process *process = start(bench, line);
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
#define CHECK_RUN(bench, line, ...) check_run((bench), (line), &(struct expected) { __VA_ARGS__ })

/* --- What rekeyd answers --- */

/* Seconds from now, as the API writes it. */
static const char *at(long seconds) {
        static char buffers[8][TIMESTAMP_MAX];
        static unsigned next;
        char *buffer = buffers[next++ % ELEMENTSOF(buffers)];

        return format_timestamp(buffer, now_usec(CLOCK_REALTIME) + (usec_t)(seconds * (long)USEC_PER_SEC));
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
static void answer_list(struct bench *bench, unsigned n, bool with_expired) {
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
        fake_api_answer(bench->api, "GET /v1/certificates", 200, text);
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
        _cleanup_(bench_clear) struct bench bench = bench_new(true);

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                fake_api_answer(bench.api, "GET /v1/certificates", rows[i].status, rows[i].body);
                CHECK_RUN(&bench, "status", .exit = rows[i].exit, .err = { rows[i].text });
                CHECK_RUN(&bench, "check", .exit = 3, .out = { "REKEYD UNKNOWN - " });
        }
}
END_TEST

START_TEST(unknown_certificates) {
        _cleanup_(bench_clear) struct bench bench = bench_new(true);

        answer_list(&bench, 2, false);
        CHECK_RUN(&bench, "status nobody", .exit = 5, .err = { "there is no certificate 'nobody'" });
        CHECK_RUN(&bench, "status orders nobody", .exit = 5, .err = { "there is no certificate 'nobody'" });
        CHECK_RUN(&bench, "show nobody", .exit = 5, .err = { "there is no certificate 'nobody'" });
        CHECK_RUN(&bench, "history nobody", .exit = 5, .err = { "there is no certificate 'nobody'" });
        CHECK_RUN(&bench, "check nobody", .exit = 3,
                  .out = { "REKEYD UNKNOWN - there is no certificate 'nobody'" });
}
END_TEST

START_TEST(mistakes_on_the_command_line) {
        _cleanup_(bench_clear) struct bench bench = bench_new(true);

        CHECK_RUN(&bench, "stats", .exit = 2, .err = { "did you mean 'status'?" });
        CHECK_RUN(&bench, "show", .exit = 2, .err = { "NAME is missing" });
        CHECK_RUN(&bench, "status --watch", .exit = 2, .err = { "--watch draws on a terminal" });
        CHECK_RUN(&bench, "check --warning soon", .exit = 3, .err = { "a duration is needed" });
        CHECK_RUN(&bench, "check -w 1d -k 2d", .exit = 3, .out = { "REKEYD UNKNOWN" });
}
END_TEST

/* --- status --- */

START_TEST(what_is_wrong_stands_first) {
        _cleanup_(bench_clear) struct bench bench = bench_new(true);
        _cleanup_(process_freep) struct process *process = NULL;
        const char *out;

        answer_list(&bench, 2, true);
        process = start(&bench, "status");
        ck_assert_int_eq(process_wait(process), 0);
        out = process_output(process, PROCESS_STDOUT);
        ck_assert_msg(strstr(out, "payments") < strstr(out, "orders"), "%s", out);
        ck_assert_msg(strstr(out, "payments: expired 2d ago: the edge says \\x1b[31mno."), "%s", out);
        ck_assert_msg(strstr(out, "    rekeyctl enrol payments\n"), "%s", out);
        ck_assert_msg(strstr(out, "3 certificates: 1 does not work, 2 are fine."), "%s", out);
        ck_assert_ptr_null(strchr(out, '\033'));
}
END_TEST

START_TEST(status_in_parts) {
        _cleanup_(bench_clear) struct bench bench = bench_new(true);
        _cleanup_(freep) char *one = fine("orders");

        answer_list(&bench, 3, true);
        fake_api_answer(bench.api, "GET /v1/certificates/orders", 200, one);
        CHECK_RUN(&bench, "status orders",
                  .out = { "orders ", "current", "69d 23h", "39d 23h", "renewed 20d", "22%" });
        CHECK_RUN(&bench, "status cert-1 payments", .out = { "2 certificates: 1 does not work, 1 is fine." });
        CHECK_RUN(&bench, "", .out = { "4 certificates" });
        fake_api_answer(bench.api, "GET /v1/certificates", 200, "{\"certificates\":[]}");
        CHECK_RUN(&bench, "status", .out = { "has no certificates" });
}
END_TEST

START_TEST(status_as_json) {
        _cleanup_(bench_clear) struct bench bench = bench_new(true);
        _cleanup_(process_freep) struct process *process = NULL;
        _cleanup_(json_decrefp) json_t *answer = NULL;

        answer_list(&bench, 2, true);
        process = start(&bench, "status --json payments cert-1");
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
        _cleanup_(bench_clear) struct bench bench = bench_new(true);
        _cleanup_(pty_freep) struct pty *narrow = NULL, *folded = NULL, *all = NULL;

        answer_list(&bench, 100, true);
        folded = start_on_terminal(&bench, 80, 24, "status");
        ck_assert_int_eq(pty_wait(folded), 0);
        ck_assert_msg(strstr(pty_output(folded), "\033[1;31m✗"), "%s", pty_output(folded));
        ck_assert_msg(strstr(pty_output(folded), "100 that are fine are not shown"), "%s",
                      pty_output(folded));
        ck_assert_ptr_null(strstr(pty_output(folded), "cert-1"));

        all = start_on_terminal(&bench, 120, 24, "status --all");
        ck_assert_int_eq(pty_wait(all), 0);
        ck_assert_ptr_nonnull(strstr(pty_output(all), "cert-99"));

        argv[4] = fake_api_socket(bench.api);
        argv[2] = getenv("REKEYD_TEST_REKEYCTL");
        narrow = pty_start(argv, 80, 200);
        ck_assert_int_eq(pty_wait(narrow), 0);
        ck_assert_ptr_null(strchr(pty_output(narrow), '\033'));
        ck_assert_ptr_nonnull(strstr(pty_output(narrow), "cert-99"));
}
END_TEST

START_TEST(watching) {
        _cleanup_(bench_clear) struct bench bench = bench_new(true);
        _cleanup_(pty_freep) struct pty *pty = NULL;

        answer_list(&bench, 2, false);
        pty = start_on_terminal(&bench, 100, 24, "status --watch");
        pty_await(pty, "2 certificates: ");
        pty_await(pty, "2 are fine");

        /* an event, and it asks again */
        answer_list(&bench, 2, true);
        fake_api_tell(bench.api,
                      "{\"time\":\"2026-11-20T18:06:53Z\",\"event\":\"failed\",\"message\":\"x\"}\n");
        pty_await(pty, "1 does not work");

        /* rekeyd is restarted */
        answer_list(&bench, 3, false);
        fake_api_hang_up(bench.api);
        pty_await(pty, "3 are fine");
        fake_api_await(bench.api, "GET /v1/events", 2);

        pty_type(pty, "\003");
        ck_assert_int_eq(pty_wait(pty), 0);
        ck_assert_msg(has_suffix(pty_output(pty), "\033[?25h\033[?1049l"),
                      "the screen is not as it was before");
}
END_TEST

/* --- show, history, check, version, completions --- */

START_TEST(showing_one) {
        _cleanup_(bench_clear) struct bench bench = bench_new(true);
        _cleanup_(freep) char *begin = open_status("orders", "current", -20 * DAY, 70 * DAY, 40 * DAY),
                              *text = NULL;

        ck_assert_int_ge(
                asprintf(&text,
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
                         "x.service\",\"owed\":42,\"failures\":2,\"next_attempt\":"
                         "null}],\"attempts_before_expiry\":1000,\"problem\":null}",
                         begin),
                0);
        fake_api_answer(bench.api, "GET /v1/certificates/orders", 200, text);
        CHECK_RUN(&bench, "show orders",
                  .out = { "Subject        CN=orders\n", "1000 or more possible",
                           "41 cannot be used: it is torn\n", "a key, a CSR\n", "/f.pem  pem     not known\n",
                           "owed generation 42, 2 failures\n" });
        CHECK_RUN(&bench, "show orders",
                  .out = { "Intermediates\n", "5 signatures left", "Connector URL  https://c\n", "in 69d 23h",
                           "20d ago" });
        CHECK_RUN(&bench, "show --json orders", .out = { "\"serial\":\"02\"" });
        CHECK_RUN(&bench, "complete generations orders", .out = { "42\n41\n" });
}
END_TEST

START_TEST(looking_back) {
        _cleanup_(bench_clear) struct bench bench = bench_new(true);

        fake_api_answer(
                bench.api, "GET /v1/certificates/orders/history", 200,
                "{\"events\":[{\"time\":\"2026-11-20T18:06:53Z\",\"event\":\"begun\",\"message\":\"begins\"},"
                "{\"time\":\"2026-11-20T18:06:59Z\",\"event\":\"failed\",\"message\":\"no \\u001b[2J\"}]}");
        setenv("TZ", "UTC", 1);
        CHECK_RUN(&bench, "history orders",
                  .out = { "2026-11-20 18:06:53 UTC  begun              begins\n",
                           "2026-11-20 18:06:59 UTC  failed             no \\x1b[2J\n" });
        CHECK_RUN(&bench, "history orders --json", .out = { "{\"events\":[{\"time\":" });
        CHECK_RUN(&bench, "history orders --json -n 1",
                  .out = { "{\"events\":[{\"time\":\"2026-11-20T18:06:59Z\"" });
        fake_api_answer(bench.api, "GET /v1/certificates/orders/history", 200, "{\"events\":[]}");
        CHECK_RUN(&bench, "history orders", .out = { "Nothing has happened to orders yet." });
}
END_TEST

START_TEST(checking) {
        _cleanup_(bench_clear) struct bench bench = bench_new(true);

        answer_list(&bench, 2, false);
        CHECK_RUN(&bench, "check",
                  .out = { "REKEYD OK - 2 certificates are fine, orders is the first", " | certificates=2" });
        CHECK_RUN(&bench, "check --warning 80d", .exit = 1,
                  .out = { "REKEYD WARNING - orders: expires in 69d 23h" });
        CHECK_RUN(&bench, "check --critical 75d --warning 80d", .exit = 2, .out = { "REKEYD CRITICAL" });
        answer_list(&bench, 2, true);
        CHECK_RUN(&bench, "check", .exit = 2, .out = { "REKEYD CRITICAL - payments: expired 2d ago" });
}
END_TEST

START_TEST(versions_and_names) {
        _cleanup_(bench_clear) struct bench bench = bench_new(true);

        fake_api_answer(bench.api, "GET /v1/version", 200, "{\"version\":\"9.9\"}");
        answer_list(&bench, 2, true);
        CHECK_RUN(&bench, "version", .out = { "rekeyctl ", "rekeyd 9.9\n" });
        CHECK_RUN(&bench, "complete names", .out = { "orders\ncert-1\npayments\n" });
        CHECK_RUN(&bench, "--version", .out = { "rekeyctl " });
        CHECK_RUN(&bench, "--help", .out = { "status [NAME]...", "--socket PATH" });
        CHECK_RUN(&bench, "help status",
                  .out = { "Usage: rekeyctl status [NAME]... [OPTION]...", "--watch" });
}
END_TEST

/* --- Files only --- */

/* A configuration with orders and shop, with MORE at its beginning. */
static void write_config(const struct bench *bench, const char *more) {
        _cleanup_(freep) char *text = NULL;

        ck_assert_int_ge(asprintf(&text,
                                  "%sstate_directory: %s/state\n"
                                  "control: {socket: %s/nobody.sock}\n"
                                  "connectors: {ucl: {enrol_url: https://c/g}}\n"
                                  "certificates:\n"
                                  "  orders: {connector: ucl, directory: %s/orders, token_file: %s/token}\n"
                                  "  shop: {connector: ucl, directory: %s/shop, token_file: %s/token2}\n",
                                  more, bench->directory, bench->directory, bench->directory,
                                  bench->directory, bench->directory, bench->directory),
                         0);
        scratch_write(bench->directory, "rekeyd.yaml", text, 0600);
}

/* A set in orders/ that has been valid for BEFORE seconds, and is for AFTER more; what a store commits. */
static void commit_orders(const struct bench *bench, long before, long after) {
        _cleanup_(freep) char *path = scratch_path(bench->directory, "orders"),
                              *pem = x509_key_pem(x509_key(0));
        const usec_t now = now_usec(CLOCK_REALTIME);
        const usec_t not_before = now - (usec_t)before * USEC_PER_SEC;
        _cleanup_(x509_cert_clear) struct x509_cert ca = x509_make(
                &(struct x509_options) { .ca = true, .key = x509_key(7), .not_before = not_before });
        _cleanup_(x509_cert_clear) struct x509_cert leaf = x509_make(&(struct x509_options) {
                .issuer = &ca,
                .subject = "O=Org,CN=orders",
                .not_before = not_before,
                .not_after = now + (usec_t)(after * (long)USEC_PER_SEC),
        });
        _cleanup_(store_closep) struct store *store = test_store_open(path);
        struct test_set set = { .certificate_pem = strdup(leaf.pem), .ca_pem = strdup(ca.pem) };

        ck_assert_int_eq(key_parse(pem, strlen(pem), &set.key, NULL), 0);
        (void)test_set_commit(store, &set);
        test_set_clear(&set);
}

static char *state_directory(const struct bench *bench) {
        char *path = scratch_path(bench->directory, "state");

        (void)mkdir(path, 0755);
        return path;
}

/* Listens at nothing: a socket that a rekeyd has left behind. */
static void leave_socket(const struct bench *bench) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        snprintf(address.sun_path, sizeof(address.sun_path), "%s/nobody.sock", bench->directory);
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        close(fd);
}

START_TEST(without_a_configuration_there_are_no_files) {
        _cleanup_(bench_clear) struct bench bench = bench_new(false);

        CHECK_RUN(
                &bench, "--socket /nowhere status", .exit = 1,
                .err = { "rekeyd is not running, and the files cannot be found without its configuration" });
        CHECK_RUN(&bench, "--socket /nowhere check", .exit = 3,
                  .out = { "REKEYD UNKNOWN - rekeyd is not running" });
        CHECK_RUN(&bench, "--socket /nowhere version", .exit = 3, .out = { "rekeyctl" },
                  .err = { "cannot reach rekeyd at /nowhere: there is no such socket; is the service "
                           "running?" });
        write_config(&bench, "nonsense: 1\nlog: []\n");
        CHECK_RUN(&bench, "--socket /nowhere status", .exit = 1,
                  .err = { "which has 2 errors: rekeyctl check-config" });
        CHECK_RUN(&bench, "check-config", .exit = 1,
                  .err = { ":1:1: unknown option 'nonsense'", ":2:6:", "2 mistakes" });
}
END_TEST

START_TEST(files_say_what_they_can) {
        _cleanup_(bench_clear) struct bench bench = bench_new(false);

        write_config(&bench, "");
        commit_orders(&bench, 20 * DAY, 70 * DAY);
        CHECK_RUN(&bench, "status",
                  .out = { "orders", "current", "69d 23h", "shop", "2 certificates: 1 does not work" },
                  .err = { "rekeyctl: rekeyd is not running: this is what the files say\n" });
        leave_socket(&bench);
        CHECK_RUN(&bench, "show orders", .out = { "O=Org,CN=orders", "rsa-2048", "Generations\n", "current" },
                  .err = { "this is what the files say" });
        CHECK_RUN(&bench, "version", .exit = 3, .err = { "nobody listens there; is the service running?" });
        CHECK_RUN(&bench, "status order", .exit = 5,
                  .err = { "this is what", "'order'; did you mean 'orders'?" });
        CHECK_RUN(&bench, "check orders", .exit = 1,
                  .out = { "REKEYD WARNING - rekeyd is not running; 1 certificate is fine" });
        CHECK_RUN(&bench, "check", .exit = 2,
                  .out = { "REKEYD CRITICAL - rekeyd is not running; shop: there is no" });
        CHECK_RUN(&bench, "complete names", .out = { "orders\nshop\n" });
        CHECK_RUN(&bench, "check-config", .out = { "is right: 2 certificates, 1 connector." });
}
END_TEST

START_TEST(files_of_an_expired_one) {
        _cleanup_(bench_clear) struct bench bench = bench_new(false);

        write_config(&bench, "");
        commit_orders(&bench, 20 * DAY, -DAY);
        CHECK_RUN(&bench, "status orders", .out = { "expired 1d", "rekeyctl enrol orders" }, .err = { "" });
}
END_TEST

START_TEST(the_journal_is_read_and_never_touched) {
        _cleanup_(bench_clear) struct bench bench = bench_new(false);
        _cleanup_(freep) char *state = state_directory(&bench), *before = NULL, *after = NULL;
        const struct journal_instant now = { .realtime = now_usec(CLOCK_REALTIME),
                                             .boottime = now_usec(CLOCK_BOOTTIME) };
        const struct journal journal = { .failures = 3,
                                         .failure = FAILURE_REFUSED,
                                         .next_attempt_usec = now.realtime + 2 * USEC_PER_HOUR };
        _cleanup_(freep) char *text = NULL;

        write_config(&bench, "");
        commit_orders(&bench, 20 * DAY, 70 * DAY);
        ck_assert_int_eq(journal_format(&journal, &now, &text, NULL), 0);
        scratch_write(state, "orders.json", text, 0600);
        CHECK_RUN(&bench, "status orders",
                  .out = { "retrying", "retry 1h 59m", "the Connector refuses to sign" },
                  .err = { "this is what the files say" });

        /* a damaged one is for the next rekeyd */
        scratch_write(state, "orders.json", "{\"version\":", 0600);
        before = scratch_list(state);
        CHECK_RUN(&bench, "status orders", .out = { "current" },
                  .err = { "this is what", "failures and what is owed are not known" });
        after = scratch_list(state);
        ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(the_history_of_files) {
        _cleanup_(bench_clear) struct bench bench = bench_new(false);
        _cleanup_(freep) char *state = state_directory(&bench);

        setenv("TZ", "UTC", 1);
        write_config(&bench, "");
        CHECK_RUN(&bench, "history orders", .out = { "Nothing has happened" }, .err = { "this is what" });
        scratch_write(state, "orders.history",
                      "{\"time\":\"2026-11-20T18:06:53Z\",\"event\":\"begun\",\"message\":\"begins\"}\n"
                      "nonsense\n"
                      "{\"foreign\":true}\n"
                      "\n"
                      "{\"time\":\"2026-11-20T18:06:59Z\",\"event\":\"renewed\",\"message\":\"done\"}\n"
                      "{\"time\":\"2026-11-20T18:07",
                      0600);
        CHECK_RUN(&bench, "history orders",
                  .out = { "2026-11-20 18:06:53 UTC  begun              begins\n"
                           "2026-11-20 18:06:59 UTC  renewed            done\n" },
                  .err = { "this is what" });
        CHECK_RUN(&bench, "history nobody", .exit = 5, .err = { "this is what", "no certificate 'nobody'" });
}
END_TEST

START_TEST(a_broken_set_is_said) {
        _cleanup_(bench_clear) struct bench bench = bench_new(false);
        _cleanup_(freep) char *orders = scratch_path(bench.directory, "orders");
        _cleanup_(freep) char *generation = NULL, *target = NULL;

        write_config(&bench, "");
        commit_orders(&bench, 20 * DAY, 70 * DAY);
        ck_assert_int_eq(link_read_at(AT_FDCWD, (generation = scratch_path(orders, "..data")), &target), 0);
        free(generation);
        generation = scratch_path(orders, target);
        scratch_write(generation, "tls.crt", "nonsense", 0644);
        CHECK_RUN(&bench, "status orders", .out = { "orders: its files cannot be used: " }, .err = { "" });
        CHECK_RUN(&bench, "show orders", .out = { "None  ", "cannot be used" }, .err = { "" });
        CHECK_RUN(&bench, "check orders", .exit = 2, .out = { "REKEYD CRITICAL" });
}
END_TEST

int main(void) {
        Suite *suite = suite_create("rekeyctl-read");

        (void)x509_key(0);
        (void)x509_key(7);
        TEST_CASE(suite, refusals_have_their_exit_status);
        TEST_CASE(suite, unknown_certificates);
        TEST_CASE(suite, mistakes_on_the_command_line);
        TEST_CASE(suite, what_is_wrong_stands_first);
        TEST_CASE(suite, status_in_parts);
        TEST_CASE(suite, status_as_json);
        TEST_CASE(suite, a_terminal_has_colours_and_an_end);
        TEST_CASE(suite, watching);
        TEST_CASE(suite, showing_one);
        TEST_CASE(suite, looking_back);
        TEST_CASE(suite, checking);
        TEST_CASE(suite, versions_and_names);
        TEST_CASE(suite, without_a_configuration_there_are_no_files);
        TEST_CASE(suite, files_say_what_they_can);
        TEST_CASE(suite, files_of_an_expired_one);
        TEST_CASE(suite, the_journal_is_read_and_never_touched);
        TEST_CASE(suite, the_history_of_files);
        TEST_CASE(suite, a_broken_set_is_said);
        return test_run(suite);
}
