#include "ca/cluster/marks.h"

#include <stdio.h>

#include "ca/cluster/cluster.h"
#include "lib/kube/kube-object.h"
#include "lib/util/quote.h"

static const json_t *metadata_of(const json_t *object) {
        return json_object_get(object, "metadata");
}

static const char *label_of(const json_t *object, const char *name) {
        return json_string_value(json_object_get(json_object_get(metadata_of(object), "labels"), name));
}

/* Annotations and labels that a program puts on what it will write again. */
static const struct {
        bool is_label;
        const char *name, *value; /* value NULL: any */
        const char *writer;
} marks[] = {
        { false, "meta.helm.sh/release-name", NULL, "Helm" },
        { true, "app.kubernetes.io/managed-by", "Helm", "Helm" },
        { false, "cert-manager.io/certificate-name", NULL, "cert-manager" },
        { true, "reconcile.external-secrets.io/created-by", NULL, "external-secrets" },
        { false, "reconcile.external-secrets.io/data-hash", NULL, "external-secrets" },
        { true, "argocd.argoproj.io/instance", NULL, "Argo CD" },
        { false, "argocd.argoproj.io/tracking-id", NULL, "Argo CD" },
        { true, "kustomize.toolkit.fluxcd.io/name", NULL, "Flux" },
        { false, "replicator.v1.mittwald.de/replicate-from", NULL, "a replicator" },
};

static char *find_mark(const json_t *object) {
        char *text;

        for (size_t i = 0; i < ELEMENTSOF(marks); i++) {
                const char *value = marks[i].is_label ? label_of(object, marks[i].name)
                                                      : kube_object_annotation(object, marks[i].name);

                if (!value || (marks[i].value && !streq(value, marks[i].value)))
                        continue;
                return asprintf(&text, "%s, by its %s %s", marks[i].writer,
                                marks[i].is_label ? "label" : "annotation", marks[i].name) < 0
                               ? NULL
                               : text;
        }
        return NULL;
}

static char *find_owner(const json_t *object) {
        const json_t *owner = json_array_get(json_object_get(metadata_of(object), "ownerReferences"), 0);
        const char *kind = json_string_value(json_object_get(owner, "kind")),
                   *name = json_string_value(json_object_get(owner, "name"));
        char *text;

        if (!kind)
                return NULL;
        return asprintf(&text, "its owner %s %s", quoted(kind), quoted(name)) < 0 ? NULL : text;
}

static bool is_person(const char *manager) {
        return has_prefix(manager, "kubectl") || streq(manager, CLUSTER_MANAGER);
}

static bool writes_data(const json_t *entry) {
        const json_t *fields = json_object_get(entry, "fieldsV1");

        return json_object_get(fields, "f:data") || json_object_get(fields, "f:stringData");
}

static char *find_manager(const json_t *object) {
        const json_t *entries = json_object_get(metadata_of(object), "managedFields"), *entry;
        size_t i;
        char *text;

        json_array_foreach(entries, i, entry) {
                const char *manager = json_string_value(json_object_get(entry, "manager"));

                if (manager && !is_person(manager) && writes_data(entry))
                        return asprintf(&text, "%s, which has written its data", quoted(manager)) < 0 ? NULL
                                                                                                      : text;
        }
        return NULL;
}

char *marks_find_writer(const json_t *object) {
        char *text = find_mark(object);

        if (!text)
                text = find_owner(object);
        return text ? text : find_manager(object);
}
