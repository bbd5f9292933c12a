#pragma once

/* Where it is described how an API server is reached: a kubeconfig file, or the account of a pod. */

#include "lib/kubeconfig/kube-access.h"

#define KUBE_FILE_MAX  (1024u * 1024) /* a kubeconfig file, a CA bundle */
#define KUBE_TOKEN_MAX (64u * 1024)

/* Where a pod has its account. */
#define KUBE_ACCOUNT_DIRECTORY "/var/run/secrets/kubernetes.io/serviceaccount"

/* Strings are borrowed. PATH NULL: by the account of the pod that this process runs in.
 */
struct kube_place {
        const char *path;    /* a kubeconfig file */
        const char *context; /* of it; NULL: its current-context */
        const char *account; /* KUBE_ACCOUNT_DIRECTORY where it is NULL */
};

/*
 * Reads it anew, with all files that it refers to: tokens and certificates rotate. 0; -ENOMEM; or -errno with
 * a sentence that names the file, and never what is in it. May block on the disk.
 */
int kube_place_read(const struct kube_place *place, struct kube_access *ret, struct error *error);
