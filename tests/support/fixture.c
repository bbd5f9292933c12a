/* The fixture of end-to-end tests. Paths of the two programs come from the environment that Meson sets. */

#include "tests/support/fixture.h"

#include <check.h>
#include <curl/curl.h>
#include <signal.h>
#include <stdarg.h>

#include "lib/util/text-stream.h"
#include "tests/support/fleet.h"
#include "tests/test.h"

struct reply {
        char *text;
        size_t size;
};

const char *member(const json_t *object, const char *name) {
        const char *text = json_string_value(json_object_get(object, name));

        return text ? text : "";
}

static json_t *parse_line(char *line) {
        json_t *json = line ? json_loads(line, 0, NULL) : NULL;

        if (line && !json)
                ck_abort_msg("not JSON: %s", line);
        free(line);
        return json;
}

const char *lifetime(unsigned seconds) {
        static char text[16];

        snprintf(text, sizeof(text), "%us", getenv("REKEYD_TEST_WRAPPER") ? 10 * seconds : seconds);
        return text;
}

const char *fixture_program(const char *name) {
        const char *protocol = getenv("REKEYD_TEST_PROTOCOL");
        /* How a key is made does not depend on the protocol. */
        const bool real = streq(name, "REKEYD") && streq_null(getenv("REKEYD_TEST_KEYS"), "real") &&
                          (!protocol || streq(protocol, "compass"));
        const char *path;
        char variable[48];

        snprintf(variable, sizeof(variable), "REKEYD_TEST_QUICK_%s", name);
        path = real ? NULL : getenv(variable);
        if (!path) {
                snprintf(variable, sizeof(variable), "REKEYD_TEST_%s", name);
                path = getenv(variable);
        }
        ck_assert_msg(path != NULL, "%s is not set", variable);
        return path;
}

/* devconnector names the endpoints of compass. */
static void set_path(char **url, const char *path) {
        const char *end = strchr(*url + strlen("https://"), '/');
        char *other;

        ck_assert_ptr_nonnull(end);
        ck_assert_int_ge(asprintf(&other, "%.*s%s", (int)(end - *url), *url, path), 0);
        free(*url);
        *url = other;
}

const char *fixture_protocol(void) {
        const char *protocol = getenv("REKEYD_TEST_PROTOCOL");

        return protocol ? protocol : "compass";
}

const char *by_protocol(const char *compass, const char *service) {
        return streq(fixture_protocol(), "compass") ? compass : service;
}

static void speak(struct fixture *fixture) {
        fixture->protocol = fixture_protocol();
        if (streq(fixture->protocol, "compass"))
                return;
        set_path(&fixture->token_url, "/v1/applications/signingRequests/info");
        set_path(&fixture->certificate_url, "/v1/applications/management/info");
}

struct fixture *fixture_new(const char *const *options) {
        struct fixture *fixture = calloc(1, sizeof(*fixture));
        const char *argv[32] = { fixture_program("DEVCONNECTOR") };
        size_t n = 1;
        json_t *ready;

        ck_assert_ptr_nonnull(fixture);
        fixture->directory = scratch_new();
        _cleanup_(freep) char *directory = scratch_path(fixture->directory, "connector");

        argv[n++] = "--directory";
        argv[n++] = directory;
        for (; options && *options; options++)
                argv[n++] = *options;
        /* Not under valgrind: its own tests are, and here it would spend half a minute on its CA each time.
         */
        fixture->connector = process_start(argv, false);
        ready = parse_line(process_await(fixture->connector, PROCESS_STDOUT, "\"ready\""));
        ck_assert_ptr_nonnull(ready);
        fixture->certificate_url = strdup(member(ready, "certificate_url"));
        fixture->token_url = strdup(member(ready, "token_url"));
        fixture->admin_url = strdup(member(ready, "admin_url"));
        fixture->trust = strdup(member(ready, "trust"));
        json_decref(ready);
        speak(fixture);
        return fixture;
}

bool fixture_lacks(const struct fixture *fixture, const char *names) {
        if (streq(fixture->protocol, "compass"))
                return false;
        test_report("left out, since %s has no %s", fixture->protocol, names);
        return true;
}

struct fixture *fixture_free(struct fixture *fixture) {
        if (!fixture)
                return NULL;
        process_free(fixture->rekeyd);
        if (fixture->connector) {
                process_signal(fixture->connector, SIGTERM);
                ck_assert_msg(process_wait(fixture->connector) == 0, "devconnector ended badly: %s",
                              process_last_words(fixture->connector, PROCESS_STDERR));
        }
        process_free(fixture->connector);
        scratch_free(fixture->directory);
        free(fixture->certificate_url);
        free(fixture->token_url);
        free(fixture->admin_url);
        free(fixture->trust);
        free(fixture);
        return NULL;
}

