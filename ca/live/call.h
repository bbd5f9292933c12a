#pragma once

/* One HTTP call, blocking, with or without a client certificate that is in memory only. */

#include "lib/util/error.h"
#include "lib/x509/key.h"

#define CALL_REPLY_MAX (16u * 1024 * 1024)

/* All is borrowed; NULL where it is not needed. */
struct call_request {
        const char *url;     /* https, or http without a client certificate */
        const char *socket;  /* path of a Unix socket that is called instead; NULL: none */
        const char *address; /* numeric: where to connect to instead of the host of URL */
        const char *trust;   /* PEM file; NULL: the system's */
        const char *body;    /* JSON of a POST; NULL: a GET */
        const struct key *key;
        const char *certificate_pem; /* leaf first */
};

enum call_answer {
        CALL_UNREACHABLE, /* no answer, and it is not the client certificate: WHY has the reason */
        CALL_REJECTED,    /* the server does not accept the client certificate */
        CALL_ANSWERED,
};

struct call_reply {
        enum call_answer answer;
        unsigned status;
        char *body; /* NUL-terminated; "" without one */
        size_t size;
        char *content_type; /* NULL: none */
        char *why;          /* a clause; NULL for CALL_ANSWERED */
};
void call_reply_clear(struct call_reply *reply);

/*
 * Proxies are not used: each address is asked itself. Redirects are not followed. A rejection is an alert of
 * TLS, nginx's page about it, or a connection that ends without a byte once the handshake is done, as TLS 1.3
 * has it. 0 with a reply of either kind, or -ENOMEM, or -EINVAL where the call cannot be made.
 */
int call_make(const struct call_request *request, struct call_reply *ret, struct error *error);

/* Once, before any thread. 0 or -EIO. */
int call_begin(void);
void call_end(void);
