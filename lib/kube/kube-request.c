/*
 * Requests to an API server. One rule is its own: a PUT without resourceVersion is accepted for Secrets, and
 * wipes what others have written, labels and annotations too. No such request is ever made here.
 */

#include "lib/kube/kube-request.h"

#include <stdio.h>

#include "lib/kube/kube-name.h"
#include "lib/kube/kube-object.h"
#include "lib/util/json.h"
#include "lib/util/text-stream.h"

#define JSON_TYPE "application/json"

static const struct row {
        const char *name, *method, *content_type;
        bool changes, has_body;
} rows[KUBE_VERB_MAX] = {
        [KUBE_GET] = { "get", "GET", NULL, false, false },
        [KUBE_CREATE] = { "create", "POST", JSON_TYPE, true, true },
        [KUBE_REPLACE] = { "update", "PUT", JSON_TYPE, true, true },
        [KUBE_APPLY] = { "patch", "PATCH", "application/apply-patch+yaml", true, true },
        [KUBE_MERGE] = { "patch", "PATCH", "application/merge-patch+json", true, true },
        [KUBE_WATCH] = { "watch", "GET", NULL, false, false },
        [KUBE_DELETE] = { "delete", "DELETE", NULL, true, false },
};

const char *const kube_verb_names[KUBE_VERB_MAX] = {
        [KUBE_GET] = "get",     [KUBE_CREATE] = "create", [KUBE_REPLACE] = "update", [KUBE_APPLY] = "patch",
        [KUBE_MERGE] = "patch", [KUBE_WATCH] = "watch",   [KUBE_DELETE] = "delete",
};

void kube_request_clear(struct kube_request *request) {
        free(request->path);
        free_secret(request->body);
        *request = (struct kube_request) { 0 };
}

static bool is_plural(const char *text) {
        return strspn(text, "abcdefghijklmnopqrstuvwxyz") == strlen(text) && *text;
}

/* "v1", "apps/v1". */
static bool is_api(const char *text) {
        const char *slash = strchr(text, '/');
        char group[KUBE_NAME_MAX + 1];

        if (!slash)
                return kube_is_namespace(text);
        if ((size_t)(slash - text) >= sizeof(group))
                return false;
        memcpy(group, text, (size_t)(slash - text));
        group[slash - text] = '\0';
        return kube_is_name(group) && kube_is_namespace(slash + 1);
}

/* Words that need no escape: they stand in a query. */
static bool is_word(const char *text) {
        for (; *text; text++)
                if (*text <= ' ' || *text > '~' || strchr("&=#%+?/\"", *text))
                        return false;
        return true;
}

static int check(const struct kube_ask *ask, struct error *error) {
        const struct kube_resource *resource = &ask->resource;
        const bool needs_name = ask->verb != KUBE_CREATE && ask->verb != KUBE_GET;

        if (!is_api(resource->api) || !is_plural(resource->plural))
                return error_set(error, -EINVAL, "there can be no API like %s %s", resource->api,
                                 resource->plural);
        if (resource->namespace && !kube_is_namespace(resource->namespace))
                return error_set(error, -EINVAL, "%s is no name of a namespace", resource->namespace);
        if (resource->name ? !kube_is_name(resource->name) : needs_name)
                return error_set(error, -EINVAL, "%s is no name of an object",
                                 resource->name ? resource->name : "an empty text");
        if (rows[ask->verb].has_body != !!ask->body)
                return error_set(error, -EINVAL, "a request to %s %s", rows[ask->verb].name,
                                 ask->body ? "has no body" : "needs a body");
        if (ask->verb == KUBE_REPLACE && !kube_object_version(ask->body))
                return error_set(error, -EINVAL,
                                 "an object without resourceVersion must not replace another");
        if ((ask->verb == KUBE_APPLY && strempty(ask->manager)) || (ask->manager && !is_word(ask->manager)) ||
            (ask->version && !is_word(ask->version)))
                return error_set(error, -EINVAL, "a field manager or a version is no word");
        return 0;
}

/* The part of the path that leads to the kind, and to the object where the verb is about one. */
static void write_path(FILE *out, const struct kube_ask *ask) {
        const struct kube_resource *resource = &ask->resource;

        fprintf(out, "/%s/%s", strchr(resource->api, '/') ? "apis" : "api", resource->api);
        if (resource->namespace)
                fprintf(out, "/namespaces/%s", resource->namespace);
        fprintf(out, "/%s", resource->plural);
        if (resource->name && ask->verb != KUBE_CREATE && ask->verb != KUBE_WATCH)
                fprintf(out, "/%s", resource->name);
}

static void write_query(FILE *out, const struct kube_ask *ask) {
        char separator = '?';

#define ADD(...)                           \
        do {                               \
                fputc(separator, out);     \
                fprintf(out, __VA_ARGS__); \
                separator = '&';           \
        } while (0)

        if (ask->verb == KUBE_WATCH) {
                ADD("watch=1&allowWatchBookmarks=true&fieldSelector=metadata.name%%3D%s", ask->resource.name);
                if (ask->version)
                        ADD("resourceVersion=%s", ask->version);
                if (ask->timeout_sec > 0)
                        ADD("timeoutSeconds=%u", ask->timeout_sec);
        }
        if (rows[ask->verb].has_body && ask->manager)
                ADD("fieldManager=%s", ask->manager);
        if (ask->verb == KUBE_APPLY && ask->force)
                ADD("force=true");
        if (rows[ask->verb].changes && ask->dry_run)
                ADD("dryRun=All");
#undef ADD
}

static int make_path(const struct kube_ask *ask, char **ret) {
        size_t size;
        FILE *out = text_stream_open(ret, &size);

        if (!out)
                return -ENOMEM;
        write_path(out, ask);
        write_query(out, ask);
        return fclose(out) == 0 ? 0 : -ENOMEM;
}

int kube_request_make(const struct kube_ask *ask, struct kube_request *ret, struct error *error) {
        _cleanup_(kube_request_clear) struct kube_request request = { 0 };
        int r;

        r = check(ask, error);
        if (r < 0)
                return r;
        request.method = rows[ask->verb].method;
        request.content_type = rows[ask->verb].content_type;
        request.changes = rows[ask->verb].changes && !ask->dry_run;
        r = make_path(ask, &request.path);
        if (r < 0)
                return r;
        if (ask->body) {
                request.body = json_format(ask->body, JSON_COMPACT);
                if (!request.body)
                        return -ENOMEM;
        }
        *ret = request;
        request = (struct kube_request) { 0 };
        return 0;
}
