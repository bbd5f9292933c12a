/* What may be asked, and how: requests that are good, wrong, mutated, too large, in pieces, and secret. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "tests/test.h"
#include "tests/unit/http/http-fixture.h"

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
        _cleanup_(http_fixture_freep) struct http_fixture *fixture = http_fixture_plain();
        _cleanup_(http_client_clear) struct http_client client = http_client_new(fixture);

        http_client_send_bytes(&client, good[_i].request, good[_i].size);
        http_client_await_end(fixture, &client);
        ck_assert_msg(strstr(http_client_text(&client), " 200 OK\r\n"), "%s", http_client_text(&client));
        ck_assert_msg(strstr(http_client_text(&client), good[_i].answer), "%s", http_client_text(&client));
        ck_assert_ptr_nonnull(strstr(http_client_text(&client), "Connection: close\r\n"));
        ck_assert_ptr_nonnull(strstr(http_client_text(&client), "X-Extra: yes\r\n"));
        ck_assert_ptr_null(strstr(http_client_text(&client), "/two"));
        ck_assert_uint_eq(fixture->n_handled, 1);
        http_fixture_settle(fixture);
        ck_assert_uint_eq(http_server_connections(fixture->server), 0);
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
        _cleanup_(http_fixture_freep) struct http_fixture *fixture = http_fixture_plain();
        _cleanup_(http_client_clear) struct http_client client = http_client_new(fixture);
        char status[32];

        snprintf(status, sizeof(status), "HTTP/1.1 %u ", bad[_i].status);
        http_client_send_bytes(&client, bad[_i].request, bad[_i].size);
        http_client_await_end(fixture, &client);
        ck_assert_msg(strstr(http_client_text(&client), status) == http_client_text(&client), "%s",
                      http_client_text(&client));
        ck_assert_ptr_nonnull(strstr(http_client_text(&client), "\r\nContent-Type: application/json\r\n"));
        ck_assert_ptr_nonnull(strstr(http_client_text(&client), "\r\n\r\n{\"error\": \""));
        ck_assert_uint_eq(fixture->n_handled, 0);
        ck_assert_uint_eq(http_server_connections(fixture->server), 0);
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
                        _cleanup_(http_fixture_freep) struct http_fixture *fixture = http_fixture_plain();
                        _cleanup_(http_client_clear) struct http_client client = http_client_new(fixture);
                        char text[16 * 1024], *p = stpcpy(text, cases[i].begin);

                        for (unsigned k = 0; k < n; k++)
                                p = stpcpy(p, cases[i].unit);
                        stpcpy(p, cases[i].end);
                        http_client_send(&client, text);
                        http_client_await_end(fixture, &client);
                        ck_assert_msg(strstr(http_client_text(&client),
                                             n == cases[i].n_allowed ? "HTTP/1.1 200" : "HTTP/1.1 413"),
                                      "case %zu, %u: %.200s", i, n, http_client_text(&client));
                }
}
END_TEST

START_TEST(a_head_may_come_in_pieces) {
        _cleanup_(http_fixture_freep) struct http_fixture *fixture = http_fixture_plain();
        _cleanup_(http_client_clear) struct http_client client = http_client_new(fixture);
        static const char request[] = "POST /a?q=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";

        for (size_t i = 0; i < sizeof(request) - 1; i++) {
                http_client_send_bytes(&client, request + i, 1);
                http_fixture_settle(fixture);
        }
        http_client_await_end(fixture, &client);
        ck_assert_ptr_nonnull(strstr(http_client_text(&client), "POST /a q=1 body=hello "));
}
END_TEST

START_TEST(an_error_is_json_whatever_it_says) {
        _cleanup_(http_fixture_freep) struct http_fixture *fixture = http_fixture_plain();
        _cleanup_(http_client_clear) struct http_client client = http_client_new(fixture);

        http_client_send(&client, GET("/error"));
        http_client_await_end(fixture, &client);
        ck_assert_ptr_nonnull(strstr(http_client_text(&client), "HTTP/1.1 429 "));
        ck_assert_ptr_nonnull(strstr(http_client_text(&client), "\r\nRetry-After: 7\r\n"));
        ck_assert_ptr_nonnull(
                strstr(http_client_text(&client),
                       "\r\n\r\n{\"error\": \"a \\\"quote\\\", a \\\\, a\\nline and a ?: 1\"}\n"));
}
END_TEST

START_TEST(a_large_body_is_refused_unread) {
        _cleanup_(http_fixture_freep) struct http_fixture *fixture = http_fixture_plain();
        _cleanup_(http_client_clear) struct http_client client = http_client_new(fixture);
        static const char zeros[64 * 1024];
        size_t n_sent = 0;

        http_client_send(&client, "POST /a HTTP/1.1\r\nContent-Length: 10485760\r\n\r\n");
        while (n_sent < 10 * MIB) {
                ssize_t n = send(client.fd, zeros, sizeof(zeros), MSG_NOSIGNAL);

                if (n > 0)
                        n_sent += (size_t)n;
                else if (errno != EAGAIN)
                        break;
                else
                        ck_assert(http_fixture_turn(fixture, PATIENCE_USEC));
        }
        http_client_await_end(fixture, &client);
        ck_assert_ptr_nonnull(strstr(http_client_text(&client), "HTTP/1.1 413 "));
        ck_assert_ptr_nonnull(strstr(http_client_text(&client), "too large: 65536 bytes are taken at most"));
        ck_assert_uint_lt(n_sent, MIB);
        test_report("http: a body of 10 MiB was refused after %zu KiB were written", n_sent / 1024);

        _cleanup_(http_client_clear) struct http_client fits = http_client_new(fixture);
        http_client_send(&fits, "POST /quiet HTTP/1.1\r\nContent-Length: 65536\r\n\r\n");
        http_client_send_bytes(&fits, zeros, sizeof(zeros));
        http_client_await_end(fixture, &fits);
        ck_assert_ptr_nonnull(strstr(http_client_text(&fits), "HTTP/1.1 200 "));
}
END_TEST

START_TEST(curl_may_ask_before_it_sends) {
        _cleanup_(http_fixture_freep) struct http_fixture *fixture = http_fixture_plain();
        _cleanup_(http_client_clear) struct http_client client = http_client_new(fixture);

        http_client_send(&client, "POST /a HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
        http_client_await(fixture, &client, "HTTP/1.1 100 Continue\r\n\r\n");
        http_client_send(&client, "hello");
        http_client_await_end(fixture, &client);
        ck_assert_ptr_nonnull(strstr(http_client_text(&client), "body=hello "));
}
END_TEST

/* Whatever is sent, the server lives, and what it answers is its own: no page of libmicrohttpd's. */
START_TEST(mutated_requests) {
        _cleanup_(http_fixture_freep) struct http_fixture *fixture =
                http_fixture_new(256, 100 * USEC_PER_MSEC, PATIENCE_USEC); /* some never become whole */
        static const char pieces[] = "\r\n\r\n : \t%00%2f?&=;,\0GET HTTP/1.1Content-Length0123456789\xff\xc3";
        unsigned n_answered = 0, n_good = 0;
        usec_t begin;

        srand(4711);
        for (unsigned i = 0; i < 3000; i++) {
                _cleanup_(http_client_clear) struct http_client client = http_client_new(fixture);
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
                http_client_send_bytes(&client, request, size);
                ck_assert_int_eq(shutdown(client.fd, SHUT_WR), 0);
                begin = now_usec(CLOCK_MONOTONIC);
                http_client_await_end(fixture, &client);
                ck_assert_msg(now_usec(CLOCK_MONOTONIC) - begin < PATIENCE_USEC / 2, "stuck: %.*s", (int)size,
                              request);
                if (client.n_reply == 0)
                        continue;
                n_answered++;
                ck_assert(has_prefix(http_client_text(&client), "HTTP/1."));
                ck_assert_msg(!strstr(http_client_text(&client), "<html"), "%.*s: %s", (int)size, request,
                              http_client_text(&client));
                if (strstr(http_client_text(&client), " 200 OK"))
                        n_good++;
                else
                        ck_assert_ptr_nonnull(strstr(http_client_text(&client), "{\"error\": \""));
        }
        http_fixture_settle(fixture);
        ck_assert_uint_eq(http_server_connections(fixture->server), 0);
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
        _cleanup_(http_fixture_freep) struct http_fixture *fixture = http_fixture_plain();
        _cleanup_(http_client_clear) struct http_client client = { .fd = -1 };
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
                unsigned i = round % 4, n_handled = fixture->n_handled;
                bool is_rehearsal = round < 4;

                http_client_clear(&client);
                client = http_client_new(fixture);
                n = snprintf(message, sizeof(message), "POST %s HTTP/1.1\r\nContent-Length: %d\r\n\r\n",
                             i == 3 ? "/defer" : "/quiet", i == 2 ? 2 * TOKEN_SIZE : TOKEN_SIZE);
                memset(token, 'x', TOKEN_SIZE);
                if (!is_rehearsal)
                        make_token(token);
                memcpy(message + n, token, TOKEN_SIZE);
                if (i == 1) {
                        http_client_send_bytes(&client, message, (size_t)n + 10);
                        http_fixture_settle(fixture);
                        http_client_send_bytes(&client, message + n + 10, TOKEN_SIZE - 10);
                } else
                        http_client_send_bytes(&client, message, (size_t)n + TOKEN_SIZE);
                explicit_bzero(message, sizeof(message));
                explicit_bzero(token, sizeof(token));
                if (i == 2)
                        http_fixture_settle(fixture);
                else
                        http_fixture_await_handled(fixture, n_handled + 1);
                if (i >= 2 && !is_rehearsal)
                        ck_assert_uint_eq(count_tokens(), 1); /* the search does find it */
                http_client_clear(&client);
                while (http_server_connections(fixture->server) > 0)
                        ck_assert(http_fixture_turn(fixture, PATIENCE_USEC));
                if (i == 3)
                        http_reply(fixture->deferred, 200, "text/plain", "", 0, NULL);
                http_fixture_settle(fixture);
                ck_assert_msg(count_tokens() == 0, "case %u: %u", i, count_tokens());
        }
}
END_TEST

int main(void) {
        Suite *suite = suite_create("http-request");
        TCase *tables = tcase_create("tables");

        tcase_add_loop_test(tables, requests_are_understood, 0, ELEMENTSOF(good));
        tcase_add_loop_test(tables, nonsense_is_refused_in_json, 0, ELEMENTSOF(bad));
        suite_add_tcase(suite, tables);
        TEST_CASE(suite, what_is_counted_has_a_limit);
        TEST_CASE(suite, a_head_may_come_in_pieces);
        TEST_CASE(suite, an_error_is_json_whatever_it_says);
        TEST_CASE(suite, a_large_body_is_refused_unread);
        TEST_CASE(suite, curl_may_ask_before_it_sends);
        TEST_CASE(suite, mutated_requests);
        TEST_CASE(suite, a_token_leaves_no_trace);
        return test_run(suite);
}
