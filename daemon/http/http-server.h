#pragma once

/* HTTP by one listening socket inside an sd_event loop: libmicrohttpd, within limits. */

#include <systemd/sd-event.h>

#include "lib/util/error.h"
#include "lib/util/macro.h"
#include "lib/util/time.h"

struct http_server;
struct http_request;

/* What a peer may do. A TCP peer has no identity. */
enum http_access {
        HTTP_ACCESS_NONE,
        HTTP_ACCESS_READ,
        HTTP_ACCESS_FULL,
};

struct http_server_options {
        int fd; /* listening, non-blocking; taken over, also on failure */

        /* Who has connected by FD: asked once for each connection, at accept(). */
        enum http_access (*access)(int fd, void *userdata);
        const char *refusal; /* a sentence for those with HTTP_ACCESS_NONE, whose requests are not handled */

        /* A request has arrived whole. It is to be answered by one of http_reply...(), now or later. */
        void (*handle)(struct http_request *request, void *userdata);
        void *userdata;

        /* Beyond them the connection that was silent longest is closed: of those without a complete request,
         * if there are any. Each user but root and our own has a share of them; http-share.c has the rules.
         */
        unsigned connections_max;
        size_t head_max, body_max;
        usec_t request_usec; /* since accept(), within which a request must have arrived */
        usec_t answer_usec;  /* since the reply, within which it must have been taken */
};

/* 0 or -errno. */
int http_server_new(sd_event *event, const struct http_server_options *options, struct http_server **ret);

/* Listens at FD from now on, which is taken over, also on failure; connections stay. 0 or -errno: it listens
 * where it did. */
int http_server_listen(struct http_server *server, int fd);

/* Not from within a callback of its own. Ends all connections; what was not answered never will be, and
 * `dropped` of http_defer() is called for it. Accepts NULL, returns NULL. */
struct http_server *http_server_free(struct http_server *server);
DEFINE_CLEANUP(struct http_server *, http_server_free);

/* What was asked. Strings are borrowed until the reply. */
const char *http_method(const struct http_request *request);                  /* "GET" */
const char *http_path(const struct http_request *request);                    /* decoded, without the query */
const char *http_query(const struct http_request *request, const char *name); /* decoded; NULL: not there */
const char *http_body(const struct http_request *request,
                      size_t *ret_size); /* never NULL; cleansed when it is freed */
enum http_access http_access(const struct http_request *request);
const char *http_peer(const struct http_request *request); /* "uid 0, pid 4711"; "a TCP peer" */

/* Each answers REQUEST, which is gone after it. BODY is copied; HEADER, one more "Name: value", may be NULL.
 */
void http_reply(struct http_request *request, unsigned status, const char *content_type, const char *body,
                size_t size, const char *header);

/* {"error": "the sentence"} */
void http_reply_error(struct http_request *request, unsigned status, const char *header, const char *format,
                      ...) _printf_(4, 5);

/*
 * The answer comes in pieces, and is not kept in memory. PRODUCE writes up to MAX bytes into BUFFER and
 * returns how many: 0 for none now, until http_stream_wake(); HTTP_STREAM_END; or HTTP_STREAM_ABORT, by which
 * the peer sees that the answer is not whole (unless it speaks HTTP/1.0). ENDED is called once, when the
 * stream has ended for any reason; the stream is gone then. IS_ENDLESS: without `answer_usec`. Returns NULL,
 * with ENDED called before, when memory is out or the peer has gone: USERDATA may be freed by then.
 */
#define HTTP_STREAM_END   (-1)
#define HTTP_STREAM_ABORT (-2)

struct http_stream;

struct http_stream_options {
        ssize_t (*produce)(void *userdata, char *buffer, size_t max);
        void (*ended)(void *userdata);
        void *userdata;
        bool is_endless;
};
struct http_stream *http_reply_stream(struct http_request *request, unsigned status, const char *content_type,
                                      const struct http_stream_options *options);

/* There is something to produce again. */
void http_stream_wake(struct http_stream *stream);

/* A request that is answered later, which it must be also when the peer has gone. DROPPED is called where
 * that has become pointless (the server is being freed), and the request is gone then. */
void http_defer(struct http_request *request, void (*dropped)(void *userdata), void *userdata);

/* How many connections there are, for metrics and tests. */
unsigned http_server_connections(const struct http_server *server);

/* A listening socket at PATH, which is removed first if no process listens there any more; mode 0666, since
 * the peers' credentials are what counts. Its directory is made if it is not there, mode 0755; nobody but
 * root and the user of this process may be able to write to it (-EPERM). -EADDRINUSE where another process
 * listens. */
int http_listen_unix(const char *path, struct error *error);

/* Removes the socket PATH, which is closed by now, unless another process listens there. */
void http_remove_unix(const char *path);

/* A listening socket at "ADDRESS:PORT", as http.listen of the configuration has it. The descriptor, or -errno
 * with a sentence. */
int http_listen_tcp(const char *address, struct error *error);

/* The access of a peer of a Unix socket, by its uid and all of its groups: root and the user of this process
 * have full access, members of GROUP too, those of READ_GROUP may read; (gid_t)-1 is no group. */
enum http_access http_peer_access(int fd, gid_t group, gid_t read_group);
