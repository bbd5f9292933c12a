#pragma once

/* Which Secrets the gateways of Istio verify their clients with. */

#include "ca/cluster/cluster.h"
#include "lib/kube/kube-name.h"

/*
 * Reads the Gateway resources of all namespaces, where the cluster has them. *RET: a clause where there are
 * Gateways with mutual TLS and none of them reads the bundle of the Secret NAME, owned; else NULL. 0; -EACCES
 * where this user may not list them; or -errno; with a sentence.
 */
int istio_find_doubt(struct cluster *cluster, const char *name, char **ret, struct error *error);

/* What Istio reads instead of KEY of SECRET, the object of NAME: the key cacert beside another, or the Secret
 * NAME-cacert. 0, or -EEXIST with a sentence. */
int istio_check_precedence(struct cluster *cluster, const struct kube_name *name, const char *key,
                           const json_t *secret, struct error *error);

/* The same from LIST, a list of Gateways as the server has it. 0 or -ENOMEM. Pure. */
int istio_judge_gateways(const json_t *list, const char *name, char **ret);
