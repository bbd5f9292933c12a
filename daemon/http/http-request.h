#pragma once

/* What is asked on a connection, and its answer. For http-*.c. */

#include "daemon/http/http-connection.h"
#include "daemon/http/http-head.h"

struct http_request {
        struct http_connection *connection; /* NULL: the peer has gone */
        struct http_server *server;
        TAILQ_ENTRY(http_request) link; /* once it is handed out */
        bool is_handed_out;
        enum http_access access;
        char peer[48];
        struct http_head head;
        char *body; /* head.body_size bytes and a NUL; NULL until the first of them */
        size_t n_body;
        void (*dropped)(void *userdata);
        void *userdata;
};

/* NULL when out of memory. */
struct http_request *request_new(struct http_connection *connection, struct http_head *head);
struct http_request *request_free(struct http_request *request);

/* The connection goes: neither its request nor its stream knows it any more. */
void request_forget_connection(struct http_connection *connection);

/* libmicrohttpd's callback for each step of a request. */
enum MHD_Result request_step(void *userdata, struct MHD_Connection *mhd, const char *url, const char *method,
                             const char *version, const char *data, size_t *size, void **context);
