/* Answers in pieces: they sleep, are woken, end, break off, and do not hold the loop. */

#include <stdio.h>

#include "tests/test.h"
#include "tests/unit/http/http-fixture.h"

START_TEST(a_stream_sleeps_until_it_is_woken) {
        _cleanup_(http_fixture_freep) struct http_fixture *fixture =
                http_fixture_new(256, 100 * USEC_PER_MSEC, 100 * USEC_PER_MSEC);
        _cleanup_(http_client_clear) struct http_client client = http_client_new(fixture);
        char text[32];

        http_client_send(&client, GET("/stream"));
        http_client_await(fixture, &client, "\r\n\r\n");
        for (unsigned i = 0; i < 20; i++) {
                http_fixture_settle(fixture);
                ck_assert(!http_fixture_turn(fixture,
                                             i == 0 ? 300 * USEC_PER_MSEC : 0)); /* endless, and idle */
                snprintf(text, sizeof(text), "piece %u.", i);
                fixture->piece = text;
                http_stream_wake(fixture->stream);
                http_stream_wake(fixture->stream);
                http_client_await(fixture, &client, text);
        }
        ck_assert_uint_eq(fixture->n_ended, 0);
        fixture->then = HTTP_STREAM_END;
        http_stream_wake(fixture->stream);
        http_client_await_end(fixture, &client);
        ck_assert_ptr_nonnull(strstr(http_client_text(&client), "\r\n0\r\n"));
        http_fixture_settle(fixture);
        ck_assert_uint_eq(fixture->n_ended, 1);
}
END_TEST

START_TEST(an_aborted_stream_is_seen_as_such) {
        _cleanup_(http_fixture_freep) struct http_fixture *fixture = http_fixture_plain();
        _cleanup_(http_client_clear) struct http_client client = http_client_new(fixture);

        fixture->piece = "the first half";
        fixture->then = HTTP_STREAM_ABORT;
        http_client_send(&client, GET("/stream"));
        http_client_await_end(fixture, &client);
        ck_assert_ptr_nonnull(strstr(http_client_text(&client), "the first half"));
        ck_assert_ptr_nonnull(strstr(http_client_text(&client), "Transfer-Encoding: chunked"));
        ck_assert_ptr_null(strstr(http_client_text(&client), "\r\n0\r\n"));
        http_fixture_settle(fixture);
        ck_assert_uint_eq(fixture->n_ended, 1);
}
END_TEST

START_TEST(who_hangs_up_ends_a_stream) {
        _cleanup_(http_fixture_freep) struct http_fixture *fixture = http_fixture_plain();

        /* Asleep, and in the middle of what it does not read. */
        for (unsigned i = 0; i < 2; i++) {
                _cleanup_(http_client_clear) struct http_client client = http_client_new(fixture);

                fixture->n_left = 10 * MIB;
                http_client_send(&client, i == 0 ? GET("/stream") : GET("/large"));
                http_fixture_await_handled(fixture, i + 1);
                http_fixture_settle(fixture);
                ck_assert_uint_eq(fixture->n_ended, i);
                http_client_clear(&client);
                while (fixture->n_ended == i)
                        ck_assert(http_fixture_turn(fixture, PATIENCE_USEC));
        }
}
END_TEST

START_TEST(a_large_stream_does_not_hold_the_loop) {
        _cleanup_(http_fixture_freep) struct http_fixture *fixture = http_fixture_plain();
        _cleanup_(http_client_clear) struct http_client client = http_client_new(fixture);

        fixture->n_left = 10 * MIB;
        http_client_send(&client, GET("/large"));
        http_client_await_end(fixture, &client);
        ck_assert_uint_gt(client.n_reply, 10 * MIB);
        ck_assert_uint_gt(fixture->n_turns, 10 * MIB / (16 * 1024));
        ck_assert_uint_lt(fixture->longest_usec, 500 * USEC_PER_MSEC);
        test_report("http: a stream of 10 MiB in %lu turns, the longest %.2f ms", fixture->n_turns,
                    (double)fixture->longest_usec / USEC_PER_MSEC);
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
                _cleanup_(http_fixture_freep) struct http_fixture *fixture = http_fixture_plain();
                _cleanup_(http_client_clear) struct http_client client = http_client_new(fixture);

                fixture->piece = "all of it";
                fixture->then = HTTP_STREAM_END;
                http_client_send(&client, cases[i].request);
                http_client_await_end(fixture, &client);
                ck_assert_msg(has_suffix(http_client_text(&client), cases[i].end), "%s",
                              http_client_text(&client));
                http_fixture_settle(fixture);
                ck_assert_uint_eq(fixture->n_ended, 1);
        }
}
END_TEST

TEST_MAIN("http-stream", a_stream_sleeps_until_it_is_woken, an_aborted_stream_is_seen_as_such,
          who_hangs_up_ends_a_stream, a_large_stream_does_not_hold_the_loop,
          streams_for_those_who_know_no_chunks)
