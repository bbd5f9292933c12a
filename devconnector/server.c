/*
 * Three evhttp listeners on one loop. The endpoints differ in their TLS only; what a call may do is decided
 * by the endpoint it came through. Everything is single-threaded: a signature takes a millisecond, and a
 * fault that needs a new CA may stall the others for as long as a key takes to generate.
 */

#include "devconnector/server.h"

#include <arpa/inet.h>
#include <event2/bufferevent_ssl.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "devconnector/admin.h"
#include "devconnector/call.h"
#include "devconnector/description.h"
#include "lib/util/files.h"
#include "lib/util/log.h"

#define BODY_MAX       (8 * 1024 * 1024)
#define ADMIN_BODY_MAX (64 * 1024)
#define HEADERS_MAX    (64 * 1024)
#define ADMIN_ADDRESS  "127.0.0.1"

static void on_refused(void *userdata, const struct tls_peer *peer, const char *reason, unsigned alert) {
        struct server *server = userdata;

        events_emit(server->events, json_pack("{s:s,s:s,s:s,s:o,s:s?,s:s?}", "event", "refused", "endpoint",
                                              endpoint_names[peer->endpoint], "reason", reason, "alert",
                                              alert ? json_integer(alert) : json_null(), "fingerprint",
                                              *peer->fingerprint ? peer->fingerprint : NULL, "fault",
                                              peer->fault ? fault_name(peer->fault) : NULL));
}

static struct bufferevent *accept_at(struct server *server, enum endpoint endpoint) {
        struct fault *fault =
                faults_take(server->faults, FAULT_STAGE_TLS, endpoint, PROTOCOL_MAX, OPERATION_KIND_MAX);
        SSL *ssl = tls_accept(server->tls[endpoint], fault);
        struct bufferevent *bev;

        if (!ssl)
                return NULL;
        /* Deferred, so that a reply to a client that has gone cannot free its connection while it is written.
         */
        bev = bufferevent_openssl_socket_new(server->base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                             BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
        if (!bev) {
                SSL_free(ssl);
                return NULL;
        }
        bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
        return bev;
}

static struct bufferevent *accept_certificate(_unused_ struct event_base *base, void *userdata) {
        return accept_at(userdata, ENDPOINT_CERTIFICATE);
}

static struct bufferevent *accept_token(_unused_ struct event_base *base, void *userdata) {
        return accept_at(userdata, ENDPOINT_TOKEN);
}

static void on_call(struct evhttp_request *request, void *userdata) {
        call_start(userdata, request);
}

static void on_admin(struct evhttp_request *request, void *userdata) {
        admin_start(userdata, request);
}

static int listen_at(struct evhttp *http, const char *address, uint64_t port, unsigned *ret_port,
                     struct error *error) {
        struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(http, address, (uint16_t)port);
        struct sockaddr_storage name;
        socklen_t size = sizeof(name);
        evutil_socket_t fd;

        if (!bound)
                return error_set_errno(error, errno > 0 ? -errno : -EINVAL, "cannot listen on %s, port %u",
                                       address, (unsigned)port);
        fd = evhttp_bound_socket_get_fd(bound);
        /* Connections inherit it. Without it the end of a reply, a write of its own, waits 40 ms for the
         * client's acknowledgement of the beginning. */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int) { 1 }, sizeof(int));
        if (getsockname(fd, (struct sockaddr *)&name, &size) < 0)
                return error_set_errno(error, -errno, "cannot listen on %s", address);
        *ret_port = ntohs(name.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&name)->sin6_port
                                                     : ((struct sockaddr_in *)&name)->sin_port);
        return 0;
}

static struct evhttp *new_listener(struct server *server, ev_ssize_t body_max,
                                   void (*on_request)(struct evhttp_request *, void *)) {
        struct evhttp *http = evhttp_new(server->base);

        if (!http)
                return NULL;
        /* All methods: what an endpoint does not serve gets its own 404, not libevent's 501. */
        evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
                                                 EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PATCH);
        evhttp_set_max_body_size(http, body_max);
        evhttp_set_max_headers_size(http, HEADERS_MAX);
        evhttp_set_gencb(http, on_request, server);
        return http;
}

static int open_endpoint(struct server *server, enum endpoint endpoint, uint64_t port, unsigned *ret_port,
                         struct error *error) {
        struct tls_config config = {
                .endpoint = endpoint,
                .tls_max = server->settings->tls_max,
                .dir_fd = server->dir_fd,
                .server = ca_server(server->connector.ca),
                .refused = on_refused,
                .userdata = server,
        };
        int r;

        r = tls_endpoint_new(&config, &server->tls[endpoint], error);
        if (r < 0)
                return r;
        server->endpoints[endpoint] = new_listener(server, BODY_MAX, on_call);
        if (!server->endpoints[endpoint])
                return error_set_errno(error, -ENOMEM, "cannot open the %s endpoint",
                                       endpoint_names[endpoint]);
        evhttp_set_bevcb(server->endpoints[endpoint],
                         endpoint == ENDPOINT_CERTIFICATE ? accept_certificate : accept_token, server);
        return listen_at(server->endpoints[endpoint], server->settings->listen, port, ret_port, error);
}

