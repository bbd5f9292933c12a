#pragma once

/* How an API server is reached, and as whom: the struct. kube-place.h reads it. */

#include "lib/util/error.h"

/* A program that has the credentials to be asked for, as a kubeconfig file has it: kube-exec.h. */
struct kube_exec {
        char *api;        /* "client.authentication.k8s.io/v1" */
        char **command;   /* NULL-terminated; [0] has a slash, or is to be looked for in PATH */
        char **variables; /* "NAME=VALUE", NULL-terminated, which may be secret */
        bool wants_cluster;
};
struct kube_exec *kube_exec_free(struct kube_exec *exec);
DEFINE_CLEANUP(struct kube_exec *, kube_exec_free);

/* Owned; what is secret is cleansed by kube_access_clear(). */
struct kube_access {
        char *server;                    /* "https://10.0.0.1:6443", maybe with a path; no slash at its end */
        char *namespace;                 /* where no other is named; never NULL */
        char *ca_pem;                    /* NULL: the system's */
        char *tls_server_name;           /* whose certificate it has; NULL: that of the host in SERVER */
        char *proxy_url;                 /* kube_proxy_read(); secret; NULL: by the environment */
        char *certificate_pem, *key_pem; /* both, or none */
        char *token;                     /* NULL: none */
        struct kube_exec *exec;          /* NULL: none */

        /* As whom the server is to act, where that is another user. */
        char *as, *as_uid; /* NULL: nobody else */
        char **as_groups;  /* NULL-terminated; NULL: none */
};
void kube_access_clear(struct kube_access *access);

/* Whether TEXT can be sent as a token: printable ASCII without blanks. */
bool kube_token_is_sendable(const char *text);

/* Whether TEXT can be sent as the value of a header, and arrives as it is: printable ASCII, no blank at
 * either end. */
bool kube_header_is_sendable(const char *text);

/* Cleanses and frees strings that end with NULL, which may be NULL itself. Returns NULL. */
char **kube_strings_free(char **strings);
