/*
 * The control API of the real daemon, under people who may not call it, or do so badly: how long a renewal
 * takes while a thousand of them are connected, who is refused, and that nothing secret comes out of it.
 */

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tests/support/fixture.h"
#include "tests/test.h"

#define N_SILENT   1000u
#define N_RENEWALS 15u
#define BODY_MIB   10u

/* Who may call everything, and who may read; both are on every Debian. */
#define GROUP      "daemon"
#define READ_GROUP "adm"

/* --- A client --- */

struct reply {
        long status;
        char *text;
        size_t size;
};

static void reply_clear(struct reply *reply) {
        free(reply->text);
}

static size_t take_text(char *data, size_t size, size_t n, void *userdata) {
        struct reply *reply = userdata;

        reply->text = realloc(reply->text, reply->size + n * size + 1);
        memcpy(reply->text + reply->size, data, n * size);
        reply->size += n * size;
        reply->text[reply->size] = '\0';
        return n * size;
}

static char *socket_path(const struct fixture *fixture) {
        return scratch_path(fixture->directory, "control.sock");
}

static int connect_silently(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        ck_assert_int_ge(fd, 0);
        snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        ck_assert_msg(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0, "%s", strerror(errno));
        return fd;
}

/* Asks the daemon of FIXTURE; BODY NULL: a GET. */
static struct reply ask(const struct fixture *fixture, const char *path, const char *body) {
        _cleanup_(freep) char *socket = socket_path(fixture), *url = NULL;
        struct reply reply = { .text = strdup("") };
        CURL *curl = curl_easy_init();
        CURLcode code;
        long reason;

        ck_assert_int_ge(asprintf(&url, "http://rekeyd%s", path), 0);
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket);
        curl_easy_setopt(curl, CURLOPT_URL, url);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_text);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, &reply);
        curl_easy_setopt(curl, CURLOPT_TIMEOUT, 30L);
        if (body)
                curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
        /* As rekeyctl: curl does not wait where others connect faster than rekeyd accepts. */
        while ((code = curl_easy_perform(curl)) == CURLE_COULDNT_CONNECT &&
               curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &reason) == CURLE_OK &&
               (reason == 0 || reason == EAGAIN))
                close(connect_silently(socket));
        ck_assert_msg(code == CURLE_OK, "%s: %s", path, curl_easy_strerror(code));
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply.status);
        curl_easy_cleanup(curl);
        return reply;
}

static long status_of(const struct fixture *fixture, const char *path, const char *body) {
        _cleanup_(reply_clear) struct reply reply = ask(fixture, path, body);

        return reply.status;
}

/* A stand whose rekeyd is enrolled and has a control socket. */
static struct fixture *begin_with(const char *const *options, const char *more) {
        struct fixture *fixture = fixture_new(options);
        _cleanup_(freep) char *control = NULL;

        fixture_configure(fixture, ORDERS);
        ck_assert_int_ge(asprintf(&control,
                                  "control: {socket: %s/control.sock, group: " GROUP
                                  ", read_group: " READ_GROUP "}\n%sdefaults:",
                                  fixture->directory, more),
                         0);
        fixture_edit(fixture, "defaults:", control);
        fixture_token(fixture, "client-1", "token");
        ck_assert_int_eq(chmod(fixture->directory, 0711), 0);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_ENROLLED);
        fixture_expect(fixture, MESSAGE_CURRENT);
        return fixture;
}

static struct fixture *begin(const char *more) {
        return begin_with(NULL, more);
}

/* --- Those who hold it up --- */

static usec_t renew_once(struct fixture *fixture) {
        usec_t begin = now_usec(CLOCK_MONOTONIC);

        ck_assert_int_eq(status_of(fixture, "/v1/certificates/orders/renew", "{\"force\":true}"), 202);
        fixture_expect(fixture, MESSAGE_RENEWED);
        begin = now_usec(CLOCK_MONOTONIC) - begin;
        fixture_expect(fixture, MESSAGE_CURRENT);
        return begin;
}

static int compare_usec(const void *a, const void *b) {
        usec_t x = *(const usec_t *)a, y = *(const usec_t *)b;

        return (x > y) - (x < y);
}

