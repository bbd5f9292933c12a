/*
 * A set that rekeyd cannot read is unknown, and nothing else: neither revoked, nor expired, nor missing. By
 * each cause, while rekeyd runs and after a restart, all that an operator or a monitoring system hears says
 * so, and what was last known of it. A token that lies ready stays where it is, and nothing is asked of the
 * Connector. When the set can be read again it is current at once.
 *
 * rekeyd runs as a user who has no right to everything. The errors of a disk and of memory come from strace,
 * which fails each attempt to open the key.
 */

#include <curl/curl.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/operator/operator-fixture.h"
#include "tests/test.h"

#define CERTIFICATE "{certificate=\"orders\"}"
#define NOBODY      65534
#define TRACE       "-f -o /dev/null -P tls.key -e trace=openat -e inject=openat:error="

static const struct cause {
        const char *name;
        mode_t directory;  /* the mode; 0: as it was */
        bool is_foreign;   /* the key is another user's, so that rekeyd cannot even put its mode right */
        const char *error; /* of opening the key */
        const char *why;
        const char *offline[2]; /* what rekeyctl finds by itself, in the same place, but as root: its status,
                                   and what it ends with */
} causes[] = {
        { "mode 777",
          0777,
          false,
          NULL,
          "its mode 0777 lets other users write to it",
          { "orders: the files cannot be used: will not use directory ", "lets other users write to it" } },
        { "no right", 0, true, NULL, "tls.key: Permission denied, as user ", { "orders", "current" } },
        { "a bad disk",
          0,
          false,
          "EIO",
          "tls.key: Input/output error",
          { "orders: the files cannot be used: the set in ", "Input/output error" } },
        { "no memory",
          0,
          false,
          "ENOMEM",
          "tls.key: Cannot allocate memory",
          { "orders: the files cannot be used: cannot inspect ", "Cannot allocate memory" } },
};

static struct operator_fixture console;
static char *directory, *key, *leaf;
static char *known; /* what the status says of the set while it can be read */
static struct process *tracer;

static void expect_words(const struct cause *cause, const char *who, const char *text, const char *words) {
        ck_assert_msg(strstr(text, words), "%s: %s does not say '%s' but: %s", cause->name, who, words, text);
}

static void expect_no_words(const struct cause *cause, const char *who, const char *text, const char *words) {
        ck_assert_msg(!strstr(text, words), "%s: %s says '%s': %s", cause->name, who, words, text);
}

/* --- rekeyd, as another user --- */

static bool is_root(void) {
        return geteuid() == 0;
}

/* WRAPPER goes before whatever the tests are run in. */
static char *wrap(const char *wrapper) {
        const char *outer = getenv("REKEYD_TEST_WRAPPER");
        char *before = outer ? strdup(outer) : NULL;
        _cleanup_(freep) char *words = NULL;

        ck_assert_int_ge(asprintf(&words, "%s %s", wrapper, before ? before : ""), 0);
        setenv("REKEYD_TEST_WRAPPER", words, 1);
        return before;
}

static void unwrap(char *before) {
        if (before)
                setenv("REKEYD_TEST_WRAPPER", before, 1);
        else
                unsetenv("REKEYD_TEST_WRAPPER");
        free(before);
}

static void start(const char *error) {
        _cleanup_(freep) char *words = NULL;
        char *before;

        /* As a grandchild, so that rekeyd stays the process that is waited for. */
        ck_assert_int_ge(asprintf(&words, "%s%s %s", error ? "strace -D -I 2 " TRACE : "", error ? error : "",
                                  is_root() ? "setpriv --reuid 65534 --regid 65534 --clear-groups" : ""),
                         0);
        before = wrap(words);
        fixture_start(console.fixture, NULL);
        unwrap(before);
        fixture_expect(console.fixture, MESSAGE_READY);
}

static void stop(void) {
        ck_assert_int_eq(fixture_stop(console.fixture), 0);
}

static pid_t tracer_of_rekeyd(void) {
        char path[64];
        _cleanup_(freep) char *text = NULL;
        const char *line;

        snprintf(path, sizeof(path), "%d/status", (int)process_pid(console.fixture->rekeyd));
        text = scratch_read("/proc", path);
        line = text ? strstr(text, "\nTracerPid:") : NULL;
        return line ? (pid_t)strtol(line + strlen("\nTracerPid:"), NULL, 10) : 0;
}

/* --- The cause --- */

static void set_modes(const struct cause *cause) {
        ck_assert_int_eq(chmod(directory, cause->directory ? cause->directory : 0755), 0);
        if (is_root())
                ck_assert_int_eq(chown(key, cause->is_foreign ? 0 : NOBODY, cause->is_foreign ? 0 : NOBODY),
                                 0);
}

static bool needs_root(const struct cause *cause) {
        if (!cause->is_foreign || is_root())
                return false;
        test_skip("%s: only root can give a file to another user", cause->name);
        return true;
}

/* The watch of the files hears of this, whatever the modes are. */
static void stir(void) {
        ck_assert_int_eq(utimensat(AT_FDCWD, leaf, NULL, 0), 0);
}

