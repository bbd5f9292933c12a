#pragma once

/* One HTTPS call to a Connector, and the meaning of its outcome before the body is read. */

#include "daemon/loop/curl-glue.h"
#include "lib/life/cause.h"
#include "lib/protocol/protocol.h"
#include "lib/util/time.h"
#include "lib/x509/key.h"

struct connector_call;

/* Connections that one call leaves to the next: a share is for one key and certificate and for one Connector
 * only. NULL when memory is out. */
CURLSH *connector_share_new(void);

/* Closes what is left. No call may be under way. Accepts NULL, returns NULL. */
CURLSH *connector_share_free(CURLSH *share);

/* What to call, and as whom. Everything but ASKED is borrowed until the call is done or freed. */
struct connector_request {
        const struct protocol *protocol;
        const char *trust; /* PEM file that the server's certificate verifies to; NULL: the system's */
        usec_t timeout_usec;

        /* The token-secured endpoint: TOKEN. The certificate-secured endpoint: KEY and CERTIFICATE_PEM (leaf
         * first).
         */
        const char *token;
        const struct key *key;
        const char *certificate_pem;
        CURLSH *share; /* of this KEY and CERTIFICATE_PEM; NULL: no connection outlives the call */

        bool fresh; /* a connection of its own, closed afterwards: the verification must not use an old
                     * handshake */
        bool last;  /* nothing more is to come over this connection: it may be closed */
        struct protocol_request asked; /* taken over, also on failure */
};

/* Borrowed from the call, for the length of the callback. */
struct connector_answer {
        enum failure failure; /* FAILURE_NONE: there is an HTTP reply, whatever its status. FAILURE_REFUSED:
                               * a proxy refused, and the Connector has heard nothing */
        bool may_be_revoked;  /* FAILURE_REJECTED, and the server names no other reason */
        bool was_sent;        /* with a failure: the Connector may have heard of the call all the same */
        struct protocol_reply reply; /* status and body; empty when there is a failure */
        usec_t retry_after_usec;     /* from Retry-After; 0: none */
        const char *request_id;      /* sent as x-request-id: the Connector's log has it */
        const char *error;           /* one sentence when there is a failure */
        enum cause cause;            /* of a failure */
};

typedef void (*connector_done_t)(const struct connector_answer *answer, void *userdata);

/* Starts the call; DONE comes later, from the loop, exactly once unless the call is freed first. 0, or
 * -errno, for which ERROR is filled where errno does not say enough. */
int connector_call_new(struct curl_glue *glue, struct connector_request *request, connector_done_t done,
                       void *userdata, struct connector_call **ret, struct error *error);

/* Whether the file of `trust` at PATH, which may be NULL, can be read: 0, or -errno with a sentence. The call
 * checks it too. */
int connector_check_trust(const char *path, struct error *error);

/* Ends the call if it is under way. May be called from its own callback, last thing. Accepts NULL, returns
 * NULL. */
struct connector_call *connector_call_free(struct connector_call *call);
DEFINE_CLEANUP(struct connector_call *, connector_call_free);

/* How a transfer ended. */
struct connector_end {
        CURLcode code;
        const char *text;  /* curl's, of the error */
        int os_errno;      /* of the last system call that failed; 0: none did */
        bool is_connected; /* TCP, with the Connector or the proxy */
        bool was_sent;     /* the body: what was left is the reply */

        /* It did not get past the proxy, whose STATUS is not 2xx, or 0: none came. */
        bool is_at_proxy;
        unsigned proxy_status;
};

/*
 * What a transfer that ended without an HTTP reply means. A TLS alert by which the server refuses the client
 * certificate is FAILURE_REJECTED; OpenSSL names an alert N in its text by the reason code 1000 + N in
 * library 20 (ssl): "error:0A000418" is alert 48, unknown_ca. A proxy is shown no certificate and gets no
 * token, so it can only refuse. Pure.
 */
enum failure connector_classify(const struct connector_end *end);
