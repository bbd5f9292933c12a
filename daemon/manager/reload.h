#pragma once

/* Reloads the configuration, and reports the end to all requests. */

#include "daemon/fleet/fleet-change.h"
#include "daemon/loop/workers.h"
#include "lib/config/config.h"

struct events;
struct reload;

/* All of it is borrowed. */
struct reload_options {
        struct workers *workers;
        struct events *events;
        const char *config_path;

        /* Goes over to CONFIG, which is taken over with 0; or -errno with a sentence: then nothing has
         * changed.
         */
        int (*apply)(struct config *config, struct fleet_changes *ret, void *userdata, struct error *error);
        /* It has ended, and its outcome was logged. */
        void (*ended)(bool is_good, void *userdata);
        void *userdata;
};

/* 0 or -ENOMEM. */
int reload_new(const struct reload_options *options, struct reload **ret);

/* Does not wait: the workers are stopped. Accepts NULL, returns NULL. */
struct reload *reload_free(struct reload *reload);
DEFINE_CLEANUP(struct reload *, reload_free);

/* Checks CONFIG, which is in use from the start on, on a worker, and warns of what will fail later. Once. */
void reload_check(struct reload *reload, struct config *config);

/* Reads the files, and applies them if they have no error. During a reload it starts over. */
void reload_request(struct reload *reload);
