/* The HTTP server against clients that are kind, slow, silent, hostile, or gone. Clients are sockets in the
 * same loop: whatever the server does shows at once at their end. */

#include "daemon/http-server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/test.h"

#define PATIENCE_USEC (20 * USEC_PER_SEC)
#define MIB           (1024 * 1024)

/* --- Server --- */

struct stand {
        sd_event *event;
        struct http_server *server;
        char directory[32], path[48];
        struct http_request *deferred; /* of /defer, the last one */
        struct http_stream *stream;    /* of /stream, the last one */
        const char *piece;             /* what the stream has next */
        ssize_t then;                  /* what it says after it */
        size_t n_left;                 /* of /large */
        unsigned n_handled, n_dropped, n_ended;
        unsigned long n_turns;
        usec_t longest_usec;
};

static void on_dropped(void *userdata) {
        ((struct stand *)userdata)->n_dropped++;
}

static void on_ended(void *userdata) {
        struct stand *stand = userdata;

        stand->n_ended++;
        stand->stream = NULL;
}

static ssize_t produce_piece(void *userdata, char *buffer, size_t max) {
        struct stand *stand = userdata;
        size_t n = stand->piece ? strlen(stand->piece) : 0;

        ck_assert_uint_ge(max, 512);
        if (n == 0)
                return stand->then;
        memcpy(buffer, stand->piece, n);
        stand->piece = NULL;
        return (ssize_t)n;
}

static ssize_t produce_large(void *userdata, char *buffer, size_t max) {
        struct stand *stand = userdata;

        if (stand->n_left == 0)
                return HTTP_STREAM_END;
        if (max > stand->n_left)
                max = stand->n_left;
        memset(buffer, 'x', max);
        stand->n_left -= max;
        return (ssize_t)max;
}

static void reply_stream(struct stand *stand, struct http_request *request,
                         ssize_t (*produce)(void *userdata, char *buffer, size_t max), bool is_endless) {
        stand->stream = http_reply_stream(request, 200, "text/plain",
                                          &(struct http_stream_options) {
                                                  .produce = produce,
                                                  .ended = on_ended,
                                                  .userdata = stand,
                                                  .is_endless = is_endless,
                                          });
}

static void on_request(struct http_request *request, void *userdata) {
        struct stand *stand = userdata;
        const char *path = http_path(request), *q = http_query(request, "q");
        char text[16 * 1024], *large;
        size_t size;
        int n;

        stand->n_handled++;
        if (streq(path, "/defer")) {
                stand->deferred = request;
                http_defer(request, on_dropped, stand);
        } else if (streq(path, "/stream"))
                reply_stream(stand, request, produce_piece, true);
        else if (streq(path, "/limited"))
                reply_stream(stand, request, produce_piece, false);
        else if (streq(path, "/large"))
                reply_stream(stand, request, produce_large, true);
        else if (streq(path, "/whole")) {
                large = malloc(MIB);
                ck_assert_ptr_nonnull(large);
                memset(large, 'x', MIB);
                http_reply(request, 200, "text/plain", large, MIB, NULL);
                free(large);
        } else if (streq(path, "/error"))
                http_reply_error(request, 429, "Retry-After: 7", "a \"quote\", a \\, a\nline and a \xff: %d",
                                 1);
        else if (streq(path, "/quiet"))
                http_reply(request, 200, "text/plain", "", 0, NULL);
        else {
                const char *body = http_body(request, &size);

                n = snprintf(text, sizeof(text), "%s %s q=%s body=%.*s access=%d peer=%s",
                             http_method(request), path, q ? q : "(none)", (int)size, body,
                             (int)http_access(request), http_peer(request));
                http_reply(request, 200, "text/plain", text, (size_t)n, "X-Extra: yes");
        }
}

static enum http_access full_access(_unused_ int fd, _unused_ void *userdata) {
        return HTTP_ACCESS_FULL;
}

static struct stand *stand_new(unsigned connections_max, usec_t request_usec, usec_t answer_usec) {
        struct stand *stand = calloc(1, sizeof(*stand));
        struct http_server_options options = {
                .access = full_access,
                .handle = on_request,
                .userdata = stand,
                .connections_max = connections_max,
                .head_max = 8 * 1024,
                .body_max = 64 * 1024,
                .request_usec = request_usec,
                .answer_usec = answer_usec,
        };

        ck_assert_ptr_nonnull(stand);
        strcpy(stand->directory, "/tmp/test-http-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(stand->directory));
        snprintf(stand->path, sizeof(stand->path), "%s/socket", stand->directory);
        options.fd = http_listen_unix(stand->path, NULL);
        ck_assert_int_ge(options.fd, 0);
        ck_assert_int_ge(sd_event_new(&stand->event), 0);
        ck_assert_int_eq(http_server_new(stand->event, &options, &stand->server), 0);
        return stand;
}

static struct stand *stand_plain(void) {
        return stand_new(256, PATIENCE_USEC, PATIENCE_USEC);
}

static void stand_free(struct stand *stand) {
        if (!stand)
                return;
        http_server_free(stand->server);
        sd_event_unref(stand->event);
        unlink(stand->path);
        rmdir(stand->directory);
        free(stand);
}

static void stand_freep(struct stand **stand) {
        stand_free(*stand);
}

/* One turn of the loop; false where nothing happens. */
static bool turn(struct stand *stand, usec_t wait_usec) {
        usec_t begin;
        int r = sd_event_prepare(stand->event);

        ck_assert_int_ge(r, 0);
        if (r == 0)
                r = sd_event_wait(stand->event, wait_usec);
        ck_assert_int_ge(r, 0);
        if (r == 0)
                return false;
        begin = now_usec(CLOCK_MONOTONIC);
        ck_assert_int_ge(sd_event_dispatch(stand->event), 0);
        begin = now_usec(CLOCK_MONOTONIC) - begin;
        if (begin > stand->longest_usec)
                stand->longest_usec = begin;
        stand->n_turns++;
        return true;
}

static void settle(struct stand *stand) {
        while (turn(stand, 0))
                ;
}

/* --- Clients --- */

struct client {
        int fd;
        char *reply;
        size_t n_reply;
        bool is_over;
};

static struct client client_new(const struct stand *stand) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct client client = { .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) };

        ck_assert_int_ge(client.fd, 0);
        strcpy(address.sun_path, stand->path);
        ck_assert_int_eq(connect(client.fd, (struct sockaddr *)&address, sizeof(address)), 0);
        return client;
}

