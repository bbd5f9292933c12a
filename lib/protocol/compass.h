#pragma once

/* The compass protocol: GraphQL requests to write, GraphQL replies to read. No I/O. */

#include "lib/life/failure.h"
#include "lib/util/error.h"

#define COMPASS_REPLY_MAX    (1024u * 1024)
#define COMPASS_DEPTH_MAX    32 /* JSON_DEPTH_MAX of lib/util/json.h */
#define COMPASS_CONTENT_TYPE "application/json"
#define COMPASS_TOKEN_HEADER "Connector-Token"

/* The four calls. The body is JSON, owned by the caller, NUL-terminated; 0 or -ENOMEM. */
int compass_request_configuration(char **ret_body);
int compass_request_sign(const char *csr_pem, char **ret_body); /* base64 of the PEM, as a GraphQL variable */
int compass_request_revoke(char **ret_body);
int compass_request_probe(
        char **ret_body); /* { __typename }: cheap, and fails when the certificate is revoked */

/* An HTTP reply as the transport received it. BODY is borrowed. */
struct compass_reply {
        unsigned status;
        const char *body;
        size_t size;
        const char *content_type; /* NULL: none was given */
};

/* What `configuration` returned. Everything but the subject may be NULL: the schema says nullable. What is
 * there is not empty; whether a URL may be used is for url_is_https() to say, so that a bad one need not cost
 * the renewal. */
struct compass_configuration {
        char *token; /* one-time, for the sign call over the token-secured endpoint; cleansed when cleared */
        char *subject;
        char *key_algorithm;
        char *director_url;
        char *connector_url; /* certificateSecuredConnectorURL */
};
void compass_configuration_clear(struct compass_configuration *configuration);

/* The three texts of a signature, decoded from base64; none is empty, and each has at least one PEM block. */
struct compass_certificates {
        char *chain;
        char *ca;
        char *leaf;
};
void compass_certificates_clear(struct compass_certificates *certificates);

/* Beyond the classes of enum failure: `configuration` failed because the Director is down or will not mint a
 * token, while signing still works. The caller may continue with the subject of the current certificate. */
#define COMPASS_DIRECTOR_DOWN ((int)FAILURE_MAX)

/*
 * Each returns 0 and fills RET, or a positive enum failure (or COMPASS_DIRECTOR_DOWN) with one sentence in
 * ERROR, or -ENOMEM. RET is untouched unless 0 is returned. Server texts are quoted up to 300 bytes, control
 * characters replaced, and without any run of characters that may be a token.
 *
 *   5xx, 429, 408, 400 with an empty body     FAILURE_TRANSIENT
 *   400 with an HTML page of a TLS edge       FAILURE_REJECTED  (nginx: "SSL certificate error", "No required
 * ...") GraphQL errors, whatever data is beside them, other 4xx, a revocation that says false FAILURE_REFUSED
 *   3xx, 200 that does not parse or exceeds the limits above, an empty or missing field, base64 that is none
 *                                             FAILURE_BAD_REPLY
 */
int compass_read_configuration(const struct compass_reply *reply, struct compass_configuration *ret,
                               struct error *error);
int compass_read_certificates(const struct compass_reply *reply, struct compass_certificates *ret,
                              struct error *error);
int compass_read_revocation(const struct compass_reply *reply, struct error *error);
int compass_read_probe(const struct compass_reply *reply, struct error *error);
