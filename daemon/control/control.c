/*
 * Who may ask what, and where it goes. A request is one row of a table: method, path, the access that it
 * takes and the function that answers. Nothing here waits: what takes a while is answered later, in
 * control-reply.c, and what changes something is asked of the certificate, in control-ask.c.
 */

#include "daemon/control/control.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "daemon/control/control-ask.h"
#include "daemon/control/control-reply.h"
#include "daemon/fleet/fleet-connectors.h"
#include "daemon/fleet/fleet-issuers.h"
#include "daemon/loop/path-watch.h"
#include "lib/config/yaml-table.h"
#include "lib/util/json.h"
#include "lib/util/log.h"
#include "lib/util/quote.h"
#include "lib/util/text-stream.h"

#define HEAD_MAX         8192u
#define CONNECTIONS_MAX  256u
#define HTTP_CONNECTIONS 64u
#define REQUEST_USEC     (10 * USEC_PER_SEC)
#define ANSWER_USEC      (60 * USEC_PER_SEC)

struct control {
        struct control_options options;
        struct control_asks asks;
        struct http_server *control, *http;
        char *socket, *listen; /* where they listen; NULL: nowhere */
        struct path_watch *socket_watch;
        dev_t socket_device; /* what is at `socket`, as long as nobody removes it */
        ino_t socket_inode;
        bool is_socket_lost; /* and could not be made again */
        gid_t group, read_group;
};

/* Names in the body of /readyz; the count is of all. */
#define UNREADY_MAX 100u

/* --- Reading --- */

static void get_version(struct control *control, struct http_request *request,
                        _unused_ struct certificate *certificate) {
        const struct control_options *options = &control->options;
        char started[TIMESTAMP_MAX];

        control_reply_json(request, 200,
                           json_pack("{s:s, s:s, s:i, s:s, s:I, s:b}", "version", REKEYD_VERSION, "started",
                                     format_timestamp(started, options->metrics->started_usec), "pid",
                                     (int)getpid(), "config", options->config_path, "certificates",
                                     (json_int_t)options->fleet->n, "ready", fleet_is_ready(options->fleet)));
}

static void get_list(struct control *control, struct http_request *request,
                     _unused_ struct certificate *certificate) {
        control_reply_list(&control->options, request);
}

static void get_issuers(struct control *control, struct http_request *request,
                        _unused_ struct certificate *certificate) {
        control_reply_json(request, 200, fleet_issuers(control->options.fleet));
}

static void get_connectors(struct control *control, struct http_request *request,
                           _unused_ struct certificate *certificate) {
        control_reply_json(request, 200, fleet_connectors(control->options.fleet, control->options.slots));
}

static void get_details(struct control *control, struct http_request *request,
                        struct certificate *certificate) {
        control_ask(&control->asks, request, certificate, OPERATION_NONE);
}

static void get_history(struct control *control, struct http_request *request,
                        struct certificate *certificate) {
        control_reply_history(&control->options, request, certificate);
}

static void get_events(struct control *control, struct http_request *request,
                       _unused_ struct certificate *certificate) {
        control_reply_events(&control->options, request);
}

static void get_precheck(struct control *control, struct http_request *request,
                         _unused_ struct certificate *certificate) {
        control_reply_precheck(&control->options, request);
}

static void get_metrics(struct control *control, struct http_request *request,
                        _unused_ struct certificate *certificate) {
        const unsigned connections = control->control ? http_server_connections(control->control) : 0;

        control_reply_metrics(&control->options, request, connections);
}

static void get_health(_unused_ struct control *control, struct http_request *request,
                       _unused_ struct certificate *certificate) {
        http_reply(request, 200, "text/plain", "ok\n", strlen("ok\n"), NULL);
}

