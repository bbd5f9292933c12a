#include "kube/kube-login.h"

#include "lib/util/hash.h"

/* They are not used in their last seconds: the call takes its time, and clocks differ. */
#define MARGIN_USEC (10 * USEC_PER_SEC)

static int copy(const char *text, char **ret) {
        *ret = text ? strdup(text) : NULL;
        return text && !*ret ? -ENOMEM : 0;
}

int kube_login_init(struct kube_login *login, const struct kube_place *place) {
        int r;

        *login = (struct kube_login) { 0 };
        r = copy(place->path, &login->path);
        if (r == 0)
                r = copy(place->context, &login->context);
        if (r == 0)
                r = copy(place->account, &login->account);
        return r;
}

void kube_login_clear(struct kube_login *login) {
        kube_login_forget(login);
        free(login->path);
        free(login->context);
        free(login->account);
        *login = (struct kube_login) { 0 };
}

int kube_login_read(const struct kube_login *login, struct kube_access *ret, struct error *error) {
        const struct kube_place place = { login->path, login->context, login->account };

        return kube_place_read(&place, ret, error);
}

static uint64_t hash_strings(uint64_t hash, char *const *strings) {
        for (; strings && *strings; strings++)
                hash = hash_byte(hash_text(hash, *strings), 0);
        return hash_byte(hash, 1);
}

static uint64_t hash_plugin(const struct kube_exec *exec) {
        const uint64_t hash = hash_strings(hash_strings(HASH_INIT, exec->command), exec->variables);

        return hash ? hash : 1;
}

int kube_login_find(const struct kube_login *login, const struct kube_exec *exec, usec_t now,
                    struct kube_credentials *ret) {
        int r;

        if (login->plugin != hash_plugin(exec) || usec_add(now, MARGIN_USEC) >= login->credentials.end_usec)
                return 0;
        r = kube_credentials_copy(&login->credentials, ret);
        return r < 0 ? r : 1;
}

int kube_login_keep(struct kube_login *login, const struct kube_exec *exec,
                    const struct kube_credentials *credentials) {
        kube_login_forget(login);
        login->plugin = hash_plugin(exec);
        return kube_credentials_copy(credentials, &login->credentials);
}

void kube_login_forget(struct kube_login *login) {
        kube_credentials_clear(&login->credentials);
        login->plugin = 0;
}