static int open_directory(struct server *server, struct error *error) {
        const char *directory = server->settings->directory;

        if (mkdir(directory, 0700) < 0 && errno != EEXIST)
                return error_set_errno(error, -errno, "cannot create the directory %s", directory);
        server->dir_fd = dir_open_at(AT_FDCWD, directory);
        if (server->dir_fd < 0)
                return error_set_errno(error, server->dir_fd, "cannot open the directory %s", directory);
        return 0;
}

static void on_signal(_unused_ evutil_socket_t fd, _unused_ short what, void *userdata) {
        struct server *server = userdata;

        event_base_loopbreak(server->base);
}

static int open_loop(struct server *server, struct error *error) {
        signal(SIGPIPE, SIG_IGN); /* a client that hangs up, a reader of stdout that ends */
        server->base = event_base_new();
        server->events = server->base ? events_new(server->base, STDOUT_FILENO) : NULL;
        server->faults = faults_new();
        if (!server->events || !server->faults)
                return error_set_errno(error, -ENOMEM, "cannot start");
        return 0;
}

/* Not before the CA's keys are made, which takes seconds: until then a signal ends the process. */
static int catch_signals(struct server *server, struct error *error) {
        static const int numbers[] = { SIGTERM, SIGINT };

        for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
                server->signals[i] = evsignal_new(server->base, numbers[i], on_signal, server);
                if (!server->signals[i] || event_add(server->signals[i], NULL) < 0)
                        return error_set_errno(error, -ENOMEM, "cannot start");
        }
        return 0;
}

int server_open(struct server *server, const struct settings *settings, struct error *error) {
        unsigned ports[ENDPOINT_MAX], admin_port;
        int r;

        *server = (struct server) { .settings = settings, .dir_fd = -1 };
        r = open_directory(server, error);
        if (r < 0)
                return r;
        r = open_loop(server, error);
        if (r < 0)
                return r;
        r = connector_open(server->dir_fd, settings, &server->connector, error);
        if (r < 0)
                return r;
        r = catch_signals(server, error);
        if (r < 0)
                return r;
        r = open_endpoint(server, ENDPOINT_CERTIFICATE, settings->certificate_port,
                          &ports[ENDPOINT_CERTIFICATE], error);
        if (r < 0)
                return r;
        r = open_endpoint(server, ENDPOINT_TOKEN, settings->token_port, &ports[ENDPOINT_TOKEN], error);
        if (r < 0)
                return r;
        server->admin = new_listener(server, ADMIN_BODY_MAX, on_admin);
        if (!server->admin)
                return error_set_errno(error, -ENOMEM, "cannot open the admin listener");
        r = listen_at(server->admin, ADMIN_ADDRESS, settings->admin_port, &admin_port, error);
        if (r < 0)
                return r;
        r = connector_set_ports(&server->connector, ports[ENDPOINT_CERTIFICATE], ports[ENDPOINT_TOKEN]);
        if (r == 0 && asprintf(&server->admin_url, "http://" ADMIN_ADDRESS ":%u", admin_port) < 0) {
                server->admin_url = NULL;
                r = -ENOMEM;
        }
        return r < 0 ? error_set_errno(error, r, "cannot start") : 0;
}

int server_run(struct server *server, struct error *error) {
        events_emit(server->events, server_describe(server));
        if (event_base_dispatch(server->base) < 0)
                return error_set(error, -EIO, "the event loop failed");
        return 0;
}

void server_close(struct server *server) {
        for (size_t i = 0; i < ENDPOINT_MAX; i++)
                if (server->endpoints[i])
                        evhttp_free(server->endpoints[i]); /* and with it connections and their calls */
        if (server->admin)
                evhttp_free(server->admin);
        for (size_t i = 0; i < ELEMENTSOF(server->signals); i++)
                if (server->signals[i])
                        event_free(server->signals[i]);
        events_free(server->events);
        if (server->base)
                event_base_free(server->base); /* runs what bufferevents put off, which frees their SSL */
        for (size_t i = 0; i < ENDPOINT_MAX; i++)
                tls_endpoint_free(server->tls[i]);
        faults_free(server->faults);
        connector_close(&server->connector);
        free(server->admin_url);
        fd_close(server->dir_fd);
        *server = (struct server) { .dir_fd = -1 };
}
