#pragma once

/* A kubeconfig file, as kubectl has it. Pure. */

#include "lib/kubeconfig/kube-access.h"

/* What it says of one context. Of each pair at most one is set: the data itself, or the file that has it. */
struct kubeconfig {
        struct kube_access access;
        char *ca_file, *certificate_file, *key_file, *token_file; /* absolute */
};
void kubeconfig_clear(struct kubeconfig *config);

/*
 * Reads TEXT; PATH is its file's, absolute, in whose directory it names others. CONTEXT NULL: its
 * current-context. Keys that are not known are passed over, as kubectl does; but what would change as whom,
 * or how safely, the server is called, and is not supported, is refused with a sentence. 0, -EINVAL, -ENOMEM.
 */
int kubeconfig_parse(const char *path, const char *text, size_t size, const char *context,
                     struct kubeconfig *ret, struct error *error);