static size_t take_reply(char *data, size_t size, size_t n, void *userdata) {
        struct reply *reply = userdata;

        reply->text = realloc(reply->text, reply->size + size * n + 1);
        memcpy(reply->text + reply->size, data, size * n);
        reply->size += size * n;
        reply->text[reply->size] = '\0';
        return size * n;
}

json_t *fixture_request(struct fixture *fixture, const char *path, const char *body, long *ret_status) {
        bool is_delete = has_prefix(path, "DELETE ");
        _cleanup_(freep) char *url = NULL;
        struct reply reply = { 0 };
        CURL *easy = curl_easy_init();
        json_t *json;

        ck_assert_int_ge(
                asprintf(&url, "%s%s", fixture->admin_url, is_delete ? path + strlen("DELETE ") : path), 0);
        curl_easy_setopt(easy, CURLOPT_URL, url);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_reply);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, &reply);
        if (is_delete)
                curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "DELETE");
        else if (body)
                curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
        ck_assert_int_eq(curl_easy_perform(easy), CURLE_OK);
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, ret_status);
        curl_easy_cleanup(easy);
        json = reply.text ? json_loads(reply.text, JSON_DECODE_ANY, NULL) : NULL;
        free(reply.text);
        return json ? json : json_null();
}

json_t *fixture_admin(struct fixture *fixture, const char *path, const char *body) {
        long status = 0;
        json_t *json = fixture_request(fixture, path, body, &status);

        if (status / 100 != 2)
                ck_abort_msg("%s: %ld %s", path, status, json_dumps(json, JSON_ENCODE_ANY));
        return json;
}

void fixture_fault(struct fixture *fixture, const char *json) {
        json_decref(fixture_admin(fixture, "/faults", json));
}

void fixture_lift_faults(struct fixture *fixture) {
        json_decref(fixture_admin(fixture, "DELETE /faults", NULL));
}

void fixture_token(struct fixture *fixture, const char *id, const char *file) {
        _cleanup_(freep) char *body = NULL;
        json_t *reply;

        ck_assert_int_ge(asprintf(&body, "{\"client\":\"%s\"}", id), 0);
        reply = fixture_admin(fixture, "/tokens", body);
        scratch_write(fixture->directory, file, member(reply, "token"), 0600);
        json_decref(reply);
}

void fixture_configure(struct fixture *fixture, const char *certificates) {
        _cleanup_(freep) char *yaml = NULL, *indented = NULL;
        const char *d = fixture->directory;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        ck_assert_int_ge(asprintf(&indented, certificates, d, d, d, d, d, d, d, d), 0);
#pragma GCC diagnostic pop
        ck_assert_int_ge(asprintf(&yaml,
                                  "state_directory: %s/%s\n"
                                  "log: {format: json, level: debug}\n"
                                  "limits: {issuances_per_hour: 100}\n"
                                  "connectors:\n"
                                  "  dev: {protocol: %s, enrol_url: '%s', trust: %s, ca_window: 1s%s}\n"
                                  "defaults: {key: {bits: 2048, ahead: off}, jitter: 0%%}\n"
                                  "certificates:\n%s",
                                  d, fixture->state ? fixture->state : "state", fixture->protocol,
                                  fixture->token_url, fixture->trust,
                                  fixture->connector_options ? fixture->connector_options : "", indented),
                         0);
        scratch_write(fixture->directory, "rekeyd.yaml", yaml, 0600);
}

void fixture_prepare(struct fixture *fixture, const char *certificates) {
        fixture_configure(fixture, certificates);
        fixture_token(fixture, "client-1", "token");
}

void fixture_enrol(struct fixture *fixture, const char *certificates) {
        int status;

        fixture_prepare(fixture, certificates);
        status = fixture_run(fixture, "--once");
        ck_assert_msg(status == 2, "rekeyd --once ends with %d: %s", status,
                      process_last_words(fixture->rekeyd, PROCESS_STDERR));
}

void fixture_edit(struct fixture *fixture, const char *from, const char *to) {
        _cleanup_(freep) char *yaml = scratch_read(fixture->directory, "rekeyd.yaml"), *edited = NULL;
        const char *rest = yaml, *found;
        size_t size = 0;
        FILE *out = open_memstream(&edited, &size);

        ck_assert_msg(yaml && strstr(yaml, from), "there is no '%s' in the configuration", from);
        for (; (found = strstr(rest, from)); rest = found + strlen(from))
                fprintf(out, "%.*s%s", (int)(found - rest), rest, to);
        fputs(rest, out);
        fclose(out);
        scratch_write(fixture->directory, "rekeyd.yaml", edited, 0600);
}

