#pragma once

/*
 * The protocol of the Central Connector Service: REST over HTTPS, with JSON. The certificate-secured endpoint
 * is the URL of `management/info`, the token-secured one that of `signingRequests/info`; each names the URLs
 * of the calls that follow, so that none is ever built.
 *
 *   configuration   GET the endpoint: subject, key algorithm, URLs; and for a token the URL to sign at, with
 * the token for it, which is handed on whole as protocol_configuration's token signature       POST {"csr"}
 * to that URL, or to `renewCertUrl` revocation      POST to `revokeCertUrl` proof           GET
 * `management/info`. It is answered for a revoked certificate too: what it proves is that the edge accepts
 * the certificate, and as whom the Connector knows its owner
 *
 *   5xx, 429, 408, 400 with an empty body               FAILURE_TRANSIENT
 *   500 about a CSR or a body, which stay as they are   FAILURE_REFUSED
 *   403 "Invalid token.", "Token not provided."         PROTOCOL_TOKEN_REJECTED
 *   403 "Certificate has been revoked."                 FAILURE_REJECTED; of a revocation: success
 *   400 with an HTML page of a TLS edge                 FAILURE_REJECTED
 *   other 4xx                                           FAILURE_REFUSED
 *   3xx, what does not parse, a field that is missing, a proof of somebody else
 *                                                       FAILURE_BAD_REPLY
 */

#include "lib/protocol/protocol.h"
