#pragma once

/* What the clients have to do in a rotation, for the operators of the fleet. Pure. */

#include <stdio.h>

#include "ca/rotation/record.h"

/* Lines for rekeyd's configuration, where the Connector is called CONNECTOR, and for Kyma's runtimes. Nothing
 * where nobody has to do anything yet. 0 or -errno. */
int advice_print(const struct record *record, const char *connector, FILE *out, struct error *error);