/* The median: how long a key takes is up to chance. */
static double renewals_ms(struct fixture *fixture) {
        usec_t spans[N_RENEWALS];

        for (size_t i = 0; i < N_RENEWALS; i++)
                spans[i] = renew_once(fixture);
        qsort(spans, N_RENEWALS, sizeof(*spans), compare_usec);
        return (double)spans[N_RENEWALS / 2] / USEC_PER_MSEC;
}

/* Says a byte of a good request each second, until it is told to go. */
static pid_t start_slow_client(const char *path, int *ret_end) {
        static const char request[] = "GET /v1/certificates HTTP/1.1\r\nHost: rekeyd\r\nX-Slow: ";
        int ends[2];
        pid_t pid;

        ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
        pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
                int fd = connect_silently(path);
                struct timeval second = { .tv_sec = 1 };
                fd_set set;

                signal(SIGPIPE, SIG_IGN);
                close(ends[1]);
                for (size_t i = 0;; i++) {
                        const char *byte = i < strlen(request) ? &request[i] : "x";

                        (void)!write(fd, byte, 1);
                        FD_ZERO(&set);
                        FD_SET(ends[0], &set);
                        second.tv_sec = 1;
                        if (select(ends[0] + 1, &set, NULL, NULL, &second) != 0)
                                _exit(0);
                }
        }
        close(ends[0]);
        *ret_end = ends[1];
        return pid;
}

START_TEST(a_thousand_silent_clients_delay_nobody) {
        _cleanup_(fixture_freep) struct fixture *fixture = begin("");
        _cleanup_(freep) char *path = socket_path(fixture);
        static int fds[N_SILENT];
        struct rlimit limit;
        double quiet, busy, after;
        usec_t begin;
        int end, status;
        pid_t slow;

        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        if (limit.rlim_cur < N_SILENT + 100) {
                limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
                ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        }
        quiet = renewals_ms(fixture);
        begin = now_usec(CLOCK_MONOTONIC);
        for (size_t i = 0; i < N_SILENT; i++)
                fds[i] = connect_silently(path);
        begin = now_usec(CLOCK_MONOTONIC) - begin;
        slow = start_slow_client(path, &end);
        busy = renewals_ms(fixture);
        close(end);
        ck_assert_int_eq(waitpid(slow, &status, 0), slow);
        for (size_t i = 0; i < N_SILENT; i++)
                close(fds[i]);
        after = renewals_ms(fixture); /* what else this machine does changes meanwhile */
        test_report("control: %u silent clients connected in %.0f ms; a renewal took %.0f ms before them, "
                    "%.0f ms "
                    "with them and one that says a byte a second, and %.0f ms after them (medians of %u)",
                    N_SILENT, (double)begin / USEC_PER_MSEC, quiet, busy, after, N_RENEWALS);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        if (!test_is_instrumented())
                ck_assert_msg(busy < 1.5 * (quiet > after ? quiet : after) + 50,
                              "silent clients delay renewals");
}
END_TEST

/* --- Those who may not --- */

