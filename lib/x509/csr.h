#pragma once

/* Certificate signing requests. */

#include "lib/x509/key.h"
#include "lib/x509/subject.h"

#define CSR_PEM_MAX (64u * 1024)

/* Builds a PKCS#10 request for SUBJECT, attributes in the order given, signed by KEY with SHA-256 (the
 * certificate inherits the request's signature algorithm at the Compass Connector). PEM, owned by the caller.
 * A few milliseconds of RSA: not for the loop's thread. 0, -EINVAL for a subject that X.509 cannot hold (C of
 * three letters), -EKEYREJECTED when the halves of KEY do not belong together, -EIO. */
int csr_make(const struct key *key, const struct subject *subject, char **ret_pem, struct error *error);

/* The subject of a PEM request, and whether it is for KEY and its signature verifies. 0, -EINVAL, or
 * -EKEYREJECTED when it belongs to another key. */
int csr_check(const char *pem, size_t size, const struct key *key, struct subject **ret_subject,
              struct error *error);
