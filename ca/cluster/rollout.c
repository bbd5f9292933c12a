#include "ca/cluster/rollout.h"

#include <time.h>

#include "lib/kube/kube-name.h"

#define PREFIX     "deployment:"
#define PAUSE_NSEC 500000000L

static struct kube_resource resource_of(const struct kube_name *name) {
        return (struct kube_resource) {
                .api = "apps/v1", .plural = "deployments", .namespace = name->namespace, .name = name->name
        };
}

bool rollout_is_spec(const char *spec) {
        struct kube_name name;

        return has_prefix(spec, PREFIX) && kube_name_parse(spec + strlen(PREFIX), &name) == 0;
}

static json_int_t number(const json_t *object, const char *part, const char *member) {
        return json_integer_value(json_object_get(json_object_get(object, part), member));
}

bool rollout_is_done(const json_t *deployment) {
        const json_int_t wanted = number(deployment, "spec", "replicas");

        return number(deployment, "status", "observedGeneration") >=
                       number(deployment, "metadata", "generation") &&
               number(deployment, "status", "updatedReplicas") >= wanted &&
               number(deployment, "status", "replicas") == number(deployment, "status", "updatedReplicas") &&
               number(deployment, "status", "availableReplicas") >= wanted;
}

const char *rollout_objection(const json_t *deployment) {
        const json_t *strategy = json_object_get(json_object_get(deployment, "spec"), "strategy"),
                     *rolling = json_object_get(strategy, "rollingUpdate"),
                     *surge = json_object_get(rolling, "maxSurge");
        const char *type = json_string_value(json_object_get(strategy, "type"));

        if (streq_null(type, "Recreate"))
                return "its strategy is Recreate, so all replicas would end before the first new one starts";
        if (number(deployment, "spec", "replicas") <= 1 && surge &&
            (json_integer_value(surge) == 0 && !json_is_string(surge)))
                return "it has one replica, and maxSurge 0 ends that before the new one starts";
        return NULL;
}

static int get(struct cluster *cluster, const struct kube_name *name, json_t **ret, struct error *error) {
        const struct kube_ask ask = { .verb = KUBE_GET, .resource = resource_of(name) };
        const int r = cluster_ask(cluster, &ask, ret, error);

        return r == KUBE_DONE ? 0 : cluster_errno(r);
}

static int annotate(struct cluster *cluster, const struct kube_name *name, struct error *error) {
        char now[TIMESTAMP_MAX];
        _cleanup_(json_decrefp) json_t *patch = json_pack(
                "{s:{s:{s:{s:{s:s}}}}}", "spec", "template", "metadata", "annotations",
                "kubectl.kubernetes.io/restartedAt", format_timestamp(now, now_usec(CLOCK_REALTIME)));
        const struct kube_ask ask = {
                .verb = KUBE_MERGE, .resource = resource_of(name), .body = patch, .manager = CLUSTER_MANAGER
        };
        int r;

        if (!patch)
                return error_set_errno(error, -ENOMEM, "cannot restart %s", name->name);
        r = cluster_ask(cluster, &ask, NULL, error);
        return r == KUBE_DONE ? 0 : cluster_errno(r);
}

static int await(struct cluster *cluster, const struct kube_name *name, usec_t timeout_usec,
                 struct error *error) {
        const usec_t until = usec_add(now_usec(CLOCK_BOOTTIME), timeout_usec);
        const struct timespec pause = { .tv_nsec = PAUSE_NSEC };
        int r;

        for (;;) {
                _cleanup_(json_decrefp) json_t *deployment = NULL;

                r = get(cluster, name, &deployment, error);
                if (r < 0 || rollout_is_done(deployment))
                        return r;
                if (now_usec(CLOCK_BOOTTIME) >= until)
                        return error_set(error, -ETIMEDOUT,
                                         "the Deployment %s/%s was restarted and is not ready yet",
                                         name->namespace, name->name);
                (void)nanosleep(&pause, NULL);
        }
}

static int parse(const char *spec, struct kube_name *ret, struct error *error) {
        if (kube_name_parse(spec + strlen(PREFIX), ret) < 0)
                return error_set(error, -EINVAL, "'%s' must be " PREFIX "NAMESPACE/NAME", spec);
        return 0;
}

static int check_strategy(struct cluster *cluster, const char *spec, const struct kube_name *name,
                          struct error *error) {
        _cleanup_(json_decrefp) json_t *deployment = NULL;
        const char *objection;
        int r;

        r = get(cluster, name, &deployment, error);
        if (r < 0)
                return r;
        objection = rollout_objection(deployment);
        return objection ? error_set(error, -EPERM, "%s is not restarted: %s", spec, objection) : 0;
}

int rollout_check(struct cluster *cluster, const char *spec, struct error *error) {
        struct kube_resource resource;
        struct kube_name name;
        int r;

        r = parse(spec, &name, error);
        if (r < 0)
                return r;
        resource = resource_of(&name);
        r = cluster_check_right(cluster, KUBE_GET, &resource, error);
        if (r == 0)
                r = cluster_check_right(cluster, KUBE_MERGE, &resource, error);
        return r < 0 ? r : check_strategy(cluster, spec, &name, error);
}

int rollout_restart(struct cluster *cluster, const char *spec, usec_t timeout_usec, struct error *error) {
        struct kube_name name;
        int r;

        r = parse(spec, &name, error);
        if (r == 0)
                r = check_strategy(cluster, spec, &name, error);
        if (r == 0)
                r = annotate(cluster, &name, error);
        return r < 0 ? r : await(cluster, &name, timeout_usec, error);
}
