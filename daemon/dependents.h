#pragma once

/* Who must learn of a new set, and what is owed to each. */

#include <systemd/sd-event.h>

#include "lib/config.h"

struct dependents;

/* What a dependent is told; strings are borrowed for the call. */
struct notice {
        uint64_t generation;
        const char *certificate; /* name */
        const char *directory;
        const char *fingerprint; /* hexadecimal */
};

/* Called when nothing is owed any more to anybody (ALL_DELIVERED), or, without retries, when all were tried
 * once. */
typedef void (*dependents_settled_t)(bool all_delivered, void *userdata);

/* For CERTIFICATE's `notify` list. With RETRY, a failed delivery is tried again with back-off until it
 * succeeds or a newer generation takes its place. CERTIFICATE is borrowed. 0 or -errno. */
int dependents_new(sd_event *event, const struct config_certificate *certificate, bool retry,
                   dependents_settled_t settled, void *userdata, struct dependents **ret);

/* Owes NOTICE's generation to every dependent, and begins to deliver: one dependent after the other, in the
 * order of the configuration; one that fails does not hold up the next. A delivery still owed is replaced by
 * the newer. */
void dependents_owe(struct dependents *dependents, const struct notice *notice);

/* How many dependents are owed something. */
unsigned dependents_owed(const struct dependents *dependents);

/* Ends what is running, with its process group. Accepts NULL, returns NULL. */
struct dependents *dependents_free(struct dependents *dependents);
DEFINE_CLEANUP(struct dependents *, dependents_free);
