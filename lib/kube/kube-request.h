#pragma once

/* What is asked of an API server: a method, a path, a body. Pure. */

#include <jansson.h>

#include "lib/util/error.h"

/* An object, or where NAME is NULL all of its kind. Strings are borrowed. */
struct kube_resource {
        const char *api;       /* "v1", or with a group, "coordination.k8s.io/v1" */
        const char *plural;    /* "secrets" */
        const char *namespace; /* NULL: its kind has none */
        const char *name;
};

#define KUBE_SECRET(ns, n) \
        ((struct kube_resource) { .api = "v1", .plural = "secrets", .namespace = (ns), .name = (n) })
#define KUBE_LEASE(ns, n)         \
        ((struct kube_resource) { \
                .api = "coordination.k8s.io/v1", .plural = "leases", .namespace = (ns), .name = (n) })

enum kube_verb {
        KUBE_GET,     /* one, or without a name all */
        KUBE_CREATE,  /* BODY has the name */
        KUBE_REPLACE, /* with the resourceVersion that BODY has; refused without one, which the server would
                       * take for a wish to overwrite whatever is there */
        KUBE_APPLY,   /* server-side: what BODY says becomes ours, all else stays */
        KUBE_MERGE,   /* a merge patch: what BODY says, and null removes */
        KUBE_WATCH,   /* one: its changes after VERSION */
        KUBE_DELETE,
        KUBE_VERB_MAX,
};
extern const char *const kube_verb_names[KUBE_VERB_MAX]; /* as RBAC has them: "get", "create", "update" ... */

struct kube_ask {
        enum kube_verb verb;
        struct kube_resource resource;
        const json_t *body;   /* the object, the patch; NULL where the verb has none */
        const char *manager;  /* of fields, where something is written; required for KUBE_APPLY */
        bool force;           /* KUBE_APPLY: take over fields that another manager has */
        bool dry_run;         /* all checks, and nothing is stored */
        const char *version;  /* KUBE_WATCH */
        unsigned timeout_sec; /* KUBE_WATCH: after which the server ends the stream */
};

/* To be cleared; owns all but METHOD and CONTENT_TYPE. */
struct kube_request {
        const char *method;
        char *path;               /* with the query: "/api/v1/namespaces/a/secrets/b" */
        const char *content_type; /* NULL: no body */
        char *body;               /* cleansed when it is cleared */
        bool changes;             /* it may change something on the server */
};
void kube_request_clear(struct kube_request *request);

/* 0, -ENOMEM, or -EINVAL with a sentence: a name that is none, or what the verb needs and has not. */
int kube_request_make(const struct kube_ask *ask, struct kube_request *ret, struct error *error);
