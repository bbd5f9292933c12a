/* The commands of rekeyctl that only look, where no rekeyd runs: what the files say, which are never touched.
 */

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "lib/life/state.h"
#include "tests/rekeyctl/ctl-fixture.h"
#include "tests/support/scratch.h"
#include "tests/support/sets.h"
#include "tests/test.h"

#define DAY (24 * 3600)

/* A configuration with orders and shop, with MORE at its beginning. */
static void write_config(const struct ctl_fixture *fixture, const char *more) {
        _cleanup_(freep) char *text = NULL;

        ck_assert_int_ge(asprintf(&text,
                                  "%sstate_directory: %s/state\n"
                                  "control: {socket: %s/nobody.sock}\n"
                                  "connectors: {ucl: {url: https://m/g, enrol_url: https://c/g}}\n"
                                  "certificates:\n"
                                  "  orders: {connector: ucl, directory: %s/orders, token_file: %s/token}\n"
                                  "  shop: {connector: ucl, directory: %s/shop, token_file: %s/token2}\n",
                                  more, fixture->directory, fixture->directory, fixture->directory,
                                  fixture->directory, fixture->directory, fixture->directory),
                         0);
        scratch_write(fixture->directory, "rekeyd.yaml", text, 0600);
}

/* A set in orders/ that has been valid for BEFORE seconds, and is for AFTER more; what a store commits. */
static void commit_orders(const struct ctl_fixture *fixture, long before, long after) {
        _cleanup_(freep) char *path = scratch_path(fixture->directory, "orders"),
                              *pem = x509_key_pem(x509_key(0));
        const usec_t now = now_usec(CLOCK_REALTIME);
        const usec_t not_before = now - (usec_t)before * USEC_PER_SEC;
        _cleanup_(x509_cert_clear) struct x509_cert ca = x509_make(
                &(struct x509_options) { .ca = true, .key = x509_key(7), .not_before = not_before });
        _cleanup_(x509_cert_clear) struct x509_cert leaf = x509_make(&(struct x509_options) {
                .issuer = &ca,
                .subject = "O=Org,CN=orders",
                .not_before = not_before,
                .not_after = now + (usec_t)(after * (int64_t)USEC_PER_SEC),
        });
        _cleanup_(store_closep) struct store *store = test_store_open(path);
        struct test_set set = { .certificate_pem = strdup(leaf.pem), .ca_pem = strdup(ca.pem) };

        ck_assert_int_eq(key_parse(pem, strlen(pem), &set.key, NULL), 0);
        (void)test_set_commit(store, &set);
        test_set_clear(&set);
}

static char *state_directory(const struct ctl_fixture *fixture) {
        char *path = scratch_path(fixture->directory, "state");

        (void)mkdir(path, 0755);
        return path;
}

static int make_socket(const struct ctl_fixture *fixture) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        snprintf(address.sun_path, sizeof(address.sun_path), "%s/nobody.sock", fixture->directory);
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        return fd;
}

/* Listens at nothing: a socket that a rekeyd has left behind. */
static void leave_socket(const struct ctl_fixture *fixture) {
        close(make_socket(fixture));
}

START_TEST(without_a_configuration_there_are_no_files) {
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new_alone();

        CHECK_RUN(
                &fixture, "--socket /nowhere status", .exit = 1,
                .err = {
                        "rekeyd is not running, and its files cannot be located without the configuration" });
        CHECK_RUN(&fixture, "--socket /nowhere check", .exit = 3,
                  .out = { "REKEYD UNKNOWN - rekeyd is not running" });
        CHECK_RUN(&fixture, "--socket /nowhere version", .exit = 3, .out = { "rekeyctl" },
                  .err = { "cannot reach rekeyd at /nowhere: no such socket; is the service running?" });
        write_config(&fixture, "nonsense: 1\nlog: []\n");
        CHECK_RUN(&fixture, "--socket /nowhere status", .exit = 1,
                  .err = { "which has 2 errors; see: rekeyctl check-config" });
        CHECK_RUN(&fixture, "check-config", .exit = 1,
                  .err = { ":1:1: unknown option 'nonsense'", ":2:6:", "2 errors" });
}
END_TEST

START_TEST(without_a_socket_nobody_is_asked) {
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new_alone();

        scratch_write(fixture.directory, "rekeyd.yaml", "connectors: {}\n", 0600);
        CHECK_RUN(&fixture, "status", .out = { "The configuration has no certificates" },
                  .err = { "the configuration has no control.socket, so rekeyd cannot be asked; showing what "
                           "is on disk" });
        CHECK_RUN(&fixture, "reload", .exit = 3,
                  .err = { "has no control.socket (usual: /run/rekeyd/control.sock)" });
        CHECK_RUN(&fixture, "events", .exit = 3, .err = { "has no control.socket" });
        CHECK_RUN(&fixture, "version", .exit = 3, .out = { "rekeyctl" }, .err = { "has no control.socket" });
        CHECK_RUN(&fixture, "check", .exit = 3,
                  .out = { "REKEYD UNKNOWN - the configuration has no certificates" });
}
END_TEST

