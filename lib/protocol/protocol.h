#pragma once

/*
 * What it takes to speak with a Connector, as a table of functions: what each call sends, what each reply
 * means. No I/O. Who calls knows steps and endpoints, and not which protocol it is. Another one is a file
 * that fills a struct protocol, and a row here.
 */

#include "lib/life/failure.h"
#include "lib/protocol/connection.h"
#include "lib/util/error.h"

/* Every protocol: PROTOCOL_SYMBOL, `protocol_variable` in its file, and its name in the configuration. */
/* clang-format off */
#define PROTOCOLS(PROTOCOL)                   \
        PROTOCOL(COMPASS, compass, "compass") \
        PROTOCOL(CONNECTOR_SERVICE, connector_service, "connector-service")
/* clang-format on */

enum protocol_id {
#define PROTOCOL_SYMBOL(symbol, variable, name) PROTOCOL_##symbol,
        PROTOCOLS(PROTOCOL_SYMBOL)
#undef PROTOCOL_SYMBOL
                PROTOCOL_MAX,
};
extern const char *const protocol_names[PROTOCOL_MAX];

#define PROTOCOL_REPLY_MAX    (1024u * 1024)
#define PROTOCOL_CONTENT_TYPE "application/json"
#define PROTOCOL_TOKEN_MAX    4096u

/* Where a call goes, and what is known. All is borrowed. */
struct protocol_ask {
        const char *url;   /* the endpoint */
        const char *token; /* it is the token-secured one; NULL: the certificate-secured one. For a signature
                            * that of protocol_configuration */
        const struct connection *connection;
};

/* What is to be sent. */
struct protocol_request {
        char *url;                /* may carry a token: url_shown() is for texts */
        char *body;               /* of a POST, JSON or empty; NULL: a GET */
        const char *token_header; /* the header that the token goes into; NULL: none */
        char *token;              /* that goes into it */
};
void protocol_request_clear(struct protocol_request *request); /* cleanses it */

/* An HTTP reply as the transport received it. BODY is borrowed. */
struct protocol_reply {
        unsigned status;
        const char *body;
        size_t size;
        const char *content_type; /* NULL: none was given */
        const char *token; /* the call was made with it, at the token-secured endpoint; NULL: it was not */
};

/* What the call before the signature returned. Everything but the subject may be NULL. What is there is not
 * empty; whether a URL may be used is for connection_follow() to say, so that a bad one need not cost the
 * renewal. */
struct protocol_configuration {
        char *token; /* one-time, for the signature; a protocol may put a URL into it; cleansed when cleared
                      */
        char *subject;
        char *key_algorithm;
        char *warning; /* what the Connector asks for beyond that, and does not get */
        struct connection connection;
};
void protocol_configuration_clear(struct protocol_configuration *configuration);

/* The three texts of a signature, decoded from base64; none is empty, and each has at least one PEM block. */
struct protocol_certificates {
        char *chain;
        char *ca;
        char *leaf;
};
void protocol_certificates_clear(struct protocol_certificates *certificates);

/*
 * What reading a reply results in, beyond 0, -ENOMEM and the classes of enum failure. Where it is not 0,
 * ERROR is one sentence: server texts are quoted up to 300 bytes, control characters replaced, and without
 * any run of characters that may be a token. What would be filled is untouched then.
 */
enum protocol_result {
        /* The configuration cannot be had now, while signing still works: the caller may continue with the
         * subject of the current certificate. */
        PROTOCOL_NO_CONFIGURATION = FAILURE_MAX,

        /* The one-time token is not accepted: a fresh one is needed. ERROR says only why. In doubt the answer
         * has other causes as well. */
        PROTOCOL_TOKEN_REJECTED,
        PROTOCOL_TOKEN_DOUBTFUL,

        /* Of a revocation: FAILURE_REFUSED by the Connector itself, which accepts the certificate. */
        PROTOCOL_STANDS,
};

struct protocol {
        /* The member of struct connection that is the certificate-secured endpoint. */
        size_t endpoint;

        /* A token that was refused something still works: only the call that succeeds uses it up. */
        bool keeps_token;

        /* A proof succeeds with a revoked certificate, too. */
        bool proof_passes_revoked;

        /* What is to be sent. 0; -ENOMEM; or -EINVAL with ERROR where it cannot be known. */
        int (*ask_configuration)(const struct protocol_ask *ask, struct protocol_request *ret,
                                 struct error *error);
        int (*ask_signature)(const struct protocol_ask *ask, const char *csr_pem,
                             struct protocol_request *ret, struct error *error);
        /* -ENODATA: the reply to a proof has to tell first. */
        int (*ask_revocation)(const struct protocol_ask *ask, struct protocol_request *ret,
                              struct error *error);
        /* A call that changes nothing, at any endpoint. */
        int (*ask_proof)(const struct protocol_ask *ask, struct protocol_request *ret, struct error *error);

        int (*read_configuration)(const struct protocol_reply *reply, struct protocol_configuration *ret,
                                  struct error *error);
        int (*read_certificates)(const struct protocol_reply *reply, struct protocol_certificates *ret,
                                 struct error *error);
        int (*read_revocation)(const struct protocol_reply *reply, struct error *error);
        /* The call was made with CERTIFICATE_PEM, leaf first. RET has what the reply says of URLs. */
        int (*read_proof)(const struct protocol_reply *reply, const char *certificate_pem,
                          struct connection *ret, struct error *error);

        /* The member beside `token` in the Director's answer that is the URL. */
        const char *url_member;

        /* What has token and URL both, for a sentence. */
        const char *whole_token;
};

#define PROTOCOL_EXTERN(symbol, variable, name) extern const struct protocol protocol_##variable;
PROTOCOLS(PROTOCOL_EXTERN)
#undef PROTOCOL_EXTERN

const struct protocol *protocol_get(enum protocol_id id);

/* The certificate-secured endpoint that CONNECTION names, or NULL; and where it keeps that. */
const char *protocol_endpoint(const struct protocol *protocol, const struct connection *connection);
char **protocol_endpoint_member(const struct protocol *protocol, struct connection *connection);

/*
 * The one-time token in what somebody hands in (token_text_read()): the token alone, where ENROL_URL says
 * where it goes; or a URL with it. Owned by the caller, free_secret(). 0; -ENODATA where there is nothing;
 * -EINVAL with a sentence where there is no token, or it cannot be sent; -ENOMEM.
 */
int protocol_take_token(enum protocol_id id, const char *data, size_t size, const char *enrol_url, char **ret,
                        struct error *error);
