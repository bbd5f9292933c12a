/*
 * A call is decided when it arrives: which faults strike it, whether its token or certificate is good (the
 * token is burnt then), what its GraphQL says, or its path where it is REST. Then it may have to pause,
 * delayed or held. Only after that is it executed, so a held signature is issued by the CA and the clock of
 * the moment in which it is let go.
 *
 * A client may go away while its call pauses; evhttp reads nothing meanwhile and does not notice. The call is
 * then executed all the same, as by a server that cannot know either, and dropped only when the connection
 * itself is freed.
 */

#include "devconnector/call.h"

#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/keyvalq_struct.h>
#include <openssl/err.h>
#include <sys/timerfd.h>

#include "devconnector/query.h"
#include "devconnector/rest.h"
#include "devconnector/spoil.h"

#define NOT_FOUND                                                 \
        "{\"error\": {\"code\": 404, \"status\": \"Not Found\", " \
        "\"message\": \"Requested url does not match any rules\"}}"
#define TIMED_OUT "{\"Message\":\"operation has timed out\"}"

/* A connection that has carried a request. Ends with its evhttp_connection. */
struct connection {
        struct evhttp_connection *evhttp;
        SSL *ssl;
        struct tls_peer *peer;
        struct call *call; /* the one at work, or NULL */
        struct event
                *abort; /* ends the connection from the loop: never from inside one of its own callbacks */
};

struct call {
        enum protocol protocol;
        enum operation kind;
        struct call **slot, *next; /* in server->calls */
        struct server *server;
        struct connection *connection;
        struct evhttp_request *request;
        struct caller caller;
        struct query query;       /* of compass */
        struct rest_request rest; /* of the older service */
        json_t *request_id;
        const char *refusal;     /* why the caller is not let in, or NULL */
        unsigned refusal_status; /* what the caller gets */
        struct fault *pause, *fault;
        /* While the call is delayed, else -1 and NULL. A timer of libevent's own would be given a struct
         * timeval, and on 32 bit libevent's may be another than ours. */
        int timer_fd;
        struct event *timer;
        bool held;
        char issued[FINGERPRINT_HEX];
};

static void call_free(struct call *call) {
        *call->slot = call->next;
        if (call->next)
                call->next->slot = call->slot;
        call->connection->call = NULL;
        if (call->timer)
                event_free(call->timer);
        fd_close(call->timer_fd);
        caller_clear(&call->caller);
        query_clear(&call->query);
        rest_request_clear(&call->rest);
        json_decref(call->request_id);
        fault_unref(call->pause);
        fault_unref(call->fault);
        free(call);
}

static void on_abort(_unused_ evutil_socket_t fd, _unused_ short what, void *userdata) {
        struct connection *connection = userdata;

        evhttp_connection_free(connection->evhttp);
}

/* Ends the connection without another byte, not even TLS's own good-bye. */
static void connection_abort(_unused_ struct evhttp_connection *evhttp, void *userdata) {
        struct connection *connection = userdata;

        connection->peer->cut = true;
        event_active(connection->abort, EV_TIMEOUT, 0);
}

static void on_close(_unused_ struct evhttp_connection *evhttp, void *userdata) {
        struct connection *connection = userdata;

        if (connection->call)
                call_free(connection->call);
        if (!connection->peer->cut)
                SSL_shutdown(connection->ssl); /* libevent closes the socket without */
        ERR_clear_error();
        event_free(connection->abort);
        connection->peer->userdata = NULL;
        free(connection);
}

static struct connection *connection_of(struct server *server, struct evhttp_request *request) {
        struct evhttp_connection *evhttp = evhttp_request_get_connection(request);
        SSL *ssl = bufferevent_openssl_get_ssl(evhttp_connection_get_bufferevent(evhttp));
        struct tls_peer *peer = ssl ? tls_peer(ssl) : NULL;
        struct connection *connection;

        if (!peer)
                return NULL;
        if (peer->userdata)
                return peer->userdata;

        connection = calloc(1, sizeof(*connection));
        if (!connection)
                return NULL;
        *connection = (struct connection) { .evhttp = evhttp, .ssl = ssl, .peer = peer };
        connection->abort = event_new(server->base, -1, 0, on_abort, connection);
        if (!connection->abort) {
                free(connection);
                return NULL;
        }
        peer->userdata = connection;
        evhttp_connection_set_closecb(evhttp, on_close, connection);
        return connection;
}

