#pragma once

/* A URL of a Connector as this machine sees it: name, connection, TLS, and what answers there. */

#include "lib/protocol/transport-error.h"
#include "lib/util/error.h"
#include "lib/util/time.h"
#include "lib/x509/server-view.h"

/* How far the examination came; each step needs those before it. */
enum endpoint_step {
        ENDPOINT_NAME,    /* the name is to be looked up */
        ENDPOINT_CONNECT, /* it has an address */
        ENDPOINT_TLS,     /* it takes connections */
        ENDPOINT_ANSWER,  /* its TLS is right */
        ENDPOINT_DONE,    /* it has answered in HTTP, or asks for a client certificate */
};

struct endpoint {
        char *host, *port;
        char *addresses; /* "192.0.2.1, 2001:db8::1"; NULL: there are none, or a proxy looks them up */

        /* ENDPOINT_CONNECT: it did not get past the proxy, whose STATUS is not 2xx, or 0: none came. */
        bool is_at_proxy;
        unsigned proxy_status;
        enum endpoint_step step;
        enum cause cause; /* of what was wrong with the step */
        char *problem;    /* the same as a sentence; NULL with ENDPOINT_DONE */
        struct server_view server;
        bool has_begun_tls;
        unsigned status;  /* of the answer in HTTP; 0: none */
        usec_t date, now; /* its Date, and the time of this machine then; 0: none */
};
void endpoint_clear(struct endpoint *endpoint);

/* Calls URL without a body, a token or a certificate; its server is to verify to TRUST (NULL: as the system
 * has it). PROXY is its URL, without user and password, or NULL for none. Waits for TIMEOUT_USEC at most,
 * besides for the name. 0, whatever it has found; -EINVAL where URL is none; or -ENOMEM. */
int endpoint_examine(const char *url, const char *trust, const char *proxy, usec_t timeout_usec,
                     struct endpoint *ret);
