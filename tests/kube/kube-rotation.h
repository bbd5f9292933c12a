#pragma once

/* rekeyca upon the Secrets `signer`, `trust` and `rotation` of a namespace. */

#include "tests/kube/kube-fixture.h"
#include "tests/support/process.h"

struct kube_rotation {
        struct kube_fixture *fixture; /* borrowed */
        char *config, *signer, *trust, *state;
        char *kubeconfig;        /* NULL: rekeyca is not told of any */
        struct process *rekeyca; /* the last one */
};

/* For a user `operator` with the RIGHTS and at the SERVER of kube_user(); MORE are lines of the site file. */
void kube_rotation_begin(struct kube_rotation *rotation, struct kube_fixture *fixture, const char *rights,
                         const char *server, const char *more);
void kube_rotation_end(struct kube_rotation *rotation);

/* Starts rekeyca with VERB and A and B, each of which may be NULL. */
void kube_rotation_start(struct kube_rotation *rotation, const char *verb, const char *a, const char *b);

/* The same, which ends with EXPECTED and prints no key. */
void kube_rotation_run(struct kube_rotation *rotation, int expected, const char *verb, const char *a,
                       const char *b);

/* The last one had TEXT in its error. */
void kube_rotation_expect_error(const struct kube_rotation *rotation, const char *text);
