#pragma once

/*
 * A credential plugin: a program that prints an ExecCredential (client.authentication.k8s.io). What it is
 * given, and what its output means. Pure: it is started elsewhere.
 */

#include "lib/kubeconfig/kube-access.h"
#include "lib/util/time.h"

#define KUBE_EXEC_OUTPUT_MAX    (256u * 1024)
#define KUBE_EXEC_VARIABLES_MAX 100u

/* Whether API is a version that is understood. */
bool kube_exec_knows(const char *api);

/*
 * The environment for the program: that of ENVIRONMENT, its own variables, and KUBERNETES_EXEC_INFO, which
 * says that nobody can be asked anything, and with `provideClusterInfo` where ACCESS leads. NULL-terminated,
 * owned by the caller: kube_exec_environment_free(). 0 or -ENOMEM.
 */
int kube_exec_environment(const struct kube_access *access, char *const *environment, char ***ret);
void kube_exec_environment_free(char **environment);

/* What it has printed. To be cleared; cleansed. */
struct kube_credentials {
        char *token;                     /* NULL: none */
        char *certificate_pem, *key_pem; /* both, or none */
        usec_t end_usec;                 /* CLOCK_REALTIME; USEC_INFINITY: as long as they are accepted */
};
void kube_credentials_clear(struct kube_credentials *credentials);

/* 0, or -ENOMEM with *RET empty. */
int kube_credentials_copy(const struct kube_credentials *from, struct kube_credentials *ret);

/* 0, -ENOMEM, or -EINVAL with a sentence that quotes nothing of OUTPUT. */
int kube_exec_read(const struct kube_exec *exec, const char *output, size_t size,
                   struct kube_credentials *ret, struct error *error);
