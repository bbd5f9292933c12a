#pragma once

/* One tracked certificate: the renewal machine, and the hands that do what it says. */

#include "daemon/context.h"
#include "daemon/dependents.h"
#include "daemon/watch.h"
#include "lib/cert.h"
#include "lib/renewal.h"

struct attempt;

struct certificate {
        struct context *context;
        const struct config_certificate *config;
        uint32_t seed;

        struct renewal renewal;
        struct attempt *attempt; /* while a look or a step is under way */
        bool has_slot;
        struct slot_waiter slot_waiter;

        /* The current set, as last seen; fingerprint is empty without one. */
        uint64_t generation;
        char fingerprint[FINGERPRINT_HEX];

        usec_t told_due_usec;                /* what the last MESSAGE_CURRENT said */
        struct file_identity token_identity; /* of the token file that the last look read */
        bool renewed, failed, settled;       /* --once */

        sd_event_source *timer;
        struct watch *token_watch;
        struct dependents *dependents;
};

int certificate_new(struct context *context, const struct config_certificate *config,
                    struct certificate **ret);
struct certificate *certificate_free(struct certificate *certificate);
DEFINE_CLEANUP(struct certificate *, certificate_free);

/* Look whether there is something to do, and do it. During an attempt this does nothing. */
void certificate_wake(struct certificate *certificate);
