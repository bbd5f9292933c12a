#pragma once

/*
 * A client of one Kubernetes API server.
 *
 * Where the server is, and as whom it is called, is read anew for each call: tokens and certificates rotate.
 * All of it is in memory only. What a credential plugin gave is kept until it ends or is not accepted.
 *
 * Nothing is repeated by itself. After KUBE_UNCERTAIN the caller reads and compares; after KUBE_CONFLICT he
 * reads, and decides anew; after KUBE_BUSY he waits.
 */

#include "kube/kube-host.h"
#include "lib/kube/kube-answer.h"
#include "lib/kube/kube-request.h"
#include "lib/kube/kube-watch.h"
#include "lib/kubeconfig/kube-place.h"

struct kube_client;
struct kube_call;

#define KUBE_TIMEOUT_USEC (30 * USEC_PER_SEC) /* of one call, as client-go has it */

/* HOST is borrowed for the life of the client, and so is AGENT, "rekeyd/1.0", as which it calls. PLACE is
 * copied. 0 or -ENOMEM. curl_global_init() is the caller's. */
int kube_client_new(struct kube_host *host, const struct kube_place *place, const char *agent,
                    struct kube_client **ret);

/* From the next call on, another place. 0; or -ENOMEM, and nothing has changed. */
int kube_client_move(struct kube_client *client, const struct kube_place *place);

/* No call may be under way. Accepts NULL, returns NULL. */
struct kube_client *kube_client_free(struct kube_client *client);
DEFINE_CLEANUP(struct kube_client *, kube_client_free);

/* What came of a call. Borrowed for the length of the callback. */
struct kube_result {
        enum kube_outcome outcome;
        json_t *object;          /* with KUBE_DONE; NULL for a watch. It may be kept with json_incref() */
        usec_t retry_after_usec; /* what the server asks for; 0: nothing */
        const char *error;       /* a sentence, unless it is KUBE_DONE: "cannot update Secret a/b: ..." */
};

struct kube_callbacks {
        /* The call is over. May free it. */
        void (*done)(const struct kube_result *result, void *userdata);

        /* KUBE_WATCH only: something has happened to the object. False ends the watch. It must not free the
         * call. An error ends the watch by itself, and is the outcome for `done`; KUBE_DONE means there that
         * the stream has ended in time, and is to be asked for anew. */
        bool (*event)(const struct kube_event *event, void *userdata);
        void *userdata;
};

/*
 * Begins a call; ASK is used before it returns only. TIMEOUT_USEC, KUBE_TIMEOUT_USEC where it is 0, is for
 * all of it, but for files that are read and the credential plugin. 0; or -errno with a sentence, where what
 * the call needs cannot be read; with a host that has `work` that is an outcome, KUBE_UNREACHED.
 */
int kube_call_new(struct kube_client *client, const struct kube_ask *ask, usec_t timeout_usec,
                  const struct kube_callbacks *callbacks, struct kube_call **ret, struct error *error);

/* Ends the call if it is under way. A change may have been done all the same. Accepts NULL, returns NULL. */
struct kube_call *kube_call_free(struct kube_call *call);
DEFINE_CLEANUP(struct kube_call *, kube_call_free);

/* The namespace that PLACE has for objects that name none; owned by the caller. 0 or -errno with a sentence.
 */
int kube_client_namespace(const struct kube_client *client, char **ret, struct error *error);

/* "Secret a/b", "Lease a/c", "widgets d", for texts. In BUFFER, which is returned. */
#define KUBE_TEXT_MAX 400
const char *kube_resource_text(const struct kube_resource *resource, char buffer[KUBE_TEXT_MAX]);