void fixture_add_control(struct fixture *fixture) {
        _cleanup_(freep) char *control = NULL;

        ck_assert_int_ge(
                asprintf(&control, "control: {socket: %s/control.sock}\ndefaults:", fixture->directory), 0);
        fixture_edit(fixture, "defaults:", control);
}

void fixture_start(struct fixture *fixture, const char *option) {
        _cleanup_(freep) char *config = scratch_path(fixture->directory, "rekeyd.yaml");
        const char *argv[] = { fixture_program("REKEYD"), "--config", config, option, NULL };

        process_free(fixture->rekeyd);
        fixture->rekeyd = process_start(argv, true);
}

int fixture_run(struct fixture *fixture, const char *option) {
        fixture_start(fixture, option);
        return process_wait(fixture->rekeyd);
}

int fixture_stop(struct fixture *fixture) {
        process_signal(fixture->rekeyd, SIGTERM);
        return process_wait(fixture->rekeyd);
}

void fixture_kill(struct fixture *fixture) {
        process_signal(fixture->rekeyd, SIGKILL);
        ck_assert_int_eq(process_wait(fixture->rekeyd), 128 + SIGKILL);
}

void fixture_ctl(struct fixture *fixture, const char *command, const char *certificate, const char *option,
                 int status, const char *text) {
        _cleanup_(freep) char *config = scratch_path(fixture->directory, "rekeyd.yaml");
        const char *argv[] = {
                getenv("REKEYD_TEST_REKEYCTL"), "--config", config, command, certificate, option, NULL
        };
        _cleanup_(process_freep) struct process *process = process_start(argv, true);
        int r = process_wait(process);

        ck_assert_msg(r == status && (strstr(process_output(process, PROCESS_STDOUT), text) ||
                                      strstr(process_output(process, PROCESS_STDERR), text)),
                      "rekeyctl %s %s: %d instead of %d with '%s': %s%s", command, certificate, r, status,
                      text, process_last_words(process, PROCESS_STDOUT),
                      process_last_words(process, PROCESS_STDERR));
}

char *fixture_get(struct fixture *fixture, const char *path) {
        _cleanup_(freep) char *url = NULL, *control = scratch_path(fixture->directory, "control.sock");
        struct reply reply = { 0 };
        CURL *easy = curl_easy_init();
        CURLcode code;

        ck_assert_int_ge(asprintf(&url, "http://localhost%s", path), 0);
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, control);
        curl_easy_setopt(easy, CURLOPT_URL, url);
        curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_reply);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, &reply);
        code = curl_easy_perform(easy);
        curl_easy_cleanup(easy);
        ck_assert_msg(code == CURLE_OK && reply.text, "GET %s: %s", path, curl_easy_strerror(code));
        return reply.text;
}

double fixture_metric(struct fixture *fixture, const char *name) {
        _cleanup_(freep) char *page = fixture_get(fixture, "/metrics");
        const size_t length = strlen(name);

        for (const char *line = page; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (has_prefix(line, name) && line[length] == ' ')
                        return strtod(line + length, NULL);
        }
        ck_abort_msg("there is no metric %s", name);
}

void fixture_reload(struct fixture *fixture) {
        process_signal(fixture->rekeyd, SIGHUP);
        fixture_expect(fixture, MESSAGE_RELOADED);
}

static bool is_failure(const json_t *line) {
        static const char *const ids[] = {
                MESSAGE_FAILED_TRANSIENT, MESSAGE_FAILED_REFUSED, MESSAGE_FAILED_REJECTED,
                MESSAGE_FAILED_BAD_REPLY, MESSAGE_FAILED_LOCAL,
        };

        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                if (streq(member(line, "message_id"), ids[i]))
                        return true;
        return false;
}

/* A budget that is used up fails an attempt as well, and is told by its own id. */
static json_t *await_failure(struct fixture *fixture) {
        for (;;) {
                json_t *line = parse_line(process_await(fixture->rekeyd, PROCESS_STDERR, MESSAGE_FAILED));

                if (!line)
                        ck_abort_msg("rekeyd never logged a failure");
                if (is_failure(line))
                        return line;
                json_decref(line);
        }
}

json_t *fixture_await(struct fixture *fixture, const char *message_id) {
        if (streq(message_id, MESSAGE_FAILED))
                return await_failure(fixture);

        char *line = process_await(fixture->rekeyd, PROCESS_STDERR, message_id);

        ck_assert_msg(line != NULL, "rekeyd never logged message %s", message_id);
        return parse_line(line);
}

void fixture_expect(struct fixture *fixture, const char *message_id) {
        json_decref(fixture_await(fixture, message_id));
}

static void assert_contains(const json_t *line, const char *name, const char *text) {
        ck_assert_msg(strstr(member(line, name), text) != NULL, "not '%s' but: %s", text, member(line, name));
}

