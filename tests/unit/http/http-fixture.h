#pragma once

/* An HTTP server in a loop of its own, with handlers for every way to answer, and clients that are sockets in
 * the same process: whatever the server does shows at once at their end. */

#include "daemon/http/http-server.h"

#define PATIENCE_USEC (20 * USEC_PER_SEC)
#define MIB           (1024 * 1024)

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

/*
 * By path: /defer waits for a reply of the test's; /stream says what `piece` and `then` have, and /limited
 * the same with a deadline; /large has `n_left` bytes; /whole a MiB at once; /error is an error; /quiet is
 * empty; any other tells what it was asked.
 */
struct http_fixture {
        sd_event *event;
        struct http_server *server;
        char directory[32], path[48];
        struct http_request *deferred; /* of /defer, the last one */
        struct http_stream *stream;    /* of /stream, the last one */
        const char *piece;             /* what the stream has next */
        ssize_t then;                  /* what it says after it */
        size_t n_left;                 /* of /large */
        enum http_access access;       /* of whoever connects */
        unsigned n_handled, n_dropped, n_ended;
        unsigned long n_turns;
        usec_t longest_usec; /* of a turn */
};

struct http_fixture *http_fixture_new(unsigned connections_max, usec_t request_usec, usec_t answer_usec);

/* With room for 256, and much time. */
struct http_fixture *http_fixture_plain(void);

struct http_fixture *http_fixture_free(struct http_fixture *fixture);
DEFINE_CLEANUP(struct http_fixture *, http_fixture_free);

/* `access` and `handle` of another server; USERDATA of the second is the stand. */
enum http_access http_fixture_access(int fd, void *userdata);
void http_fixture_handle(struct http_request *request, void *userdata);

/* Answers REQUEST as /stream is answered. */
void http_fixture_stream(struct http_fixture *fixture, struct http_request *request);

/* One turn of the loop; false where nothing happens. */
bool http_fixture_turn(struct http_fixture *fixture, usec_t wait_usec);
void http_fixture_settle(struct http_fixture *fixture);
void http_fixture_await_handled(struct http_fixture *fixture, unsigned n);

struct http_client {
        int fd;
        char *reply;
        size_t n_reply;
        bool is_over; /* the server has ended the connection */
};

struct http_client http_client_new(const struct http_fixture *fixture);
void http_client_clear(struct http_client *client);
void http_client_send_bytes(struct http_client *client, const char *data, size_t size);
void http_client_send(struct http_client *client, const char *text);

/* What is there now. */
void http_client_read(struct http_client *client);

/* What has been read; never NULL. */
const char *http_client_text(const struct http_client *client);

void http_client_await(struct http_fixture *fixture, struct http_client *client, const char *text);
void http_client_await_end(struct http_fixture *fixture, struct http_client *client);
