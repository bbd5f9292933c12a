/* Requests: what is never asked, and what is, word for word. */

#include "lib/kube/kube-request.h"

#include "tests/test.h"

static json_t *object(const char *version) {
        return version ? json_pack("{s:{s:s}}", "metadata", "resourceVersion", version)
                       : json_pack("{s:{}}", "metadata");
}

START_TEST(test_refused) {
        static const struct {
                const char *api, *plural, *namespace, *name;
                enum kube_verb verb;
                bool has_body;
                const char *version, *manager, *text;
        } rows[] = {
                { "v1", "secrets", "a", "b", KUBE_REPLACE, true, NULL, NULL, "without resourceVersion" },
                { "v1", "secrets", "a", "b", KUBE_REPLACE, true, "", NULL, "without resourceVersion" },
                { "v1", "secrets", "a", "b", KUBE_REPLACE, false, NULL, NULL, "needs a body" },
                { "v1", "secrets", "a", "b", KUBE_GET, true, NULL, NULL, "has no body" },
                { "v1", "secrets", "a", "b", KUBE_DELETE, true, NULL, NULL, "has no body" },
                { "v1", "secrets", "a", "b", KUBE_WATCH, true, NULL, NULL, "has no body" },
                { "v1", "secrets", "a", "b", KUBE_APPLY, true, NULL, NULL, "field manager" },
                { "v1", "secrets", "a", "b", KUBE_APPLY, true, NULL, "a&force=true", "field manager" },
                { "v1", "secrets", "a", "../b", KUBE_GET, false, NULL, NULL, "no name of an object" },
                { "v1", "secrets", "a", "b?c", KUBE_GET, false, NULL, NULL, "no name of an object" },
                { "v1", "secrets", "a", NULL, KUBE_REPLACE, true, "1", NULL, "no name of an object" },
                { "v1", "secrets", "a", NULL, KUBE_WATCH, false, NULL, NULL, "no name of an object" },
                { "v1", "secrets", "a", NULL, KUBE_DELETE, false, NULL, NULL, "no name of an object" },
                { "v1", "secrets", "a/b", "c", KUBE_GET, false, NULL, NULL, "no name of a namespace" },
                { "v1", "secrets", "", "c", KUBE_GET, false, NULL, NULL, "no name of a namespace" },
                { "../v1", "secrets", "a", "c", KUBE_GET, false, NULL, NULL, "no API" },
                { "a/b/c", "secrets", "a", "c", KUBE_GET, false, NULL, NULL, "no API" },
                { "v1", "sec/rets", "a", "c", KUBE_GET, false, NULL, NULL, "no API" },
                { "v1", "", "a", "c", KUBE_GET, false, NULL, NULL, "no API" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                json_t *body = rows[i].has_body ? object(rows[i].version) : NULL;
                const struct kube_ask ask = {
                        .verb = rows[i].verb,
                        .resource = { rows[i].api, rows[i].plural, rows[i].namespace, rows[i].name },
                        .body = body,
                        .manager = rows[i].manager,
                };
                struct kube_request request;

                ck_assert_int_eq(kube_request_make(&ask, &request, &error), -EINVAL);
                ck_assert_msg(strstr(error_text(&error), rows[i].text), "%zu: %s", i, error_text(&error));
                json_decref(body);
        }
}
END_TEST

START_TEST(test_made) {
        static const struct {
                struct kube_ask ask;
                const char *method, *path, *type;
                bool changes;
        } rows[] = {
                { { .verb = KUBE_GET, .resource = { "v1", "secrets", "a", "b" } },
                  "GET",
                  "/api/v1/namespaces/a/secrets/b",
                  NULL,
                  false },
                { { .verb = KUBE_GET, .resource = { "v1", "secrets", "a", NULL } },
                  "GET",
                  "/api/v1/namespaces/a/secrets",
                  NULL,
                  false },
                { { .verb = KUBE_GET,
                    .resource = { "compass.kyma-project.io/v1alpha1", "compassconnections", NULL, "x" } },
                  "GET",
                  "/apis/compass.kyma-project.io/v1alpha1/compassconnections/x",
                  NULL,
                  false },
                { { .verb = KUBE_REPLACE, .resource = { "coordination.k8s.io/v1", "leases", "a", "b" } },
                  "PUT",
                  "/apis/coordination.k8s.io/v1/namespaces/a/leases/b",
                  "application/json",
                  true },
                { { .verb = KUBE_CREATE, .resource = { "v1", "secrets", "a", "b" }, .manager = "rekeyd" },
                  "POST",
                  "/api/v1/namespaces/a/secrets?fieldManager=rekeyd",
                  "application/json",
                  true },
                { { .verb = KUBE_APPLY,
                    .resource = { "v1", "secrets", "a", "b" },
                    .manager = "rekeyd",
                    .force = true },
                  "PATCH",
                  "/api/v1/namespaces/a/secrets/b?fieldManager=rekeyd&force=true",
                  "application/apply-patch+yaml",
                  true },
                { { .verb = KUBE_MERGE, .resource = { "apps/v1", "deployments", "a", "b" }, .dry_run = true },
                  "PATCH",
                  "/apis/apps/v1/namespaces/a/deployments/b?dryRun=All",
                  "application/merge-patch+json",
                  false },
                { { .verb = KUBE_DELETE, .resource = { "v1", "secrets", "a", "b" } },
                  "DELETE",
                  "/api/v1/namespaces/a/secrets/b",
                  NULL,
                  true },
                { { .verb = KUBE_WATCH,
                    .resource = { "v1", "secrets", "a", "b" },
                    .version = "42",
                    .timeout_sec = 300 },
                  "GET",
                  "/api/v1/namespaces/a/"
                  "secrets?watch=1&allowWatchBookmarks=true&fieldSelector=metadata.name%3Db"
                  "&resourceVersion=42&timeoutSeconds=300",
                  NULL,
                  false },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(kube_request_clear) struct kube_request request = { 0 };
                struct kube_ask ask = rows[i].ask;
                json_t *body = rows[i].type ? object("7") : NULL;

                ask.body = body;
                ck_assert_int_eq(kube_request_make(&ask, &request, NULL), 0);
                ck_assert_str_eq(request.method, rows[i].method);
                ck_assert_str_eq(request.path, rows[i].path);
                ck_assert(streq_null(request.content_type, rows[i].type));
                ck_assert(request.changes == rows[i].changes);
                ck_assert(
                        streq_null(request.body, body ? "{\"metadata\":{\"resourceVersion\":\"7\"}}" : NULL));
                json_decref(body);
        }
}
END_TEST

START_TEST(test_names_of_verbs) {
        for (size_t i = 0; i < KUBE_VERB_MAX; i++)
                ck_assert(!strempty(kube_verb_names[i]));
}
END_TEST

TEST_MAIN("kube-request", test_refused, test_made, test_names_of_verbs)