/* Whoever sits there is told what is waited for, and may go. */
START_TEST(a_rekeyd_that_hangs) {
        static const struct {
                const char *line;
                int exit; /* of those that stay until Ctrl-C it is the end */
        } rows[] = { { "status", 130 }, { "renew orders", 130 }, { "events", 0 } };
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new_alone();
        _cleanup_(fd_closep) int fd = make_socket(&fixture);

        write_config(&fixture, "");
        ck_assert_int_eq(listen(fd, 5), 0);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(pty_freep) struct pty *pty =
                        ctl_fixture_start_on_terminal(&fixture, 200, rows[i].line);

                pty_await(pty, "nobody.sock has not answered yet; waiting up to 30 seconds\r\n");
                pty_type(pty, "\003");
                ck_assert_int_eq(pty_wait(pty), rows[i].exit);
        }
}
END_TEST

START_TEST(files_say_what_they_can) {
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new_alone();

        write_config(&fixture, "");
        commit_orders(&fixture, 20 * DAY, 70 * DAY);
        CHECK_RUN(&fixture, "status",
                  .out = { "orders", "current", "69d 23h", "shop", "2 certificates: 1 does not work" },
                  .err = { "rekeyctl: rekeyd is not running; showing what is on disk\n" });
        leave_socket(&fixture);
        CHECK_RUN(&fixture, "show orders",
                  .out = { "O=Org,CN=orders", "rsa-2048", "Generations\n", "current" },
                  .err = { "showing what is on disk" });
        CHECK_RUN(&fixture, "version", .exit = 3,
                  .err = { "no process listens there; is the service running?" });
        CHECK_RUN(&fixture, "status order", .exit = 5,
                  .err = { "showing what", "'order'; did you mean 'orders'?" });
        CHECK_RUN(&fixture, "check orders", .exit = 1,
                  .out = { "REKEYD WARNING - rekeyd is not running; 1 certificate valid, but not managed" });
        CHECK_RUN(&fixture, "check", .exit = 2,
                  .out = { "REKEYD CRITICAL - rekeyd is not running; shop: no certificate yet" });
        CHECK_RUN(&fixture, "complete names", .out = { "orders\nshop\n" });
        CHECK_RUN(&fixture, "check-config",
                  .out = { "is valid: 2 certificates, 1 connector.", "not judged: files, rights",
                           "rekeyd is not running" });
}
END_TEST

START_TEST(files_of_an_expired_one) {
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new_alone();

        write_config(&fixture, "");
        commit_orders(&fixture, 20 * DAY, -DAY);
        CHECK_RUN(&fixture, "status orders", .out = { "expired 1d", "rekeyctl enrol orders" }, .err = { "" });
}
END_TEST

