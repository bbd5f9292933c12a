#pragma once

/* Who must learn of a new set, and what is owed to each. */

#include "daemon/delivery/places.h"
#include "daemon/loop/services.h"
#include "daemon/observe/observers.h"
#include "daemon/observe/state-file.h"
#include "lib/config/config.h"

struct notifications;

/* Called when nothing more is to be delivered for now: all was, or waits for its back-off. May free the
 * dependents. */
typedef void (*notifications_idle_t)(void *userdata);

/* All is borrowed. */
struct notifications_options {
        struct loop_services *services;
        const struct observers *observers;
        const struct config_certificate *certificate; /* whose `notify` list it is */
        struct config *config; /* that CERTIFICATE is part of: a delivery takes a reference */
        struct state_file *state_file;
        struct places *places;
        usec_t patience_usec; /* the next one begins beside one that takes longer */
        bool retry; /* a failed delivery, with back-off, until it succeeds or a newer generation takes its
                       place */
        notifications_idle_t idle;
        void *userdata;
};

/* What the state file says is pending for a dependent since the last run is pending still; nothing is
 * delivered before the first notifications_start(). What is under way in BEFORE, NULL for nothing, goes on
 * here, by the configuration that it began with, also if this fails; BEFORE is then to be freed. 0 or -errno.
 */
int notifications_new(const struct notifications_options *options, struct notifications *before,
                      struct notifications **ret);

/*
 * Owes the generation that the journal names to every dependent, in place of what was owed before, and holds
 * all deliveries until notifications_start(). The caller saves the history. 0, -ENOMEM.
 */
int notifications_schedule(struct notifications *notifications);

/* The same where something else is there now: whoever could not be told may have failed for want of it, so an
 * old debt becomes a new one, which waits for no back-off. */
int notifications_schedule_again(struct notifications *notifications);

/* Takes the last notifications_schedule() back from those who were owed nothing before it. */
void notifications_cancel(struct notifications *notifications);

/*
 * Begins to deliver what is owed. First those that were not tried yet, in the order of the configuration,
 * then those that have failed, who waits for the longest time first. One begins when the one before it has
 * ended, or has taken PATIENCE_USEC: up to 8 at a time, of which 4 have failed before, and as many for all
 * certificates as places.h says.
 */
void notifications_start(struct notifications *notifications);

/* Something is being delivered. */
bool notifications_is_under_way(const struct notifications *notifications);

/* Something is being delivered, or will be without waiting for a back-off or a release. */
bool notifications_is_busy(const struct notifications *notifications);

/* How many dependents are owed something. */
unsigned notifications_n_pending(const struct notifications *notifications);

/* Breaks off what is under way. Accepts NULL, returns NULL. */
struct notifications *notifications_free(struct notifications *notifications);
DEFINE_CLEANUP(struct notifications *, notifications_free);
