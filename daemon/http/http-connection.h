#pragma once

/* A connection, its phases and its end; and the server as far as connections are its own. For http-*.c. */

#include <microhttpd.h>
#include <sys/queue.h>

#include "daemon/http/http-server.h"

/* Where a connection is, and what may end it. Each phase is a list in the order of its deadlines. */
enum http_phase {
        HTTP_RECEIVING, /* until the request is whole: request_usec since accept() */
        HTTP_WAITING,   /* for us: no deadline; so are endless streams */
        HTTP_ANSWERING, /* answer_usec since the reply */
        HTTP_ENDING,    /* shut down: libmicrohttpd is about to notice */
        HTTP_PHASE_MAX,
};

TAILQ_HEAD(http_connections, http_connection);
TAILQ_HEAD(http_requests, http_request);

struct http_connection {
        struct http_server *server;
        int fd; /* owned while MHD is NULL */
        enum http_phase phase;
        TAILQ_ENTRY(http_connection) link; /* in the list of its phase */
        usec_t deadline_usec;
        usec_t active_usec; /* when it last sent data, or took a piece of a stream */
        enum http_access access;
        uid_t uid;               /* (uid_t)-1: a TCP peer */
        sd_event_source *source; /* the head arrives; or, suspended, the peer hangs up */
        struct MHD_Connection *mhd;
        bool is_suspended;
        struct http_request *request;  /* not answered yet */
        struct MHD_Response *response; /* not queued yet */
        unsigned status;
        struct http_stream *stream;
};

struct http_server {
        struct http_server_options options;
        sd_event *event;
        void (*forget)(struct http_connection *connection); /* it goes; called from connection_free() */
        struct MHD_Daemon *mhd;
        sd_event_source *accept, *accept_retry; /* one of them is on */
        sd_event_source *run, *run_again;       /* libmicrohttpd has events; has more to do */
        sd_event_source *timer;
        usec_t timer_usec; /* USEC_INFINITY: off */
        struct http_connections connections[HTTP_PHASE_MAX];
        unsigned n_connections, n_ending;
        struct http_requests requests;    /* handed out and not answered */
        struct http_connection *arriving; /* is being given to libmicrohttpd */
        unsigned n_accept_failures;
        char *scratch; /* head_max + 1 bytes */
};

void connection_enter(struct http_connection *connection, enum http_phase phase);

/* To the nearest deadline of all connections of SERVER. */
void connection_set_timer(struct http_server *server);

/* Ends it without another word; frees it where libmicrohttpd does not have it. */
void connection_end(struct http_connection *connection);

/* The same after an answer of one sentence, which is sent past libmicrohttpd: nothing else must have been. */
void connection_refuse(struct http_connection *connection, unsigned status, const char *reason);

/* While libmicrohttpd must not read from it, we watch for a hang-up of the peer. Only from its callbacks. */
void connection_suspend(struct http_connection *connection);
void connection_resume(struct http_connection *connection);

/* At once, where libmicrohttpd does not have it. Returns NULL. */
struct http_connection *connection_free(struct http_connection *connection);

/* {"error": "TEXT"} with a newline; owned by the caller, NULL when out of memory. */
char *http_error_body(const char *text, size_t *ret_size);