static void begin_cause(const struct cause *cause) {
        char pid[16], expression[64];
        const char *argv[] = { "strace",       "-f", "-o",       "/dev/null", "-P", "tls.key", "-e",
                               "trace=openat", "-e", expression, "-p",        pid,  NULL };

        set_modes(cause);
        if (!cause->error)
                return;
        snprintf(pid, sizeof(pid), "%d", (int)process_pid(console.fixture->rekeyd));
        snprintf(expression, sizeof(expression), "inject=openat:error=%s", cause->error);
        tracer = process_start(argv, false);
        free(process_await(tracer, PROCESS_STDERR, "attached"));
}

static void end_cause(void) {
        static const struct cause none = { .name = "none" };
        const usec_t deadline = now_usec(CLOCK_MONOTONIC) + patience_usec();
        pid_t pid = tracer_of_rekeyd();

        set_modes(&none);
        if (pid > 0)
                kill(pid, SIGTERM);
        if (tracer)
                process_wait(tracer);
        tracer = process_free(tracer);
        while (tracer_of_rekeyd() != 0) /* it lets go of each thread */
                ck_assert_uint_lt(now_usec(CLOCK_MONOTONIC), deadline);
}

/* --- What is heard --- */

static size_t take_text(char *data, size_t size, size_t n, void *userdata) {
        return fwrite(data, size, n, userdata);
}

static char *fetch(const char *path, long expected) {
        _cleanup_(freep) char *socket = scratch_path(console.fixture->directory, "control.sock"), *url = NULL;
        CURL *easy = curl_easy_init();
        char *text = NULL;
        long status = 0;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        ck_assert_int_ge(asprintf(&url, "http://rekeyd%s", path), 0);
        curl_easy_setopt(easy, CURLOPT_URL, url);
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, socket);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_text);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, out);
        ck_assert_int_eq(curl_easy_perform(easy), CURLE_OK);
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_cleanup(easy);
        fclose(out);
        ck_assert_msg(status == expected, "%s: %ld, %s", path, status, text);
        return text;
}

/* The members of the status that say which set it is, and for how long. */
static char *describe_set(void) {
        _cleanup_(freep) char *text = operator_run(&console, "status --json orders", 0);
        json_t *list = json_loads(text, 0, NULL), *status;
        char *description;

        status = json_array_get(json_object_get(list, "certificates"), 0);
        ck_assert_int_ge(asprintf(&description, "%s until %s", member(status, "fingerprint"),
                                  member(status, "not_after")),
                         0);
        ck_assert_uint_gt(strlen(description), 64 + strlen(" until "));
        json_decref(list);
        return description;
}

static void expect_log(const struct cause *cause) {
        json_t *line = fixture_await(console.fixture, MESSAGE_FAILED);
        const char *text = member(line, "message");

        ck_assert_str_eq(member(line, "failure"), "local");
        expect_words(cause, "log", text, "reading the files failed (local");
        expect_words(cause, "log", text, cause->why);
        expect_words(cause, "log", text, "; last known is generation 1, valid until 20");
        expect_words(cause, "log", text, ", retrying in ");
        expect_no_words(cause, "log", text, "revoked");
        ck_assert_uint_eq(strlen(member(line, "fingerprint")), 64);
        json_decref(line);
}

static void expect_unreadable(const struct cause *cause) {
        static const struct {
                const char *line;
                int exit;
                const char *says[4], *never;
        } commands[] = {
                { "status",
                  0,
                  { " cannot be read ", ", last known", "rekeyd cannot read the files: ", NULL },
                  "never" },
                { "status --json",
                  0,
                  { "\"knowledge\":\"unreadable\"", "\"usable\":null", "\"revoked\":false", NULL },
                  "absent" },
                { "show orders",
                  0,
                  { ", cannot be read", "Cannot be read", " possible before the expiry", NULL },
                  " 0 possible" },
                { "check",
                  1,
                  { "WARNING - orders: rekeyd cannot read the files: ", "usable=0", NULL },
                  "CRITICAL" },
        };
        _cleanup_(freep) char *readiness = fetch("/readyz", 503), *metrics = fetch("/metrics", 200),
                              *description = describe_set();

        for (size_t i = 0; i < ELEMENTSOF(commands); i++) {
                _cleanup_(freep) char *text = operator_run(&console, commands[i].line, commands[i].exit);

                for (const char *const *words = commands[i].says; *words; words++)
                        expect_words(cause, commands[i].line, text, *words);
                expect_words(cause, commands[i].line, text, cause->why);
                expect_no_words(cause, commands[i].line, text, commands[i].never);
                expect_no_words(cause, commands[i].line, text, "was revoked");
        }
        ck_assert_str_eq(description, known);
        expect_words(cause, "/readyz", readiness, "orders: cannot be read: ");
        expect_words(cause, "/readyz", readiness, cause->why);
        expect_words(cause, "/metrics", metrics, "\nrekeyd_certificate_readable" CERTIFICATE " 0\n");
        expect_no_words(cause, "/metrics", metrics, "\nrekeyd_certificate_revoked" CERTIFICATE);
        expect_words(cause, "/metrics", metrics, "\nrekeyd_certificate_generation" CERTIFICATE " 1\n");
        expect_words(cause, "/metrics", metrics, "\nrekeyd_certificate_expiry_timestamp_seconds{");
        expect_no_words(cause, "/metrics", metrics, "\nrekeyd_certificate_usable{");
        operator_check(&console, "revoke --yes orders", 6,
                       "the set of orders cannot be read, and may be whole");
}

