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
typedef int delivery_start_t(struct loop_services *services, const struct config_notify *config,
                             const struct notice *notice, delivery_done_t done, void *userdata,
                             struct delivery **ret, struct error *error);

/*
 * The ways, one for each kind, in delivery-KIND.c.
 *
 * A command is run without a shell, with the arguments as configured, in a process group of its own; standard
 * input is empty, standard output and error are logged line by line. At its time-out, or when the delivery is
 * broken off, the whole group gets SIGTERM, and SIGKILL five seconds later. The environment is rekeyd's own
 * without what belongs to its
 * service manager, plus REKEYD_CERTIFICATE, REKEYD_DIRECTORY, REKEYD_GENERATION and REKEYD_FINGERPRINT.
 * Delivered means exit status 0.
 *
 * A signal goes to the process that the pid file names, through a pidfd. The process must be older than the
 * file: a younger one got the number after the writer ended. Done at once.
 *
 * A unit is reloaded or restarted by systemd, as `action` says, and the result of the job is awaited. A unit
 * that is not running is not started: it reads the new files when it is.
 *
 * A URL is called; POST and PUT carry the certificate's name, generation and fingerprint as JSON. Delivered
 * means an answer of 2xx within the time-out.
 */
/* clang-format off */
#define DELIVERY_WAYS(WAY)                        \
        WAY(NOTIFY_COMMAND, delivery_run_command) \
        WAY(NOTIFY_SIGNAL, delivery_send_signal)  \
        WAY(NOTIFY_UNIT, delivery_tell_unit)      \
        WAY(NOTIFY_HTTP, delivery_call_http)

#define DELIVERY_DECLARE(kind, start) delivery_start_t start;
DELIVERY_WAYS(DELIVERY_DECLARE)
/* clang-format on */
