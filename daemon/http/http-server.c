/*
 * Connections: their number, their deadlines, and protection against bad clients.
 *
 * Until its head is whole a connection is ours: the head is parsed in the socket's buffer (MSG_PEEK), so that
 * a silent client costs a descriptor and a small struct, and nothing is read that could not be refused. Then
 * libmicrohttpd gets the socket, with a head that is known to be good, and does the rest: the body, the
 * answer, its pieces. Its epoll descriptor is one source of the loop; it does one read and one write for each
 * connection that is ready, then the loop continues.
 *
 * libmicrohttpd's time-out begins again with each byte, which lets a client stay forever with a byte a
 * second. It is not used: http-connection.c has deadlines of our own. Without connections nothing is set and
 * nothing wakes.
 *
 * A whole head must fit into the kernel's buffer of an unread socket. It does, unless a client writes it to a
 * Unix socket byte by byte, more than some 250 of them: it is stuck then, until its deadline.
 *
 * Bodies may hold one-time tokens. They are cleansed in libmicrohttpd's buffer as soon as they are taken out
 * of it, in ours when the request is freed. What arrives and is never taken (a client that vanishes) dies
 * with the pool of its connection: beyond 32 KiB libmicrohttpd maps a pool, and munmap() leaves nothing
 * behind.
 */

#include "daemon/http/http-request.h"
#include "daemon/http/http-share.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "lib/util/log.h"

/* A turn of the loop is short, however many come. */
#define ACCEPTS_PER_TURN 16

#define ACCEPT_RETRY_USEC (200 * USEC_PER_MSEC)

/* For each connection that libmicrohttpd has: the head, what it makes of it, and a piece of the answer. */
#define POOL_SIZE(head_max) (40 * 1024 + 4 * (head_max))

/* How exact deadlines are. */
#define SLACK_USEC (10 * USEC_PER_MSEC)

/* --- Connections --- */

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        struct http_server *server = userdata;
        usec_t now = now_usec(CLOCK_MONOTONIC);
        struct http_connection *connection;

        server->timer_usec = USEC_INFINITY;
        while ((connection = TAILQ_FIRST(&server->connections[HTTP_RECEIVING])) &&
               connection->deadline_usec <= now)
                connection_refuse(connection, 408, "the request has not arrived completely in time");
        while ((connection = TAILQ_FIRST(&server->connections[HTTP_ANSWERING])) &&
               connection->deadline_usec <= now)
                connection_end(connection);
        connection_set_timer(server);
        return 0;
}

static void on_connection(void *userdata, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode code) {
        struct http_server *server = userdata;

        if (code == MHD_CONNECTION_NOTIFY_STARTED) {
                *context = server->arriving;
                server->arriving->mhd = mhd;
                server->arriving = NULL;
        } else
                connection_free(*context);
}

/* libmicrohttpd takes the socket over, even on failure. */
static void connection_pass_on(struct http_connection *connection) {
        struct http_server *server = connection->server;
        struct sockaddr address = { .sa_family = AF_UNSPEC };

        connection->source = sd_event_source_disable_unref(connection->source);
        server->arriving = connection;
        (void)MHD_add_connection(server->mhd, connection->fd, &address, sizeof(address));
        if (!server->arriving)
                return;

        server->arriving = NULL;
        connection->fd = -1;
        connection_free(connection);
}

static void refuse_size(struct http_connection *connection, const char *what, size_t max) {
        char reason[128];

        snprintf(reason, sizeof(reason), "the %s of the request is too large: %zu bytes are taken at most",
                 what, max);
        connection_refuse(connection, 413, reason);
}

