/* The HTTP server against clients that are slow, silent, many, or gone, and what it costs when nobody calls.
 */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "tests/test.h"
#include "tests/unit/http/http-fixture.h"

/* --- Many, and slow ones --- */

START_TEST(silent_clients_do_not_matter) {
        enum { N = 1000 };
        struct rlimit limit;
        struct http_client *silent = calloc(N, sizeof(*silent));
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
                _cleanup_(http_fixture_freep) struct http_fixture *fixture =
                        http_fixture_new(connections_max, PATIENCE_USEC, PATIENCE_USEC);
                _cleanup_(http_client_clear) struct http_client slow = { .fd = -1 };

                for (size_t i = 0; i < N; i++) {
                        silent[i] = http_client_new(fixture);
                        http_fixture_settle(fixture);
                }
                slow = http_client_new(fixture);
                for (unsigned i = 0; i < 100; i++) {
                        _cleanup_(http_client_clear) struct http_client client = http_client_new(fixture);

                        http_client_send_bytes(&slow,
                                               &"GET /slow HTTP/1.1\r\nA: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
                                                "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"[i],
                                               1);
                        begin = now_usec(CLOCK_MONOTONIC);
                        http_client_send(&client, GET("/"));
                        http_client_await_end(fixture, &client);
                        begin = now_usec(CLOCK_MONOTONIC) - begin;
                        ck_assert_ptr_nonnull(strstr(http_client_text(&client), "HTTP/1.1 200 "));
                        sum += begin;
                        if (begin > worst)
                                worst = begin;
                }
                ck_assert_uint_eq(http_server_connections(fixture->server),
                                  connections_max < N ? connections_max - 1 : N + 1);
                test_report(
                        "http: %d silent clients, at most %u connections: answered in %.2f ms, worst %.2f ms",
                        N, connections_max, (double)sum / 100 / USEC_PER_MSEC, (double)worst / USEC_PER_MSEC);
                ck_assert_uint_lt(worst, USEC_PER_SEC);
                worst = sum = 0;
                for (size_t i = 0; i < N; i++)
                        http_client_clear(&silent[i]);
                while (http_server_connections(fixture->server) > 1)
                        ck_assert(http_fixture_turn(fixture, PATIENCE_USEC));
        }
        free(silent);
}
END_TEST

START_TEST(the_longest_silent_goes) {
        _cleanup_(http_fixture_freep) struct http_fixture *fixture =
                http_fixture_new(3, PATIENCE_USEC, PATIENCE_USEC);
        struct http_client clients[6];

        for (size_t i = 0; i < 3; i++) {
                clients[i] = http_client_new(fixture);
                http_fixture_settle(fixture);
        }
        http_client_send(&clients[0], "GET /");
        http_fixture_settle(fixture);
        clients[3] = http_client_new(fixture); /* 1 is now the longest silent, then 2, 0, 3 */
        http_fixture_settle(fixture);
        http_client_read(&clients[1]);
        ck_assert(clients[1].is_over);

        /* Who waits for an answer stays, as long as another has not even asked. */
        http_client_send(&clients[2], GET("/defer"));
        http_fixture_await_handled(fixture, 1);
        http_client_send(&clients[3], "G");
        http_fixture_settle(fixture);
        clients[4] = http_client_new(fixture);
        http_fixture_settle(fixture);
        http_client_read(&clients[0]);
        ck_assert(clients[0].is_over);
        clients[5] = http_client_new(fixture);
        http_fixture_settle(fixture);
        http_client_read(&clients[3]);
        ck_assert(clients[3].is_over);
        http_client_read(&clients[2]);
        ck_assert(!clients[2].is_over);
        ck_assert_uint_eq(http_server_connections(fixture->server), 3);

        /* When all wait, the newest is let in all the same. */
        http_client_send(&clients[4], GET("/stream"));
        http_client_send(&clients[5], GET("/stream"));
        http_fixture_await_handled(fixture, 3);
        http_fixture_settle(fixture);
        http_client_clear(&clients[0]);
        clients[0] = http_client_new(fixture);
        http_client_send(&clients[0], GET("/"));
        http_client_await_end(fixture, &clients[0]);
        ck_assert_ptr_nonnull(strstr(http_client_text(&clients[0]), "HTTP/1.1 200 "));
        http_client_read(&clients[2]);
        ck_assert(clients[2].is_over);
        http_reply(fixture->deferred, 200, "text/plain", "late", 4,
                   NULL); /* valid although nobody hears it */
        http_fixture_settle(fixture);
        for (size_t i = 0; i < 6; i++)
                http_client_clear(&clients[i]);
}
END_TEST

