/*
 * One connection: which phase it is in, and how it ends. It is in the list of its phase, each list is in the
 * order of its deadlines, and one timer of the server is set to the nearest.
 */

#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "daemon/http/http-connection.h"
#include "lib/util/json.h"
#include "lib/util/log.h"

unsigned http_server_connections(const struct http_server *server) {
        return server->n_connections - server->n_ending;
}

/* --- Deadlines --- */

void connection_set_timer(struct http_server *server) {
        static const enum http_phase limited[] = { HTTP_RECEIVING, HTTP_ANSWERING };
        usec_t next = USEC_INFINITY;

        for (size_t i = 0; i < ELEMENTSOF(limited); i++) {
                const struct http_connection *first = TAILQ_FIRST(&server->connections[limited[i]]);

                if (first && first->deadline_usec < next)
                        next = first->deadline_usec;
        }
        if (next == server->timer_usec)
                return;
        server->timer_usec = next;
        if (next == USEC_INFINITY)
                (void)sd_event_source_set_enabled(server->timer, SD_EVENT_OFF);
        else if (sd_event_source_set_time(server->timer, next) < 0 ||
                 sd_event_source_set_enabled(server->timer, SD_EVENT_ONESHOT) < 0)
                log_error("cannot set the timer of the control API: no deadlines");
}

void connection_enter(struct http_connection *connection, enum http_phase phase) {
        struct http_server *server = connection->server;
        usec_t now = now_usec(CLOCK_MONOTONIC);

        server->n_ending += phase == HTTP_ENDING;
        TAILQ_REMOVE(&server->connections[connection->phase], connection, link);
        connection->phase = phase;
        connection->active_usec = now;
        connection->deadline_usec =
                phase == HTTP_ANSWERING ? usec_add(now, server->options.answer_usec) : USEC_INFINITY;
        TAILQ_INSERT_TAIL(&server->connections[phase], connection, link);
        connection_set_timer(server);
}

/* --- The end --- */

char *http_error_body(const char *text, size_t *ret_size) {
        _cleanup_(json_decrefp) json_t *root = json_pack("{s:o}", "error", json_text(text));
        _cleanup_(freep) char *object = root ? json_format(root, 0) : NULL;
        char *body;
        int n = object ? asprintf(&body, "%s\n", object) : -1;

        if (n < 0)
                return NULL;
        *ret_size = (size_t)n;
        return body;
}

struct http_connection *connection_free(struct http_connection *connection) {
        struct http_server *server = connection->server;

        TAILQ_REMOVE(&server->connections[connection->phase], connection, link);
        server->n_connections--;
        server->n_ending -= connection->phase == HTTP_ENDING;
        sd_event_source_disable_unref(connection->source);
        server->forget(connection);
        if (connection->response)
                MHD_destroy_response(connection->response);
        if (!connection->mhd)
                fd_close(connection->fd);
        free(connection);
        connection_set_timer(server);
        return NULL;
}

void connection_end(struct http_connection *connection) {
        if (!connection->mhd) {
                connection_free(connection);
                return;
        }
        if (connection->phase == HTTP_ENDING)
                return;
        connection_enter(connection, HTTP_ENDING);
        (void)shutdown(connection->fd, SHUT_RDWR);
        connection_resume(connection);
}

void connection_refuse(struct http_connection *connection, unsigned status, const char *reason) {
        _cleanup_(freep) char *body = NULL;
        char text[1024], rest[4096];
        size_t size;
        int n;

        body = http_error_body(reason, &size);
        if (body) {
                n = snprintf(text, sizeof(text),
                             "HTTP/1.1 %u %s\r\nConnection: close\r\nContent-Type: application/json\r\n"
                             "Content-Length: %zu\r\n\r\n%s",
                             status, MHD_get_reason_phrase_for(status), size, body);
                (void)send(connection->fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
        }

        /* TCP takes back an answer when it closes with unread data. */
        for (unsigned i = 0; i < 16 && recv(connection->fd, rest, sizeof(rest), MSG_DONTWAIT) > 0; i++)
                ;
        explicit_bzero(rest, sizeof(rest));
        connection_end(connection);
}

static int on_hangup(_unused_ sd_event_source *source, _unused_ int fd, _unused_ uint32_t revents,
                     void *userdata) {
        connection_end(userdata);
        return 0;
}

void connection_suspend(struct http_connection *connection) {
        MHD_suspend_connection(connection->mhd);
        connection->is_suspended = true;

        /* A peer that has only ended its own half still waits for the answer: that is no EPOLLHUP. */
        if (connection->source ? sd_event_source_set_enabled(connection->source, SD_EVENT_ON) < 0
                               : sd_event_add_io(connection->server->event, &connection->source,
                                                 connection->fd, EPOLLHUP, on_hangup, connection) < 0)
                log_debug("cannot watch a waiting client");
}

void connection_resume(struct http_connection *connection) {
        if (!connection->is_suspended)
                return;
        connection->is_suspended = false;
        (void)sd_event_source_set_enabled(connection->source, SD_EVENT_OFF);
        MHD_resume_connection(connection->mhd);

        /* Without its own threads libmicrohttpd does not signal that it has work to do. */
        (void)sd_event_source_set_enabled(connection->server->run_again, SD_EVENT_ONESHOT);
}
