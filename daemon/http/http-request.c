/*
 * What is asked, and how it is answered. A request belongs to its handler from the moment that it is handed
 * out until it is answered; the connection may end in between, and the answer then goes nowhere. So request,
 * connection and stream know each other by pointers that each of them clears when it goes first.
 *
 * libmicrohttpd takes an answer only from within its own callback: one that is given later is kept until the
 * connection, which was suspended, is resumed and asks again.
 */

#include "daemon/http/http-request.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include "lib/util/json.h"

/* The size of a piece of a stream. */
#define PIECE_MAX (16 * 1024)

/* --- Requests --- */

static void describe_peer(int fd, char *text, size_t size) {
        struct ucred peer;
        socklen_t peer_size = sizeof(peer);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) < 0 || peer.uid == (uid_t)-1)
                snprintf(text, size, "a TCP peer");
        else
                snprintf(text, size, "uid %u, pid %d", peer.uid, peer.pid);
}

struct http_request *request_new(struct http_connection *connection, struct http_head *head) {
        struct http_request *request = calloc(1, sizeof(*request));

        if (!request) {
                http_head_clear(head);
                return NULL;
        }
        request->connection = connection;
        request->server = connection->server;
        request->access = connection->access;
        request->head = *head;
        describe_peer(connection->fd, request->peer, sizeof(request->peer));
        return request;
}

struct http_request *request_free(struct http_request *request) {
        if (request->is_handed_out)
                TAILQ_REMOVE(&request->server->requests, request, link);
        if (request->connection)
                request->connection->request = NULL;
        if (request->body) {
                explicit_bzero(request->body, (size_t)request->head.body_size);
                free(request->body);
        }
        http_head_clear(&request->head);
        free(request);
        return NULL;
}

static void request_forsake(struct http_request *request) {
        request->connection->request = NULL;
        request->connection = NULL;
        if (!request->is_handed_out)
                request_free(request);
}

static bool take_body(struct http_request *request, const char *data, size_t size) {
        if (size > request->head.body_size - request->n_body)
                return false;
        if (!request->body) {
                request->body = malloc((size_t)request->head.body_size + 1);
                if (!request->body)
                        return false;
        }
        memcpy(request->body + request->n_body, data, size);
        request->n_body += size;
        request->body[request->n_body] = '\0';
        request->connection->active_usec = now_usec(CLOCK_MONOTONIC);

        /* libmicrohttpd's buffer, which is not constant, and which it only uses again. */
        explicit_bzero((char *)(uintptr_t)data, size);
        return true;
}

static void hand_out(struct http_connection *connection) {
        struct http_server *server = connection->server;

        connection_enter(connection, HTTP_WAITING);
        connection->request->is_handed_out = true;
        TAILQ_INSERT_TAIL(&server->requests, connection->request, link);
        server->options.handle(connection->request, server->options.userdata);
}

/* Called with the head, for each piece of the body, and at last without any, as often as it is resumed then.
 */
enum MHD_Result request_step(_unused_ void *userdata, struct MHD_Connection *mhd, _unused_ const char *url,
                             _unused_ const char *method, _unused_ const char *version, const char *data,
                             size_t *size, void **context) {
        const union MHD_ConnectionInfo *info =
                MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        struct http_connection *connection = info->socket_context;
        struct http_request *request = connection->request;
        struct MHD_Response *response;
        enum MHD_Result result;

        if (connection->phase == HTTP_ENDING)
                return MHD_NO;
        if (!*context) {
                *context = connection;
                return MHD_YES;
        }
        if (*size > 0) {
                if (!request || request->is_handed_out || !take_body(request, data, *size))
                        return MHD_NO;
                *size = 0;
                return MHD_YES;
        }

        if (request && !request->is_handed_out)
                hand_out(connection);
        if (connection->phase == HTTP_ENDING)
                return MHD_NO;
        if (!connection->response) {
                connection_suspend(connection);
                return MHD_YES;
        }
        response = take_ptr(connection->response);
        result = MHD_queue_response(mhd, connection->status, response);
        MHD_destroy_response(response);
        return result;
}

const char *http_method(const struct http_request *request) {
        return request->head.method;
}

const char *http_path(const struct http_request *request) {
        return request->head.path;
}

const char *http_query(const struct http_request *request, const char *name) {
        for (size_t i = 0; i < request->head.n_query; i++)
                if (streq(request->head.query[i].name, name))
                        return request->head.query[i].value;
        return NULL;
}

const char *http_body(const struct http_request *request, size_t *ret_size) {
        *ret_size = request->n_body;
        return request->body ? request->body : "";
}

enum http_access http_access(const struct http_request *request) {
        return request->access;
}