/* Derived from the state of now, never remembered. */
static void get_readiness(struct control *control, struct http_request *request,
                          _unused_ struct certificate *certificate) {
        const struct fleet *fleet = control->options.fleet;
        _cleanup_(freep) char *text = NULL;
        size_t n_bad = 0, size;
        FILE *out = text_stream_open(&text, &size);

        if (!out) {
                http_reply_error(request, 500, NULL, "out of memory");
                return;
        }
        for (size_t i = 0; i < fleet->n; i++) {
                struct report_status status;

                certificate_get_status(fleet->certificates[i], &status);
                if (status.is_usable)
                        continue;
                if (n_bad++ < UNREADY_MAX)
                        fprintf(out, "%s: %s%s%s\n", status.name, fleet_trouble(&status),
                                status.unreadable ? ": " : "", status.unreadable ? status.unreadable : "");
        }
        if (n_bad > UNREADY_MAX)
                fprintf(out, "and %zu more\n", n_bad - UNREADY_MAX);
        if (fleet->n_uninspected > 0)
                fprintf(out, "%zu of %zu certificates not inspected yet\n", fleet->n_uninspected, fleet->n);
        else if (n_bad == 0)
                fprintf(out, "ready: all %zu certificates are usable\n", fleet->n);
        if (fclose(out) != 0)
                http_reply_error(request, 500, NULL, "out of memory");
        else
                http_reply(request, n_bad > 0 || fleet->n_uninspected > 0 ? 503 : 200, "text/plain", text,
                           size, NULL);
}

/* --- Asking --- */

static void post_reload(struct control *control, struct http_request *request,
                        _unused_ struct certificate *certificate) {
        if (control_ask_reload(request))
                control->options.reload(control->options.userdata);
}

void control_note_inspected(struct control *control, const char *name, bool has_failed) {
        control_asks_note_inspected(&control->asks, name, has_failed);
}

/* --- Routes --- */

#define CERTIFICATES "/v1/certificates/"

/* TAIL is what follows the name of a certificate, where PATH is NULL. */
static const struct route {
        const char *path, *tail, *method;
        void (*answer)(struct control *control, struct http_request *request,
                       struct certificate *certificate);
        bool is_public;           /* by TCP, for every client */
        enum operation operation; /* in place of `answer` */
} routes[] = {
        { "/v1/version", NULL, "GET", get_version, false, OPERATION_NONE },
        { "/v1/certificates", NULL, "GET", get_list, false, OPERATION_NONE },
        { "/v1/cas", NULL, "GET", get_issuers, false, OPERATION_NONE },
        { "/v1/check-config", NULL, "GET", get_precheck, false, OPERATION_NONE },
        { "/v1/connectors", NULL, "GET", get_connectors, false, OPERATION_NONE },
        { NULL, "", "GET", get_details, false, OPERATION_NONE },
        { NULL, "/history", "GET", get_history, false, OPERATION_NONE },
        { NULL, "/renew", "POST", NULL, false, OPERATION_RENEW },
        { NULL, "/enrol", "POST", NULL, false, OPERATION_ENROL },
        { NULL, "/revoke", "POST", NULL, false, OPERATION_REVOKE },
        { NULL, "/rollback", "POST", NULL, false, OPERATION_ROLLBACK },
        { NULL, "/notify", "POST", NULL, false, OPERATION_NOTIFY },
        { NULL, "/accept", "POST", NULL, false, OPERATION_ACCEPT },
        { NULL, "/probe", "POST", NULL, false, OPERATION_PROBE },
        { NULL, "/adopt", "POST", NULL, false, OPERATION_ADOPT },
        { NULL, "/export", "POST", NULL, false, OPERATION_EXPORT },
        { "/v1/events", NULL, "GET", get_events, false, OPERATION_NONE },
        { "/v1/reload", NULL, "POST", post_reload, false, OPERATION_NONE },
        { "/metrics", NULL, "GET", get_metrics, true, OPERATION_NONE },
        { "/healthz", NULL, "GET", get_health, true, OPERATION_NONE },
        { "/readyz", NULL, "GET", get_readiness, true, OPERATION_NONE },
};