static int on_head(_unused_ sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct http_connection *connection = userdata;
        struct http_server *server = connection->server;
        struct http_head head;
        const char *reason;
        size_t size, got;
        ssize_t n;
        int r;

        n = recv(fd, server->scratch, server->options.head_max + 1, MSG_PEEK | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n <= 0) {
                connection_end(connection);
                return 0;
        }
        got = (size_t)n;
        connection->active_usec = now_usec(CLOCK_MONOTONIC);

        size = http_head_size(server->scratch, got);
        if (size > server->options.head_max || (size == 0 && got > server->options.head_max))
                refuse_size(connection, "head", server->options.head_max);
        else if (size > 0 && connection->access == HTTP_ACCESS_NONE)
                connection_refuse(connection, 403, server->options.refusal);
        else if (size > 0) {
                r = http_head_parse(server->scratch, size, &head, &reason);
                if (r == 0 && head.body_size > server->options.body_max) {
                        http_head_clear(&head);
                        refuse_size(connection, "body", server->options.body_max);
                } else if (r == 0) {
                        connection->request = request_new(connection, &head);
                        if (connection->request)
                                connection_pass_on(connection);
                        else
                                connection_end(connection);
                } else if (r > 0)
                        connection_refuse(connection, (unsigned)r, reason);
                else
                        connection_end(connection);
        } else if (revents & (EPOLLRDHUP | EPOLLHUP))
                connection_end(connection);

        explicit_bzero(server->scratch, got); /* the beginning of a body may be in it */
        return 0;
}

static int connection_new(struct http_server *server, int fd) {
        struct http_connection *connection;
        int r;

        connection = calloc(1, sizeof(*connection));
        if (!connection) {
                fd_close(fd);
                return -ENOMEM;
        }
        *connection = (struct http_connection) {
                .server = server,
                .fd = fd,
                .phase = HTTP_RECEIVING,
                .active_usec = now_usec(CLOCK_MONOTONIC),
        };
        connection->deadline_usec = usec_add(connection->active_usec, server->options.request_usec);
        share_identify(connection);
        if (!share_make_room(connection)) {
                fd_close(fd);
                free(connection);
                return 0;
        }
        TAILQ_INSERT_TAIL(&server->connections[HTTP_RECEIVING], connection, link);
        server->n_connections++;

        r = sd_event_add_io(server->event, &connection->source, fd, EPOLLIN | EPOLLRDHUP | EPOLLET, on_head,
                            connection);
        if (r < 0) {
                connection_free(connection);
                return r;
        }
        connection_set_timer(server);
        return 0;
}

/* --- The loop --- */

/* One read and one write for each connection that is ready. */
static void run(struct http_server *server) {
        MHD_UNSIGNED_LONG_LONG timeout_msec;

        (void)MHD_run(server->mhd);
        if (MHD_get_timeout(server->mhd, &timeout_msec) == MHD_YES)
                (void)sd_event_source_set_enabled(server->run_again, SD_EVENT_ONESHOT);
}

static int on_run(_unused_ sd_event_source *source, _unused_ int fd, _unused_ uint32_t revents,
                  void *userdata) {
        run(userdata);
        return 0;
}

static int on_run_again(_unused_ sd_event_source *source, void *userdata) {
        run(userdata);
        return 0;
}

/* Without descriptors or memory the socket stays ready: trying at once would fail at once, forever. */
static void accept_pause(struct http_server *server, int error) {
        log_line(log_repeated(LOG_WARNING, ++server->n_accept_failures),
                 "cannot accept a connection to the control API; retrying: %s", strerror(error));
        (void)share_give_one(server);
        if (sd_event_source_set_time_relative(server->accept_retry, ACCEPT_RETRY_USEC) < 0 ||
            sd_event_source_set_enabled(server->accept_retry, SD_EVENT_ONESHOT) < 0)
                return;
        (void)sd_event_source_set_enabled(server->accept, SD_EVENT_OFF);
}

static int on_accept_retry(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        struct http_server *server = userdata;

        (void)sd_event_source_set_enabled(server->accept, SD_EVENT_ON);
        return 0;
}

static int on_accept(_unused_ sd_event_source *source, int fd, _unused_ uint32_t revents, void *userdata) {
        struct http_server *server = userdata;

        for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
                int r = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

                if (r < 0 && errno == EAGAIN)
                        break;
                if (r < 0 && (errno == EINTR || errno == ECONNABORTED))
                        continue;
                if (r < 0)
                        r = -errno;
                else
                        r = connection_new(server, r);
                if (r < 0) {
                        accept_pause(server, -r);
                        break;
                }
                server->n_accept_failures = 0;
        }
        if (server->n_ending > 0)
                run(server); /* those that were shut down give their descriptors back */
        return 0;
}

