#pragma once

/* What the files say where no rekeyd runs, as the JSON that rekeyd would answer. Nothing is locked or
 * written. */

#include <jansson.h>

#include "lib/config/config.h"
#include "lib/util/error.h"

struct offline;

/* CONFIG is borrowed. 0 or -errno with a sentence. */
int offline_new(const struct config *config, struct offline **ret, struct error *error);
struct offline *offline_free(struct offline *offline);
DEFINE_CLEANUP(struct offline *, offline_free);

/* The certificate of that name, or NULL; borrowed. */
const struct config_certificate *offline_find(const struct offline *offline, const char *name);

/*
 * As GET /v1/certificates/NAME answers; without WITH_DETAILS only its status. What cannot be read is its
 * member "problem", also in a status; "saved_at" is when rekeyd has last written its state file, where there
 * is one. 0 or -ENOMEM.
 */
int offline_read(struct offline *offline, const struct config_certificate *certificate, bool with_details,
                 json_t **ret);

/* The events of its history, as an array, oldest first. 0, or -errno with a sentence; a history that is not
 * there is empty. Lines that are torn, or none of ours, are passed over. */
int offline_history(struct offline *offline, const struct config_certificate *certificate, json_t **ret,
                    struct error *error);

/* A sentence on what could not be read for all of them, such as the state files; NULL: nothing. Borrowed. */
const char *offline_warning(const struct offline *offline);
