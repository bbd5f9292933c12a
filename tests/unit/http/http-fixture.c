/* Server and clients share one thread, so that each step of either can be looked at: nothing here waits but
 * for the loop, and whoever waits for what never comes fails after PATIENCE_USEC. */

#include "tests/unit/http/http-fixture.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/test.h"

/* --- Server --- */

static void on_dropped(void *userdata) {
        ((struct http_fixture *)userdata)->n_dropped++;
}

static void on_ended(void *userdata) {
        struct http_fixture *fixture = userdata;

        fixture->n_ended++;
        fixture->stream = NULL;
}

static ssize_t produce_piece(void *userdata, char *buffer, size_t max) {
        struct http_fixture *fixture = userdata;
        size_t n = fixture->piece ? strlen(fixture->piece) : 0;

        ck_assert_uint_ge(max, 512);
        if (n == 0)
                return fixture->then;
        memcpy(buffer, fixture->piece, n);
        fixture->piece = NULL;
        return (ssize_t)n;
}

static ssize_t produce_large(void *userdata, char *buffer, size_t max) {
        struct http_fixture *fixture = userdata;

        if (fixture->n_left == 0)
                return HTTP_STREAM_END;
        if (max > fixture->n_left)
                max = fixture->n_left;
        memset(buffer, 'x', max);
        fixture->n_left -= max;
        return (ssize_t)max;
}

static void reply_stream(struct http_fixture *fixture, struct http_request *request,
                         ssize_t (*produce)(void *userdata, char *buffer, size_t max), bool is_endless) {
        fixture->stream = http_reply_stream(request, 200, "text/plain",
                                            &(struct http_stream_options) {
                                                    .produce = produce,
                                                    .ended = on_ended,
                                                    .userdata = fixture,
                                                    .is_endless = is_endless,
                                            });
}

void http_fixture_stream(struct http_fixture *fixture, struct http_request *request) {
        reply_stream(fixture, request, produce_piece, true);
}

void http_fixture_handle(struct http_request *request, void *userdata) {
        struct http_fixture *fixture = userdata;
        const char *path = http_path(request), *q = http_query(request, "q");
        char text[16 * 1024], *large;
        size_t size;
        int n;

        fixture->n_handled++;
        if (streq(path, "/defer")) {
                fixture->deferred = request;
                http_defer(request, on_dropped, fixture);
        } else if (streq(path, "/stream"))
                http_fixture_stream(fixture, request);
        else if (streq(path, "/limited"))
                reply_stream(fixture, request, produce_piece, false);
        else if (streq(path, "/large"))
                reply_stream(fixture, request, produce_large, true);
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

enum http_access http_fixture_access(_unused_ int fd, void *userdata) {
        return ((const struct http_fixture *)userdata)->access;
}

struct http_fixture *http_fixture_new(unsigned connections_max, usec_t request_usec, usec_t answer_usec) {
        struct http_fixture *fixture = calloc(1, sizeof(*fixture));
        struct http_server_options options = {
                .access = http_fixture_access,
                .refusal = "you may not",
                .handle = http_fixture_handle,
                .userdata = fixture,
                .connections_max = connections_max,
                .head_max = 8 * 1024,
                .body_max = 64 * 1024,
                .request_usec = request_usec,
                .answer_usec = answer_usec,
        };

        ck_assert_ptr_nonnull(fixture);
        fixture->access = HTTP_ACCESS_FULL;
        strcpy(fixture->directory, "/tmp/test-http-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(fixture->directory));
        snprintf(fixture->path, sizeof(fixture->path), "%s/socket", fixture->directory);
        options.fd = http_listen_unix(fixture->path, NULL);
        ck_assert_int_ge(options.fd, 0);
        ck_assert_int_ge(sd_event_new(&fixture->event), 0);
        ck_assert_int_eq(http_server_new(fixture->event, &options, &fixture->server), 0);
        return fixture;
}

struct http_fixture *http_fixture_plain(void) {
        return http_fixture_new(256, PATIENCE_USEC, PATIENCE_USEC);
}

struct http_fixture *http_fixture_free(struct http_fixture *fixture) {
        if (!fixture)
                return NULL;
        http_server_free(fixture->server);
        sd_event_unref(fixture->event);
        unlink(fixture->path);
        rmdir(fixture->directory);
        free(fixture);
        return NULL;
}

bool http_fixture_turn(struct http_fixture *fixture, usec_t wait_usec) {
        usec_t begin;
        int r = sd_event_prepare(fixture->event);

        ck_assert_int_ge(r, 0);
        if (r == 0)
                r = sd_event_wait(fixture->event, wait_usec);
        ck_assert_int_ge(r, 0);
        if (r == 0)
                return false;
        begin = now_usec(CLOCK_MONOTONIC);
        ck_assert_int_ge(sd_event_dispatch(fixture->event), 0);
        begin = now_usec(CLOCK_MONOTONIC) - begin;
        if (begin > fixture->longest_usec)
                fixture->longest_usec = begin;
        fixture->n_turns++;
        return true;
}

void http_fixture_settle(struct http_fixture *fixture) {
        while (http_fixture_turn(fixture, 0))
                ;
}

void http_fixture_await_handled(struct http_fixture *fixture, unsigned n) {
        while (fixture->n_handled < n)
                ck_assert(http_fixture_turn(fixture, PATIENCE_USEC));
}

/* --- Clients --- */

struct http_client http_client_new(const struct http_fixture *fixture) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct http_client client = { .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) };

        ck_assert_int_ge(client.fd, 0);
        strcpy(address.sun_path, fixture->path);
        ck_assert_int_eq(connect(client.fd, (struct sockaddr *)&address, sizeof(address)), 0);
        return client;
}

void http_client_clear(struct http_client *client) {
        client->fd = fd_close(client->fd);
        free(take_ptr(client->reply));
        *client = (struct http_client) { .fd = -1 };
}

void http_client_send_bytes(struct http_client *client, const char *data, size_t size) {
        ck_assert_int_eq(send(client->fd, data, size, MSG_NOSIGNAL), (ssize_t)size);
}

void http_client_send(struct http_client *client, const char *text) {
        http_client_send_bytes(client, text, strlen(text));
}

void http_client_read(struct http_client *client) {
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

const char *http_client_text(const struct http_client *client) {
        return client->reply ? client->reply : "";
}

void http_client_await_end(struct http_fixture *fixture, struct http_client *client) {
        for (http_client_read(client); !client->is_over; http_client_read(client))
                ck_assert(http_fixture_turn(fixture, PATIENCE_USEC));
}

void http_client_await(struct http_fixture *fixture, struct http_client *client, const char *text) {
        for (http_client_read(client); !strstr(http_client_text(client), text); http_client_read(client)) {
                ck_assert_msg(!client->is_over, "no '%s' in '%s'", text, http_client_text(client));
                ck_assert(http_fixture_turn(fixture, PATIENCE_USEC));
        }
}
