#pragma once

/* The CA certificates that the sets of all certificates are issued under. */

#include "daemon/fleet/fleet.h"

/* Those in use, each with the number of sets, as the JSON that rekeyd-api(7) describes. NULL when memory is
 * out. */
json_t *fleet_issuers(const struct fleet *fleet);

/* What a certificate finds whose new set is issued under other CA certificates than the one before it. */
struct fleet_rotation {
        const struct issuer *new; /* that none of the others is issued under */
        const struct issuer *old; /* that `n_old` of them do, and it does not */
        size_t n_old;
};

/* CERTIFICATE has such a set, and hung on BEFORE (NULL: not known). True, once for each rotation of a
 * Connector: it is the first of its Connector's there, and others are not. *RET is borrowed from the
 * certificates. */
bool fleet_find_rotation(const struct fleet *fleet, const struct certificate *certificate,
                         const struct issuers *before, struct fleet_rotation *ret);
