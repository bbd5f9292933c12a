#include "lib/kubeconfig/kube-access.h"

char **kube_strings_free(char **strings) {
        for (char **string = strings; string && *string; string++)
                free_secret(*string);
        free(strings);
        return NULL;
}

struct kube_exec *kube_exec_free(struct kube_exec *exec) {
        if (!exec)
                return NULL;
        free(exec->api);
        kube_strings_free(exec->command);
        kube_strings_free(exec->variables);
        free(exec);
        return NULL;
}

void kube_access_clear(struct kube_access *access) {
        free(access->server);
        free(access->namespace);
        free(access->ca_pem);
        free(access->certificate_pem);
        free_secret(access->key_pem);
        free_secret(access->token);
        kube_exec_free(access->exec);
        free(access->tls_server_name);
        free_secret(access->proxy_url);
        free(access->as);
        free(access->as_uid);
        kube_strings_free(access->as_groups);
        *access = (struct kube_access) { 0 };
}

bool kube_token_is_sendable(const char *text) {
        if (strempty(text))
                return false;
        for (; *text; text++)
                if (*text <= ' ' || *text > '~')
                        return false;
        return true;
}

bool kube_header_is_sendable(const char *text) {
        if (strempty(text) || *text == ' ' || text[strlen(text) - 1] == ' ')
                return false;
        for (; *text; text++)
                if (*text < ' ' || *text > '~')
                        return false;
        return true;
}
