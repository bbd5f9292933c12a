/*
 * kubectl passes over what it does not know, and newer ones write more, so unknown keys are passed over here
 * as well. Not so the few that are known and not supported: to pass over `as-user-extra` would call the
 * server as another user than the file says.
 */

#include "lib/kubeconfig/kubeconfig.h"

#include <stdio.h>

#include "lib/config/yaml-table.h"
#include "lib/kube/kube-name.h"
#include "lib/kubeconfig/kube-exec.h"
#include "lib/kubeconfig/kube-proxy.h"
#include "lib/protocol/url.h"
#include "lib/util/base64.h"
#include "lib/util/quote.h"

void kubeconfig_clear(struct kubeconfig *config) {
        kube_access_clear(&config->access);
        free(config->ca_file);
        free(config->certificate_file);
        free(config->key_file);
        free(config->token_file);
        *config = (struct kubeconfig) { 0 };
}

/* What the parts of the reading share. */
struct reading {
        const char *path;
        const struct yaml_node *root;
        struct kubeconfig *to;
        struct error *error;
};

/* The text of KEY in NODE; NULL where there is none, or it is empty, or no text. */
static const char *text_of(const struct yaml_node *node, const char *key) {
        const struct yaml_node *value = node ? yaml_find(node, key) : NULL;

        value = value ? yaml_resolve(value) : NULL;
        if (!value || value->kind != YAML_SCALAR ||
            (value->plain && (streq(value->text, "null") || streq(value->text, "~"))))
                return NULL;
        return strempty(value->text) ? NULL : value->text;
}

static bool is_true(const struct yaml_node *node, const char *key) {
        return streq_null(text_of(node, key), "true");
}

static const struct yaml_node *list_of(const struct yaml_node *node, const char *key) {
        const struct yaml_node *list = yaml_find(node, key);

        list = list ? yaml_resolve(list) : NULL;
        return list && list->kind == YAML_LIST ? list->first : NULL;
}

static const struct yaml_node *mapping_of(const struct yaml_node *node, const char *key) {
        const struct yaml_node *found = yaml_find(node, key);

        found = found ? yaml_resolve(found) : NULL;
        return found && found->kind == YAML_MAPPING ? found : NULL;
}

/* The entry of LIST ("users") that is called NAME: its part ("user"). */
static const struct yaml_node *entry_of(const struct yaml_node *root, const char *list, const char *part,
                                        const char *name) {
        for (const struct yaml_node *item = list_of(root, list); item; item = item->next) {
                const struct yaml_node *entry = yaml_resolve(item);

                if (entry->kind == YAML_MAPPING && streq_null(text_of(entry, "name"), name))
                        return mapping_of(entry, part);
        }
        return NULL;
}

