#include "tests/kube/fault-proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "tests/support/must.h"
#include "tests/support/scratch.h"

#define MESSAGE_MAX (4u << 20)

const char *const proxy_fault_names[PROXY_FAULT_MAX] = {
        [PROXY_NONE] = "none",
        [PROXY_CUT_BEFORE] = "cut before",
        [PROXY_CUT_AFTER] = "cut after",
        [PROXY_HOLD_BEFORE] = "held before",
        [PROXY_HOLD_AFTER] = "held after",
        [PROXY_UNAUTHORIZED] = "401",
        [PROXY_FORBIDDEN] = "403",
        [PROXY_CONFLICT] = "409",
        [PROXY_BUSY] = "429",
        [PROXY_ERROR] = "500",
        [PROXY_UNAVAILABLE] = "503",
        [PROXY_GARBAGE] = "garbage",
};

#define REQUESTS_MAX 1024u

struct proxy_fault_server {
        SSL_CTX *server, *client;
        int listen_fd, stop_fds[2];
        unsigned upstream_port;
        char url[40];
        pthread_t thread;

        pthread_mutex_t lock;
        pthread_cond_t changed;
        unsigned n, nth, n_connections;
        bool writes[REQUESTS_MAX]; /* by number */
        enum proxy_fault fault;
        bool is_released;
        int held_fd; /* of an eventfd, which can be read while a request is held */
};

struct connection {
        struct proxy_fault_server *proxy;
        int fd;
};

/* --- Messages */

/* Reads until the body that Content-Length names is there, or to the end. The bytes, owned; NULL: it broke.
 */
static char *read_message(SSL *ssl, bool to_end, size_t *ret_size) {
        char *data = malloc(MESSAGE_MAX);
        size_t size = 0, wanted = 0;

        must(data);
        for (;;) {
                const char *end, *length;
                int n;

                if (wanted > 0 && size >= wanted)
                        break;
                n = SSL_read(ssl, data + size, (int)(MESSAGE_MAX - 1 - size));
                if (n <= 0 && to_end && size > 0)
                        break;
                if (n <= 0) {
                        free(data);
                        return NULL;
                }
                size += (size_t)n;
                data[size] = '\0';
                end = strstr(data, "\r\n\r\n");
                length = strcasestr(data, "\r\nContent-Length:");
                if (!to_end && end)
                        wanted = (size_t)(end + 4 - data) +
                                 (length && length < end ? strtoul(strchr(length, ':') + 1, NULL, 10) : 0);
        }
        *ret_size = size;
        return data;
}

