#pragma once

/* One tracked certificate: the renewal machine, and the hands that do what it says. */

#include "daemon/context.h"
#include "daemon/dependents.h"
#include "daemon/set-watch.h"
#include "daemon/watch.h"
#include "lib/cert.h"
#include "lib/renewal.h"

struct attempt;

struct certificate {
        struct context *context;
        const struct config_certificate *config;
        uint32_t seed;

        struct renewal renewal;
        struct renewal resting;  /* before a look that must not end a back-off */
        struct attempt *attempt; /* while a look or a step is under way */
        bool has_slot;
        struct slot_waiter slot_waiter;

        /* The current set, as last seen; fingerprint is empty without one. */
        uint64_t generation;
        char fingerprint[FINGERPRINT_HEX];

        usec_t told_due_usec;                /* what the last MESSAGE_CURRENT said */
        struct file_identity token_identity; /* of the token file that the last look read */
        bool renewed, failed, settled;       /* --once */

        bool look_only;       /* this look may find something to repair, but ends no back-off */
        bool look_again;      /* something happened to the files during an attempt */
        usec_t backoff_until; /* CLOCK_BOOTTIME; 0: no back-off */

        sd_event_source *timer;
        struct watch *token_watch;
        struct set_watch *set_watch;
        struct dependents *dependents;
};

int certificate_new(struct context *context, const struct config_certificate *config,
                    struct certificate **ret);
struct certificate *certificate_free(struct certificate *certificate);
DEFINE_CLEANUP(struct certificate *, certificate_free);

/* Look whether there is something to do, and do it, back-off or not. During an attempt this does nothing. */
void certificate_wake(struct certificate *certificate);

/* Look at the files and the clock. What is due is done, but a back-off is kept unless the set has changed.
 * During an attempt, looks again after it. */
void certificate_look(struct certificate *certificate);
