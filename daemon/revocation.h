#pragma once

/* Revoking one generation of a certificate at the Connector, by a call with its own key. */

#include "daemon/context.h"
#include "lib/config.h"
#include "lib/failure.h"

struct revocation;

/* FAILURE_NONE: it is revoked. Otherwise ERROR is a sentence; GONE says that it cannot be revoked ever, since
 * its files are not there any more. The revocation may be freed from here. */
typedef void (*revocation_done_t)(enum failure failure, bool gone, const char *error, void *userdata);

/* Begins. A set that is IN_USE may not be one that is meant: where it is false, and the generation has the
 * certificate that is current on the disk, it is not revoked but GONE. CONTEXT and CONFIG are borrowed. 0 or
 * -ENOMEM; DONE is called from the loop, later. */
int revocation_new(struct context *context, const struct config_certificate *config, uint64_t generation,
                   bool in_use, revocation_done_t done, void *userdata, struct revocation **ret);

/* Which it revokes. */
uint64_t revocation_generation(const struct revocation *revocation);
const char *revocation_fingerprint(const struct revocation *revocation); /* once it was read; else empty */

/* Its worker must have ended: after DONE, or when the workers were stopped. Accepts NULL, returns NULL. */
struct revocation *revocation_free(struct revocation *revocation);
