#pragma once

/* A host for programs without a loop: what is asked is waited for. From one thread. */

#include "kube/kube-client.h"

struct kube_once;

/* 0 or -errno. curl_global_init() is the caller's. */
int kube_once_new(struct kube_once **ret);

/* No call may be under way. Accepts NULL, returns NULL. */
struct kube_once *kube_once_free(struct kube_once *once);
DEFINE_CLEANUP(struct kube_once *, kube_once_free);

/* For kube_client_new(). Borrowed from ONCE. */
struct kube_host *kube_once_host(struct kube_once *once);

/* Lets calls go on until *DONE, or DEADLINE_USEC (CLOCK_BOOTTIME). 0, -ETIMEDOUT, or -errno. */
int kube_once_wait(struct kube_once *once, const bool *done, usec_t deadline_usec);

/*
 * Asks, and waits for the answer: an outcome, or -ENOMEM, -EINVAL. *RET, which is the object of KUBE_DONE and
 * may be NULL, is owned by the caller. With any other outcome ERROR has a sentence. What is refused for now
 * (KUBE_BUSY) is asked again, as the server wants it, until TIMEOUT_USEC is over; 0: KUBE_TIMEOUT_USEC.
 */
int kube_once_ask(struct kube_once *once, struct kube_client *client, const struct kube_ask *ask,
                  usec_t timeout_usec, json_t **ret, struct error *error);