/* Reports the call and forgets it. The request has been answered or is about to be cut. */
static void call_finish(struct call *call, unsigned status, const char *result) {
        const struct fault *fault = call->fault ? call->fault : call->pause;
        const char *fingerprint = call->caller.fingerprint;

        events_emit(call->server->events,
                    json_pack("{s:s,s:s,s:s,s:s,s:s?,s:o,s:i,s:o,s:O,s:s?,s:s?}", "event", "call", "protocol",
                              protocol_names[call->protocol], "endpoint",
                              endpoint_names[call->caller.endpoint], "operation",
                              operation_kind_names[call->kind], "fingerprint", fingerprint, "client",
                              call->caller.client
                                      ? graphql_string(call->caller.client, strlen(call->caller.client))
                                      : json_null(),
                              "status", (int)status, "result", graphql_string(result, strlen(result)),
                              "request_id", call->request_id, "fault", fault ? fault_name(fault) : NULL,
                              "issued", *call->issued ? call->issued : NULL));
        call_free(call);
}

static void call_reply(struct call *call, unsigned status, const char *content_type, const char *body,
                       const char *result) {
        reply_send(call->request, status, content_type, body, strlen(body));
        call_finish(call, status, result);
}

/* The text of the first error of REPLY, "ok" without one. Borrowed. */
static const char *result_of(const json_t *reply) {
        const char *message = json_string_value(
                json_object_get(json_array_get(json_object_get(reply, "errors"), 0), "message"));

        if (!message)
                message = json_string_value(json_object_get(reply, "error")); /* of REST */
        return message ? message : "ok";
}

/* Sends REPLY, unless a fault makes something else of it. NULL: no body, in REST only. */
static void call_reply_json(struct call *call, unsigned status, json_t *reply) {
        _cleanup_(freep) char *body = NULL;
        bool is_rest = call->protocol == PROTOCOL_CONNECTOR_SERVICE;
        const char *content_type = is_rest || call->query.wrong_transport ? REPLY_JSON_CHARSET : REPLY_JSON;
        size_t size;

        spoil_field(call->fault, call->protocol, reply);
        body = spoil_body(call->fault, &size);
        if (!body) {
                body = is_rest ? rest_format(reply) : graphql_format(reply);
                size = body ? strlen(body) : 0;
        }
        if (body && fault_is(call->fault, FAULT_ENCODED_BODY)) {
                _cleanup_(freep) char *plain = take_ptr(body);

                body = spoil_encoding(call->fault, plain, size, &size);
        }
        spoil_header(call->fault, call->request);
        if (!body)
                call_reply(call, 500, NULL, "", "out of memory");
        else if (fault_is(call->fault, FAULT_CUT_CONNECTION) ||
                 (fault_is(call->fault, FAULT_CUT_BODY) && size < 2)) { /* no half of it */
                connection_abort(NULL, call->connection);
                call_finish(call, 0, result_of(reply));
        } else if (fault_is(call->fault, FAULT_CUT_BODY)) {
                reply_cut(call->request, status, body, size,
                          streq(fault_text(call->fault, "framing"), "chunked"), connection_abort,
                          call->connection);
                call_finish(call, status, result_of(reply));
        } else {
                if (fault_is(call->fault, FAULT_CLOSE))
                        evhttp_add_header(evhttp_request_get_output_headers(call->request), "Connection",
                                          "close");
                reply_send(call->request, status, content_type, body, size);
                call_finish(call, status, result_of(reply));
        }
}

static void call_refuse(struct call *call) {
        _cleanup_(json_decrefp) json_t *reply = NULL;

        if (call->protocol == PROTOCOL_COMPASS) {
                call_reply(call, call->refusal_status, REPLY_JSON_CHARSET, "", call->refusal);
                return;
        }
        reply = rest_error(call->refusal_status, call->refusal);
        if (reply)
                call_reply_json(call, call->refusal_status, reply);
        else
                call_reply(call, 500, NULL, "", "out of memory");
}

static void call_execute_rest(struct call *call, struct connector_call *execution) {
        _cleanup_(rest_reply_clear) struct rest_reply reply = { 0 };

        if (rest_execute(execution, &call->rest, &reply) < 0) {
                call_reply(call, 500, NULL, "", "out of memory");
                return;
        }
        memcpy(call->issued, execution->issued, sizeof(call->issued));
        if (call->kind == OPERATION_KIND_PROBE && reply.status < 400 &&
            (!call->fault || fault_is(call->fault, FAULT_CLOSE)))
                rest_mark_used(&call->server->connector, &call->caller);
        if (reply.location) {
                evhttp_add_header(evhttp_request_get_output_headers(call->request), "Location",
                                  reply.location);
                call_reply(call, reply.status, REST_HTML, reply.page, "ok");
        } else
                call_reply_json(call, reply.status, reply.body);
}

