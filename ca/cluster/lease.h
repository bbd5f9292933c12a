#pragma once

/* A Lease that keeps a second rekeyca out. What must not be written twice is guarded by resourceVersions. */

#include "ca/cluster/cluster.h"
#include "lib/kube/kube-name.h"

struct lease;

/* Whether this user may take the Lease NAME, and make it where there is none. 0, or -EACCES with a sentence,
 * or -errno. */
int lease_check_rights(struct cluster *cluster, const struct kube_name *name, struct error *error);

/* Takes the Lease NAME, and makes it where there is none. One that a process of this machine has left, which
 * does not run any more, is taken at once. 0, or -EBUSY with a sentence that names the holder and when its
 * lease ends, or -errno. */
int lease_take(struct cluster *cluster, const struct kube_name *name, struct lease **ret,
               struct error *error);

/* Renews it where a third of its time is over. 0, or -EBUSY where another one has it. */
int lease_renew(struct lease *lease, struct error *error);

/* Lets the next one have it, and frees. Accepts NULL. */
void lease_release(struct lease *lease);
