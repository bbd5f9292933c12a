#pragma once

/* A namespace on the suite's API server (run-kube), and kubectl as the witness. */

#include <jansson.h>

#include "lib/util/time.h"
#include "tests/support/scratch.h"

struct kube_fixture {
        char *directory; /* scratch */
        char *namespace;
        const char *server_directory; /* run-kube's: ca.crt, kubeconfig, pid ... */
};

/* Makes a namespace. What fails aborts the test. */
struct kube_fixture *kube_fixture_new(void);
struct kube_fixture *kube_fixture_free(struct kube_fixture *fixture);
DEFINE_CLEANUP(struct kube_fixture *, kube_fixture_free);

/* Whether there is a server; else the program says why it skips. */
bool kube_fixture_is_there(void);

/* Runs `kubectl ARGUMENTS`, as a shell has them, as the administrator and in the namespace, with INPUT (may
 * be NULL) on its standard input. Its output, owned by the caller; a status other than 0 aborts the test. */
char *kube_kubectl(struct kube_fixture *fixture, const char *input, const char *arguments, ...)
        _printf_(3, 4);

/* The same, only done. */
void kube_do(struct kube_fixture *fixture, const char *arguments, ...) _printf_(2, 3);

/* An object as kubectl shows it: "secret/x". NULL: there is none. */
json_t *kube_object(struct kube_fixture *fixture, const char *what);

/* A value of a Secret's data, decoded; NULL: there is none. Owned by the caller. */
char *kube_value(struct kube_fixture *fixture, const char *secret, const char *key);

/*
 * A user with the RBAC rule that ALLOWED says, "--verb=get,update --resource=secrets --resource-name=x", and
 * its kubeconfig file, whose path is owned by the caller. The token is in a file of its own, "NAME.token" in
 * the scratch directory. SERVER NULL: the suite's own.
 */
char *kube_user(struct kube_fixture *fixture, const char *name, const char *allowed, const char *server);

/* A kubeconfig file NAME with this server, these other members of the cluster, ", tls-server-name: x", and
 * this user. Its path, owned by the caller. */
char *kube_config(struct kube_fixture *fixture, const char *name, const char *server, const char *cluster,
                  const char *user);

/* Another token for that user. */
void kube_user_rotate(struct kube_fixture *fixture, const char *name);

/* "https://127.0.0.1:PORT"; owned by the caller. */
char *kube_server(struct kube_fixture *fixture);

/* Kills the server, which run-kube starts again; and waits until it is ready. */
void kube_server_kill(struct kube_fixture *fixture);
void kube_server_await(struct kube_fixture *fixture);
