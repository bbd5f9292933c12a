#pragma once

/* Reading the configuration anew, and the end of that for all who have asked. */

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
        /* It is over, and its end was logged. */
        void (*ended)(bool is_good, void *userdata);
        void *userdata;
};

/* 0 or -ENOMEM. */
int reload_new(const struct reload_options *options, struct reload **ret);

/* Waits for nobody: the workers are stopped. Accepts NULL, returns NULL. */
struct reload *reload_free(struct reload *reload);
DEFINE_CLEANUP(struct reload *, reload_free);

/* Reads the files, and applies them if there is no error in them. During a reload it begins anew. */
void reload_request(struct reload *reload);
