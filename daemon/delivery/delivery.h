#pragma once

/* One delivery to one dependent, one file for each way. Used by notifications.c only. */

#include "daemon/loop/services.h"
#include "lib/config/config.h"

/* What a dependent is told; strings are borrowed for the call. */
struct notice {
        uint64_t generation;
        const char *certificate; /* name */
        const char *directory;
        const char *fingerprint; /* hexadecimal */
};

/* What is under way; each way has its own, which begins with this. */
struct delivery {
        struct delivery *(*free)(struct delivery *delivery);
};

/* Breaks off what is under way. Accepts NULL, returns NULL. */
static inline struct delivery *delivery_free(struct delivery *delivery) {
        return delivery ? delivery->free(delivery) : NULL;
}
DEFINE_CLEANUP(struct delivery *, delivery_free);

/* ERROR is NULL when the dependent has been told, else one sentence; borrowed. */
typedef void (*delivery_done_t)(const char *error, void *userdata);

/*
 * Begins to tell the dependent of CONFIG, which is borrowed until the delivery is freed; NOTICE only for the
 * call. With *RET, DONE is called once, from the loop, never from here. A way that is done at once leaves
 * *RET as it is. 0, or -errno with a sentence.
 */
typedef int (*delivery_start_t)(struct loop_services *services, const struct config_notify *config,
                                const struct notice *notice, delivery_done_t done, void *userdata,
                                struct delivery **ret, struct error *error);

/*
 * Runs the command of CONFIG: no shell; the arguments as configured; standard input empty; standard output
 * and error logged line by line; in a process group of its own. When the time-out comes the whole group gets
 * SIGTERM, and SIGKILL five seconds later. The environment is rekeyd's own without what belongs to its
 * service manager, plus REKEYD_CERTIFICATE, REKEYD_DIRECTORY, REKEYD_GENERATION and REKEYD_FINGERPRINT.
 * Delivered means exit status 0.
 */
int delivery_run_command(struct loop_services *services, const struct config_notify *config,
                         const struct notice *notice, delivery_done_t done, void *userdata,
                         struct delivery **ret, struct error *error);

/*
 * Sends the signal of CONFIG to the process that its pid file names, through a pidfd. The process must be
 * older than the file: a younger one got the number after the writer ended. Done at once.
 */
int delivery_send_signal(struct loop_services *services, const struct config_notify *config,
                         const struct notice *notice, delivery_done_t done, void *userdata,
                         struct delivery **ret, struct error *error);

/*
 * Has systemd reload or restart the unit of CONFIG, as its `action` says, and awaits the result of the job. A
 * unit that is not running is not started: it reads the new files when it is.
 */
int delivery_tell_unit(struct loop_services *services, const struct config_notify *config,
                       const struct notice *notice, delivery_done_t done, void *userdata,
                       struct delivery **ret, struct error *error);

/* Calls the URL of CONFIG; POST and PUT carry the certificate's name, generation and fingerprint as JSON.
 * Delivered means an answer of 2xx within the time-out. */
int delivery_call_http(struct loop_services *services, const struct config_notify *config,
                       const struct notice *notice, delivery_done_t done, void *userdata,
                       struct delivery **ret, struct error *error);
