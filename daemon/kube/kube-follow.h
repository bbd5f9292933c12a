#pragma once

/* Follows one object of an API server by a watch, through whatever ends it. */

#include <systemd/sd-event.h>

#include "kube/kube-client.h"
#include "lib/kube/kube-name.h"

struct kube_follow;

/* Client and loop are borrowed. */
struct kube_follow_options {
        struct kube_client *client;
        sd_event *event;
        struct kube_name secret;

        /* The Secret is there with this VERSION; NULL: it was deleted. Also after each outage, changed or
         * not. */
        void (*changed)(const char *version, void *userdata);

        /* The server forbids to watch it, with its ERROR: from now on it is read from time to time. Again at
         * each attempt to watch. */
        void (*forbidden)(const char *error, void *userdata);
        void *userdata;
};

/* Begins to follow it: after VERSION, which was read; or, where it is NULL, with reading it, once the server
 * answers. 0 or -ENOMEM. */
int kube_follow_new(const struct kube_follow_options *options, const char *version, struct kube_follow **ret);

/* Accepts NULL, returns NULL. */
struct kube_follow *kube_follow_free(struct kube_follow *follow);
DEFINE_CLEANUP(struct kube_follow *, kube_follow_free);
