#include "ca/cluster/cluster.h"

#include "kube/kube-once.h"
#include "lib/kube/kube-rights.h"

struct cluster {
        struct kube_once *once;
        struct kube_client *client;
};

int cluster_new(const char *kubeconfig, struct cluster **ret, struct error *error) {
        _cleanup_(cluster_freep) struct cluster *cluster = calloc(1, sizeof(*cluster));
        const struct kube_place place = { .path = kubeconfig ? kubeconfig : getenv("KUBECONFIG") };
        int r;

        if (!cluster)
                return error_set_errno(error, -ENOMEM, "cannot call a cluster");
        r = kube_once_new(&cluster->once);
        if (r == 0)
                r = kube_client_new(kube_once_host(cluster->once), &place, "rekeyca/" REKEYD_VERSION,
                                    &cluster->client);
        if (r < 0)
                return error_set_errno(error, r, "cannot call a cluster");
        *ret = take_ptr(cluster);
        return 0;
}

struct cluster *cluster_free(struct cluster *cluster) {
        if (!cluster)
                return NULL;
        kube_client_free(cluster->client);
        kube_once_free(cluster->once);
        free(cluster);
        return NULL;
}

int cluster_ask(struct cluster *cluster, const struct kube_ask *ask, json_t **ret, struct error *error) {
        return kube_once_ask(cluster->once, cluster->client, ask, 0, ret, error);
}

int cluster_errno(int outcome) {
        if (outcome <= 0)
                return outcome;
        switch ((enum kube_outcome)outcome) {
        case KUBE_NOT_FOUND:
                return -ENOENT;
        case KUBE_CONFLICT:
        case KUBE_EXISTS:
                return -ESTALE;
        case KUBE_FORBIDDEN:
        case KUBE_UNAUTHORIZED:
                return -EACCES;
        default:
                return -EIO;
        }
}

int cluster_check_right(struct cluster *cluster, enum kube_verb verb, const struct kube_resource *resource,
                        struct error *error) {
        _cleanup_(json_decrefp) json_t *review = NULL, *answer = NULL;
        struct kube_ask ask;
        int r;

        if (kube_rights_ask(verb, resource, &ask, &review) < 0)
                return error_set_errno(error, -ENOMEM, "cannot ask for rights");
        r = cluster_ask(cluster, &ask, &answer, error);
        if (r != KUBE_DONE)
                return cluster_errno(r);
        if (kube_rights_allow(answer))
                return 0;
        return error_set(error, -EACCES, "this user may not %s the %s %s/%s", kube_verb_names[verb],
                         resource->plural, resource->namespace, resource->name);
}

int cluster_check_place(struct cluster *cluster, const struct kube_resource *resource, struct error *error) {
        const struct kube_ask ask = { .verb = KUBE_GET, .resource = *resource };
        int r;

        r = cluster_check_right(cluster, KUBE_GET, resource, error);
        if (r == 0)
                r = cluster_check_right(cluster, KUBE_REPLACE, resource, error);
        if (r < 0)
                return r;
        return cluster_ask(cluster, &ask, NULL, NULL) == KUBE_NOT_FOUND
                       ? cluster_check_right(cluster, KUBE_CREATE, resource, error)
                       : 0;
}
