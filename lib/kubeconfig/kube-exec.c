#include "lib/kubeconfig/kube-exec.h"

#include <stdio.h>

#include "lib/util/base64.h"
#include "lib/util/json.h"
#include "lib/util/parse.h"

#define GROUP "client.authentication.k8s.io/"
#define INFO  "KUBERNETES_EXEC_INFO"

bool kube_exec_knows(const char *api) {
        return streq(api, GROUP "v1") || streq(api, GROUP "v1beta1");
}

void kube_credentials_clear(struct kube_credentials *credentials) {
        free_secret(credentials->token);
        free(credentials->certificate_pem);
        free_secret(credentials->key_pem);
        *credentials = (struct kube_credentials) { 0 };
}

static int copy(const char *from, char **ret) {
        *ret = from ? strdup(from) : NULL;
        return from && !*ret ? -ENOMEM : 0;
}

int kube_credentials_copy(const struct kube_credentials *from, struct kube_credentials *ret) {
        struct kube_credentials made = { .end_usec = from->end_usec };

        if (copy(from->token, &made.token) < 0 || copy(from->certificate_pem, &made.certificate_pem) < 0 ||
            copy(from->key_pem, &made.key_pem) < 0) {
                kube_credentials_clear(&made);
                return -ENOMEM;
        }
        *ret = made;
        return 0;
}

/* --- What it is given */

static int put_text(json_t *object, const char *name, const char *text) {
        return text ? json_object_set_new(object, name, json_string(text)) : 0;
}

/* NULL when memory is out. */
static json_t *cluster_of(const struct kube_access *access) {
        _cleanup_(json_decrefp) json_t *cluster = json_pack("{s:s}", "server", access->server);
        _cleanup_(freep) char *ca = NULL;

        if (!cluster || put_text(cluster, "tls-server-name", access->tls_server_name) < 0 ||
            put_text(cluster, "proxy-url", access->proxy_url) < 0)
                return NULL;
        if (access->ca_pem && (base64_encode(access->ca_pem, strlen(access->ca_pem), &ca) < 0 ||
                               put_text(cluster, "certificate-authority-data", ca) < 0))
                return NULL;
        return take_ptr(cluster);
}

static int make_info(const struct kube_access *access, char **ret) {
        _cleanup_(json_decrefp) json_t *root =
                json_pack("{s:s, s:s, s:{s:b}}", "apiVersion", access->exec->api, "kind", "ExecCredential",
                          "spec", "interactive", 0);
        _cleanup_(freep) char *text = NULL;

        if (!root || (access->exec->wants_cluster &&
                      json_object_set_new(json_object_get(root, "spec"), "cluster", cluster_of(access)) < 0))
                return -ENOMEM;
        text = json_format(root, JSON_COMPACT);
        if (!text || asprintf(ret, INFO "=%s", text) < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return 0;
}

static bool same_name(const char *a, const char *b) {
        const size_t n = strcspn(a, "=");

        return n == strcspn(b, "=") && strncmp(a, b, n) == 0;
}

static bool is_overridden(const char *variable, char *const *by) {
        for (; *by; by++)
                if (same_name(variable, *by))
                        return true;
        return same_name(variable, INFO);
}

static size_t count(char *const *strings) {
        size_t n = 0;

        while (strings[n])
                n++;
        return n;
}

void kube_exec_environment_free(char **environment) {
        kube_strings_free(environment);
}

int kube_exec_environment(const struct kube_access *access, char *const *environment, char ***ret) {
        char **own = access->exec->variables, **made;
        size_t n = 0;
        int r;

        made = calloc(count(environment) + count(own) + 2, sizeof(*made));
        if (!made)
                return -ENOMEM;
        r = make_info(access, &made[n++]);
        for (; r == 0 && *environment; environment++)
                if (!is_overridden(*environment, own) && !(made[n++] = strdup(*environment)))
                        r = -ENOMEM;
        for (; r == 0 && *own; own++)
                if (!same_name(*own, INFO) && !(made[n++] = strdup(*own)))
                        r = -ENOMEM;
        if (r < 0) {
                kube_strings_free(made);
                return r;
        }
        *ret = made;
        return 0;
}

/* --- What it prints */

static int take(const json_t *status, const char *name, char **ret) {
        const char *text = json_string_value(json_object_get(status, name));

        if (strempty(text))
                return 0;
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

/* Fractions of a second are cut off: they end early rather than late. */
static int read_end(const json_t *status, usec_t *ret, struct error *error) {
        const char *text = json_string_value(json_object_get(status, "expirationTimestamp"));
        char copy[64];
        size_t n;

        *ret = USEC_INFINITY;
        if (strempty(text))
                return 0;
        n = strcspn(text, ".");
        if (strlen(text) >= sizeof(copy))
                return error_set(error, -EINVAL, "its expirationTimestamp is no time");
        snprintf(copy, sizeof(copy), "%.*s%s", (int)n, text,
                 text[n] ? text + n + 1 + strspn(text + n + 1, "0123456789") : "");
        return parse_timestamp(copy, ret) == 0
                       ? 0
                       : error_set(error, -EINVAL, "its expirationTimestamp is no time");
}

static int read_status(const json_t *status, struct kube_credentials *ret, struct error *error) {
        int r;

        r = take(status, "token", &ret->token);
        if (r == 0)
                r = take(status, "clientCertificateData", &ret->certificate_pem);
        if (r == 0)
                r = take(status, "clientKeyData", &ret->key_pem);
        if (r == 0)
                r = read_end(status, &ret->end_usec, error);
        if (r < 0)
                return r;
        if (!ret->token && !ret->certificate_pem)
                return error_set(error, -EINVAL, "it has neither a token nor a certificate");
        if (!ret->certificate_pem != !ret->key_pem)
                return error_set(error, -EINVAL, "it has only one of certificate and key");
        return ret->token && !kube_token_is_sendable(ret->token)
                       ? error_set(error, -EINVAL, "its token has characters that no token has")
                       : 0;
}

int kube_exec_read(const struct kube_exec *exec, const char *output, size_t size,
                   struct kube_credentials *ret, struct error *error) {
        _cleanup_(kube_credentials_clear) struct kube_credentials credentials = { 0 };
        _cleanup_(json_decrefp) json_t *root = NULL;
        const json_t *status;
        int r;

        r = json_read(output, size, KUBE_EXEC_OUTPUT_MAX, &root, error);
        if (r < 0)
                return r;
        status = json_object_get(root, "status");
        if (!streq_null(json_string_value(json_object_get(root, "kind")), "ExecCredential"))
                return error_set(error, -EINVAL, "it is no ExecCredential");
        if (!streq_null(json_string_value(json_object_get(root, "apiVersion")), exec->api))
                return error_set(error, -EINVAL, "its apiVersion is not %s", exec->api);
        if (!json_is_object(status))
                return error_set(error, -EINVAL, "it has no status");
        r = read_status(status, &credentials, error);
        if (r < 0)
                return r;
        *ret = credentials;
        credentials = (struct kube_credentials) { 0 };
        return 0;
}
