#pragma once

/* One API server, as the places and reloads of a session share it. */

#include "lib/kube/kube-answer.h"
#include "lib/kube/kube-request.h"

#define CLUSTER_MANAGER "rekeyca" /* of fields */

struct cluster;

/* KUBECONFIG is a file; NULL: what the environment variable KUBECONFIG names, else the account of the pod.
 * Nothing is called yet. 0 or -errno. */
int cluster_new(const char *kubeconfig, struct cluster **ret, struct error *error);
struct cluster *cluster_free(struct cluster *cluster);
DEFINE_CLEANUP(struct cluster *, cluster_free);

/* As kube_once_ask(): an outcome, or -ENOMEM, -EINVAL. *RET may be NULL. */
int cluster_ask(struct cluster *cluster, const struct kube_ask *ask, json_t **ret, struct error *error);

/* An outcome other than KUBE_DONE as -errno: -ENOENT, -ESTALE for a conflict, -EACCES, -EIO. */
int cluster_errno(int outcome);

/* Whether this user may VERB the object (SelfSubjectAccessReview). 0, or -EACCES with a sentence. */
int cluster_check_right(struct cluster *cluster, enum kube_verb verb, const struct kube_resource *resource,
                        struct error *error);

/* Whether this user may get and update it; and create it, where it is not there. 0, or -EACCES with a
 * sentence, or -errno. */
int cluster_check_place(struct cluster *cluster, const struct kube_resource *resource, struct error *error);
