#pragma once

/* HTTP to rekeyd over its Unix socket: requests, and the stream of events. */

#include <jansson.h>

#include "lib/util/error.h"
#include "lib/util/time.h"

#define CLIENT_REPLY_MAX (64u * 1024 * 1024) /* 10,000 certificates are 7 MiB */
#define CLIENT_LINE_MAX  (64u * 1024)        /* one event */

struct client;

/* SOCKET is copied; NULL where there is none, and then each call gives -ENOENT. 0 or -ENOMEM. Nothing is
 * connected yet. */
int client_new(const char *socket, struct client **ret);
struct client *client_free(struct client *client);
DEFINE_CLEANUP(struct client *, client_free);

struct client_reply {
        unsigned status;
        json_t *json;            /* an object; NULL where the body is none, which is an error with a 2xx */
        usec_t retry_after_usec; /* of the header; 0: none */
};
void client_reply_clear(struct client_reply *reply);

/*
 * Calls PATH ("/v1/certificates") by METHOD with BODY, which may be NULL. 0 with whatever status the answer
 * has, and the sentence of an answer that is not 2xx in ERROR. Otherwise, with a sentence and a fix:
 *
 *   -ENOENT, -ECONNREFUSED   no socket, or no process listens: rekeyd is not running
 *   -EACCES                  this user may not get at the socket
 *   -ETIMEDOUT               no answer within 30 s
 *   -EPROTO                  what answers there is not rekeyd
 *   -EIO, -ENOMEM            anything else
 */
int client_call(struct client *client, const char *method, const char *path, const json_t *body,
                struct client_reply *ret, struct error *error);

/* A stream of JSON objects, a line each. */
struct client_stream;

/* Returns when the head of the answer is there. As client_call(); with a status other than 200, which
 * RET_REPLY has, *RET is untouched. RET_REPLY may be NULL: then such an answer is -EPROTO. CLIENT must live
 * as long. */
int client_stream_open(struct client *client, const char *path, struct client_stream **ret,
                       struct client_reply *ret_reply, struct error *error);
struct client_stream *client_stream_close(struct client_stream *stream);
DEFINE_CLEANUP(struct client_stream *, client_stream_close);

/* Waits for the next object, at most for TIMEOUT_USEC (USEC_INFINITY: as long as it takes). 1 with it, owned
 * by the caller, in *RET; 0 when time is up, or a signal has arrived; -ENODATA, without a text, when the
 * stream has ended; or as above. */
int client_stream_next(struct client_stream *stream, usec_t timeout_usec, json_t **ret, struct error *error);