static void call_execute(struct call *call) {
        struct connector_call execution = {
                .connector = &call->server->connector,
                .caller = &call->caller,
                .fault = call->fault,
        };
        _cleanup_(json_decrefp) json_t *reply = NULL;
        unsigned status = call->query.refusal ? call->query.refusal : 200;

        if (call->protocol == PROTOCOL_CONNECTOR_SERVICE) {
                call_execute_rest(call, &execution);
                return;
        }
        if (call->query.refusal)
                reply = graphql_refusal(call->query.errors);
        else
                reply = graphql_execute(call->query.document, call->query.operation, call->query.variables,
                                        connector_resolve, &execution);
        memcpy(call->issued, execution.issued, sizeof(call->issued));
        if (reply)
                call_reply_json(call, status, reply);
        else
                call_reply(call, 500, NULL, "", "out of memory");
}

/* A body that is neither JSON nor about the requested field needs no call to be executed. */
static void call_proceed(struct call *call) {
        if (call->fault && fault_stage(call->fault) == FAULT_STAGE_GATEWAY)
                call_finish(call, spoil_gateway(call->fault, call->request), "fault");
        else if (call->refusal)
                call_refuse(call);
        else if (fault_is(call->fault, FAULT_TIMEOUT))
                call_reply(call, 503, REPLY_JSON, TIMED_OUT, "fault");
        else if (fault_is(call->fault, FAULT_CUT_CONNECTION) && !fault_flag(call->fault, "executed")) {
                connection_abort(NULL, call->connection);
                call_finish(call, 0, "fault");
        } else
                call_execute(call);
}

static void on_delay_over(_unused_ evutil_socket_t fd, _unused_ short what, void *userdata) {
        call_proceed(userdata);
}

/* False where there is nothing to wait for, or no timer. */
static bool call_delay(struct call *call, usec_t delay) {
        const struct itimerspec span = {
                .it_value = { .tv_sec = (time_t)(delay / USEC_PER_SEC),
                              .tv_nsec = (long)(delay % USEC_PER_SEC * 1000) },
        };

        if (delay == 0)
                return false;
        call->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        if (call->timer_fd < 0 || timerfd_settime(call->timer_fd, 0, &span, NULL) < 0)
                return false;
        call->timer = event_new(call->server->base, call->timer_fd, EV_READ, on_delay_over, call);
        return call->timer && event_add(call->timer, NULL) == 0;
}

static void call_pause(struct call *call) {
        struct server *server = call->server;

        if (fault_is(call->pause, FAULT_DELAY)) {
                if (call_delay(call, fault_duration(call->pause, "delay")))
                        return;
        } else if (fault_is(call->pause, FAULT_HOLD)) {
                call->held = true;
                events_emit(server->events,
                            json_pack("{s:s,s:s,s:s,s:s,s:s?,s:O}", "event", "held", "protocol",
                                      protocol_names[call->protocol], "endpoint",
                                      endpoint_names[call->caller.endpoint], "operation",
                                      operation_kind_names[call->kind], "fingerprint",
                                      call->caller.fingerprint, "request_id", call->request_id));
                return;
        }
        call_proceed(call);
}

size_t call_release_held(struct server *server) {
        size_t n = 0;

        for (struct call *call = server->calls, *next; call; call = next) {
                next = call->next;
                if (!call->held)
                        continue;
                call->held = false;
                call_proceed(call);
                n++;
        }
        return n;
}

/* The token of the call: the header wins over the query parameter. Borrowed. */
static const char *token_of(struct evhttp_request *request, const struct evkeyvalq *parameters) {
        const char *token = evhttp_find_header(evhttp_request_get_input_headers(request), "Connector-Token");

        return token ? token : evhttp_find_header(parameters, "token");
}

static void admit(struct call *call, const char *token) {
        struct connector *connector = &call->server->connector;

        call->refusal_status = 400;
        if (call->protocol == PROTOCOL_CONNECTOR_SERVICE) {
                call->refusal = rest_admit(connector, &call->rest, &call->caller, &call->refusal_status);
                if (call->fault && !call->refusal) /* a gateway that burns the token */
                        rest_burn(connector, &call->rest);
        } else if (call->caller.endpoint == ENDPOINT_CERTIFICATE)
                call->refusal = connector_admit_certificate(connector, &call->caller);
        else
                call->refusal = connector_admit_token(connector, token, &call->caller);
}

