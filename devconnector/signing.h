#pragma once

/* From the text of a CSR to a leaf, by the rules of the Connector. */

#include "devconnector/pki.h"

/* A CSR that passed all checks. */
struct signing_request {
        X509_REQ *csr;
        X509_NAME *subject; /* what the leaf will be called */
};
void signing_request_clear(struct signing_request *request);

/*
 * Checks what is to be signed: base64 of the PEM of a CSR for the subject EXPECTED, the Connector's subject
 * string with its CN. 0; -EBADMSG when it is no base64, for which each protocol has words of its own; or
 * -EINVAL with the error text of both.
 */
int signing_request_read(const char *base64, size_t size, const char *expected, struct signing_request *ret,
                         struct error *error);

/* -EKEYREJECTED for key types that the CA cannot answer for, with the error text of both protocols. */
int signing_request_check_key(const struct signing_request *request, struct error *error);
