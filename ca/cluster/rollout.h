#pragma once

/* Restarting a workload without an outage. */

#include "ca/cluster/cluster.h"

/* Whether SPEC is "deployment:NAMESPACE/NAME". */
bool rollout_is_spec(const char *spec);

/* Whether this user may restart SPEC, and whether that would be no outage. 0; -EACCES; -EPERM; or -errno;
 * with a sentence. */
int rollout_check(struct cluster *cluster, const char *spec, struct error *error);

/*
 * Sets kubectl.kubernetes.io/restartedAt in the Deployment's template, as `kubectl rollout restart` does, and
 * awaits that all replicas are new and available. One whose strategy is Recreate, or that has no replica
 * besides one and may miss it, is refused. 0; -EPERM; -ETIMEDOUT after TIMEOUT_USEC; or -errno; with a
 * sentence.
 */
int rollout_restart(struct cluster *cluster, const char *spec, usec_t timeout_usec, struct error *error);

/* Whether DEPLOYMENT, as it is read, has ended its rollout; and, before one, what forbids it, NULL for
 * nothing. Pure. */
bool rollout_is_done(const json_t *deployment);
const char *rollout_objection(const json_t *deployment);
