/*
 * The account of a pod is a directory with a token that kubelet replaces, and two variables of the
 * environment. It becomes the same struct as a kubeconfig file, so nobody else needs to know the difference.
 */

#include "lib/kubeconfig/kube-place.h"

#include <fcntl.h>
#include <stdio.h>

#include "lib/kube/kube-name.h"
#include "lib/kubeconfig/kubeconfig.h"
#include "lib/protocol/url.h"
#include "lib/util/files.h"

/* The file at PATH, if it is named, as a text. */
static int read_text(const char *path, size_t max, char **ret, struct error *error) {
        _cleanup_(freep) char *data = NULL;
        size_t size;
        int r;

        if (!path)
                return 0;
        r = file_read_at(AT_FDCWD, path, FILE_FOLLOW, max, &data, &size);
        if (r < 0)
                return error_set_errno(error, r, "cannot read %s", path);
        if (size == 0 || memchr(data, '\0', size)) {
                explicit_bzero(data, size);
                return error_set(error, -EINVAL, "%s is %s", path, size == 0 ? "empty" : "no text");
        }
        *ret = take_ptr(data);
        return 0;
}

static int read_token(const char *path, char **ret, struct error *error) {
        _cleanup_(free_secretp) char *text = NULL;
        int r;

        r = read_text(path, KUBE_TOKEN_MAX, &text, error);
        if (r < 0 || !text)
                return r;
        text[strcspn(text, "\r\n")] = '\0';
        if (!kube_token_is_sendable(text))
                return error_set(error, -EINVAL, "%s has no token in its first line", path);
        *ret = take_ptr(text);
        return 0;
}

/* Reads the files that it names, and hands the rest over. */
static int complete(struct kubeconfig *config, struct kube_access *ret, struct error *error) {
        struct kube_access *access = &config->access;
        int r;

        r = read_text(config->ca_file, KUBE_FILE_MAX, &access->ca_pem, error);
        if (r == 0)
                r = read_text(config->certificate_file, KUBE_FILE_MAX, &access->certificate_pem, error);
        if (r == 0)
                r = read_text(config->key_file, KUBE_FILE_MAX, &access->key_pem, error);
        if (r == 0)
                r = read_token(config->token_file, &access->token, error);
        if (r < 0)
                return r;
        *ret = *access;
        *access = (struct kube_access) { 0 };
        return 0;
}

static int read_file(const struct kube_place *place, struct kube_access *ret, struct error *error) {
        _cleanup_(kubeconfig_clear) struct kubeconfig config = { 0 };
        _cleanup_(free_secretp) char *text = NULL;
        int r;

        r = read_text(place->path, KUBE_FILE_MAX, &text, error);
        if (r == 0)
                r = kubeconfig_parse(place->path, text, strlen(text), place->context, &config, error);
        return r < 0 ? r : complete(&config, ret, error);
}

/* --- The account of a pod */

static int make_server(struct kube_access *access, struct error *error) {
        const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");

        if (strempty(host) || strempty(port))
                return error_set(error, -ENOENT,
                                 "there is no kubeconfig file, and KUBERNETES_SERVICE_HOST and "
                                 "KUBERNETES_SERVICE_PORT are not set: this is no pod");
        if (asprintf(&access->server, strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s", host, port) <
            0) {
                access->server = NULL;
                return -ENOMEM;
        }
        return url_is_https(access->server)
                       ? 0
                       : error_set(error, -EINVAL,
                                   "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT name no server");
}

static int make_path(const char *directory, const char *name, char **ret) {
        if (asprintf(ret, "%s/%s", directory, name) < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return 0;
}

static int read_namespace(const char *directory, struct kube_access *access, struct error *error) {
        _cleanup_(freep) char *path = NULL;
        int r;

        r = make_path(directory, "namespace", &path);
        if (r == 0)
                r = read_text(path, KUBE_FILE_MAX, &access->namespace, error);
        if (r < 0)
                return r;
        access->namespace[strcspn(access->namespace, "\r\n")] = '\0';
        return kube_is_namespace(access->namespace)
                       ? 0
                       : error_set(error, -EINVAL, "%s has no name of a namespace", path);
}

static int read_account(const struct kube_place *place, struct kube_access *ret, struct error *error) {
        const char *directory = place->account ? place->account : KUBE_ACCOUNT_DIRECTORY;
        _cleanup_(kubeconfig_clear) struct kubeconfig config = { 0 };
        int r;

        r = make_server(&config.access, error);
        if (r == 0)
                r = make_path(directory, "ca.crt", &config.ca_file);
        if (r == 0)
                r = make_path(directory, "token", &config.token_file);
        if (r == 0)
                r = read_namespace(directory, &config.access, error);
        return r < 0 ? r : complete(&config, ret, error);
}

int kube_place_read(const struct kube_place *place, struct kube_access *ret, struct error *error) {
        return place->path ? read_file(place, ret, error) : read_account(place, ret, error);
}