/* The route of PATH, and the name of the certificate in it, if there is to be one, in NAME. */
static const struct route *find_route(const char *path, char name[YAML_NAME_MAX + 1]) {
        const char *tail = NULL;
        size_t n;

        if (has_prefix(path, CERTIFICATES)) {
                path += strlen(CERTIFICATES);
                n = strcspn(path, "/");
                if (n == 0 || n > YAML_NAME_MAX)
                        return NULL;
                memcpy(name, path, n);
                name[n] = '\0';
                tail = path + n;
        }
        for (size_t i = 0; i < ELEMENTSOF(routes); i++)
                if (tail ? streq_null(routes[i].tail, tail) : streq_null(routes[i].path, path))
                        return &routes[i];
        return NULL;
}

static void answer(struct control *control, struct http_request *request, const struct route *route,
                   const char *name) {
        struct certificate *certificate = NULL;
        char header[32];

        if (!streq(http_method(request), route->method) &&
            !(streq(http_method(request), "HEAD") && streq(route->method, "GET"))) {
                snprintf(header, sizeof(header), "Allow: %s", route->method);
                http_reply_error(request, 405, header, "%s takes a %s", http_path(request), route->method);
                return;
        }
        if (http_access(request) < HTTP_ACCESS_FULL && streq(route->method, "POST")) {
                http_reply_error(request, 403, NULL,
                                 "permission denied: you may only read; changes need root, rekeyd's own "
                                 "user, or a member of `control.group`");
                return;
        }
        if (name[0]) {
                certificate = fleet_find(control->options.fleet, name);
                if (!certificate) {
                        http_reply_error(request, 404, NULL,
                                         "there is no certificate '%s' in the configuration of rekeyd",
                                         quoted(name));
                        return;
                }
        }
        if (route->operation != OPERATION_NONE)
                control_ask(&control->asks, request, certificate, route->operation);
        else
                route->answer(control, request, certificate);
}

static void on_request(struct http_request *request, void *userdata) {
        struct control *control = userdata;
        char name[YAML_NAME_MAX + 1] = "";
        const struct route *route;

        route = find_route(http_path(request), name);
        if (route)
                answer(control, request, route, name);
        else
                http_reply_error(request, 404, NULL, "no such endpoint: %.100s; see rekeyd-api(7)",
                                 http_path(request));
}

static void on_public_request(struct http_request *request, void *userdata) {
        char name[YAML_NAME_MAX + 1] = "";
        const struct route *route = find_route(http_path(request), name);

        if (route && route->is_public)
                answer(userdata, request, route, name);
        else
                http_reply_error(request, 404, NULL,
                                 "no such endpoint: %.100s but /metrics, /healthz and /readyz",
                                 http_path(request));
}

/* --- Sockets --- */

static enum http_access control_access(int fd, void *userdata) {
        const struct control *control = userdata;

        return http_peer_access(fd, control->group, control->read_group);
}

static enum http_access public_access(_unused_ int fd, _unused_ void *userdata) {
        return HTTP_ACCESS_READ;
}

void control_cancel(const struct config *config, struct control_sockets *sockets) {
        const bool has_socket = sockets->control_fd >= 0;

        sockets->control_fd = fd_close(sockets->control_fd);
        if (has_socket)
                http_remove_unix(config->control.socket);
        sockets->http_fd = fd_close(sockets->http_fd);
}

int control_open(const struct control *control, const struct config *config, struct control_sockets *ret,
                 struct error *error) {
        struct control_sockets sockets = CONTROL_SOCKETS_NONE;
        int r = 0;

        if (config->control.socket && !streq_null(config->control.socket, control->socket))
                r = sockets.control_fd = http_listen_unix(config->control.socket, error);
        if (r >= 0 && config->http.listen && !streq_null(config->http.listen, control->listen))
                r = sockets.http_fd = http_listen_tcp(config->http.listen, error);
        if (r < 0) {
                sockets.http_fd = -1;
                control_cancel(config, &sockets);
                return r;
        }
        *ret = sockets;
        return 0;
}

