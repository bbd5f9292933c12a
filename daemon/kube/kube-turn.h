#pragma once

/* Whose turn it is, by a Lease: it is taken, waited for, held longer and released. That two act at the same
 * time it does not prevent, as lib/kube/kube-lease.h says. */

#include <systemd/sd-event.h>

#include "kube/kube-client.h"
#include "lib/kube/kube-lease.h"
#include "lib/kube/kube-name.h"

struct kube_turn;

/* All is borrowed. Callbacks may call kube_turn_ask() and kube_turn_end(), but not free the turn. */
struct kube_turn_options {
        struct kube_client *client;
        sd_event *event;
        struct kube_name lease;
        const char *self;     /* of this process, and of no other */
        usec_t duration_usec; /* for which it is taken; whole seconds */

        void (*came)(void *userdata);                      /* it is ours */
        void (*waits)(const char *holder, void *userdata); /* it is HOLDER's */
        void (*failed)(const char *error,
                       void *userdata); /* a call has; it is tried again after a back-off */
        void (*idle)(void *userdata);   /* a release has ended */
        void *userdata;
};

int kube_turn_new(const struct kube_turn_options *options, struct kube_turn **ret); /* 0 or -ENOMEM */

/* What is held stays so until it runs out. Accepts NULL, returns NULL. */
struct kube_turn *kube_turn_free(struct kube_turn *turn);
DEFINE_CLEANUP(struct kube_turn *, kube_turn_free);

/* Asks for it, unless that is under way; `came` follows, never before this returns. */
void kube_turn_ask(struct kube_turn *turn);

/* It is not wanted any more: it is released, or no longer waited for. */
void kube_turn_end(struct kube_turn *turn);

/* Holds it for its whole duration from now on. DONE follows with 0, or -errno and a sentence: it is lost. */
void kube_turn_renew(struct kube_turn *turn, void (*done)(int r, const char *error, void *userdata));

bool kube_turn_is_held(const struct kube_turn *turn);
bool kube_turn_is_asked(const struct kube_turn *turn); /* and not held yet */
bool kube_turn_is_busy(const struct kube_turn *turn);  /* a call is under way */

/* What was seen of the Lease last; borrowed. */
const struct kube_lease *kube_turn_lease(const struct kube_turn *turn);
