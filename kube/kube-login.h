#pragma once

/* As whom an API server is called: read anew each time, but for what a credential plugin gave. */

#include "lib/kubeconfig/kube-exec.h"
#include "lib/kubeconfig/kube-place.h"

struct kube_login {
        char *path, *context, *account; /* of a struct kube_place; owned */

        /* What the plugin gave last, and the plugin: another one in the file makes it void. */
        struct kube_credentials credentials;
        uint64_t plugin; /* 0: there is nothing */
};

/* Copies PLACE. 0 or -ENOMEM; kube_login_clear() in any case. */
int kube_login_init(struct kube_login *login, const struct kube_place *place);
void kube_login_clear(struct kube_login *login);

/* kube_place_read(). */
int kube_login_read(const struct kube_login *login, struct kube_access *ret, struct error *error);

/* A copy of what EXEC gave, when it is still good at NOW (CLOCK_REALTIME). 1; 0: EXEC is to be run; -ENOMEM.
 */
int kube_login_find(const struct kube_login *login, const struct kube_exec *exec, usec_t now,
                    struct kube_credentials *ret);

/* Keeps a copy of CREDENTIALS, 0 or -ENOMEM; and forgets it, once it is not accepted. */
int kube_login_keep(struct kube_login *login, const struct kube_exec *exec,
                    const struct kube_credentials *credentials);
void kube_login_forget(struct kube_login *login);
