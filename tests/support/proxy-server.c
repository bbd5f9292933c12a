#include "tests/support/proxy-server.h"

#include <netdb.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "tests/test.h"

struct counts {
        atomic_uint connects, certificates;
};

struct proxy_server {
        struct proxy_server_options options;
        pid_t pid;
        unsigned port;
        struct counts *counts; /* shared with the processes */
};

/* A client, in a process of its own. */
struct client {
        int fd;
        SSL *tls; /* NULL: plain HTTP */
};

static ssize_t client_read(struct client *client, char *data, size_t size) {
        return client->tls ? SSL_read(client->tls, data, (int)size) : read(client->fd, data, size);
}

static bool client_write(struct client *client, const char *data, size_t size) {
        return (client->tls ? SSL_write(client->tls, data, (int)size) : write(client->fd, data, size)) ==
               (ssize_t)size;
}

/* Whatever is shown counts; whether it is any good is not the question. */
static int on_certificate(_unused_ int ok, X509_STORE_CTX *context) {
        const SSL *tls = X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx());
        struct counts *counts = SSL_get_app_data(tls);

        atomic_fetch_add(&counts->certificates, X509_STORE_CTX_get_error_depth(context) == 0);
        return 1;
}

static bool begin_tls(const struct proxy_server *server, struct client *client) {
        static const int modes[] = {
                [ASKS_NO_CERTIFICATE] = SSL_VERIFY_NONE,
                [ASKS_CERTIFICATE] = SSL_VERIFY_PEER,
                [REQUIRES_CERTIFICATE] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
        };
        SSL_CTX *context = SSL_CTX_new(TLS_server_method());

        if (!context || SSL_CTX_use_certificate(context, server->options.certificate) != 1 ||
            SSL_CTX_use_PrivateKey(context, server->options.key) != 1)
                return false;
        SSL_CTX_set_verify(context, modes[server->options.asks], on_certificate);
        client->tls = SSL_new(context);
        SSL_set_app_data(client->tls, server->counts);
        SSL_set_fd(client->tls, client->fd);
        return SSL_accept(client->tls) == 1;
}

static int connect_to(const char *host, const char *port) {
        const struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM };
        struct addrinfo *list = NULL;
        int fd = -1;

        if (getaddrinfo(host, port, &hints, &list) == 0) {
                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
                if (connect(fd, list->ai_addr, list->ai_addrlen) < 0)
                        fd = fd_close(fd);
                freeaddrinfo(list);
        }
        return fd;
}

/* Both ways, until one side ends. */
static void relay(struct client *client, int fd) {
        char data[16384];
        ssize_t n;

        for (;;) {
                struct pollfd items[] = { { .fd = client->fd, .events = POLLIN },
                                          { .fd = fd, .events = POLLIN } };

                if ((!client->tls || SSL_pending(client->tls) == 0) && poll(items, 2, -1) < 0)
                        return;
                if (items[0].revents || (client->tls && SSL_pending(client->tls) > 0)) {
                        n = client_read(client, data, sizeof(data));
                        if (n <= 0 || write(fd, data, (size_t)n) != n)
                                return;
                }
                if (items[1].revents) {
                        n = read(fd, data, sizeof(data));
                        if (n <= 0 || !client_write(client, data, (size_t)n))
                                return;
                }
        }
}

static void serve(struct proxy_server *server, int fd) {
        static const char done[] = "HTTP/1.1 200 Connected\r\n\r\n";
        struct client client = { .fd = fd };
        char head[4096], host[256], port[8];
        size_t size = 0;
        int there;

        if (server->options.certificate && !begin_tls(server, &client))
                return;
        do {
                ssize_t n = client_read(&client, head + size, sizeof(head) - 1 - size);

                if (n <= 0)
                        return;
                size += (size_t)n;
                head[size] = '\0';
        } while (!strstr(head, "\r\n\r\n"));
        atomic_fetch_add(&server->counts->connects, 1);
        if (server->options.answer) {
                client_write(&client, server->options.answer, strlen(server->options.answer));
                client_write(&client, "Content-Length: 0\r\n\r\n", 21);
                return;
        }
        if (sscanf(head, "CONNECT %255[^: ]:%7[0-9] ", host, port) != 2)
                return;
        there = connect_to(host, port);
        if (there >= 0 && client_write(&client, done, strlen(done)))
                relay(&client, there);
}

static void run(struct proxy_server *server, int listen_fd) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGCHLD, SIG_IGN);
        signal(SIGPIPE, SIG_IGN);
        for (;;) {
                int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);

                if (fd >= 0 && fork() == 0) {
                        prctl(PR_SET_PDEATHSIG, SIGKILL);
                        serve(server, fd);
                        _exit(0);
                }
                fd_close(fd);
        }
}

struct proxy_server *proxy_server_start(const struct proxy_server_options *options) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        struct proxy_server *server = calloc(1, sizeof(*server));
        _cleanup_(fd_closep) int listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        socklen_t size = sizeof(address);

        ck_assert_ptr_nonnull(server);
        server->options = *options;
        server->counts = mmap(NULL, sizeof(*server->counts), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        ck_assert_ptr_ne(server->counts, MAP_FAILED);
        ck_assert_int_eq(bind(listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
        ck_assert_int_eq(listen(listen_fd, 8), 0);
        ck_assert_int_eq(getsockname(listen_fd, (struct sockaddr *)&address, &size), 0);
        server->port = ntohs(address.sin_port);
        fflush(NULL);
        server->pid = fork();
        ck_assert_int_ge(server->pid, 0);
        if (server->pid == 0)
                run(server, listen_fd);
        return server;
}

struct proxy_server *proxy_server_stop(struct proxy_server *server) {
        if (!server)
                return NULL;
        kill(server->pid, SIGKILL);
        waitpid(server->pid, NULL, 0);
        munmap(server->counts, sizeof(*server->counts));
        free(server);
        return NULL;
}

unsigned proxy_server_port(const struct proxy_server *server) {
        return server->port;
}

unsigned proxy_server_connects(const struct proxy_server *server) {
        return atomic_load(&server->counts->connects);
}

unsigned proxy_server_certificates(const struct proxy_server *server) {
        return atomic_load(&server->counts->certificates);
}