void fixture_expect_member(struct fixture *fixture, const char *message_id, const char *name,
                           const char *text) {
        json_t *line = fixture_await(fixture, message_id);

        ck_assert_str_eq(member(line, name), text);
        json_decref(line);
}

void fixture_expect_message(struct fixture *fixture, const char *message_id, const char *text) {
        json_t *line = fixture_await(fixture, message_id);

        assert_contains(line, "message", text);
        json_decref(line);
}

void fixture_expect_failure(struct fixture *fixture, const char *class, const char *text) {
        json_t *line = fixture_await(fixture, MESSAGE_FAILED);

        ck_assert_str_eq(member(line, "failure"), class);
        assert_contains(line, "error", text);
        json_decref(line);
}

void fixture_expect_text(struct fixture *fixture, const char *text) {
        _cleanup_(freep) char *line = process_await(fixture->rekeyd, PROCESS_STDERR, text);

        ck_assert_msg(line != NULL, "rekeyd never said '%s'", text);
}

json_t *fixture_await_connector(struct fixture *fixture, const char *text) {
        char *line = process_await(fixture->connector, PROCESS_STDOUT, text);

        ck_assert_msg(line != NULL, "devconnector never said %s", text);
        return parse_line(line);
}

void fixture_expect_held(struct fixture *fixture) {
        json_decref(fixture_await_connector(fixture, "\"held\""));
}

void fixture_release(struct fixture *fixture) {
        json_decref(fixture_admin(fixture, "/release", "{}"));
}

unsigned fixture_calls(struct fixture *fixture, const char *operation) {
        json_t *calls = fixture_admin(fixture, "/calls", NULL), *list, *call;
        unsigned n = 0;
        size_t i;

        list = json_is_array(calls) ? calls : json_object_get(calls, "calls");
        json_array_foreach(list, i, call) n += streq(member(call, "operation"), operation);
        json_decref(calls);
        return n;
}

void fleet_run_by(const struct fleet_options *options, const struct fixture *fixture, const char *defaults,
                  const char *more) {
        char *yaml = NULL;
        size_t size;
        FILE *out = text_stream_open(&yaml, &size);

        ck_assert_ptr_nonnull(out);
        fprintf(out,
                "state_directory: %s/state\n"
                "control: {socket: %s/control.sock}\n"
                "log: {format: json}\n"
                "connectors:\n"
                "  dev: {url: '%s', trust: %s}\n"
                "defaults: {jitter: 0%%, %s}\n"
                "%s"
                "certificates:\n",
                fixture->directory, fixture->directory, fixture->certificate_url, fixture->trust, defaults,
                more);
        fleet_configure(options, out, "dev", "");
        fclose(out);
        scratch_write(fixture->directory, "rekeyd.yaml", yaml, 0600);
        free(yaml);
}

struct fleet_options fleet_of(const struct fixture *fixture, const char *name, unsigned n, usec_t left_usec) {
        usec_t expiry = now_usec(CLOCK_REALTIME) + left_usec;

        return (struct fleet_options) {
                .directory = fixture->directory,
                .name = name,
                .n = n,
                .url = fixture->certificate_url,
                .not_before = expiry - 90 * USEC_PER_DAY,
                .not_after = expiry,
        };
}

static const char *may_not_trace(void) {
        if (test_is_instrumented())
                return test_is_instrumented();
        return system("strace -D -f -qq -o /dev/null true") != 0 ? "strace is missing or may not trace here"
                                                                 : NULL;
}

static void start_wrapped(struct fixture *fixture, const char *wrapper) {
        setenv("REKEYD_TEST_WRAPPER", wrapper, 1);
        fixture_start(fixture, NULL);
        unsetenv("REKEYD_TEST_WRAPPER");
}

const char *fixture_start_traced(struct fixture *fixture, const char *syscalls, const char *path) {
        _cleanup_(freep) char *wrapper = NULL;

        if (may_not_trace())
                return may_not_trace();
        ck_assert_int_gt(
                asprintf(&wrapper, "strace -D -f -qq -yy -o %s -e trace=%s -e signal=none", path, syscalls),
                0);
        start_wrapped(fixture, wrapper);
        return NULL;
}

const char *fixture_start_slow(struct fixture *fixture, const char *syscall, usec_t usec) {
        _cleanup_(freep) char *wrapper = NULL;

        if (may_not_trace())
                return may_not_trace();
        ck_assert_int_gt(
                asprintf(&wrapper,
                         "strace -D -f -qq -o /dev/null -e trace=%s -e inject=%s:delay_enter=%" PRIu64,
                         syscall, syscall, usec),
                0);
        start_wrapped(fixture, wrapper);
        return NULL;
}