static void note_socket(struct control *control) {
        struct stat st = { 0 };

        (void)lstat(control->socket, &st);
        control->socket_device = st.st_dev;
        control->socket_inode = st.st_ino;
        control->is_socket_lost = false;
}

static bool has_socket(const struct control *control) {
        struct stat st;

        return lstat(control->socket, &st) == 0 && st.st_dev == control->socket_device &&
               st.st_ino == control->socket_inode;
}

/* A socket whose name is gone can be reached by nobody, and the name does not come back by itself. */
static void keep_socket(void *userdata) {
        struct control *control = userdata;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        int r;

        if (!control->control || has_socket(control))
                return;
        r = http_listen_unix(control->socket, &error);
        if (r >= 0) {
                r = http_server_listen(control->control, r);
                if (r < 0)
                        error_set_errno(&error, r, "cannot listen at %s", control->socket);
        }
        if (r < 0) {
                if (!control->is_socket_lost)
                        log_error("control socket %s: removed by another program, and not made again: %s; "
                                  "retrying after each change there",
                                  control->socket, error_text(&error));
                control->is_socket_lost = true;
                return;
        }
        note_socket(control);
        log_line(LOG_NOTICE, "control socket %s: made again, since another program has removed it",
                 control->socket);
}

static void forget_socket(struct control *control) {
        control->socket_watch = path_watch_free(control->socket_watch);
        control->control = http_server_free(control->control);
        if (control->socket)
                http_remove_unix(control->socket);
        free(take_ptr(control->socket));
}

static int begin(struct control *control, int *fd, bool is_public, struct http_server **ret) {
        const struct http_server_options options = {
                .fd = take_fd(fd),
                .access = is_public ? public_access : control_access,
                .refusal = "permission denied: calls need root, rekeyd's own user, or a member of "
                           "`control.group` or `control.read_group`",
                .handle = is_public ? on_public_request : on_request,
                .userdata = control,
                .connections_max = is_public ? HTTP_CONNECTIONS : CONNECTIONS_MAX,
                .head_max = HEAD_MAX,
                .body_max = CONTROL_BODY_MAX,
                .request_usec = REQUEST_USEC,
                .answer_usec = ANSWER_USEC,
        };

        return http_server_new(control->options.event, &options, ret);
}

int control_use(struct control *control, const struct config *config, struct control_sockets *sockets,
                struct error *error) {
        int r = 0;

        control->group = config->control.group;
        control->read_group = config->control.read_group;
        if (!streq_null(config->control.socket, control->socket)) {
                forget_socket(control);
                if (config->control.socket) {
                        control->socket = strdup(config->control.socket);
                        r = control->socket ? begin(control, &sockets->control_fd, false, &control->control)
                                            : -ENOMEM;
                        if (r == 0) {
                                note_socket(control);
                                r = path_watch_new(control->options.event, control->socket, PATH_GOES,
                                                   keep_socket, control, &control->socket_watch);
                        }
                }
        } else if (control->socket)
                keep_socket(control);
        if (r == 0 && !streq_null(config->http.listen, control->listen)) {
                control->http = http_server_free(control->http);
                free(take_ptr(control->listen));
                if (config->http.listen) {
                        control->listen = strdup(config->http.listen);
                        r = control->listen ? begin(control, &sockets->http_fd, true, &control->http)
                                            : -ENOMEM;
                }
        }
        sockets->control_fd = fd_close(sockets->control_fd);
        sockets->http_fd = fd_close(sockets->http_fd);
        return r < 0 ? error_set_errno(error, r, "cannot begin to serve the control API or metrics") : 0;
}

int control_new(const struct control_options *options, struct control **ret) {
        struct control *control = calloc(1, sizeof(*control));

        if (!control)
                return -ENOMEM;
        control->options = *options;
        control->asks.options = &control->options;
        control->group = control->read_group = (gid_t)-1;
        *ret = control;
        return 0;
}

struct control *control_free(struct control *control) {
        if (!control)
                return NULL;
        forget_socket(control);
        http_server_free(control->http);
        free(control->listen);
        free(control);
        return NULL;
}
