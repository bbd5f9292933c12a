#pragma once

/* With which CA the Connector signs, found out with a CSR. */

#include "ca/rotation/carry.h"
#include "ca/site/site.h"

/*
 * Has the Connector sign for the canary's subject, as a client with a leaf of CA, which the gateway accepts.
 * LEAF_KEY is the key of both leaves. *RET is the CA certificate in the reply, owned. One signature; with the
 * older service a call of management/info before it. 0; -EAGAIN where there is no answer, or none that can be
 * read; or another -errno.
 */
int canary_ask(const struct site_canary *canary, const struct carry_ca *ca, const struct key *leaf_key,
               usec_t skew, usec_t now, struct cert **ret, struct error *error);