const char *http_peer(const struct http_request *request) {
        return request->peer;
}

void http_defer(struct http_request *request, void (*dropped)(void *userdata), void *userdata) {
        request->dropped = dropped;
        request->userdata = userdata;
}

/* --- Replies --- */

static bool add_header(struct MHD_Response *response, const char *header) {
        const char *colon = header ? strchr(header, ':') : NULL;
        _cleanup_(freep) char *name = NULL;

        if (!colon)
                return true;
        name = strndup(header, (size_t)(colon - header));
        return name && MHD_add_response_header(response, name, colon + 1 + strspn(colon + 1, " ")) == MHD_YES;
}

/* REQUEST is gone after it; RESPONSE may be NULL, when memory is out. */
static void answer(struct http_request *request, unsigned status, const char *content_type,
                   const char *header, struct MHD_Response *response, bool is_endless) {
        struct http_connection *connection = request->connection;

        request_free(request);
        if (response && connection && connection->phase != HTTP_ENDING &&
            MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type) == MHD_YES &&
            MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close") == MHD_YES &&
            add_header(response, header)) {
                connection->response = response;
                connection->status = status;
                connection_enter(connection, is_endless ? HTTP_WAITING : HTTP_ANSWERING);
                connection_resume(connection);
                return;
        }
        if (response)
                MHD_destroy_response(response);
        if (connection)
                connection_end(connection);
}

void http_reply(struct http_request *request, unsigned status, const char *content_type, const char *body,
                size_t size, const char *header) {
        struct MHD_Response *response =
                MHD_create_response_from_buffer(size, (char *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);

        answer(request, status, content_type, header, response, false);
}

void http_reply_error(struct http_request *request, unsigned status, const char *header, const char *format,
                      ...) {
        _cleanup_(freep) char *text = NULL, *body = NULL;
        struct MHD_Response *response = NULL;
        size_t size;
        va_list list;
        int n;

        va_start(list, format);
        n = vasprintf(&text, format, list);
        va_end(list);
        if (n < 0)
                text = NULL;
        else
                body = http_error_body(text, &size);
        if (body)
                response = MHD_create_response_from_buffer(size, body, MHD_RESPMEM_MUST_COPY);
        answer(request, status, "application/json", header, response, false);
}

/* --- Streams --- */

struct http_stream {
        struct http_connection *connection; /* NULL: the peer has gone */
        struct http_stream_options options;
        bool is_woken;
};

static ssize_t on_produce(void *userdata, _unused_ uint64_t position, char *buffer, size_t max) {
        struct http_stream *stream = userdata;
        struct http_connection *connection = stream->connection;
        ssize_t n;

        if (!connection || connection->phase == HTTP_ENDING)
                return MHD_CONTENT_READER_END_WITH_ERROR;
        stream->is_woken = false;
        n = stream->options.produce(stream->options.userdata, buffer, max < PIECE_MAX ? max : PIECE_MAX);
        if (n == HTTP_STREAM_END)
                return MHD_CONTENT_READER_END_OF_STREAM;
        if (n < 0)
                return MHD_CONTENT_READER_END_WITH_ERROR;
        if (n > 0)
                connection->active_usec = now_usec(CLOCK_MONOTONIC);
        else if (!stream->is_woken)
                connection_suspend(connection);
        return n;
}

/* libmicrohttpd's callback when it frees the answer. */
static void on_ended(void *userdata) {
        struct http_stream *stream = userdata;

        if (stream->connection)
                stream->connection->stream = NULL;
        stream->options.ended(stream->options.userdata);
        free(stream);
}

void request_forget_connection(struct http_connection *connection) {
        if (connection->request)
                request_forsake(connection->request);
        if (connection->stream) {
                connection->stream->connection = NULL;
                connection->stream = NULL;
        }
}

struct http_stream *http_reply_stream(struct http_request *request, unsigned status, const char *content_type,
                                      const struct http_stream_options *options) {
        struct http_stream *stream = calloc(1, sizeof(*stream));
        struct http_connection *connection = request->connection;
        struct MHD_Response *response = NULL;

        if (stream && connection && connection->phase != HTTP_ENDING) {
                *stream = (struct http_stream) { .connection = connection, .options = *options };
                response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, PIECE_MAX, on_produce, stream,
                                                             on_ended);
        }
        if (!response) {
                free(stream);
                answer(request, status, content_type, NULL, NULL, false);
                options->ended(options->userdata);
                return NULL;
        }
        connection->stream = stream;
        answer(request, status, content_type, NULL, response, options->is_endless);
        return connection->stream;
}

void http_stream_wake(struct http_stream *stream) {
        stream->is_woken = true;
        if (stream->connection)
                connection_resume(stream->connection);
}
