#pragma once

/* The compass protocol: GraphQL requests to write, GraphQL replies to read. No I/O. */

#include "lib/protocol/protocol.h"

/* The four calls. The body is JSON, owned by the caller, NUL-terminated; 0 or -ENOMEM. */
int compass_request_configuration(char **ret_body);
int compass_request_sign(const char *csr_pem, char **ret_body); /* base64 of the PEM, as a GraphQL variable */
int compass_request_revoke(char **ret_body);
int compass_request_probe(
        char **ret_body); /* { __typename }: cheap, and fails when the certificate is revoked */

/*
 * Each returns 0 and fills RET, or a result as in protocol.h, or -ENOMEM.
 *
 *   5xx, 429, 408, 400 with an empty body     FAILURE_TRANSIENT
 *   400 with no body, by a token              PROTOCOL_TOKEN_DOUBTFUL
 *   400 with an HTML page of a TLS edge       FAILURE_REJECTED  (nginx: "SSL certificate error", "No required
 * ...") GraphQL errors, whatever data is beside them, other 4xx, a revocation that says false FAILURE_REFUSED
 *   "Failed to get one-time token", of the configuration: the Director is down, or will not mint one
 *                                             PROTOCOL_NO_CONFIGURATION
 *   3xx, 200 that does not parse or exceeds the limits, an empty or missing field, base64 that is none
 *                                             FAILURE_BAD_REPLY
 */
int compass_read_configuration(const struct protocol_reply *reply, struct protocol_configuration *ret,
                               struct error *error);
int compass_read_certificates(const struct protocol_reply *reply, struct protocol_certificates *ret,
                              struct error *error);
int compass_read_revocation(const struct protocol_reply *reply, struct error *error);
int compass_read_probe(const struct protocol_reply *reply, struct error *error);
