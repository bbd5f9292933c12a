#pragma once

/* What is known of each Connector that a certificate uses. */

#include "daemon/connector/slots.h"
#include "daemon/fleet/fleet.h"

/* As the JSON that rekeyd-api(7) describes; SLOTS know how its calls ended. NULL when memory is out. */
json_t *fleet_connectors(const struct fleet *fleet, const struct slots *slots);
