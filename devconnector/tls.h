#pragma once

/* TLS as the two endpoints speak it. */

#include <openssl/ssl.h>

#include "devconnector/ca.h"
#include "devconnector/faults.h"

struct tls_endpoint;

/* What is known of the other end of a connection. Lives as long as its SSL. */
struct tls_peer {
        enum endpoint endpoint;
        char fingerprint[FINGERPRINT_HEX]; /* of the client certificate, "" without one */
        char *client;                      /* its common name; NULL without one */
        struct fault *fault;               /* one of FAULT_STAGE_TLS that strikes this connection, or NULL */
        bool cut;                          /* end without a word: no close_notify */
        void *userdata;                    /* the owner of the connection keeps its state here */
        struct tls_endpoint *tls_endpoint;
};

/* Called for each handshake that an endpoint ended: why, and with which alert (0: none). */
typedef void (*tls_refused_fn)(void *userdata, const struct tls_peer *peer, const char *reason,
                               unsigned alert);

struct tls_config {
        enum endpoint endpoint; /* ENDPOINT_CERTIFICATE asks for a client certificate, and insists */
        const char *tls_max;
        int dir_fd;                    /* borrowed */
        const struct pki_pair *server; /* borrowed until the endpoint is freed */
        tls_refused_fn refused;
        void *userdata;
};

int tls_endpoint_new(const struct tls_config *config, struct tls_endpoint **ret, struct error *error);
struct tls_endpoint *tls_endpoint_free(struct tls_endpoint *endpoint);
DEFINE_CLEANUP(struct tls_endpoint *, tls_endpoint_free);

/* The server side of a new connection, struck by FAULT (taken over, may be NULL). The trust bundle is read
 * again when its file changed. NULL: no memory. */
SSL *tls_accept(struct tls_endpoint *endpoint, struct fault *fault);

/* Borrowed from SSL. */
struct tls_peer *tls_peer(const SSL *ssl);
