#pragma once

/* A CA certificate that takes the place of another one. It is made from that one: whatever a leaf, or a
 * verifier, finds its CA by is copied byte for byte. */

#include "lib/x509/cert.h"

/* CLOCK_REALTIME; whole seconds count. */
struct successor_terms {
        usec_t not_before, not_after;
};

/*
 * Copies OLD with another serial number (128 random bits) and other times, for KEY, which may be that of OLD,
 * and signs it with KEY: SHA-256, or what OLD has where that is a longer SHA-2. The name and all extensions
 * stay as they are, but for two: the key identifiers follow another key, and an authority key identifier
 * loses issuer and serial number, which would be those of OLD. A few milliseconds of RSA.
 *
 * 0; -EINVAL where OLD is no CA, has another issuer than itself, or a key that is not RSA, or KEY is none;
 * -EIO, -ENOMEM.
 */
int successor_make(const struct cert *old, const struct key *key, const struct successor_terms *terms,
                   struct cert **ret, struct error *error);

/* Whether leaves of OLD verify to NEW alone by what they say of their issuer: name bytes, key, and the key
 * identifier. Leaves that name OLD's serial number do not; Connectors issue none. */
bool successor_carries(const struct cert *old, const struct cert *new);
