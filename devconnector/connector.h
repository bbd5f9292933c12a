#pragma once

/* The Connector itself: who may call, what both protocols share, and what the three fields of the GraphQL
 * schema do. Knows nothing of HTTP. */

#include "devconnector/ca.h"
#include "devconnector/faults.h"
#include "devconnector/graphql/graphql.h"
#include "devconnector/issue.h"
#include "devconnector/registry.h"
#include "devconnector/tokens.h"

struct connector {
        const struct settings *settings; /* borrowed */
        struct ca *ca;
        struct tokens *tokens;
        struct registry *revoked;  /* fingerprints */
        struct registry *unpaired; /* client ids */
        char *certificate_url, *token_url, *director_url;
        char *certificate_base, *token_base; /* "https://HOST:PORT" of the endpoints */
        json_t *unused; /* fingerprints of leaves of REST without a good answer to management/info */
};

int connector_open(int dir_fd, const struct settings *settings, struct connector *ret, struct error *error);
void connector_close(struct connector *connector);

/* Once the ports are known. 0 or -ENOMEM. */
int connector_set_ports(struct connector *connector, unsigned certificate_port, unsigned token_port);

/* Who calls. */
struct caller {
        enum endpoint endpoint;
        const char *fingerprint; /* of the client certificate; NULL at the token endpoint */
        char *client;            /* owned; NULL until known */
        enum client_type type;
        char *tenant, *group; /* owned; O and OU of the certificate, or as the token has them. For REST; may
                                 be NULL */
};
void caller_clear(struct caller *caller);

/* Both return NULL when the caller may continue, else the reason: for the log, it is never sent to the
 * caller. The token is burnt. TOKEN may be NULL. */
const char *connector_admit_certificate(const struct connector *connector, const struct caller *caller);
const char *connector_admit_token(struct connector *connector, const char *token, struct caller *caller);

/* One call while it is executed; the userdata of connector_resolve(). */
struct connector_call {
        struct connector *connector;
        const struct caller *caller;
        const struct fault *fault;    /* of the stage FAULT_STAGE_CALL, or NULL */
        char issued[FINGERPRINT_HEX]; /* of the leaf that was issued, else "" */
};

/* A graphql_resolve_fn. */
int connector_resolve(void *userdata, const char *field, const json_t *arguments, json_t **ret_value,
                      struct error *error);

/* Mints a token and pairs the client again where it was unpaired. LIFETIME 0: the default. *RET is borrowed.
 */
int connector_mint(struct connector *connector, const struct token_holder *holder, usec_t lifetime,
                   const char **ret, struct error *error);

/* Signs CSR for SUBJECT. 0; -EBADMSG, -EINVAL or -EKEYREJECTED where signing_request_read() or _check_key()
 * refuse; any other where the service failed. */
int connector_sign(struct connector_call *call, const char *subject, const json_t *csr, struct issued *ret,
                   struct error *error);

/* Revokes the certificate that calls. */
int connector_revoke(struct connector_call *call, struct error *error);

/* Base64 of the PEM of LIST as a JSON string; NULL: no memory. */
json_t *connector_encode(const pki_list *list);

/* Unpairs CLIENT: its certificates and tokens are refused from now on. */
int connector_unpair(struct connector *connector, const char *client, struct error *error);
