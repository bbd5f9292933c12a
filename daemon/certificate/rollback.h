#pragma once

/* Making an older generation current again: a copy of it, on a worker. */

#include "daemon/loop/workers.h"
#include "lib/config/config.h"
#include "lib/life/state.h"
#include "lib/util/error.h"

struct rollback;

/* GENERATION is a copy of which is current now; -errno with a sentence. The rollback may be freed from here.
 */
typedef void (*rollback_done_t)(int r, uint64_t generation, const char *error, void *userdata);

/*
 * Begins. To *GENERATION; NULL: the newest that is still valid. None that STATE says was revoked comes back.
 * CONFIG is borrowed. 0 or -ENOMEM; DONE is called from the loop, later.
 */
int rollback_new(struct workers *workers, const struct config_certificate *config, const struct state *state,
                 const uint64_t *generation, rollback_done_t done, void *userdata, struct rollback **ret);

/* Its worker must have ended. Accepts NULL, returns NULL. */
struct rollback *rollback_free(struct rollback *rollback);
DEFINE_CLEANUP(struct rollback *, rollback_free);