/* Sends a byte a turn, as long as anybody listens, and is cut off nevertheless. */
static int on_trickle(sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        struct http_client *client = userdata;

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
                _cleanup_(http_fixture_freep) struct http_fixture *fixture =
                        http_fixture_new(256, 150 * USEC_PER_MSEC, PATIENCE_USEC);
                _cleanup_(http_client_clear) struct http_client client = http_client_new(fixture);
                sd_event_source *source = NULL;
                usec_t begin = now_usec(CLOCK_MONOTONIC);

                http_client_send(&client, beginnings[i]);
                ck_assert_int_ge(sd_event_add_time_relative(fixture->event, &source, CLOCK_MONOTONIC, 0,
                                                            USEC_PER_MSEC, on_trickle, &client),
                                 0);
                http_client_await_end(fixture, &client);
                ck_assert_uint_ge(now_usec(CLOCK_MONOTONIC) - begin, 140 * USEC_PER_MSEC);
                ck_assert_uint_lt(now_usec(CLOCK_MONOTONIC) - begin, 2 * USEC_PER_SEC);
                ck_assert_msg(strstr(http_client_text(&client), "HTTP/1.1 408 "), "%s",
                              http_client_text(&client));
                ck_assert_uint_eq(fixture->n_handled, 0);
                sd_event_source_disable_unref(source);
        }
}
END_TEST

START_TEST(an_answer_has_a_deadline) {
        static const char *const requests[] = { GET("/whole"), GET("/limited") };

        for (size_t i = 0; i < ELEMENTSOF(requests); i++) {
                _cleanup_(http_fixture_freep) struct http_fixture *fixture =
                        http_fixture_new(256, PATIENCE_USEC, 150 * USEC_PER_MSEC);
                _cleanup_(http_client_clear) struct http_client client = http_client_new(fixture);
                usec_t begin = now_usec(CLOCK_MONOTONIC);

                http_client_send(&client, requests[i]);
                http_fixture_await_handled(fixture, 1);
                while (http_server_connections(fixture->server) > 0)
                        ck_assert(http_fixture_turn(fixture, PATIENCE_USEC));
                ck_assert_uint_ge(now_usec(CLOCK_MONOTONIC) - begin, 140 * USEC_PER_MSEC);
                http_fixture_settle(fixture);
                ck_assert_uint_eq(fixture->n_ended, i);
                http_client_read(&client);
                ck_assert(client.is_over);
                ck_assert_uint_lt(client.n_reply, MIB);
        }
}
END_TEST

/* --- Late answers --- */

START_TEST(a_reply_may_come_later) {
        _cleanup_(http_fixture_freep) struct http_fixture *fixture =
                http_fixture_new(256, 100 * USEC_PER_MSEC, 100 * USEC_PER_MSEC);
        _cleanup_(http_client_clear) struct http_client client = http_client_new(fixture);

        http_client_send(&client, "POST /defer?q=1 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello");
        ck_assert_int_eq(shutdown(client.fd, SHUT_WR), 0); /* has no more to say, and waits */
        http_fixture_await_handled(fixture, 1);
        http_fixture_settle(fixture);
        ck_assert(!http_fixture_turn(fixture, 300 * USEC_PER_MSEC)); /* no deadline, and no wake-up */
        http_client_read(&client);
        ck_assert(!client.is_over);
        ck_assert_str_eq(http_query(fixture->deferred, "q"), "1");
        http_reply_error(fixture->deferred, 409, NULL, "busy");
        http_client_await_end(fixture, &client);
        ck_assert_ptr_nonnull(strstr(http_client_text(&client), "HTTP/1.1 409 Conflict"));
        ck_assert_uint_eq(fixture->n_dropped, 0);
}
END_TEST

START_TEST(a_client_may_vanish_before_its_reply) {
        _cleanup_(http_fixture_freep) struct http_fixture *fixture = http_fixture_plain();
        size_t size;

        for (unsigned i = 0; i < 3; i++) {
                _cleanup_(http_client_clear) struct http_client client = http_client_new(fixture);

                http_client_send(&client, "POST /defer?q=1 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello");
                http_fixture_await_handled(fixture, i + 1);
                http_client_clear(&client);
                if (i > 0) /* otherwise nobody has noticed */
                        while (http_server_connections(fixture->server) > 0)
                                ck_assert(http_fixture_turn(fixture, PATIENCE_USEC));
                ck_assert_str_eq(http_path(fixture->deferred), "/defer");
                ck_assert_str_eq(http_body(fixture->deferred, &size), "hello");
                if (i < 2)
                        http_reply(fixture->deferred, 200, "text/plain", "late", 4, NULL);
                else {
                        http_fixture_stream(fixture, fixture->deferred);
                        ck_assert_ptr_null(fixture->stream);
                        ck_assert_uint_eq(fixture->n_ended, 1);
                }
                http_fixture_settle(fixture);
                ck_assert_uint_eq(http_server_connections(fixture->server), 0);
        }
        ck_assert_uint_eq(fixture->n_dropped, 0);
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
        struct http_fixture *fixture = http_fixture_plain();
        struct http_client clients[ELEMENTSOF(requests)];
        unsigned n_ended, n_dropped;

        fixture->n_left = 10 * MIB;
        for (size_t i = 0; i < ELEMENTSOF(requests); i++) {
                clients[i] = http_client_new(fixture);
                http_client_send(&clients[i], requests[i]);
        }
        http_fixture_await_handled(fixture, 6);
        http_fixture_settle(fixture);
        http_reply_error(fixture->deferred, 409, NULL, "answered, and not on its way yet");
        http_stream_wake(fixture->stream);
        fixture->server = http_server_free(fixture->server);
        n_ended = fixture->n_ended;
        n_dropped = fixture->n_dropped;
        ck_assert_uint_eq(n_ended, 3);
        ck_assert_uint_eq(n_dropped, 1);
        for (size_t i = 0; i < ELEMENTSOF(requests); i++) {
                http_client_read(&clients[i]);
                ck_assert(clients[i].is_over);
                http_client_clear(&clients[i]);
        }
        ck_assert_int_eq(sd_event_run(fixture->event, 0), 0);
        ck_assert_ptr_null(http_server_free(NULL));
        http_fixture_free(fixture);
}
END_TEST

