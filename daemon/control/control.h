#pragma once

/* The control API, metrics and health: who listens where, and what is answered. */

#include <stdatomic.h>
#include <systemd/sd-event.h>

#include "daemon/loop/workers.h"
#include "lib/config/config.h"

struct control;
struct events;
struct fleet;
struct kube_host;
struct metrics;
struct slots;

/* What it shows, and what it may set off. All of it is borrowed. */
struct control_options {
        sd_event *event;
        struct workers *workers;     /* for reading files */
        const atomic_bool *stopping; /* the workers are, and drop jobs */
        int state_fd;                /* `state_directory` */
        const char *config_path;
        const struct fleet *fleet;
        const struct slots *slots;
        struct events *events;
        const struct metrics *metrics;
        struct kube_host *kube_host; /* for calls to an API server; NULL: there are none */
        void (*reload)(
                void *userdata); /* reads the configuration again; may call back into control_use() later */
        void *userdata;
};

/* Does not listen yet. 0 or -ENOMEM. */
int control_new(const struct control_options *options, struct control **ret);

/* Removes the socket. Accepts NULL, returns NULL. */
struct control *control_free(struct control *control);
DEFINE_CLEANUP(struct control *, control_free);

/* The files of certificate NAME were inspected, or could not be: requests may wait for it. */
void control_note_inspected(struct control *control, const char *name, bool has_failed);

/* The listening sockets that a configuration asks for and that are not there yet; -1: none. */
struct control_sockets {
        int control_fd, http_fd;
};
#define CONTROL_SOCKETS_NONE \
        { -1, -1 }

/* Opens what CONFIG asks for and CONTROL has not. Changes nothing else, so that a configuration that cannot
 * be used costs nothing. 0, or -errno with a sentence. */
int control_open(const struct control *control, const struct config *config, struct control_sockets *ret,
                 struct error *error);

/* CONFIG is not used after all. */
void control_cancel(const struct config *config, struct control_sockets *sockets);

/* Switches to CONFIG and SOCKETS, which are taken over. Connections by sockets that stay continue. 0, or
 * -errno with a sentence: then what could not be begun is off. */
int control_use(struct control *control, const struct config *config, struct control_sockets *sockets,
                struct error *error);
