#pragma once

/* Whether the API server that a configuration names can be reached, and lets rekeyd do there what Secrets of
 * `store` and `exports` need. Nothing is changed. */

#include "kube/kube-client.h"
#include "lib/report/precheck.h"

struct kube_check;

/* All but HOST is borrowed until DONE is called, which may free the check. CERTIFICATE NULL: all.
 * RESULTS are added to; where nothing is configured that needs an API server, DONE is called at once. */
struct kube_check_options {
        struct kube_host *host;
        const struct config *config;
        const char *certificate;
        struct prechecks *results;
        void (*done)(void *userdata);
        void *userdata;
};

/* 0 or -ENOMEM. */
int kube_check_new(const struct kube_check_options *options, struct kube_check **ret);

/* Begins; DONE may be called before this returns. */
void kube_check_begin(struct kube_check *check);

/* Ends the call that is under way. Accepts NULL, returns NULL. */
struct kube_check *kube_check_free(struct kube_check *check);
DEFINE_CLEANUP(struct kube_check *, kube_check_free);
