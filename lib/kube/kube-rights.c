/* Trying out a right would change something, or leave open whether the object or the right is missing. */

#include "lib/kube/kube-rights.h"

#include <errno.h>

#include "lib/util/macro.h"

/* The group is what stands before the slash: "" for "v1", "apps" for "apps/v1". */
int kube_rights_ask(enum kube_verb verb, const struct kube_resource *resource, struct kube_ask *ret,
                    json_t **ret_body) {
        const char *slash = strchr(resource->api, '/');
        json_t *body = json_pack("{s:s, s:s, s:{s:{s:s?, s:s, s:s#, s:s, s:s?}}}", "apiVersion",
                                 "authorization.k8s.io/v1", "kind", "SelfSubjectAccessReview", "spec",
                                 "resourceAttributes", "namespace", resource->namespace, "verb",
                                 kube_verb_names[verb], "group", resource->api,
                                 slash ? (int)(slash - resource->api) : 0, "resource", resource->plural,
                                 "name", resource->name);

        if (!body)
                return -ENOMEM;
        *ret = (struct kube_ask) {
                .verb = KUBE_CREATE,
                .resource = { .api = "authorization.k8s.io/v1", .plural = "selfsubjectaccessreviews" },
                .body = body,
        };
        *ret_body = body;
        return 0;
}

bool kube_rights_allow(const json_t *answer) {
        return json_is_true(json_object_get(json_object_get(answer, "status"), "allowed"));
}