START_TEST(the_journal_is_read_and_never_touched) {
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new_alone();
        _cleanup_(freep) char *directory = state_directory(&fixture), *before = NULL, *after = NULL;
        const struct state_instant now = { .realtime = now_usec(CLOCK_REALTIME),
                                           .boottime = now_usec(CLOCK_BOOTTIME) };
        const struct state state = { .failures = 3,
                                     .failure = FAILURE_REFUSED,
                                     .next_attempt_usec = now.realtime + 2 * USEC_PER_HOUR,
                                     .error = (char *)"the answer is: no",
                                     .failed_usec = now.realtime };
        _cleanup_(freep) char *text = NULL;

        write_config(&fixture, "");
        commit_orders(&fixture, 20 * DAY, 70 * DAY);
        ck_assert_int_eq(state_format(&state, &now, &text, NULL), 0);
        scratch_write(directory, "orders.json", text, 0600);
        CHECK_RUN(&fixture, "status orders",
                  .out = { "retrying", "retry 1h 59m", "the Connector refuses to sign", "the answer is: no" },
                  .err = { "showing what is on disk" });
        CHECK_RUN(&fixture, "show orders", .out = { "Last error    the answer is: no" },
                  .err = { "showing what is on disk" });

        /* a damaged one is for the next rekeyd */
        scratch_write(directory, "orders.json", "{\"version\":", 0600);
        before = scratch_list(directory);
        CHECK_RUN(&fixture, "status orders", .out = { "current" },
                  .err = { "showing what", "failures and pending notifications are unknown" });
        after = scratch_list(directory);
        ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(the_history_of_files) {
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new_alone();
        _cleanup_(freep) char *state = state_directory(&fixture);

        setenv("TZ", "UTC", 1);
        write_config(&fixture, "");
        CHECK_RUN(&fixture, "history orders", .out = { "has no history yet" }, .err = { "showing what" });
        scratch_write(state, "orders.history",
                      "{\"time\":\"2026-11-20T18:06:53Z\",\"event\":\"begun\",\"message\":\"begins\"}\n"
                      "nonsense\n"
                      "{\"foreign\":true}\n"
                      "\n"
                      "{\"time\":\"2026-11-20T18:06:59Z\",\"event\":\"renewed\",\"message\":\"done\"}\n"
                      "{\"time\":\"2026-11-20T18:07",
                      0600);
        CHECK_RUN(&fixture, "history orders",
                  .out = { "2026-11-20T18:06:53Z  begun              begins\n"
                           "2026-11-20T18:06:59Z  renewed            done\n" },
                  .err = { "showing what" });
        CHECK_RUN(&fixture, "history nobody", .exit = 5,
                  .err = { "showing what", "no certificate 'nobody'" });
}
END_TEST

START_TEST(a_broken_set_is_said) {
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new_alone();
        _cleanup_(freep) char *orders = scratch_path(fixture.directory, "orders");
        _cleanup_(freep) char *generation = NULL, *target = NULL;

        write_config(&fixture, "");
        commit_orders(&fixture, 20 * DAY, 70 * DAY);
        ck_assert_int_eq(link_read_at(AT_FDCWD, (generation = scratch_path(orders, "..data")), &target), 0);
        free(generation);
        generation = scratch_path(orders, target);
        scratch_write(generation, "tls.crt", "nonsense", 0644);
        CHECK_RUN(&fixture, "status orders", .out = { "orders: the files cannot be used: " }, .err = { "" });
        CHECK_RUN(&fixture, "show orders", .out = { "Cannot be read  ", "cannot be used" }, .err = { "" });
        CHECK_RUN(&fixture, "check orders", .exit = 2, .out = { "REKEYD CRITICAL" });
}
END_TEST

START_TEST(a_directory_that_rekeyd_refuses_is_not_current) {
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new_alone();
        _cleanup_(freep) char *orders = scratch_path(fixture.directory, "orders");

        write_config(&fixture, "");
        commit_orders(&fixture, 20 * DAY, 70 * DAY);
        ck_assert_int_eq(chmod(orders, 0777), 0);
        CHECK_RUN(&fixture, "status orders",
                  .out = { "cannot be read", ", last known", "cannot be used: will not use directory " },
                  .err = { "" });
        CHECK_RUN(&fixture, "show orders", .out = { "Cannot be read  ", "O=Org,CN=orders" }, .err = { "" });
        CHECK_RUN(&fixture, "check orders", .exit = 2, .out = { "REKEYD CRITICAL" });
        ck_assert_int_eq(chmod(orders, 0755), 0);
        CHECK_RUN(&fixture, "check orders", .exit = 1, .out = { "1 certificate valid, but not managed" });
}
END_TEST

/* As the state file has it. */
START_TEST(what_cannot_be_read_is_last_known) {
        _cleanup_(ctl_fixture_clear) struct ctl_fixture fixture = ctl_fixture_new_alone();
        _cleanup_(freep) char *directory = state_directory(&fixture);
        const usec_t realtime = now_usec(CLOCK_REALTIME);
        const struct state_instant now = { .realtime = realtime, .boottime = now_usec(CLOCK_BOOTTIME) };
        struct state state = { .generation = 7, .expiry = realtime + 5 * USEC_PER_DAY + USEC_PER_HOUR };
        int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        memset(state.fingerprint, 'a', sizeof(state.fingerprint) - 1);
        write_config(&fixture, "");
        ck_assert_int_eq(state_save(fd, "orders", &state, &now, NULL), 0);
        scratch_write(fixture.directory, "orders", "a file in its place", 0600);
        CHECK_RUN(&fixture, "status orders", .out = { "cannot be read", "5d", ", last known" },
                  .err = { "" });
        CHECK_RUN(&fixture, "show orders",
                  .out = { "Last known      generation 7", "Valid until", "aaaaaaaaaaaaaaaa" },
                  .err = { "" });
        state.expiry = 0; /* of an older rekeyd */
        ck_assert_int_eq(state_save(fd, "orders", &state, &now, NULL), 0);
        CHECK_RUN(&fixture, "status orders", .out = { "unknown" }, .err = { "" });
        CHECK_RUN(&fixture, "show orders", .out = { "Valid until     unknown" }, .err = { "" });
        close(fd);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("rekeyctl-files");

        (void)x509_key(0);
        (void)x509_key(7);
        TEST_CASE(suite, without_a_configuration_there_are_no_files);
        TEST_CASE(suite, without_a_socket_nobody_is_asked);
        TEST_CASE(suite, a_rekeyd_that_hangs);
        TEST_CASE(suite, files_say_what_they_can);
        TEST_CASE(suite, files_of_an_expired_one);
        TEST_CASE(suite, the_journal_is_read_and_never_touched);
        TEST_CASE(suite, the_history_of_files);
        TEST_CASE(suite, a_broken_set_is_said);
        TEST_CASE(suite, a_directory_that_rekeyd_refuses_is_not_current);
        TEST_CASE(suite, what_cannot_be_read_is_last_known);
        return test_run(suite);
}