static int connect_upstream(const struct proxy_fault_server *proxy) {
        const struct sockaddr_in address = {
                .sin_family = AF_INET,
                .sin_port = htons((uint16_t)proxy->upstream_port),
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        must(fd >= 0);
        return connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? fd_close(fd) : fd;
}

/* The API server closes the connection after its answer, as it is asked to. */
static char *forward(const struct proxy_fault_server *proxy, const char *request, size_t size,
                     size_t *ret_size) {
        const char *end = strstr(request, "\r\n");
        _cleanup_(fd_closep) int fd = connect_upstream(proxy);
        SSL *ssl = fd < 0 ? NULL : SSL_new(proxy->client);
        char *answer = NULL;

        if (!ssl)
                return NULL;
        must(end && SSL_set_fd(ssl, fd) == 1);
        if (SSL_connect(ssl) == 1 && SSL_write(ssl, request, (int)(end + 2 - request)) > 0 &&
            SSL_write(ssl, "Connection: close\r\n", 19) > 0 &&
            SSL_write(ssl, end + 2, (int)(size - (size_t)(end + 2 - request))) > 0)
                answer = read_message(ssl, true, ret_size);
        SSL_free(ssl);
        return answer;
}

/* --- Faults */

static enum proxy_fault next_fault(struct proxy_fault_server *proxy, const char *request) {
        enum proxy_fault fault;

        pthread_mutex_lock(&proxy->lock);
        fault = ++proxy->n == proxy->nth ? proxy->fault : PROXY_NONE;
        if (proxy->n < REQUESTS_MAX)
                proxy->writes[proxy->n] = !has_prefix(request, "GET ");
        pthread_mutex_unlock(&proxy->lock);
        return fault;
}

static void hold(struct proxy_fault_server *proxy) {
        pthread_mutex_lock(&proxy->lock);
        must(eventfd_write(proxy->held_fd, 1) == 0);
        while (!proxy->is_released)
                pthread_cond_wait(&proxy->changed, &proxy->lock);
        pthread_mutex_unlock(&proxy->lock);
}

static const char *own_answer(enum proxy_fault fault) {
        switch (fault) {
        case PROXY_UNAUTHORIZED:
                return "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
        case PROXY_FORBIDDEN:
                return "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
        case PROXY_CONFLICT:
                return "HTTP/1.1 409 Conflict\r\nContent-Length: 21\r\n\r\n{\"reason\":\"Conflict\"}";
        case PROXY_BUSY:
                return "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
        case PROXY_ERROR:
                return "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
        case PROXY_UNAVAILABLE:
                return "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
        case PROXY_GARBAGE:
                return "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>";
        default:
                return NULL;
        }
}

static void serve(struct proxy_fault_server *proxy, SSL *ssl) {
        size_t size, answer_size;
        _cleanup_(freep) char *request = read_message(ssl, false, &size), *answer = NULL;
        enum proxy_fault fault;
        const char *own;

        if (!request)
                return;
        fault = next_fault(proxy, request);
        own = own_answer(fault);
        if (own) {
                (void)SSL_write(ssl, own, (int)strlen(own));
                (void)SSL_shutdown(ssl);
                return;
        }
        if (fault == PROXY_HOLD_BEFORE)
                hold(proxy);
        if (fault == PROXY_CUT_BEFORE || fault == PROXY_HOLD_BEFORE)
                return;
        answer = forward(proxy, request, size, &answer_size);
        if (fault == PROXY_HOLD_AFTER)
                hold(proxy);
        if (!answer || fault == PROXY_CUT_AFTER || fault == PROXY_HOLD_AFTER)
                return;
        (void)SSL_write(ssl, answer, (int)answer_size);
        (void)SSL_shutdown(ssl);
}

/* --- Connections */

static void *run_connection(void *argument) {
        struct connection *connection = argument;
        struct proxy_fault_server *proxy = connection->proxy;
        SSL *ssl = SSL_new(proxy->server);

        must(ssl && SSL_set_fd(ssl, connection->fd) == 1);
        if (SSL_accept(ssl) == 1)
                serve(proxy, ssl);
        SSL_free(ssl);
        fd_close(connection->fd);
        free(connection);
        pthread_mutex_lock(&proxy->lock);
        proxy->n_connections--;
        pthread_cond_broadcast(&proxy->changed);
        pthread_mutex_unlock(&proxy->lock);
        return NULL;
}

static void start_connection(struct proxy_fault_server *proxy, int fd) {
        struct connection *connection = calloc(1, sizeof(*connection));
        pthread_t thread;

        must(connection);
        *connection = (struct connection) { proxy, fd };
        pthread_mutex_lock(&proxy->lock);
        proxy->n_connections++;
        pthread_mutex_unlock(&proxy->lock);
        must(pthread_create(&thread, NULL, run_connection, connection) == 0 && pthread_detach(thread) == 0);
}

static void *run(void *argument) {
        struct proxy_fault_server *proxy = argument;
        struct pollfd fds[] = { { .fd = proxy->listen_fd, .events = POLLIN },
                                { .fd = proxy->stop_fds[0], .events = POLLIN } };

        while (poll(fds, ELEMENTSOF(fds), -1) > 0 && fds[1].revents == 0) {
                int fd = accept4(proxy->listen_fd, NULL, NULL, SOCK_CLOEXEC);

                if (fd >= 0)
                        start_connection(proxy, fd);
        }
        return NULL;
}

static void listen_on_loopback(struct proxy_fault_server *proxy) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(address);

        proxy->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        must(proxy->listen_fd >= 0);
        must(bind(proxy->listen_fd, (struct sockaddr *)&address, sizeof(address)) == 0);
        must(listen(proxy->listen_fd, 100) == 0);
        must(getsockname(proxy->listen_fd, (struct sockaddr *)&address, &size) == 0);
        snprintf(proxy->url, sizeof(proxy->url), "https://127.0.0.1:%u", ntohs(address.sin_port));
}