/* --- The loop --- */

START_TEST(nothing_wakes_an_idle_server) {
        _cleanup_(http_fixture_freep) struct http_fixture *fixture = http_fixture_plain();
        struct http_client clients[10];
        unsigned long before;

        http_fixture_settle(fixture);
        before = fixture->n_turns;
        ck_assert(!http_fixture_turn(fixture, 300 * USEC_PER_MSEC));
        for (size_t i = 0; i < 10; i++) {
                clients[i] = http_client_new(fixture);
                http_client_send(&clients[i], i % 2 ? GET("/stream") : GET("/defer"));
        }
        http_fixture_await_handled(fixture, 10);
        http_fixture_settle(fixture);
        before = fixture->n_turns;
        ck_assert(!http_fixture_turn(fixture, 300 * USEC_PER_MSEC));
        ck_assert_uint_eq(fixture->n_turns, before);
        for (size_t i = 0; i < 10; i++)
                http_client_clear(&clients[i]);
        while (http_server_connections(fixture->server) > 0)
                ck_assert(http_fixture_turn(fixture, PATIENCE_USEC));
        http_fixture_settle(fixture);
        ck_assert(!http_fixture_turn(fixture, 300 * USEC_PER_MSEC));
}
END_TEST

static int on_alarm(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        *(bool *)userdata = true;
        return 0;
}

START_TEST(without_descriptors_nothing_spins) {
        _cleanup_(http_fixture_freep) struct http_fixture *fixture = http_fixture_plain();
        struct http_client clients[20];
        struct rlimit limit, before;
        bool is_over = false;
        int next;

        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                clients[i] = http_client_new(fixture); /* the kernel accepts them */
        ck_assert_int_ge(sd_event_add_time_relative(fixture->event, NULL, CLOCK_MONOTONIC,
                                                    700 * USEC_PER_MSEC, USEC_PER_MSEC, on_alarm, &is_over),
                         0);
        next = fcntl(clients[0].fd, F_DUPFD_CLOEXEC, 0);
        ck_assert_int_ge(next, 0);
        fd_close(next);
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
        limit = before;
        limit.rlim_cur = (rlim_t)next;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        while (!is_over)
                ck_assert(http_fixture_turn(fixture, PATIENCE_USEC));
        ck_assert_uint_eq(http_server_connections(fixture->server), 0);
        ck_assert_uint_ge(fixture->n_turns, 4); /* it does try */
        ck_assert_uint_lt(fixture->n_turns, 30);
        test_report("http: %lu turns in 0.7 s without descriptors", fixture->n_turns);

        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
        http_client_send(&clients[19], GET("/"));
        http_client_await_end(fixture, &clients[19]);
        ck_assert_ptr_nonnull(strstr(http_client_text(&clients[19]), "HTTP/1.1 200 "));
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                http_client_clear(&clients[i]);
}
END_TEST

/* --- Sockets --- */

START_TEST(a_tcp_peer_is_nobody) {
        _cleanup_(http_fixture_freep) struct http_fixture *fixture = http_fixture_plain();
        _cleanup_(http_server_freep) struct http_server *server = NULL;
        _cleanup_(http_client_clear) struct http_client client = { .fd = -1 };
        struct http_server_options options = {
                .fd = http_listen_tcp("127.0.0.1:0", NULL),
                .access = http_fixture_access,
                .handle = http_fixture_handle,
                .userdata = fixture,
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
        ck_assert_int_eq(http_server_new(fixture->event, &options, &server), 0);
        client.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_ge(client.fd, 0);
        ck_assert_int_eq(connect(client.fd, (struct sockaddr *)&address, size), 0);
        ck_assert_int_eq(fcntl(client.fd, F_SETFL, O_NONBLOCK), 0);
        http_client_send(&client, GET("/a"));
        http_client_await(fixture, &client, "GET /a q=(none) body= access=2 peer=a TCP peer");
}
END_TEST

TEST_MAIN("http-server", silent_clients_do_not_matter, the_longest_silent_goes, a_request_has_a_deadline,
          an_answer_has_a_deadline, a_reply_may_come_later, a_client_may_vanish_before_its_reply,
          a_server_may_be_freed_in_the_middle, nothing_wakes_an_idle_server,
          without_descriptors_nothing_spins, a_tcp_peer_is_nobody)