static int take_text(const char *text, char **ret) {
        if (!text)
                return 0;
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

static int add_string(char ***strings, size_t *n, const char *text) {
        char **grown = reallocarray(*strings, *n + 2, sizeof(*grown));

        if (!grown)
                return -ENOMEM;
        *strings = grown;
        grown[*n] = strdup(text);
        grown[*n + 1] = NULL;
        return grown[(*n)++] ? 0 : -ENOMEM;
}

/* KEY of NODE, a path that may begin at the directory of the file. */
static int take_path(const struct reading *reading, const struct yaml_node *node, const char *key,
                     char **ret) {
        const char *text = text_of(node, key), *slash = strrchr(reading->path, '/');

        if (!text || *text == '/')
                return take_text(text, ret);
        if (asprintf(ret, "%.*s/%s", slash ? (int)(slash - reading->path) : 1, slash ? reading->path : ".",
                     text) < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return 0;
}

/* Base64, which may be folded into lines. */
static int decode(const char *text, char **ret) {
        _cleanup_(free_secretp) char *packed = strdup(text);
        char *data, *to = packed;
        size_t size;
        int r;

        if (!packed)
                return -ENOMEM;
        for (; *text; text++)
                if (!strchr(" \t\r\n", *text))
                        *to++ = *text;
        *to = '\0';
        r = base64_decode(packed, strlen(packed), &data, &size);
        if (r < 0)
                return r;
        if (memchr(data, '\0', size)) {
                explicit_bzero(data, size);
                free(data);
                return -EINVAL;
        }
        *ret = data;
        return 0;
}

/* "KEY-data", or the file that KEY names. */
static int take_data(const struct reading *reading, const struct yaml_node *node, const char *key,
                     char **ret_data, char **ret_file) {
        char data_key[64];
        const char *text;
        int r;

        snprintf(data_key, sizeof(data_key), "%s-data", key);
        text = text_of(node, data_key);
        if (!text)
                return take_path(reading, node, key, ret_file);
        r = decode(text, ret_data);
        return r == -EINVAL ? error_set(reading->error, -EINVAL, "%s: %s is not base64 of a text",
                                        reading->path, data_key)
                            : r;
}

/* Keys that are known, and cannot be passed over. */
struct unsupported {
        const char *key, *reason;
};

static int refuse(const struct reading *reading, const struct yaml_node *node, const struct unsupported *rows,
                  size_t n) {
        for (size_t i = 0; i < n; i++) {
                const struct yaml_node *found = yaml_find(node, rows[i].key);

                if (found && !streq_null(text_of(node, rows[i].key), "false") &&
                    (yaml_resolve(found)->kind != YAML_SCALAR || text_of(node, rows[i].key)))
                        return error_set(reading->error, -EINVAL, "%s:%u:%u: '%s' %s", reading->path,
                                         found->place.line, found->place.column, rows[i].key, rows[i].reason);
        }
        return 0;
}

static bool is_server_name(const char *text) {
        const size_t n = strlen(text);

        return n <= 253 &&
               strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:") == n;
}

/* By which name, and by which way. */
static int read_way(const struct reading *reading, const struct yaml_node *cluster) {
        struct kube_access *access = &reading->to->access;
        const char *name = text_of(cluster, "tls-server-name"), *proxy = text_of(cluster, "proxy-url");
        int r;

        if (name && !is_server_name(name))
                return error_set(reading->error, -EINVAL, "%s: 'tls-server-name' is no name of a server",
                                 reading->path);
        r = take_text(name, &access->tls_server_name);
        if (r < 0 || !proxy)
                return r;
        r = kube_proxy_read(proxy, &access->proxy_url);
        return r == -EINVAL ? error_set(reading->error, r,
                                        "%s: 'proxy-url' must be http://HOST:PORT, https://HOST:PORT or "
                                        "socks5://HOST:PORT, maybe with USER:PASSWORD@ before the host",
                                        reading->path)
                            : r;
}

static int read_cluster(const struct reading *reading, const struct yaml_node *cluster) {
        static const struct unsupported rows[] = {
                { "insecure-skip-tls-verify",
                  "is not supported: any server in between would get the credentials and the private keys; "
                  "set "
                  "'certificate-authority-data', and 'tls-server-name' where only the name differs" },
        };
        struct kube_access *access = &reading->to->access;
        const char *server = text_of(cluster, "server");
        size_t size;
        int r;

        r = refuse(reading, cluster, rows, ELEMENTSOF(rows));
        if (r < 0)
                return r;
        if (!url_is_https(server) || strchr(server, '?'))
                return error_set(reading->error, -EINVAL, "%s: 'server' must be an https URL", reading->path);
        r = take_text(server, &access->server);
        if (r < 0)
                return r;
        for (size = strlen(server); server[size - 1] == '/'; size--)
                access->server[size - 1] = '\0';
        r = read_way(reading, cluster);
        if (r < 0)
                return r;
        return take_data(reading, cluster, "certificate-authority", &access->ca_pem, &reading->to->ca_file);
}

/* --- A credential plugin */

/* Begins at the directory of the file where it has a slash and is no absolute path; as kubectl has it. */
static int read_command(const struct reading *reading, const struct yaml_node *node, struct kube_exec *exec) {
        const char *command = text_of(node, "command");
        _cleanup_(freep) char *path = NULL;
        size_t n = 0;
        int r;

        if (!command)
                return error_set(reading->error, -EINVAL, "%s: 'exec' has no 'command'", reading->path);
        r = strchr(command, '/') ? take_path(reading, node, "command", &path) : take_text(command, &path);
        if (r == 0)
                r = add_string(&exec->command, &n, path);
        for (const struct yaml_node *item = list_of(node, "args"); r == 0 && item; item = item->next) {
                const struct yaml_node *argument = yaml_resolve(item);

                if (argument->kind != YAML_SCALAR || n > KUBE_EXEC_VARIABLES_MAX)
                        return error_set(reading->error, -EINVAL,
                                         "%s: 'args' of 'exec' must be texts, at most %u", reading->path,
                                         KUBE_EXEC_VARIABLES_MAX);
                r = add_string(&exec->command, &n, argument->text);
        }
        return r;
}

static int read_variables(const struct reading *reading, const struct yaml_node *node,
                          struct kube_exec *exec) {
        size_t n = 0;
        int r = 0;

        exec->variables = calloc(1, sizeof(*exec->variables));
        if (!exec->variables)
                return -ENOMEM;
        for (const struct yaml_node *item = list_of(node, "env"); r == 0 && item; item = item->next) {
                const struct yaml_node *entry = yaml_resolve(item);
                const char *name = entry->kind == YAML_MAPPING ? text_of(entry, "name") : NULL;
                const char *value = name ? text_of(entry, "value") : NULL;
                _cleanup_(free_secretp) char *text = NULL;

                if (!name || strchr(name, '=') || n == KUBE_EXEC_VARIABLES_MAX)
                        return error_set(reading->error, -EINVAL,
                                         "%s: 'env' of 'exec' must be pairs of name and value, at most %u",
                                         reading->path, KUBE_EXEC_VARIABLES_MAX);
                if (asprintf(&text, "%s=%s", name, value ? value : "") < 0) {
                        text = NULL;
                        return -ENOMEM;
                }
                r = add_string(&exec->variables, &n, text);
        }
        return r;
}

static int read_exec(const struct reading *reading, const struct yaml_node *node) {
        _cleanup_(kube_exec_freep) struct kube_exec *exec = calloc(1, sizeof(*exec));
        const char *api = text_of(node, "apiVersion");
        int r;

        if (!exec)
                return -ENOMEM;
        if (!api || !kube_exec_knows(api))
                return error_set(
                        reading->error, -EINVAL,
                        "%s: 'apiVersion' of 'exec' must be client.authentication.k8s.io/v1 or .../v1beta1",
                        reading->path);
        if (streq_null(text_of(node, "interactiveMode"), "Always"))
                return error_set(reading->error, -EINVAL, "%s: 'exec' wants a terminal, and there is none",
                                 reading->path);
        exec->wants_cluster = is_true(node, "provideClusterInfo");
        r = take_text(api, &exec->api);
        if (r == 0)
                r = read_command(reading, node, exec);
        if (r == 0)
                r = read_variables(reading, node, exec);
        if (r == 0)
                reading->to->access.exec = take_ptr(exec);
        return r;
}

/* --- As another user */

/* KEY of NODE, which becomes a header. */
static int take_header(const struct reading *reading, const struct yaml_node *node, const char *key,
                       char **ret) {
        const char *text = text_of(node, key);

        if (text && !kube_header_is_sendable(text))
                return error_set(reading->error, -EINVAL, "%s: '%s' has characters that no header has",
                                 reading->path, key);
        return take_text(text, ret);
}

static int read_groups(const struct reading *reading, const struct yaml_node *user) {
        const struct yaml_node *found = yaml_find(user, "as-groups");
        size_t n = 0;
        int r = 0;

        found = found ? yaml_resolve(found) : NULL;
        if (!found || (found->kind == YAML_SCALAR && !text_of(user, "as-groups")))
                return 0;
        if (found->kind != YAML_LIST)
                return error_set(reading->error, -EINVAL, "%s: 'as-groups' must be a list", reading->path);
        for (const struct yaml_node *item = found->first; r == 0 && item; item = item->next) {
                const struct yaml_node *group = yaml_resolve(item);

                if (group->kind != YAML_SCALAR || !kube_header_is_sendable(group->text) ||
                    n == KUBE_EXEC_VARIABLES_MAX)
                        return error_set(reading->error, -EINVAL,
                                         "%s: 'as-groups' must be names of groups, at most %u", reading->path,
                                         KUBE_EXEC_VARIABLES_MAX);
                r = add_string(&reading->to->access.as_groups, &n, group->text);
        }
        return r;
}

static int read_impersonation(const struct reading *reading, const struct yaml_node *user) {
        struct kube_access *access = &reading->to->access;
        int r;

        r = take_header(reading, user, "as", &access->as);
        if (r == 0)
                r = take_header(reading, user, "as-uid", &access->as_uid);
        if (r == 0)
                r = read_groups(reading, user);
        if (r == 0 && !access->as && (access->as_uid || access->as_groups))
                return error_set(reading->error, -EINVAL, "%s: '%s' needs 'as'", reading->path,
                                 access->as_uid ? "as-uid" : "as-groups");
        return r;
}

static int read_user(const struct reading *reading, const struct yaml_node *user) {
        static const struct unsupported rows[] = {
                { "as-user-extra", "is not supported: only 'as', 'as-uid' and 'as-groups' are" },
                { "auth-provider", "is not supported, and no longer by kubectl either: use 'exec'" },
                { "username", "is not supported: API servers have no passwords since 1.19" },
        };
        struct kubeconfig *to = reading->to;
        const struct yaml_node *exec = mapping_of(user, "exec");
        const char *token = text_of(user, "token");
        int r;

        r = refuse(reading, user, rows, ELEMENTSOF(rows));
        if (r == 0)
                r = read_impersonation(reading, user);
        if (r == 0)
                r = take_data(reading, user, "client-certificate", &to->access.certificate_pem,
                              &to->certificate_file);
        if (r == 0)
                r = take_data(reading, user, "client-key", &to->access.key_pem, &to->key_file);
        if (r == 0)
                r = take_path(reading, user, "tokenFile", &to->token_file);
        if (r < 0)
                return r;
        if ((to->access.certificate_pem || to->certificate_file) != (to->access.key_pem || to->key_file))
                return error_set(reading->error, -EINVAL,
                                 "%s: the user has only one of client-certificate and client-key",
                                 reading->path);
        if (token && !to->token_file) {
                if (!kube_token_is_sendable(token))
                        return error_set(reading->error, -EINVAL,
                                         "%s: 'token' has characters that no token has", reading->path);
                r = take_text(token, &to->access.token);
        }
        return r == 0 && exec ? read_exec(reading, exec) : r;
}

static int read_namespace(const struct reading *reading, const struct yaml_node *context) {
        const char *namespace = text_of(context, "namespace");

        if (namespace && !kube_is_namespace(namespace))
                return error_set(reading->error, -EINVAL, "%s: 'namespace' is no name of a namespace",
                                 reading->path);
        return take_text(namespace ? namespace : "default", &reading->to->access.namespace);
}

static int read_context(const struct reading *reading, const char *name) {
        const struct yaml_node *context, *cluster, *user;
        int r;

        if (!name)
                name = text_of(reading->root, "current-context");
        if (!name)
                return error_set(reading->error, -EINVAL, "%s: there is no 'current-context'", reading->path);
        context = entry_of(reading->root, "contexts", "context", name);
        if (!context)
                return error_set(reading->error, -EINVAL, "%s: there is no context '%s'", reading->path,
                                 quoted(name));
        cluster = entry_of(reading->root, "clusters", "cluster", text_of(context, "cluster"));
        user = entry_of(reading->root, "users", "user", text_of(context, "user"));
        if (!cluster || !user)
                return error_set(reading->error, -EINVAL, "%s: context '%s' has no %s", reading->path,
                                 quoted(name), cluster ? "user" : "cluster");
        r = read_namespace(reading, context);
        if (r == 0)
                r = read_cluster(reading, cluster);
        return r == 0 ? read_user(reading, user) : r;
}

/* The first complaint of the YAML reader. */
static int complain(struct yaml_run *run, struct error *error) {
        char **items;
        size_t n;
        int r;

        r = yaml_run_errors(run, &items, &n);
        if (r < 0)
                return r;
        r = n > 0 ? error_set(error, -EINVAL, "%s", items[0]) : 0;
        for (size_t i = 0; i < n; i++)
                free(items[i]);
        free(items);
        return r;
}

static int parse(struct yaml_run *run, struct reading *reading, const char *text, size_t size,
                 const char *context) {
        unsigned file;
        int r;

        r = yaml_run_file(run, reading->path, &file);
        if (r == 0)
                r = yaml_run_read(run, file, text, size);
        if (r == 0)
                r = complain(run, reading->error);
        if (r < 0)
                return r;
        reading->root = yaml_run_root(run);
        return reading->root ? read_context(reading, context)
                             : error_set(reading->error, -EINVAL, "%s: it is empty", reading->path);
}

int kubeconfig_parse(const char *path, const char *text, size_t size, const char *context,
                     struct kubeconfig *ret, struct error *error) {
        _cleanup_(kubeconfig_clear) struct kubeconfig config = { 0 };
        struct arena memory = { 0 };
        struct yaml_run *run = yaml_run_new(&memory);
        struct reading reading = { .path = path, .to = &config, .error = error };
        int r;

        if (!run)
                return -ENOMEM;
        r = parse(run, &reading, text, size, context);
        yaml_run_cleanse(run);
        yaml_run_free(run);
        arena_clear(&memory);
        if (r < 0)
                return r;
        *ret = config;
        config = (struct kubeconfig) { 0 };
        return 0;
}
