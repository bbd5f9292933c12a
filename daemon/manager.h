#pragma once

/* All certificates, and what they share. */

#include "daemon/context.h"
#include "lib/config.h"

struct manager;

/* Takes CONFIG over. With ONCE the loop ends after one attempt for each certificate, with exit code 0 when
 * nothing was due, 2 when something was renewed, 1 when something failed. 0 or -errno with a sentence. */
int manager_new(sd_event *event, struct config *config, bool once, struct manager **ret, struct error *error);

/* Wakes every certificate. */
void manager_start(struct manager *manager);

struct manager *manager_free(struct manager *manager);
DEFINE_CLEANUP(struct manager *, manager_free);