/* --- The server --- */

static int server_start(struct http_server *server) {
        const union MHD_DaemonInfo *info;

        /* Those that are shut down are still there until the end of a turn. */
        server->mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0,
                                       NULL, NULL, request_step, server, MHD_OPTION_CONNECTION_LIMIT,
                                       2 * server->options.connections_max + ACCEPTS_PER_TURN,
                                       MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                                       (size_t)POOL_SIZE(server->options.head_max),
                                       MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_END);
        if (!server->mhd)
                return errno > 0 ? -errno : -ENOMEM;
        info = MHD_get_daemon_info(server->mhd, MHD_DAEMON_INFO_EPOLL_FD);
        if (!info)
                return -EOPNOTSUPP;
        return sd_event_add_io(server->event, &server->run, info->epoll_fd, EPOLLIN, on_run, server);
}

int http_server_new(sd_event *event, const struct http_server_options *options, struct http_server **ret) {
        _cleanup_(http_server_freep) struct http_server *server = NULL;
        _cleanup_(fd_closep) int fd = options->fd;
        int r;

        server = calloc(1, sizeof(*server));
        if (!server)
                return -ENOMEM;
        server->options = *options;
        server->options.fd = take_fd(&fd);
        server->event = sd_event_ref(event);
        server->forget = request_forget_connection;
        server->timer_usec = USEC_INFINITY;
        TAILQ_INIT(&server->requests);
        for (size_t i = 0; i < HTTP_PHASE_MAX; i++)
                TAILQ_INIT(&server->connections[i]);
        server->scratch = malloc(options->head_max + 1);
        if (!server->scratch)
                return -ENOMEM;

        r = sd_event_add_time(event, &server->timer, CLOCK_MONOTONIC, 0, SLACK_USEC, on_timer, server);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(server->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = sd_event_add_time(event, &server->accept_retry, CLOCK_MONOTONIC, 0, SLACK_USEC, on_accept_retry,
                              server);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(server->accept_retry, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = sd_event_add_defer(event, &server->run_again, on_run_again, server);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(server->run_again, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = server_start(server);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &server->accept, server->options.fd, EPOLLIN, on_accept, server);
        if (r < 0)
                return r;

        *ret = take_ptr(server);
        return 0;
}

int http_server_listen(struct http_server *server, int fd) {
        sd_event_source *accept;
        int r;

        r = sd_event_add_io(server->event, &accept, fd, EPOLLIN, on_accept, server);
        if (r < 0) {
                fd_close(fd);
                return r;
        }
        (void)on_accept(server->accept, server->options.fd, EPOLLIN, server); /* who has come already */
        sd_event_source_disable_unref(server->accept);
        fd_close(server->options.fd);
        server->accept = accept;
        server->options.fd = fd;
        return 0;
}

struct http_server *http_server_free(struct http_server *server) {
        struct http_connection *connection, *next;
        struct http_request *request;

        if (!server)
                return NULL;
        sd_event_source_disable_unref(server->accept);
        sd_event_source_disable_unref(server->accept_retry);
        sd_event_source_disable_unref(server->run);

        for (size_t i = 0; i < HTTP_PHASE_MAX; i++)
                for (connection = TAILQ_FIRST(&server->connections[i]); connection; connection = next) {
                        next = TAILQ_NEXT(connection, link);
                        if (connection->mhd)
                                connection_resume(connection); /* MHD_stop_daemon() asks for it */
                        else
                                connection_free(connection);
                }
        if (server->mhd)
                MHD_stop_daemon(server->mhd); /* frees the others */
        while ((request = TAILQ_FIRST(&server->requests))) {
                if (request->dropped)
                        request->dropped(request->userdata);
                request_free(request);
        }

        sd_event_source_disable_unref(server->run_again);
        sd_event_source_disable_unref(server->timer);
        fd_close(server->options.fd);
        free(server->scratch);
        sd_event_unref(server->event);
        free(server);
        return NULL;
}
