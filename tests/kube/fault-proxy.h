#pragma once

/* A server in front of the API server that can be told to spoil a request: HTTP/1.1, one request a
 * connection. */

#include "tests/support/process.h"

enum proxy_fault {
        PROXY_NONE,
        PROXY_CUT_BEFORE,  /* the connection is cut, and the API server hears nothing */
        PROXY_CUT_AFTER,   /* the API server has done it, and its answer is lost */
        PROXY_HOLD_BEFORE, /* as these two, once proxy_release() is called */
        PROXY_HOLD_AFTER,
        PROXY_UNAUTHORIZED, /* 401, 403, 409, 429, 500, 503 instead of the API server's, which hears nothing
                             */
        PROXY_FORBIDDEN,
        PROXY_CONFLICT,
        PROXY_BUSY,
        PROXY_ERROR,
        PROXY_UNAVAILABLE,
        PROXY_GARBAGE, /* 200 and no JSON */
        PROXY_FAULT_MAX,
};
extern const char *const proxy_fault_names[PROXY_FAULT_MAX];

struct proxy_fault_server;

/* DIRECTORY is run-kube's: the certificate of the server and its port. */
struct proxy_fault_server *fault_proxy_new(const char *directory);
struct proxy_fault_server *fault_proxy_free(struct proxy_fault_server *proxy);
DEFINE_CLEANUP(struct proxy_fault_server *, fault_proxy_free);

/* "https://127.0.0.1:PORT"; borrowed. */
const char *fault_proxy_url(const struct proxy_fault_server *proxy);

/* From now on, counting begins at 1: the NTH request has FAULT. */
void fault_proxy_arm(struct proxy_fault_server *proxy, unsigned nth, enum proxy_fault fault);

/* How many requests there were since. */
unsigned fault_proxy_count(struct proxy_fault_server *proxy);

/* Whether the Nth of them was not only to read. */
bool fault_proxy_writes(struct proxy_fault_server *proxy, unsigned n);

/* Waits until a request is held. False: CLIENT, whose requests they are, has ended before it made so many. */
bool fault_proxy_await_held(struct proxy_fault_server *proxy, struct process *client);

/* Lets it go. */
void fault_proxy_release(struct proxy_fault_server *proxy);