/* Runs FUNCTION as a user in GROUPS only; its result is the number of its complaints. */
static int as_user(const char *group, int (*function)(const struct fixture *fixture),
                   const struct fixture *fixture) {
        const struct passwd *nobody = getpwnam("nobody");
        const struct group *entry = group ? getgrnam(group) : NULL;
        gid_t gid = entry ? entry->gr_gid : 0;
        int status;
        pid_t pid;

        ck_assert(nobody && (entry || !group));
        pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
                if (setgroups(group ? 1 : 0, &gid) < 0 || setgid(nobody->pw_gid) < 0 ||
                    setuid(nobody->pw_uid) < 0)
                        _exit(99);
                _exit(function(fixture));
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static int is_refused(const struct fixture *fixture) {
        _cleanup_(reply_clear) struct reply reply = ask(fixture, "/v1/certificates", NULL);

        return (reply.status != 403 || !strstr(reply.text, "control.group")) +
               (status_of(fixture, "/v1/certificates/orders/renew", "{}") != 403) +
               (status_of(fixture, "/metrics", NULL) != 403) +
               (status_of(fixture, "/v1/nothing", NULL) != 403);
}

static int may_read(const struct fixture *fixture) {
        static const char *const posts[] = { "renew", "enrol", "revoke", "rollback", "notify" };
        int n = status_of(fixture, "/v1/certificates/orders", NULL) != 200;
        char path[64];

        n += status_of(fixture, "/v1/certificates/orders/history", NULL) != 200;
        for (size_t i = 0; i < ELEMENTSOF(posts); i++) {
                snprintf(path, sizeof(path), "/v1/certificates/orders/%s", posts[i]);
                n += status_of(fixture, path, "{}") != 403;
        }
        return n + (status_of(fixture, "/v1/reload", "{}") != 403);
}

static int may_call(const struct fixture *fixture) {
        return (status_of(fixture, "/v1/certificates", NULL) != 200) +
               (status_of(fixture, "/v1/reload", "{}") != 202);
}

START_TEST(who_may_call) {
        if (geteuid() != 0) {
                test_skip("only root can be somebody else");
                return;
        }
        _cleanup_(fixture_freep) struct fixture *fixture = begin("");
        unsigned before = fixture_calls(fixture, "sign");

        ck_assert_int_eq(as_user(NULL, is_refused, fixture), 0);
        ck_assert_int_eq(as_user(READ_GROUP, may_read, fixture), 0);
        ck_assert_int_eq(as_user(GROUP, may_call, fixture), 0);
        ck_assert_uint_eq(fixture_calls(fixture, "sign"), before);
        test_report("control: nobody is refused everything, a member of the read group every POST, a member "
                    "of the group nothing");
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* Connects as nobody, over and over, with hundreds of connections at a time; a byte on FD tells of the first
 * hundreds. Until it is killed. */
static pid_t start_flood(const char *path, int fd) {
        const struct passwd *nobody = getpwnam("nobody");
        static int fds[400];
        pid_t pid = fork();

        ck_assert_int_ge(pid, 0);
        if (pid > 0)
                return pid;
        if (setgroups(0, NULL) < 0 || setgid(nobody->pw_gid) < 0 || setuid(nobody->pw_uid) < 0)
                _exit(99);
        for (size_t i = 0;; i++) {
                if (i >= ELEMENTSOF(fds))
                        close(fds[i % ELEMENTSOF(fds)]);
                fds[i % ELEMENTSOF(fds)] = connect_silently(path);
                if (i == ELEMENTSOF(fds) && write(fd, "x", 1) != 1)
                        _exit(99);
        }
}

START_TEST(those_who_may_not_keep_nobody_out) {
        static const char request[] = "GET /v1/version HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n";
        if (geteuid() != 0) {
                test_skip("only root can be somebody else");
                return;
        }
        _cleanup_(fixture_freep) struct fixture *fixture = begin("");
        _cleanup_(freep) char *path = socket_path(fixture);
        char reply[64] = "";
        int fd, ready[2], status;
        pid_t flood;

        ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
        fd = connect_silently(path);
        ck_assert_int_eq(status_of(fixture, "/v1/version", NULL), 200); /* FD was accepted before it */
        flood = start_flood(path, ready[1]);
        close(ready[1]);
        ck_assert_int_eq(read(ready[0], reply, 1), 1);
        /* Who was there before them is still there. */
        ck_assert_int_eq(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
        ck_assert_int_gt(recv(fd, reply, sizeof(reply) - 1, MSG_WAITALL), 0);
        ck_assert_msg(has_prefix(reply, "HTTP/1.1 200 "), "%s", reply);
        close(fd);

        for (unsigned i = 0; i < 100; i++)
                ck_assert_int_eq(status_of(fixture, "/v1/certificates", NULL), 200);
        ck_assert_int_eq(status_of(fixture, "/v1/certificates/orders/renew", "{\"force\":true}"), 202);
        ck_assert_int_eq(kill(flood, SIGKILL), 0);
        ck_assert_int_eq(waitpid(flood, &status, 0), flood);
        ck_assert(WIFSIGNALED(status));
        close(ready[0]);
        fixture_expect(fixture, MESSAGE_RENEWED);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

static void check_large(const struct fixture *fixture, const char *head) {
        _cleanup_(freep) char *path = socket_path(fixture), *block = calloc(1, 65536);
        int fd = connect_silently(path);
        char reply[2048];
        size_t sent = 0;
        ssize_t n;

        signal(SIGPIPE, SIG_IGN);
        ck_assert_int_eq(write(fd, head, strlen(head)), (ssize_t)strlen(head));
        while (sent < BODY_MIB * 1024 * 1024 && (n = send(fd, block, 65536, MSG_NOSIGNAL)) > 0)
                sent += (size_t)n;
        n = recv(fd, reply, sizeof(reply) - 1, 0);
        close(fd);
        ck_assert_msg(sent < BODY_MIB * 1024 * 1024 / 2, "%zu bytes were taken", sent);
        reply[n > 0 ? n : 0] = '\0';
        ck_assert_msg(n <= 0 || strstr(reply, " 413 ") || strstr(reply, " 400 ") || strstr(reply, " 411 "),
                      "%s", reply);
        test_report("control: of a request of %u MiB %zu KiB were taken from the client before it was "
                    "refused: %.*s",
                    BODY_MIB, sent / 1024, n > 0 ? (int)strcspn(reply, "\r") : 20,
                    n > 0 ? reply : "the connection ended");
}

START_TEST(ten_mebibytes_are_refused) {
        _cleanup_(fixture_freep) struct fixture *fixture = begin("");

        check_large(
                fixture,
                "POST /v1/certificates/orders/enrol HTTP/1.1\r\nHost: r\r\nContent-Length: 10485760\r\n\r\n");
        check_large(fixture, "POST /v1/certificates/orders/enrol HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: "
                             "chunked\r\n\r\nA00000\r\n");
        check_large(fixture, "GET /v1/certificates HTTP/1.1\r\nHost: r\r\nX-Long: ");
        ck_assert_int_eq(status_of(fixture, "/v1/version", NULL), 200);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* --- What is asked badly --- */

static unsigned count_events(const char *state_file, const char *event) {
        _cleanup_(freep) char *text = NULL;
        unsigned n = 0;

        ck_assert_int_ge(asprintf(&text, "\"event\":\"%s\"", event), 0);
        for (const char *p = state_file; (p = strstr(p, text)); p++)
                n++;
        return n;
}

/* One line each in the history, with who and why. The file is written soon, not at once. */
static void check_refused(struct fixture *fixture, unsigned n) {
        const usec_t deadline = now_usec(CLOCK_MONOTONIC) + patience_usec();

        for (;;) {
                _cleanup_(reply_clear) struct reply reply =
                        ask(fixture, "/v1/certificates/orders/history", NULL);

                ck_assert_msg(now_usec(CLOCK_MONOTONIC) < deadline, "%u refusals: %s", n, reply.text);
                if (count_events(reply.text, "refused") < n)
                        continue;
                ck_assert_uint_eq(count_events(reply.text, "refused"), n);
                ck_assert_uint_eq(count_events(reply.text, "requested"), 0);
                ck_assert_msg(strstr(reply.text, "notify requested by uid ") &&
                                      strstr(reply.text, "refused: orders has no dependents"),
                              "%s", reply.text);
                return;
        }
}

START_TEST(bad_requests_change_nothing) {
        static const struct {
                const char *path, *body;
                long status;
                const char *text;
        } rows[] = {
                { "/v1/certificates/orders/renew", "{", 400, "cannot be read" },
                { "/v1/certificates/orders/renew", "[]", 400, "cannot be read" },
                { "/v1/certificates/orders/renew", "{\"forse\":true}", 400, "'forse'" },
                { "/v1/certificates/orders/renew", "{\"force\":1}", 400, "'force'" },
                { "/v1/certificates/orders/renew", "{\"token\":\"x\"}", 400, "'token'" },
                { "/v1/certificates/orders/renew", "{\"within\":0}", 400, "'within'" },
                { "/v1/certificates/orders/renew", "{\"within\":2592001}", 400, "'within'" },
                { "/v1/certificates/orders/renew", "{\"within\":\"6h\"}", 400, "'within'" },
                { "/v1/certificates/orders/renew", "{\"within\":60,\"force\":true}", 400, "contradict" },
                { "/v1/certificates/orders/rollback", "{\"within\":60}", 400, "'within'" },
                { "/v1/cas", "{}", 405, "takes a GET" },
                { "/v1/connectors", "{}", 405, "takes a GET" },
                { "/v1/certificates/orders/adopt", "{}", 400, "PEM texts of both" },
                { "/v1/certificates/orders/adopt", "{\"key\":\"x\",\"certificate\":1}", 400,
                  "'certificate'" },
                { "/v1/certificates/orders/adopt",
                  "{\"key\":\"x\",\"certificate\":\"x\",\"url\":\"http://x\",\"force\":true}", 400,
                  "must be one of https" },
                { "/v1/certificates/orders/adopt", "{\"key\":\"x\",\"certificate\":\"x\"}", 409,
                  "force the adoption" },
                { "/v1/certificates/orders/export", "{}", 409, "no exports" },
                { "/v1/certificates/orders/enrol", "{}", 400, "one-time token" },
                { "/v1/certificates/orders/enrol", "{\"token\":\"a b\",\"force\":true}", 400,
                  "without blanks" },
                { "/v1/certificates/orders/enrol", "{\"token\":\"\",\"force\":true}", 400,
                  "no one-time token" },
                { "/v1/certificates/orders/enrol", "{\"token\":\"abc\"}", 409, "is valid until" },
                { "/v1/certificates/orders/rollback", "{\"generation\":-1}", 400, "'generation'" },
                { "/v1/certificates/orders/notify", "{}", 409, "no dependents" },
                { "/v1/certificates/order/renew", "{}", 404, "'order'" },
                { "/v1/certificates/orders/renew/now", "{}", 404, "rekeyd-api(7)" },
                { "/v1/certificates//renew", "{}", 404, "rekeyd-api(7)" },
                { "/v1/certificates/orders%2Frenew", "{}", 400, "no '/'" },
                { "/v1/certificates/orders", "{}", 405, "takes a GET" },
                { "/v1/certificates/orders/renew", NULL, 405, "takes a POST" },
                { "/v1/events?certificate=x", NULL, 404, "'x'" },
                { "/v1/../v1/version", NULL, 200, "version" }, /* curl tidies it up */
        };
        _cleanup_(fixture_freep) struct fixture *fixture = begin("");
        unsigned before = fixture_calls(fixture, "sign"), n_refused = 0;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(reply_clear) struct reply reply = ask(fixture, rows[i].path, rows[i].body);

                ck_assert_msg(reply.status == rows[i].status && strstr(reply.text, rows[i].text),
                              "%s %s: %ld %s", rows[i].path, rows[i].body ? rows[i].body : "", reply.status,
                              reply.text);
                n_refused += rows[i].status == 409;
        }
        check_refused(fixture, n_refused);
        ck_assert_uint_eq(fixture_calls(fixture, "sign"), before);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* --- What nobody may see --- */

/* Each line of the base64 in PEM, and TEXT as a whole, must not be in REPLY. */
static void check_absent(const char *reply, const char *secret, const char *path) {
        _cleanup_(freep) char *copy = strdup(secret);
        char *saved;
        unsigned n = 0;

        for (char *line = strtok_r(copy, "\n", &saved); line; line = strtok_r(NULL, "\n", &saved)) {
                if (has_prefix(line, "-----") || strlen(line) < 8)
                        continue;
                n++;
                ck_assert_msg(!strstr(reply, line), "%s has a secret in it: %s", path, reply);
        }
        ck_assert_uint_gt(n, 0);
}

START_TEST(nothing_secret_comes_out) {
        static const char *const paths[] = { "/v1/version",
                                             "/v1/certificates",
                                             "/v1/certificates/orders",
                                             "/v1/certificates/orders/history",
                                             "/metrics",
                                             "/readyz",
                                             "/healthz",
                                             "/v1/certificates/orders?secrets=1",
                                             "/v1/certificates/orders/tls.key",
                                             "/v1/certificates/..%2Forders%2Ftls.key" };
        static const char token_text[] = "no-such-token-but-secret-4711";
        _cleanup_(fixture_freep) struct fixture *fixture = begin("");
        _cleanup_(freep) char *key = scratch_read(fixture->directory, "orders/tls.key"), *staged = NULL;
        char body[128];

        /* A key that waits for its certificate, and a token that was refused. */
        fixture_fault(fixture, "{\"fault\":\"hold\",\"at\":\"sign\"}");
        ck_assert_int_eq(status_of(fixture, "/v1/certificates/orders/renew", "{\"force\":true}"), 202);
        fixture_expect_held(fixture);
        staged = scratch_read(fixture->directory, "orders/..stage-000002/tls.key");
        ck_assert_ptr_nonnull(staged);
        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                _cleanup_(reply_clear) struct reply reply = ask(fixture, paths[i], NULL);

                check_absent(reply.text, key, paths[i]);
                check_absent(reply.text, staged, paths[i]);
        }
        fixture_lift_faults(fixture);
        fixture_expect(fixture, MESSAGE_RENEWED);
        fixture_expect(fixture, MESSAGE_CURRENT);

        snprintf(body, sizeof(body), "{\"token\":\"%s\",\"force\":true}", token_text);
        ck_assert_int_eq(status_of(fixture, "/v1/certificates/orders/enrol", body), 202);
        fixture_expect(fixture, MESSAGE_FAILED);
        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                _cleanup_(reply_clear) struct reply reply = ask(fixture, paths[i], NULL);

                check_absent(reply.text, token_text, paths[i]);
        }
        ck_assert_int_eq(fixture_stop(fixture), 0);
        check_absent(process_output(fixture->rekeyd, PROCESS_STDERR), token_text, "the log");
        check_absent(process_output(fixture->rekeyd, PROCESS_STDERR), key, "the log");
}
END_TEST

/* --- Its end --- */

START_TEST(the_socket_goes_and_a_stale_one_is_replaced) {
        _cleanup_(fixture_freep) struct fixture *fixture = begin("");
        _cleanup_(freep) char *path = socket_path(fixture);

        ck_assert_int_eq(access(path, F_OK), 0);
        fixture_kill(fixture);
        ck_assert_int_eq(access(path, F_OK), 0);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_READY);
        ck_assert_int_eq(status_of(fixture, "/readyz", NULL), 200);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

START_TEST(a_reload_moves_the_sockets) {
        _cleanup_(fixture_freep) struct fixture *fixture = begin("");
        _cleanup_(freep) char *old = socket_path(fixture),
                              *new = scratch_path(fixture->directory, "new.sock"),
                              *open_to_all = scratch_path(fixture->directory, "all");

        fixture_edit(fixture, "control.sock", "new.sock");
        fixture_reload(fixture);
        ck_assert_int_eq(access(old, F_OK), -1);
        ck_assert_int_eq(access(new, F_OK), 0);

        /* Where the new one cannot be, the old one stays, and so does everything else. */
        ck_assert_int_eq(mkdir(open_to_all, 0700), 0);
        ck_assert_int_eq(chmod(open_to_all, 0777), 0);
        fixture_edit(fixture, "new.sock", "all/new.sock");
        process_signal(fixture->rekeyd, SIGHUP);
        fixture_expect_message(fixture, MESSAGE_NOT_RELOADED, "all/new.sock");
        ck_assert_int_eq(access(new, F_OK), 0);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* Whatever becomes of the name: it is there again, and who is connected stays so. */
START_TEST(a_socket_that_somebody_removes_is_made_again) {
        _cleanup_(fixture_freep) struct fixture *fixture = begin("");
        _cleanup_(freep) char *path = scratch_path(fixture->directory, "run/control.sock"),
                              *run = scratch_path(fixture->directory, "run"),
                              *moved = scratch_path(fixture->directory, "moved"),
                              *file = scratch_path(fixture->directory, "file");
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        static const char request[] = "GET /healthz HTTP/1.0\r\nHost: rekeyd\r\n\r\n";
        char buffer[512] = "";
        int fd;

        fixture_edit(fixture, "control.sock", "run/control.sock");
        fixture_reload(fixture);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        ck_assert_int_eq(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);

        ck_assert_int_eq(unlink(path), 0);
        fixture_expect_text(fixture, "run/control.sock: made again");
        ck_assert_int_eq(access(path, F_OK), 0);

        ck_assert_int_eq(rename(run, moved), 0);
        fixture_expect_text(fixture, "run/control.sock: made again");
        ck_assert_int_eq(access(path, F_OK), 0);

        /* Something else is there: it stays, until it goes. */
        scratch_write(fixture->directory, "file", "", 0644);
        ck_assert_int_eq(rename(file, path), 0);
        fixture_expect_text(fixture, "not made again: cannot listen at ");
        ck_assert_int_eq(unlink(path), 0);
        fixture_expect_text(fixture, "run/control.sock: made again");

        ck_assert_int_eq(write(fd, request, strlen(request)), (ssize_t)strlen(request));
        ck_assert_int_gt(read(fd, buffer, sizeof(buffer) - 1), 0);
        ck_assert_ptr_nonnull(strstr(buffer, "200 OK"));
        (void)close(fd);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

/* --- Those who come while it is at it --- */

START_TEST(a_force_counts_for_an_attempt_that_is_under_way) {
        _cleanup_(fixture_freep) struct fixture *fixture = begin_with(FIXTURE_LASTING(lifetime(60)), "");
        char fault[100];

        /* What is signed gains nothing. */
        snprintf(fault, sizeof(fault), "{\"fault\":\"short-lifetime\",\"at\":\"sign\",\"lifetime\":\"%s\"}",
                 lifetime(20));
        fixture_fault(fixture, fault);
        fixture_fault(fixture, "{\"fault\":\"hold\",\"at\":\"configuration\"}");
        fixture_edit(fixture, "jitter: 0%", "jitter: 0%, renew_before: 90%");
        fixture_reload(fixture);
        fixture_expect_held(fixture);
        ck_assert_int_eq(status_of(fixture, "/v1/certificates/orders/renew", "{\"force\":true}"), 202);
        fixture_release(fixture);
        fixture_expect_member(fixture, MESSAGE_RENEWED, "operation", "renew");
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* Whoever asks while the files are being read is neither turned away nor told of what was read before. */
START_TEST(reloads_that_meet_share_their_end) {
        enum { N_RELOADS = 8 };
        static const char request[] = "POST /v1/reload HTTP/1.1\r\nHost: r\r\nContent-Length: 0\r\n\r\n";
        _cleanup_(fixture_freep) struct fixture *fixture = begin("");
        _cleanup_(freep) char *path = socket_path(fixture);
        int fds[N_RELOADS];

        /* All of them are there when rekeyd looks. */
        process_signal(fixture->rekeyd, SIGSTOP);
        for (size_t i = 0; i < N_RELOADS; i++) {
                fds[i] = connect_silently(path);
                ck_assert_int_eq(write(fds[i], request, strlen(request)), (ssize_t)strlen(request));
        }
        process_signal(fixture->rekeyd, SIGHUP);
        process_signal(fixture->rekeyd, SIGCONT);
        for (size_t i = 0; i < N_RELOADS; i++) {
                char reply[1024];
                ssize_t n = recv(fds[i], reply, sizeof(reply) - 1, 0);

                reply[n > 0 ? n : 0] = '\0';
                ck_assert_msg(has_prefix(reply, "HTTP/1.1 202 "), "%s", reply);
                close(fds[i]);
        }
        fixture_expect_member(fixture, MESSAGE_RELOADED, "operation", "reload");
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("control");

        curl_global_init(CURL_GLOBAL_DEFAULT);
        TEST_CASE(suite, a_thousand_silent_clients_delay_nobody);
        TEST_CASE(suite, who_may_call);
        TEST_CASE(suite, those_who_may_not_keep_nobody_out);
        TEST_CASE(suite, ten_mebibytes_are_refused);
        TEST_CASE(suite, bad_requests_change_nothing);
        TEST_CASE(suite, nothing_secret_comes_out);
        TEST_CASE(suite, the_socket_goes_and_a_stale_one_is_replaced);
        TEST_CASE(suite, a_reload_moves_the_sockets);
        TEST_CASE(suite, a_socket_that_somebody_removes_is_made_again);
        TEST_CASE(suite, a_force_counts_for_an_attempt_that_is_under_way);
        TEST_CASE(suite, reloads_that_meet_share_their_end);
        return test_run(suite);
}
