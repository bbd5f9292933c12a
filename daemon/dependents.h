#pragma once

/* Who must learn of a new set, and what is owed to each. */

#include "daemon/history.h"
#include "lib/config.h"

struct dependents;

/* What a dependent is told; strings are borrowed for the call. */
struct notice {
        uint64_t generation;
        const char *certificate; /* name */
        const char *directory;
        const char *fingerprint; /* hexadecimal */
};

/* Called when nothing more is to be delivered for now: all was, or waits for its back-off. May free the
 * dependents. */
typedef void (*dependents_settled_t)(void *userdata);

/*
 * For CERTIFICATE's `notify` list. With RETRY, a failed delivery is tried again with back-off until it
 * succeeds or a newer generation takes its place. What HISTORY says is owed to a dependent since the last run
 * is owed still; nothing is delivered before the first dependents_release(). All are borrowed. 0 or -errno.
 */
int dependents_new(sd_event *event, const struct config_certificate *certificate, struct history *history,
                   bool retry, dependents_settled_t settled, void *userdata, struct dependents **ret);

/*
 * Owes the generation that the journal names to every dependent, in place of what was owed before, and holds
 * all deliveries until dependents_release(). The caller saves the history. 0, -ENOMEM.
 */
int dependents_owe(struct dependents *dependents);

/* The same where something else is there now: whoever could not be told may have failed for want of it, so an
 * old debt becomes a new one, which waits for no back-off. */
int dependents_owe_anew(struct dependents *dependents);

/* Takes the last dependents_owe() back from those who were owed nothing before it. */
void dependents_withdraw(struct dependents *dependents);

/* Begins to deliver what is owed: one dependent after the other, in the order of the configuration; one that
 * fails does not hold up the next. */
void dependents_release(struct dependents *dependents);

/* Something is being delivered, or will be without waiting for a back-off or a release. */
bool dependents_is_busy(const struct dependents *dependents);

/* How many dependents are owed something. */
unsigned dependents_owed(const struct dependents *dependents);

/* Ends what is running, with its process group. Accepts NULL, returns NULL. */
struct dependents *dependents_free(struct dependents *dependents);
DEFINE_CLEANUP(struct dependents *, dependents_free);
