#pragma once

/*
 * This process as one of several that share a set in two Secrets: what lib/kube/kube-shared.h says is read
 * and written here, around the steps of an attempt. The directory is the store of all steps; before an
 * inspection it gets what is shared, and before a step that others must know of, the Secrets get what is
 * staged.
 */

#include "daemon/certificate/environment.h"
#include "lib/config/config.h"
#include "lib/kube/kube-shared.h"
#include "lib/life/renewal.h"
#include "lib/store/store.h"

struct replica;

struct replica_ops {
        void (*changed)(void *userdata); /* the published Secret is another: inspect */
        void (*turn)(void *userdata);    /* it is our turn: inspect, and begin */
        void (*failed)(void *userdata);  /* the Lease could not be read or taken; it is tried again */
        void (*idle)(void *userdata);    /* nothing is under way any more */
        void (*log)(int priority, const char *text, void *userdata);
};

/* CONFIG is used before it returns only; all else is borrowed. 0 or -errno with a sentence. */
int replica_new(struct environment *env, const struct config_certificate *config,
                const struct replica_ops *ops, void *userdata, struct replica **ret, struct error *error);

/* Ends what is under way; a change may have been done all the same. Accepts NULL, returns NULL. */
struct replica *replica_free(struct replica *replica);
DEFINE_CLEANUP(struct replica *, replica_free);

/* One thing at a time is read or written; its end follows, never before the call returns: 0, or -errno with a
 * sentence, which is borrowed. */
typedef void (*replica_done_t)(int r, const char *error, void *userdata);

/* Reads both Secrets. */
void replica_read(struct replica *replica, replica_done_t done, void *userdata);

/* What was read. 0 or -ENOMEM. */
int replica_get(const struct replica *replica, struct shared_copy *ret);

/* Publishes the set that is current here, SET with its files. */
void replica_write_back(struct replica *replica, const struct set *set, replica_done_t done, void *userdata);

/* STEP is next, with PARTS for the Secrets (NULL: none), borrowed until the end: they are staged there.
 * Before STEP_SIGN the mark is written, and before STEP_COMMIT the set is published; FINGERPRINT is of its
 * leaf. The Lease lasts for what the step may take. */
void replica_prepare(struct replica *replica, enum renewal_step step,
                     const char *const parts[SHARED_PART_MAX], const char *fingerprint, replica_done_t done,
                     void *userdata);

/* Takes PART out of what is staged, since it is of no use. */
void replica_drop(struct replica *replica, enum shared_part part, replica_done_t done, void *userdata);

/* The Lease: asked for, until `turn`; and not wanted any more. */
void replica_ask_turn(struct replica *replica);
void replica_end_turn(struct replica *replica);
bool replica_has_turn(const struct replica *replica);
bool replica_waits(const struct replica *replica); /* for its turn */
bool replica_is_busy(const struct replica *replica);