static void decide(struct call *call, const char *token) {
        struct faults *faults = call->server->faults;
        enum endpoint endpoint = call->caller.endpoint;
        enum protocol protocol = call->protocol;
        enum operation kind = call->kind;

        call->pause = faults_take(faults, FAULT_STAGE_PAUSE, endpoint, protocol, kind);
        call->fault = faults_take(faults, FAULT_STAGE_GATEWAY, endpoint, protocol, kind);
        if (!call->fault || fault_flag(call->fault, "burn_token"))
                admit(call, token);
        if (!call->fault && !call->refusal)
                call->fault = faults_take(faults, FAULT_STAGE_CALL, endpoint, protocol, kind);
}

static int read_query(struct call *call, const struct evkeyvalq *parameters, const char *body, size_t size) {
        int r;

        if (evhttp_request_get_command(call->request) == EVHTTP_REQ_GET)
                r = query_read_get(evhttp_find_header(parameters, "query"),
                                   evhttp_find_header(parameters, "operationName"),
                                   evhttp_find_header(parameters, "variables"), &call->query);
        else
                r = query_read_post(
                        evhttp_find_header(evhttp_request_get_input_headers(call->request), "Content-Type"),
                        body, size, &call->query);
        call->kind = call->query.kind;
        return r;
}

static int read_rest(struct call *call, const struct evkeyvalq *parameters, const char *body, size_t size) {
        X509 *certificate = SSL_get0_peer_certificate(call->connection->ssl);
        int r;

        r = rest_read(evhttp_uri_get_path(evhttp_request_get_evhttp_uri(call->request)),
                      evhttp_request_get_command(call->request), evhttp_find_header(parameters, "token"),
                      body, size, &call->rest);
        if (r == 0 && certificate)
                r = rest_read_certificate(certificate, &call->caller);
        call->kind = rest_operation(&call->server->connector, &call->rest, &call->caller);
        return r;
}

static int call_read(struct call *call, const struct evkeyvalq *parameters) {
        struct evbuffer *input = evhttp_request_get_input_buffer(call->request);
        size_t size = evbuffer_get_length(input);
        const char *body = size > 0 ? (const char *)evbuffer_pullup(input, -1) : "";

        if (!body)
                return -ENOMEM;
        return call->protocol == PROTOCOL_COMPASS ? read_query(call, parameters, body, size)
                                                  : read_rest(call, parameters, body, size);
}

static struct call *call_new(struct server *server, struct connection *connection,
                             struct evhttp_request *request, enum protocol protocol) {
        const char *id = evhttp_find_header(evhttp_request_get_input_headers(request), "x-request-id");
        const struct tls_peer *peer = connection->peer;
        struct call *call = calloc(1, sizeof(*call));

        if (!call)
                return NULL;
        call->protocol = protocol;
        call->timer_fd = -1;
        call->server = server;
        call->connection = connection;
        call->request = request;
        call->request_id = id ? graphql_string(id, strlen(id)) : json_null();
        call->caller.endpoint = peer->endpoint;
        if (peer->endpoint == ENDPOINT_CERTIFICATE) {
                call->caller.fingerprint = peer->fingerprint;
                call->caller.client = strdup(peer->client ? peer->client : "");
        }
        call->next = server->calls;
        if (call->next)
                call->next->slot = &call->next;
        call->slot = &server->calls;
        server->calls = call;
        connection->call = call;
        return call;
}

void call_start(struct server *server, struct evhttp_request *request) {
        const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
        enum evhttp_cmd_type method = evhttp_request_get_command(request);
        const char *path = evhttp_uri_get_path(uri), *query = evhttp_uri_get_query(uri);
        struct connection *connection = connection_of(server, request);
        struct evkeyvalq parameters = { 0 };
        struct call *call;
        bool is_rest;

        if (!connection) { /* no TLS, out of memory: send nothing */
                reply_send(request, 500, NULL, "", 0);
                return;
        }
        if (connection->peer->cut) { /* by a fault, while the request was on its way */
                connection_abort(NULL, connection);
                return;
        }
        is_rest = path && rest_is_path(path);
        if (!is_rest &&
            (!path || !streq(path, CALL_PATH) || (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_POST))) {
                reply_send(request, 404, REPLY_JSON, NOT_FOUND, strlen(NOT_FOUND));
                return;
        }

        call = call_new(server, connection, request, is_rest ? PROTOCOL_CONNECTOR_SERVICE : PROTOCOL_COMPASS);
        if (!call || evhttp_parse_query_str(query ? query : "", &parameters) < 0) {
                if (call)
                        call_free(call);
                reply_send(request, 400, NULL, "", 0);
                return;
        }
        if (call_read(call, &parameters) < 0) {
                call_free(call);
                reply_send(request, 500, NULL, "", 0);
        } else {
                decide(call, token_of(request, &parameters));
                call_pause(call);
        }
        evhttp_clear_headers(&parameters);
}