static void expect_current(const struct cause *cause) {
        _cleanup_(freep) char *readiness = NULL, *metrics = NULL, *description = NULL;

        stir();
        fixture_expect_message(console.fixture, MESSAGE_CURRENT, "orders: generation 1 is current until ");
        operator_check_fine(&console);
        readiness = fetch("/readyz", 200);
        metrics = fetch("/metrics", 200);
        description = describe_set();
        expect_no_words(cause, "/metrics", metrics, "\nrekeyd_certificate_readable" CERTIFICATE);
        expect_words(cause, "/metrics", metrics, "\nrekeyd_certificate_usable" CERTIFICATE " 1\n");
        ck_assert_str_eq(description, known);
}

/* --- The tests --- */

static void set_up(void) {
        _cleanup_(freep) char *data = NULL, *config = NULL;

        operator_init(&console, ORDERS);
        operator_mint_token(&console); /* it lies in the token file: rekeyd enrols */
        fixture_expect(console.fixture, MESSAGE_ENROLLED);
        operator_settle(&console);
        known = describe_set();
        stop();
        directory = scratch_path(console.fixture->directory, "orders");
        data = scratch_path(directory, "..gen-000001");
        key = scratch_path(data, "tls.key");
        leaf = scratch_path(data, "tls.crt");
        config = scratch_path(console.fixture->directory, "rekeyd.yaml");
        if (is_root()) {
                const char *const argv[] = { "chown", "-R", "65534:65534", console.fixture->directory, NULL };
                struct process *process = process_start(argv, false);

                ck_assert_int_eq(process_wait(process), 0);
                process_free(process);
                ck_assert_int_eq(chown(config, 0, 0),
                                 0); /* rekeyctl, for root, takes it from no other user */
                ck_assert_int_eq(chmod(config, 0644), 0);
        }
        operator_mint_token(&console); /* it lies in the token file, and was never tried */
}

static void tear_down(void) {
        tracer = process_free(tracer);
        free(directory);
        free(key);
        free(leaf);
        free(known);
        operator_clear(&console);
}

/* Nobody has asked for a second certificate, and the token was shown to no Connector. */
static void expect_nothing_asked(void) {
        json_t *line;

        ck_assert_uint_eq(fixture_calls(console.fixture, "sign"), 1);
        /* The token is as good as new. */
        operator_check(&console, "enrol --force orders -", 0, "orders: enrolled: generation 2");
        line = fixture_await(console.fixture, MESSAGE_ENROLLED);
        json_decref(line);
        ck_assert_uint_eq(fixture_calls(console.fixture, "sign"), 2);
}

START_TEST(while_it_runs) {
        const struct cause *cause = &causes[_i];

        if (needs_root(cause))
                return;
        start(NULL);
        begin_cause(cause);
        stir();
        expect_log(cause);
        expect_unreadable(cause);
        end_cause();
        expect_current(cause);
        expect_nothing_asked();
        stop();
}
END_TEST

START_TEST(after_a_restart) {
        const struct cause *cause = &causes[_i];

        if (needs_root(cause))
                return;
        set_modes(cause);
        start(cause->error);
        expect_log(cause);
        expect_unreadable(cause);
        end_cause();
        expect_current(cause);
        expect_nothing_asked();
        stop();
}
END_TEST

START_TEST(without_a_daemon) {
        const struct cause *cause = &causes[_i];
        _cleanup_(freep) char *words = NULL, *text = NULL;
        struct process *process;
        char *before;
        int status;

        set_modes(cause);
        ck_assert_int_ge(asprintf(&words, "%s%s", cause->error ? "strace " TRACE : "",
                                  cause->error ? cause->error : ""),
                         0);
        before = wrap(words);
        process = operator_start(&console, "status orders");
        unwrap(before);
        text = operator_finish(&console, process, &status);
        process_free(process);
        expect_words(cause, "rekeyctl alone", text, cause->offline[0]);
        expect_words(cause, "rekeyctl alone", text, cause->offline[1]);
        expect_no_words(cause, "rekeyctl alone", text, "revoked");
}
END_TEST

int main(void) {
        Suite *suite = suite_create("unreadable");
        TCase *tests = tcase_create("causes");

        tcase_add_checked_fixture(tests, set_up, tear_down);
        tcase_set_timeout(tests, 0);
        tcase_add_loop_test(tests, while_it_runs, 0, ELEMENTSOF(causes));
        tcase_add_loop_test(tests, after_a_restart, 0, ELEMENTSOF(causes));
        tcase_add_loop_test(tests, without_a_daemon, 0, ELEMENTSOF(causes));
        suite_add_tcase(suite, tests);
        return test_run(suite);
}