static void client_clear(struct client *client) {
        client->fd = fd_close(client->fd);
        free(take_ptr(client->reply));
        *client = (struct client) { .fd = -1 };
}

static void client_send_bytes(struct client *client, const char *data, size_t size) {
        ck_assert_int_eq(send(client->fd, data, size, MSG_NOSIGNAL), (ssize_t)size);
}

static void client_send(struct client *client, const char *text) {
        client_send_bytes(client, text, strlen(text));
}

static void client_read(struct client *client) {
        char buffer[64 * 1024];
        ssize_t n;

        while (!client->is_over) {
                n = recv(client->fd, buffer, sizeof(buffer), 0);
                if (n < 0 && errno == EAGAIN)
                        return;
                if (n <= 0) { /* ECONNRESET: the server did not read all that was sent */
                        client->is_over = true;
                        return;
                }
                client->reply = realloc(client->reply, client->n_reply + (size_t)n + 1);
                ck_assert_ptr_nonnull(client->reply);
                memcpy(client->reply + client->n_reply, buffer, (size_t)n);
                client->n_reply += (size_t)n;
                client->reply[client->n_reply] = '\0';
        }
}

static const char *client_text(const struct client *client) {
        return client->reply ? client->reply : "";
}

static void client_await_end(struct stand *stand, struct client *client) {
        for (client_read(client); !client->is_over; client_read(client))
                ck_assert(turn(stand, PATIENCE_USEC));
}

static void client_await(struct stand *stand, struct client *client, const char *text) {
        for (client_read(client); !strstr(client_text(client), text); client_read(client)) {
                ck_assert_msg(!client->is_over, "no '%s' in '%s'", text, client_text(client));
                ck_assert(turn(stand, PATIENCE_USEC));
        }
}

