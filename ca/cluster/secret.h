#pragma once

/* The back-end of Kubernetes Secrets. */

#include "ca/cluster/cluster.h"
#include "ca/rotation/backend.h"

enum secret_kind { SECRET_SIGNER, SECRET_TRUST, SECRET_STATE };

/*
 * SPEC is "secret:NAMESPACE/NAME[ca.key,ca.crt]" for a signer, "...[ca.crt]" for a bundle, and
 * "secret:NAMESPACE/NAME" for a state file, whose lock is the Lease of the same name. CLUSTER is borrowed. 0,
 * or -EINVAL with a sentence, or -ENOMEM.
 *
 * A write is one PUT with the resourceVersion that was read; all else in the Secret stays. Checking rights
 * also finds what Istio would read instead of a bundle: `cacert` beside `ca.crt`, and NAME-cacert beside
 * NAME. A bundle is in doubt where there are Gateways and none has it as its credentialName.
 */
int secret_parse(struct cluster *cluster, const char *spec, enum secret_kind kind, struct backend **ret,
                 struct error *error);