struct proxy_fault_server *fault_proxy_new(const char *directory) {
        _cleanup_(freep) char *port = scratch_read(directory, "port"),
                              *certificate = scratch_path(directory, "server.crt"),
                              *key = scratch_path(directory, "server.key");
        struct proxy_fault_server *proxy = calloc(1, sizeof(*proxy));

        must(proxy && port);
        signal(SIGPIPE, SIG_IGN);
        proxy->upstream_port = (unsigned)atoi(port);
        proxy->server = SSL_CTX_new(TLS_server_method());
        proxy->client = SSL_CTX_new(TLS_client_method());
        must(proxy->server && proxy->client);
        must(SSL_CTX_use_certificate_file(proxy->server, certificate, SSL_FILETYPE_PEM) == 1);
        must(SSL_CTX_use_PrivateKey_file(proxy->server, key, SSL_FILETYPE_PEM) == 1);
        must(pthread_mutex_init(&proxy->lock, NULL) == 0 && pthread_cond_init(&proxy->changed, NULL) == 0);
        must(pipe(proxy->stop_fds) == 0);
        proxy->held_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        must(proxy->held_fd >= 0);
        listen_on_loopback(proxy);
        must(pthread_create(&proxy->thread, NULL, run, proxy) == 0);
        return proxy;
}

struct proxy_fault_server *fault_proxy_free(struct proxy_fault_server *proxy) {
        if (!proxy)
                return NULL;
        must(write(proxy->stop_fds[1], "", 1) == 1);
        must(pthread_join(proxy->thread, NULL) == 0);
        fault_proxy_release(proxy);
        pthread_mutex_lock(&proxy->lock);
        while (proxy->n_connections > 0)
                pthread_cond_wait(&proxy->changed, &proxy->lock);
        pthread_mutex_unlock(&proxy->lock);
        fd_close(proxy->listen_fd);
        fd_close(proxy->held_fd);
        fd_close(proxy->stop_fds[0]);
        fd_close(proxy->stop_fds[1]);
        SSL_CTX_free(proxy->server);
        SSL_CTX_free(proxy->client);
        free(proxy);
        return NULL;
}

const char *fault_proxy_url(const struct proxy_fault_server *proxy) {
        return proxy->url;
}

void fault_proxy_arm(struct proxy_fault_server *proxy, unsigned nth, enum proxy_fault fault) {
        eventfd_t n;

        pthread_mutex_lock(&proxy->lock);
        (void)eventfd_read(proxy->held_fd, &n);
        proxy->n = 0;
        proxy->nth = nth;
        proxy->fault = fault;
        proxy->is_released = false;
        pthread_mutex_unlock(&proxy->lock);
}

unsigned fault_proxy_count(struct proxy_fault_server *proxy) {
        unsigned n;

        pthread_mutex_lock(&proxy->lock);
        n = proxy->n;
        pthread_mutex_unlock(&proxy->lock);
        return n;
}

bool fault_proxy_writes(struct proxy_fault_server *proxy, unsigned n) {
        bool writes;

        pthread_mutex_lock(&proxy->lock);
        writes = n < REQUESTS_MAX && proxy->writes[n];
        pthread_mutex_unlock(&proxy->lock);
        return writes;
}

bool fault_proxy_await_held(struct proxy_fault_server *proxy, struct process *client) {
        return process_await_readable(client, proxy->held_fd);
}

void fault_proxy_release(struct proxy_fault_server *proxy) {
        pthread_mutex_lock(&proxy->lock);
        proxy->is_released = true;
        pthread_cond_broadcast(&proxy->changed);
        pthread_mutex_unlock(&proxy->lock);
}