static void await_handled(struct stand *stand, unsigned n) {
        while (stand->n_handled < n)
                ck_assert(turn(stand, PATIENCE_USEC));
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

/* --- Tests --- */

#define BYTES(text) (text), sizeof(text) - 1

static const struct {
        const char *request;
        size_t size;
        const char *answer;
} good[] = {
        { BYTES(GET("/")), "GET / q=(none) body= access=2 peer=uid " },
        { BYTES(GET("/a/b?q=1&x&y=&q=2")), "GET /a/b q=1 " },
        { BYTES(GET("/a?x=1&q")), "GET /a q= " },
        { BYTES(GET("/a%20b%C3%A9?q=%2f+%26%3D%3f")), "GET /a b\xc3\xa9 q=/ &=? " },
        { BYTES(GET("/v1/../%2e%2E/etc")), "GET /v1/../../etc " },
        { BYTES(GET("/a?q=a=b=c?d")), "q=a=b=c?d " },
        { BYTES("GET /a HTTP/1.0\r\n\r\n"), "GET /a " },
        { BYTES("PURGE /a HTTP/1.1\r\nHost:\r\n\r\n"), "PURGE /a " },
        { BYTES("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"), "body=hello " },
        { BYTES("POST /a HTTP/1.1\r\ncontent-length: \t 5\r\n\r\nhelloGET /b HTTP/1.1\r\n\r\n"),
          "body=hello " },
        { BYTES("POST /a HTTP/1.1\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n"), "body= " },
        { BYTES("POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\na\0b"), "body=a" },
        { BYTES("GET /a HTTP/1.1\r\nCookie: a=b; c=d\r\nX: \x80\xff\r\n\r\n"), "GET /a " },
        { BYTES(GET("/one") GET("/two")), "GET /one " },
};

START_TEST(requests_are_understood) {
        _cleanup_(stand_freep) struct stand *stand = stand_plain();
        _cleanup_(client_clear) struct client client = client_new(stand);

        client_send_bytes(&client, good[_i].request, good[_i].size);
        client_await_end(stand, &client);
        ck_assert_msg(strstr(client_text(&client), " 200 OK\r\n"), "%s", client_text(&client));
        ck_assert_msg(strstr(client_text(&client), good[_i].answer), "%s", client_text(&client));
        ck_assert_ptr_nonnull(strstr(client_text(&client), "Connection: close\r\n"));
        ck_assert_ptr_nonnull(strstr(client_text(&client), "X-Extra: yes\r\n"));
        ck_assert_ptr_null(strstr(client_text(&client), "/two"));
        ck_assert_uint_eq(stand->n_handled, 1);
        settle(stand);
        ck_assert_uint_eq(http_server_connections(stand->server), 0);
}
END_TEST

static const struct {
        unsigned status;
        const char *request;
        size_t size;
} bad[] = {
        { 400, BYTES("\r\n\r\n") },
        { 400, BYTES("\0\0\0\0\r\n\r\n") },
        { 400, BYTES("garbage\r\n\r\n") },
        { 400, BYTES("GET /\r\n\r\n") },
        { 400, BYTES("GET  / HTTP/1.1\r\n\r\n") },
        { 400, BYTES("GET / a HTTP/1.1\r\n\r\n") },
        { 400, BYTES("GET / HTTP/2.0\r\n\r\n") },
        { 400, BYTES("GET / HTTP/1.1 \r\n\r\n") },
        { 400, BYTES("G@T / HTTP/1.1\r\n\r\n") },
        { 400, BYTES("GET http://x/ HTTP/1.1\r\n\r\n") },
        { 400, BYTES("OPTIONS * HTTP/1.1\r\n\r\n") },
        { 400, BYTES("GET / HTTP/1.1\n\n") },
        { 400, BYTES("GET / HTTP/1.1\r\nA: b\n\r\n") },
        { 400, BYTES("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n") },
        { 400, BYTES("GET / HTTP/1.1\r\nA: b\0c\r\n\r\n") },
        { 400, BYTES("GET /\0a HTTP/1.1\r\n\r\n") },
        { 400, BYTES(GET("/%00")) },
        { 400, BYTES(GET("/a%0ab")) },
        { 400, BYTES(GET("/a%7f")) },
        { 400, BYTES(GET("/a%2fb")) },
        { 400, BYTES(GET("/%")) },
        { 400, BYTES(GET("/%4")) },
        { 400, BYTES(GET("/%zz")) },
        { 400, BYTES(GET("/%ff")) },
        { 400, BYTES(GET("/%ed%a0%80")) },
        { 400, BYTES(GET("/%c0%af")) },
        { 400, BYTES(GET("/\xc3")) },
        { 400, BYTES(GET("/?q=%00")) },
        { 400, BYTES(GET("/?%zz=1")) },
        { 400, BYTES(GET("/?q=%f0%80%80%80")) },
        { 400, BYTES("GET / HTTP/1.1\r\nno colon\r\n\r\n") },
        { 400, BYTES("GET / HTTP/1.1\r\n: x\r\n\r\n") },
        { 400, BYTES("GET / HTTP/1.1\r\nA : x\r\n\r\n") },
        { 400, BYTES("GET / HTTP/1.1\r\nA: x\r\n folded\r\n\r\n") },
        { 400, BYTES("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na") },
        { 400, BYTES("POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\na") },
        { 400, BYTES("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\na") },
        { 400, BYTES("POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\na") },
        { 400, BYTES("POST / HTTP/1.1\r\nContent-Length: 0x1\r\n\r\na") },
        { 400, BYTES("POST / HTTP/1.1\r\nContent-Length:\r\n\r\na") },
        { 400, BYTES("POST / HTTP/1.1\r\nContent-Length: 1 \r\n\r\na") },
        { 411, BYTES("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n") },
        { 411, BYTES("POST / HTTP/1.1\r\nContent-Length: 1\r\ntransfer-encoding: gzip\r\n\r\na") },
        { 413, BYTES("POST / HTTP/1.1\r\nContent-Length: 65537\r\n\r\na") },
        { 413, BYTES("POST / HTTP/1.1\r\nContent-Length: 18446744073709551617\r\n\r\na") },
        { 413, BYTES("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999999\r\n\r\na") },
};

START_TEST(nonsense_is_refused_in_json) {
        _cleanup_(stand_freep) struct stand *stand = stand_plain();
        _cleanup_(client_clear) struct client client = client_new(stand);
        char status[32];

        snprintf(status, sizeof(status), "HTTP/1.1 %u ", bad[_i].status);
        client_send_bytes(&client, bad[_i].request, bad[_i].size);
        client_await_end(stand, &client);
        ck_assert_msg(strstr(client_text(&client), status) == client_text(&client), "%s",
                      client_text(&client));
        ck_assert_ptr_nonnull(strstr(client_text(&client), "\r\nContent-Type: application/json\r\n"));
        ck_assert_ptr_nonnull(strstr(client_text(&client), "\r\n\r\n{\"error\": \""));
        ck_assert_uint_eq(stand->n_handled, 0);
        ck_assert_uint_eq(http_server_connections(stand->server), 0);
}
END_TEST

START_TEST(what_is_counted_has_a_limit) {
        static const struct {
                const char *begin, *unit, *end;
                unsigned n_allowed;
        } cases[] = {
                { "GET / HTTP/1.1\r\n", "A: b\r\n", "\r\n", 64 },
                { "GET /?", "q=1&", " HTTP/1.1\r\n\r\n", 32 },
                { "GET / HTTP/1.1\r\nCookie: a=b", ";a=b", "\r\n\r\n", 63 },
                { "GET /?q=", "aaaaaaaaaaaaaaaa", " HTTP/1.1\r\nA: 56789\r\n\r\n", 510 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (unsigned n = cases[i].n_allowed; n <= cases[i].n_allowed + 2; n += 2) {
                        _cleanup_(stand_freep) struct stand *stand = stand_plain();
                        _cleanup_(client_clear) struct client client = client_new(stand);
                        char text[16 * 1024], *p = stpcpy(text, cases[i].begin);

                        for (unsigned k = 0; k < n; k++)
                                p = stpcpy(p, cases[i].unit);
                        stpcpy(p, cases[i].end);
                        client_send(&client, text);
                        client_await_end(stand, &client);
                        ck_assert_msg(strstr(client_text(&client),
                                             n == cases[i].n_allowed ? "HTTP/1.1 200" : "HTTP/1.1 413"),
                                      "case %zu, %u: %.200s", i, n, client_text(&client));
                }
}
END_TEST

START_TEST(a_head_may_come_in_pieces) {
        _cleanup_(stand_freep) struct stand *stand = stand_plain();
        _cleanup_(client_clear) struct client client = client_new(stand);
        static const char request[] = "POST /a?q=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";

        for (size_t i = 0; i < sizeof(request) - 1; i++) {
                client_send_bytes(&client, request + i, 1);
                settle(stand);
        }
        client_await_end(stand, &client);
        ck_assert_ptr_nonnull(strstr(client_text(&client), "POST /a q=1 body=hello "));
}
END_TEST

START_TEST(an_error_is_json_whatever_it_says) {
        _cleanup_(stand_freep) struct stand *stand = stand_plain();
        _cleanup_(client_clear) struct client client = client_new(stand);

        client_send(&client, GET("/error"));
        client_await_end(stand, &client);
        ck_assert_ptr_nonnull(strstr(client_text(&client), "HTTP/1.1 429 "));
        ck_assert_ptr_nonnull(strstr(client_text(&client), "\r\nRetry-After: 7\r\n"));
        ck_assert_ptr_nonnull(strstr(client_text(&client),
                                     "\r\n\r\n{\"error\": \"a \\\"quote\\\", a \\\\, a\\u000aline and a "
                                     "\\ufffd: 1\"}\n"));
}
END_TEST

START_TEST(a_large_body_is_refused_unread) {
        _cleanup_(stand_freep) struct stand *stand = stand_plain();
        _cleanup_(client_clear) struct client client = client_new(stand);
        static const char zeros[64 * 1024];
        size_t n_sent = 0;

        client_send(&client, "POST /a HTTP/1.1\r\nContent-Length: 10485760\r\n\r\n");
        while (n_sent < 10 * MIB) {
                ssize_t n = send(client.fd, zeros, sizeof(zeros), MSG_NOSIGNAL);

                if (n > 0)
                        n_sent += (size_t)n;
                else if (errno != EAGAIN)
                        break;
                else
                        ck_assert(turn(stand, PATIENCE_USEC));
        }
        client_await_end(stand, &client);
        ck_assert_ptr_nonnull(strstr(client_text(&client), "HTTP/1.1 413 "));
        ck_assert_ptr_nonnull(strstr(client_text(&client), "too large: 65536 bytes are taken at most"));
        ck_assert_uint_lt(n_sent, MIB);
        test_report("http: a body of 10 MiB was refused after %zu KiB were written", n_sent / 1024);

        _cleanup_(client_clear) struct client fits = client_new(stand);
        client_send(&fits, "POST /quiet HTTP/1.1\r\nContent-Length: 65536\r\n\r\n");
        client_send_bytes(&fits, zeros, sizeof(zeros));
        client_await_end(stand, &fits);
        ck_assert_ptr_nonnull(strstr(client_text(&fits), "HTTP/1.1 200 "));
}
END_TEST

START_TEST(silent_clients_do_not_matter) {
        enum { N = 1000 };
        struct rlimit limit;
        struct client *silent = calloc(N, sizeof(*silent));
        usec_t begin, worst = 0, sum = 0;

        ck_assert_ptr_nonnull(silent);
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        if (limit.rlim_max < 3 * N) {
                test_skip("silent_clients_do_not_matter: too few descriptors");
                free(silent);
                return;
        }
        limit.rlim_cur = 3 * N;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);

        for (unsigned connections_max = 256; connections_max <= 2000; connections_max += 1744) {
                _cleanup_(stand_freep) struct stand *stand =
                        stand_new(connections_max, PATIENCE_USEC, PATIENCE_USEC);
                _cleanup_(client_clear) struct client slow = { .fd = -1 };

                for (size_t i = 0; i < N; i++) {
                        silent[i] = client_new(stand);
                        settle(stand);
                }
                slow = client_new(stand);
                for (unsigned i = 0; i < 100; i++) {
                        _cleanup_(client_clear) struct client client = client_new(stand);

                        client_send_bytes(&slow,
                                          &"GET /slow HTTP/1.1\r\nA: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
                                           "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"[i],
                                          1);
                        begin = now_usec(CLOCK_MONOTONIC);
                        client_send(&client, GET("/"));
                        client_await_end(stand, &client);
                        begin = now_usec(CLOCK_MONOTONIC) - begin;
                        ck_assert_ptr_nonnull(strstr(client_text(&client), "HTTP/1.1 200 "));
                        sum += begin;
                        if (begin > worst)
                                worst = begin;
                }
                ck_assert_uint_eq(http_server_connections(stand->server),
                                  connections_max < N ? connections_max - 1 : N + 1);
                test_report(
                        "http: %d silent clients, at most %u connections: answered in %.2f ms, worst %.2f ms",
                        N, connections_max, (double)sum / 100 / USEC_PER_MSEC, (double)worst / USEC_PER_MSEC);
                ck_assert_uint_lt(worst, USEC_PER_SEC);
                worst = sum = 0;
                for (size_t i = 0; i < N; i++)
                        client_clear(&silent[i]);
                while (http_server_connections(stand->server) > 1)
                        ck_assert(turn(stand, PATIENCE_USEC));
        }
        free(silent);
}
END_TEST

START_TEST(the_longest_silent_goes) {
        _cleanup_(stand_freep) struct stand *stand = stand_new(3, PATIENCE_USEC, PATIENCE_USEC);
        struct client clients[6];

        for (size_t i = 0; i < 3; i++) {
                clients[i] = client_new(stand);
                settle(stand);
        }
        client_send(&clients[0], "GET /");
        settle(stand);
        clients[3] = client_new(stand); /* 1 is now the longest silent, then 2, 0, 3 */
        settle(stand);
        client_read(&clients[1]);
        ck_assert(clients[1].is_over);

        /* Who waits for an answer stays, as long as another has not even asked. */
        client_send(&clients[2], GET("/defer"));
        await_handled(stand, 1);
        client_send(&clients[3], "G");
        settle(stand);
        clients[4] = client_new(stand);
        settle(stand);
        client_read(&clients[0]);
        ck_assert(clients[0].is_over);
        clients[5] = client_new(stand);
        settle(stand);
        client_read(&clients[3]);
        ck_assert(clients[3].is_over);
        client_read(&clients[2]);
        ck_assert(!clients[2].is_over);
        ck_assert_uint_eq(http_server_connections(stand->server), 3);

        /* When all wait, the newest is let in all the same. */
        client_send(&clients[4], GET("/stream"));
        client_send(&clients[5], GET("/stream"));
        await_handled(stand, 3);
        settle(stand);
        client_clear(&clients[0]);
        clients[0] = client_new(stand);
        client_send(&clients[0], GET("/"));
        client_await_end(stand, &clients[0]);
        ck_assert_ptr_nonnull(strstr(client_text(&clients[0]), "HTTP/1.1 200 "));
        client_read(&clients[2]);
        ck_assert(clients[2].is_over);
        http_reply(stand->deferred, 200, "text/plain", "late", 4, NULL); /* valid although nobody hears it */
        settle(stand);
        for (size_t i = 0; i < 6; i++)
                client_clear(&clients[i]);
}
END_TEST

/* Sends a byte a turn, as long as anybody listens, and is cut off nevertheless. */
static int on_trickle(sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        struct client *client = userdata;

        if (send(client->fd, "a", 1, MSG_NOSIGNAL) == 1) {
                ck_assert_int_ge(sd_event_source_set_time_relative(source, 10 * USEC_PER_MSEC), 0);
                ck_assert_int_ge(sd_event_source_set_enabled(source, SD_EVENT_ONESHOT), 0);
        }
        return 0;
}

START_TEST(a_request_has_a_deadline) {
        static const char *const beginnings[] = { "", "GET /",
                                                  "POST / HTTP/1.1\r\nContent-Length: 60000\r\n\r\n" };

        for (size_t i = 0; i < ELEMENTSOF(beginnings); i++) {
                _cleanup_(stand_freep) struct stand *stand =
                        stand_new(256, 150 * USEC_PER_MSEC, PATIENCE_USEC);
                _cleanup_(client_clear) struct client client = client_new(stand);
                sd_event_source *source = NULL;
                usec_t begin = now_usec(CLOCK_MONOTONIC);

                client_send(&client, beginnings[i]);
                ck_assert_int_ge(sd_event_add_time_relative(stand->event, &source, CLOCK_MONOTONIC, 0,
                                                            USEC_PER_MSEC, on_trickle, &client),
                                 0);
                client_await_end(stand, &client);
                ck_assert_uint_ge(now_usec(CLOCK_MONOTONIC) - begin, 140 * USEC_PER_MSEC);
                ck_assert_uint_lt(now_usec(CLOCK_MONOTONIC) - begin, 2 * USEC_PER_SEC);
                ck_assert_msg(strstr(client_text(&client), "HTTP/1.1 408 "), "%s", client_text(&client));
                ck_assert_uint_eq(stand->n_handled, 0);
                sd_event_source_disable_unref(source);
        }
}
END_TEST

START_TEST(an_answer_has_a_deadline) {
        static const char *const requests[] = { GET("/whole"), GET("/limited") };

        for (size_t i = 0; i < ELEMENTSOF(requests); i++) {
                _cleanup_(stand_freep) struct stand *stand =
                        stand_new(256, PATIENCE_USEC, 150 * USEC_PER_MSEC);
                _cleanup_(client_clear) struct client client = client_new(stand);
                usec_t begin = now_usec(CLOCK_MONOTONIC);

                client_send(&client, requests[i]);
                await_handled(stand, 1);
                while (http_server_connections(stand->server) > 0)
                        ck_assert(turn(stand, PATIENCE_USEC));
                ck_assert_uint_ge(now_usec(CLOCK_MONOTONIC) - begin, 140 * USEC_PER_MSEC);
                settle(stand);
                ck_assert_uint_eq(stand->n_ended, i);
                client_read(&client);
                ck_assert(client.is_over);
                ck_assert_uint_lt(client.n_reply, MIB);
        }
}
END_TEST

START_TEST(a_reply_may_come_later) {
        _cleanup_(stand_freep) struct stand *stand = stand_new(256, 100 * USEC_PER_MSEC, 100 * USEC_PER_MSEC);
        _cleanup_(client_clear) struct client client = client_new(stand);

        client_send(&client, "POST /defer?q=1 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello");
        ck_assert_int_eq(shutdown(client.fd, SHUT_WR), 0); /* has no more to say, and waits */
        await_handled(stand, 1);
        settle(stand);
        ck_assert(!turn(stand, 300 * USEC_PER_MSEC)); /* no deadline, and no wake-up */
        client_read(&client);
        ck_assert(!client.is_over);
        ck_assert_str_eq(http_query(stand->deferred, "q"), "1");
        http_reply_error(stand->deferred, 409, NULL, "busy");
        client_await_end(stand, &client);
        ck_assert_ptr_nonnull(strstr(client_text(&client), "HTTP/1.1 409 Conflict"));
        ck_assert_uint_eq(stand->n_dropped, 0);
}
END_TEST

START_TEST(a_client_may_vanish_before_its_reply) {
        _cleanup_(stand_freep) struct stand *stand = stand_plain();
        size_t size;

        for (unsigned i = 0; i < 3; i++) {
                _cleanup_(client_clear) struct client client = client_new(stand);

                client_send(&client, "POST /defer?q=1 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello");
                await_handled(stand, i + 1);
                client_clear(&client);
                if (i > 0) /* otherwise nobody has noticed */
                        while (http_server_connections(stand->server) > 0)
                                ck_assert(turn(stand, PATIENCE_USEC));
                ck_assert_str_eq(http_path(stand->deferred), "/defer");
                ck_assert_str_eq(http_body(stand->deferred, &size), "hello");
                if (i < 2)
                        http_reply(stand->deferred, 200, "text/plain", "late", 4, NULL);
                else {
                        reply_stream(stand, stand->deferred, produce_piece, true);
                        ck_assert_ptr_null(stand->stream);
                        ck_assert_uint_eq(stand->n_ended, 1);
                }
                settle(stand);
                ck_assert_uint_eq(http_server_connections(stand->server), 0);
        }
        ck_assert_uint_eq(stand->n_dropped, 0);
}
END_TEST

START_TEST(a_stream_sleeps_until_it_is_woken) {
        _cleanup_(stand_freep) struct stand *stand = stand_new(256, 100 * USEC_PER_MSEC, 100 * USEC_PER_MSEC);
        _cleanup_(client_clear) struct client client = client_new(stand);
        char text[32];

        client_send(&client, GET("/stream"));
        client_await(stand, &client, "\r\n\r\n");
        for (unsigned i = 0; i < 20; i++) {
                settle(stand);
                ck_assert(!turn(stand, i == 0 ? 300 * USEC_PER_MSEC : 0)); /* endless, and idle */
                snprintf(text, sizeof(text), "piece %u.", i);
                stand->piece = text;
                http_stream_wake(stand->stream);
                http_stream_wake(stand->stream);
                client_await(stand, &client, text);
        }
        ck_assert_uint_eq(stand->n_ended, 0);
        stand->then = HTTP_STREAM_END;
        http_stream_wake(stand->stream);
        client_await_end(stand, &client);
        ck_assert_ptr_nonnull(strstr(client_text(&client), "\r\n0\r\n"));
        settle(stand);
        ck_assert_uint_eq(stand->n_ended, 1);
}
END_TEST

START_TEST(an_aborted_stream_is_seen_as_such) {
        _cleanup_(stand_freep) struct stand *stand = stand_plain();
        _cleanup_(client_clear) struct client client = client_new(stand);

        stand->piece = "the first half";
        stand->then = HTTP_STREAM_ABORT;
        client_send(&client, GET("/stream"));
        client_await_end(stand, &client);
        ck_assert_ptr_nonnull(strstr(client_text(&client), "the first half"));
        ck_assert_ptr_nonnull(strstr(client_text(&client), "Transfer-Encoding: chunked"));
        ck_assert_ptr_null(strstr(client_text(&client), "\r\n0\r\n"));
        settle(stand);
        ck_assert_uint_eq(stand->n_ended, 1);
}
END_TEST

START_TEST(who_hangs_up_ends_a_stream) {
        _cleanup_(stand_freep) struct stand *stand = stand_plain();

        /* Asleep, and in the middle of what it does not read. */
        for (unsigned i = 0; i < 2; i++) {
                _cleanup_(client_clear) struct client client = client_new(stand);

                stand->n_left = 10 * MIB;
                client_send(&client, i == 0 ? GET("/stream") : GET("/large"));
                await_handled(stand, i + 1);
                settle(stand);
                ck_assert_uint_eq(stand->n_ended, i);
                client_clear(&client);
                while (stand->n_ended == i)
                        ck_assert(turn(stand, PATIENCE_USEC));
        }
}
END_TEST

START_TEST(a_large_stream_does_not_hold_the_loop) {
        _cleanup_(stand_freep) struct stand *stand = stand_plain();
        _cleanup_(client_clear) struct client client = client_new(stand);

        stand->n_left = 10 * MIB;
        client_send(&client, GET("/large"));
        client_await_end(stand, &client);
        ck_assert_uint_gt(client.n_reply, 10 * MIB);
        ck_assert_uint_gt(stand->n_turns, 10 * MIB / (16 * 1024));
        ck_assert_uint_lt(stand->longest_usec, 500 * USEC_PER_MSEC);
        test_report("http: a stream of 10 MiB in %lu turns, the longest %.2f ms", stand->n_turns,
                    (double)stand->longest_usec / USEC_PER_MSEC);
}
END_TEST

START_TEST(a_server_may_be_freed_in_the_middle) {
        static const char *const requests[] = {
                "",
                "GET /",
                "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhel",
                GET("/defer"),
                GET("/defer"),
                GET("/stream"),
                GET("/large"),
                GET("/whole"),
                GET("/limited"),
        };
        struct stand *stand = stand_plain();
        struct client clients[ELEMENTSOF(requests)];
        unsigned n_ended, n_dropped;

        stand->n_left = 10 * MIB;
        for (size_t i = 0; i < ELEMENTSOF(requests); i++) {
                clients[i] = client_new(stand);
                client_send(&clients[i], requests[i]);
        }
        await_handled(stand, 6);
        settle(stand);
        http_reply_error(stand->deferred, 409, NULL, "answered, and not on its way yet");
        http_stream_wake(stand->stream);
        stand->server = http_server_free(stand->server);
        n_ended = stand->n_ended;
        n_dropped = stand->n_dropped;
        ck_assert_uint_eq(n_ended, 3);
        ck_assert_uint_eq(n_dropped, 1);
        for (size_t i = 0; i < ELEMENTSOF(requests); i++) {
                client_read(&clients[i]);
                ck_assert(clients[i].is_over);
                client_clear(&clients[i]);
        }
        ck_assert_int_eq(sd_event_run(stand->event, 0), 0);
        ck_assert_ptr_null(http_server_free(NULL));
        stand_free(stand);
}
END_TEST

START_TEST(nothing_wakes_an_idle_server) {
        _cleanup_(stand_freep) struct stand *stand = stand_plain();
        struct client clients[10];
        unsigned long before;

        settle(stand);
        before = stand->n_turns;
        ck_assert(!turn(stand, 300 * USEC_PER_MSEC));
        for (size_t i = 0; i < 10; i++) {
                clients[i] = client_new(stand);
                client_send(&clients[i], i % 2 ? GET("/stream") : GET("/defer"));
        }
        await_handled(stand, 10);
        settle(stand);
        before = stand->n_turns;
        ck_assert(!turn(stand, 300 * USEC_PER_MSEC));
        ck_assert_uint_eq(stand->n_turns, before);
        for (size_t i = 0; i < 10; i++)
                client_clear(&clients[i]);
        while (http_server_connections(stand->server) > 0)
                ck_assert(turn(stand, PATIENCE_USEC));
        settle(stand);
        ck_assert(!turn(stand, 300 * USEC_PER_MSEC));
}
END_TEST

static int on_alarm(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        *(bool *)userdata = true;
        return 0;
}

START_TEST(without_descriptors_nothing_spins) {
        _cleanup_(stand_freep) struct stand *stand = stand_plain();
        struct client clients[20];
        struct rlimit limit, before;
        bool is_over = false;
        int next;

        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                clients[i] = client_new(stand); /* the kernel accepts them */
        ck_assert_int_ge(sd_event_add_time_relative(stand->event, NULL, CLOCK_MONOTONIC, 700 * USEC_PER_MSEC,
                                                    USEC_PER_MSEC, on_alarm, &is_over),
                         0);
        next = fcntl(clients[0].fd, F_DUPFD_CLOEXEC, 0);
        ck_assert_int_ge(next, 0);
        fd_close(next);
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
        limit = before;
        limit.rlim_cur = (rlim_t)next;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        while (!is_over)
                ck_assert(turn(stand, PATIENCE_USEC));
        ck_assert_uint_eq(http_server_connections(stand->server), 0);
        ck_assert_uint_ge(stand->n_turns, 4); /* it does try */
        ck_assert_uint_lt(stand->n_turns, 30);
        test_report("http: %lu turns in 0.7 s without descriptors", stand->n_turns);

        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
        client_send(&clients[19], GET("/"));
        client_await_end(stand, &clients[19]);
        ck_assert_ptr_nonnull(strstr(client_text(&clients[19]), "HTTP/1.1 200 "));
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                client_clear(&clients[i]);
}
END_TEST

START_TEST(curl_may_ask_before_it_sends) {
        _cleanup_(stand_freep) struct stand *stand = stand_plain();
        _cleanup_(client_clear) struct client client = client_new(stand);

        client_send(&client, "POST /a HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
        client_await(stand, &client, "HTTP/1.1 100 Continue\r\n\r\n");
        client_send(&client, "hello");
        client_await_end(stand, &client);
        ck_assert_ptr_nonnull(strstr(client_text(&client), "body=hello "));
}
END_TEST

START_TEST(streams_for_those_who_know_no_chunks) {
        static const struct {
                const char *request, *end;
        } cases[] = {
                { "GET /stream HTTP/1.0\r\n\r\n", "\r\n\r\nall of it" },
                { "HEAD /stream HTTP/1.1\r\n\r\n", "\r\n\r\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(stand_freep) struct stand *stand = stand_plain();
                _cleanup_(client_clear) struct client client = client_new(stand);

                stand->piece = "all of it";
                stand->then = HTTP_STREAM_END;
                client_send(&client, cases[i].request);
                client_await_end(stand, &client);
                ck_assert_msg(has_suffix(client_text(&client), cases[i].end), "%s", client_text(&client));
                settle(stand);
                ck_assert_uint_eq(stand->n_ended, 1);
        }
}
END_TEST

/* Whatever is sent, the server lives, and what it answers is its own: no page of libmicrohttpd's. */
START_TEST(mutated_requests) {
        _cleanup_(stand_freep) struct stand *stand =
                stand_new(256, 100 * USEC_PER_MSEC, PATIENCE_USEC); /* some never become whole */
        static const char pieces[] = "\r\n\r\n : \t%00%2f?&=;,\0GET HTTP/1.1Content-Length0123456789\xff\xc3";
        unsigned n_answered = 0, n_good = 0;
        usec_t begin;

        srand(4711);
        for (unsigned i = 0; i < 3000; i++) {
                _cleanup_(client_clear) struct client client = client_new(stand);
                size_t k = (size_t)rand() % ELEMENTSOF(good), size = good[k].size;
                char request[512];

                memcpy(request, good[k].request, size);
                for (int n = rand() % 4; n >= 0; n--) {
                        size_t at = (size_t)rand() % size, from = (size_t)rand() % (sizeof(pieces) - 4);

                        if (rand() % 2)
                                memcpy(request + at, pieces + from, at + 4 <= size ? 1 + from % 4 : 1);
                        else {
                                memmove(request + at + 2, request + at, size - at);
                                memcpy(request + at, pieces + from, 2);
                                size += 2;
                        }
                }
                client_send_bytes(&client, request, size);
                ck_assert_int_eq(shutdown(client.fd, SHUT_WR), 0);
                begin = now_usec(CLOCK_MONOTONIC);
                client_await_end(stand, &client);
                ck_assert_msg(now_usec(CLOCK_MONOTONIC) - begin < PATIENCE_USEC / 2, "stuck: %.*s", (int)size,
                              request);
                if (client.n_reply == 0)
                        continue;
                n_answered++;
                ck_assert(has_prefix(client_text(&client), "HTTP/1."));
                ck_assert_msg(!strstr(client_text(&client), "<html"), "%.*s: %s", (int)size, request,
                              client_text(&client));
                if (strstr(client_text(&client), " 200 OK"))
                        n_good++;
                else
                        ck_assert_ptr_nonnull(strstr(client_text(&client), "{\"error\": \""));
        }
        settle(stand);
        ck_assert_uint_eq(http_server_connections(stand->server), 0);
        ck_assert_uint_gt(n_good, 100);
        test_report("http: 3000 mutated requests: %u answered, %u of them as good ones", n_answered, n_good);
}
END_TEST

/* --- Tokens --- */

#define TOKEN_SIZE 64

/* Made on the spot, so that it is nowhere but in requests. */
static char token_byte(size_t i) {
        return (char)('A' + ((uint32_t)i * 2654435761u >> 11) % 26);
}

static void make_token(char token[TOKEN_SIZE]) {
        for (size_t i = 0; i < TOKEN_SIZE; i++)
                token[i] = token_byte(i);
}

/* How often the second half of the token, which allocators have no reason to overwrite, is in this process's
 * memory. Compared byte by byte: there is no copy to be found. */
static unsigned count_tokens(void) {
        FILE *maps = fopen("/proc/self/maps", "re");
        int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
        char line[512], rights[8];
        unsigned long from, to;
        unsigned n_found = 0;

        ck_assert_ptr_nonnull(maps);
        ck_assert_int_ge(memory, 0);
        while (fgets(line, sizeof(line), maps)) {
                char *data;
                ssize_t n;

                if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || rights[1] != 'w' ||
                    to - from > 64 * MIB)
                        continue;
                data = mmap(NULL, to - from, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                ck_assert_ptr_ne(data, MAP_FAILED);
                n = pread(memory, data, to - from, (off_t)from);
                for (ssize_t i = 0; i + TOKEN_SIZE / 2 <= n; i++) {
                        size_t k = TOKEN_SIZE / 2;

                        while (k < TOKEN_SIZE && data[i + (ssize_t)k - TOKEN_SIZE / 2] == token_byte(k))
                                k++;
                        n_found += k == TOKEN_SIZE;
                }
                munmap(data, to - from);
        }
        fd_close(memory);
        fclose(maps);
        return n_found;
}

START_TEST(a_token_leaves_no_trace) {
        _cleanup_(stand_freep) struct stand *stand = stand_plain();
        _cleanup_(client_clear) struct client client = { .fd = -1 };
        char message[256], token[TOKEN_SIZE];
        int n;

        if (test_is_instrumented()) {
                test_skip("a_token_leaves_no_trace: the memory of a checker keeps what was freed");
                return;
        }
        /* The first calls of functions save all registers on the stack, with what memcpy() left in them: so
         * all is rehearsed. Whole; in two pieces; with a client that vanishes in the middle; with one that
         * never gets an answer. */
        for (unsigned round = 0; round < 8; round++) {
                unsigned i = round % 4, n_handled = stand->n_handled;
                bool is_rehearsal = round < 4;

                client_clear(&client);
                client = client_new(stand);
                n = snprintf(message, sizeof(message), "POST %s HTTP/1.1\r\nContent-Length: %d\r\n\r\n",
                             i == 3 ? "/defer" : "/quiet", i == 2 ? 2 * TOKEN_SIZE : TOKEN_SIZE);
                memset(token, 'x', TOKEN_SIZE);
                if (!is_rehearsal)
                        make_token(token);
                memcpy(message + n, token, TOKEN_SIZE);
                if (i == 1) {
                        client_send_bytes(&client, message, (size_t)n + 10);
                        settle(stand);
                        client_send_bytes(&client, message + n + 10, TOKEN_SIZE - 10);
                } else
                        client_send_bytes(&client, message, (size_t)n + TOKEN_SIZE);
                explicit_bzero(message, sizeof(message));
                explicit_bzero(token, sizeof(token));
                if (i == 2)
                        settle(stand);
                else
                        await_handled(stand, n_handled + 1);
                if (i >= 2 && !is_rehearsal)
                        ck_assert_uint_eq(count_tokens(), 1); /* the search does find it */
                client_clear(&client);
                while (http_server_connections(stand->server) > 0)
                        ck_assert(turn(stand, PATIENCE_USEC));
                if (i == 3)
                        http_reply(stand->deferred, 200, "text/plain", "", 0, NULL);
                settle(stand);
                ck_assert_msg(count_tokens() == 0, "case %u: %u", i, count_tokens());
        }
}
END_TEST

/* --- Sockets --- */

START_TEST(a_tcp_peer_is_nobody) {
        _cleanup_(stand_freep) struct stand *stand = stand_plain();
        _cleanup_(http_server_freep) struct http_server *server = NULL;
        _cleanup_(client_clear) struct client client = { .fd = -1 };
        struct http_server_options options = {
                .fd = http_listen_tcp("127.0.0.1:0", NULL),
                .access = full_access,
                .handle = on_request,
                .userdata = stand,
                .connections_max = 8,
                .head_max = 1024,
                .body_max = 1024,
                .request_usec = PATIENCE_USEC,
                .answer_usec = PATIENCE_USEC,
        };
        struct sockaddr_in address;
        socklen_t size = sizeof(address);

        ck_assert_int_ge(options.fd, 0);
        ck_assert_int_eq(getsockname(options.fd, (struct sockaddr *)&address, &size), 0);
        ck_assert_int_eq(http_server_new(stand->event, &options, &server), 0);
        client.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_ge(client.fd, 0);
        ck_assert_int_eq(connect(client.fd, (struct sockaddr *)&address, size), 0);
        ck_assert_int_eq(fcntl(client.fd, F_SETFL, O_NONBLOCK), 0);
        client_send(&client, GET("/a"));
        client_await(stand, &client, "GET /a q=(none) body= access=2 peer=a TCP peer");
}
END_TEST

int main(void) {
        Suite *suite = suite_create("http-server");
        TCase *tables = tcase_create("tables");

        tcase_add_loop_test(tables, requests_are_understood, 0, ELEMENTSOF(good));
        tcase_add_loop_test(tables, nonsense_is_refused_in_json, 0, ELEMENTSOF(bad));
        suite_add_tcase(suite, tables);
        TEST_CASE(suite, what_is_counted_has_a_limit);
        TEST_CASE(suite, a_head_may_come_in_pieces);
        TEST_CASE(suite, an_error_is_json_whatever_it_says);
        TEST_CASE(suite, a_large_body_is_refused_unread);
        TEST_CASE(suite, silent_clients_do_not_matter);
        TEST_CASE(suite, the_longest_silent_goes);
        TEST_CASE(suite, a_request_has_a_deadline);
        TEST_CASE(suite, an_answer_has_a_deadline);
        TEST_CASE(suite, a_reply_may_come_later);
        TEST_CASE(suite, a_client_may_vanish_before_its_reply);
        TEST_CASE(suite, a_stream_sleeps_until_it_is_woken);
        TEST_CASE(suite, an_aborted_stream_is_seen_as_such);
        TEST_CASE(suite, who_hangs_up_ends_a_stream);
        TEST_CASE(suite, a_large_stream_does_not_hold_the_loop);
        TEST_CASE(suite, a_server_may_be_freed_in_the_middle);
        TEST_CASE(suite, nothing_wakes_an_idle_server);
        TEST_CASE(suite, without_descriptors_nothing_spins);
        TEST_CASE(suite, curl_may_ask_before_it_sends);
        TEST_CASE(suite, streams_for_those_who_know_no_chunks);
        TEST_CASE(suite, mutated_requests);
        TEST_CASE(suite, a_token_leaves_no_trace);
        TEST_CASE(suite, a_tcp_peer_is_nobody);
        return test_run(suite);
}
