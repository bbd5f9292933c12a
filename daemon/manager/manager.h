#pragma once

/* All certificates, and what they share. */

#include <systemd/sd-event.h>

#include "lib/config/config.h"

struct manager;

/* Takes CONFIG over, which was read from CONFIG_PATH. With ONCE the loop ends after one attempt for each
 * certificate, with exit code 0 when nothing was due, 2 when something was renewed, 1 when something failed.
 * 0 or -errno with a sentence. */
int manager_new(sd_event *event, struct config *config, const char *config_path, bool once,
                struct manager **ret, struct error *error);

/* Every certificate inspects its files, and continues from there. */
void manager_start(struct manager *manager);

/* What is counted; the manager's. */
struct metrics *manager_metrics(struct manager *manager);

/* Reloads the configuration, and switches to it if it has no error. The outcome is logged. */
void manager_reload(struct manager *manager);

struct manager *manager_free(struct manager *manager);
DEFINE_CLEANUP(struct manager *, manager_free);
