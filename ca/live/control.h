#pragma once

/* One rekeyd, by its control API: which sets it has, and that it renews one of them. */

#include "ca/live/fleet.h"
#include "lib/util/time.h"

/* All sets of the rekeyd at SOCKET, a path; INSTANCE is that path. 0 or -errno with a sentence. */
int control_count(const char *socket, struct fleet *ret, struct error *error);

/* Has CERTIFICATE renewed WITHIN so long; 0: now. 0; -EAGAIN where rekeyd refuses it for now; or -errno; with
 * a sentence. */
int control_renew(const char *socket, const char *certificate, usec_t within, struct error *error);

/* What control_count() reads: the answers of /v1/certificates and /v1/cas. 0, -EINVAL or -ENOMEM. */
int control_read(const char *certificates, const char *cas, const char *instance, struct fleet *ret,
                 struct error *error);
