#pragma once

/* One delivery to one dependent, by command or by signal. Used by dependents.c only. */

#include "daemon/dependents.h"

struct delivery;

/* ERROR is NULL when the dependent has been told, else one sentence; borrowed. */
typedef void (*delivery_done_t)(const char *error, void *userdata);

/*
 * Runs the command of CONFIG: no shell; the arguments as configured; standard input empty; standard output
 * and error logged line by line; in a process group of its own. When the time-out comes the whole group gets
 * SIGTERM, and SIGKILL five seconds later. The environment is rekeyd's own without what belongs to its
 * service manager, plus REKEYD_CERTIFICATE, REKEYD_DIRECTORY, REKEYD_GENERATION and REKEYD_FINGERPRINT.
 * Delivered means exit status 0. DONE is called once, from the loop, never from here. 0 or -errno.
 */
int delivery_run_command(sd_event *event, const struct config_notify *config, const struct notice *notice,
                         delivery_done_t done, void *userdata, struct delivery **ret);

/* Kills the process group if the command is still running. Accepts NULL, returns NULL. */
struct delivery *delivery_free(struct delivery *delivery);
DEFINE_CLEANUP(struct delivery *, delivery_free);

/*
 * Sends the signal of CONFIG to the process that its pid file names, through a pidfd. The process must be
 * older than the file: a younger one got the number after the writer ended. 0, or -errno with a sentence in
 * ERROR.
 */
int delivery_send_signal(const struct config_notify *config, struct error *error);
