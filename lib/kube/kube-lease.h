#pragma once

/*
 * A Lease: who may act, for a while. It saves work that would be done twice; it does not keep two from acting
 * at the same time, since a process may be frozen between looking at it and acting. What must not happen
 * twice is guarded by resourceVersions.
 *
 * Time is CLOCK_BOOTTIME of this machine, and never the record's own: another's lease has expired when it has
 * not been *seen to change* for as long as it says. Pure.
 */

#include <jansson.h>

#include "lib/util/error.h"
#include "lib/util/time.h"

#define KUBE_LEASE_HOLDER_MAX 253

/* What was seen of a lease. To be zeroed before the first look, and kept between looks. */
struct kube_lease {
        char holder[KUBE_LEASE_HOLDER_MAX + 1]; /* "": nobody */
        usec_t duration_usec;
        usec_t changed_usec; /* when a change was seen, or this holder renewed it last */
        char version[64];    /* resourceVersion */
};

/* Takes note of LEASE, which was read at NOW. 0, or -EPROTO where it is no Lease, or says what none can. */
int kube_lease_see(struct kube_lease *seen, const json_t *lease, usec_t now, struct error *error);

/* Whether SELF has it; and whether SELF may take it: has it, or nobody has, or its holder is gone. */
bool kube_lease_is_held(const struct kube_lease *seen, const char *self, usec_t now);
bool kube_lease_is_free(const struct kube_lease *seen, const char *self, usec_t now);

/* The instant until which it is held, or after which it may be taken; 0: it is free. */
usec_t kube_lease_end(const struct kube_lease *seen);

/*
 * Changes LEASE, as it was read, so that writing it takes or renews it for SELF: another's adds one
 * transition and begins anew, one's own keeps the time of acquisition. REALTIME_USEC goes into it for people.
 * 0 or -ENOMEM.
 */
int kube_lease_take(json_t *lease, const char *self, usec_t duration_usec, usec_t realtime_usec);

/* Changes it so that writing it lets the next one have it at once. 0 or -ENOMEM. */
int kube_lease_release(json_t *lease, usec_t realtime_usec);

/* A new one, that nobody has. NULL when memory is out. */
json_t *kube_lease_new(const char *namespace, const char *name);

/* REALTIME_USEC as the server wants it, with exactly six decimals: "2026-11-20T18:06:53.000001Z". */
#define KUBE_MICROTIME_MAX 40
const char *kube_microtime(char buffer[KUBE_MICROTIME_MAX], usec_t realtime_usec);
