#pragma once

/* A host for the client of an API server (kube/kube-host.h) in the event loop. */

#include "daemon/loop/services.h"
#include "kube/kube-host.h"

struct kube_loop;

/* Transfers at the same time: thousands of certificates may have something to be written at once. Others wait
 * for their turn, and their time begins with it. */
#define KUBE_TRANSFERS_MAX 8u

/* SERVICES are borrowed; files are read by their export workers. 0 or -ENOMEM. */
int kube_loop_new(const struct loop_services *services, struct kube_loop **ret);

/* No call may be under way, and the workers have stopped. Accepts NULL, returns NULL. */
struct kube_loop *kube_loop_free(struct kube_loop *loop);
DEFINE_CLEANUP(struct kube_loop *, kube_loop_free);

/* For kube_client_new(). Borrowed from LOOP. */
struct kube_host *kube_loop_host(struct kube_loop *loop);
