#pragma once

/* One call with the current set of a certificate, which changes nothing and costs no signature: does the
 * Connector accept the certificate? */

#include "daemon/certificate/environment.h"
#include "lib/config/config.h"
#include "lib/life/probe-answer.h"

struct probe;
struct set;

struct probe_result {
        enum probe_answer answer;
        const char *error;       /* a sentence; "" with PROBE_ACCEPTED */
        const char *url;         /* as texts may show it; NULL: there was no call */
        const char *fingerprint; /* of the certificate; "": there is none that can be read */
};

/* RESULT is borrowed from the probe, which may be freed from here. */
typedef void (*probe_done_t)(const struct probe_result *result, void *userdata);

/* Waits for its turn, after all who renew, reads the set, and calls; where nobody answers, the next URL.
 * OWNER is the configuration that CONFIG is in: a reference is taken. 0 or -ENOMEM; DONE is called from the
 * loop, later. */
int probe_new(struct environment *env, struct config *owner, const struct config_certificate *config,
              probe_done_t done, void *userdata, struct probe **ret);

/* The same with SET, which is borrowed and is not on disk: would it be accepted? */
int probe_new_of(struct environment *env, struct config *owner, const struct config_certificate *config,
                 const struct set *set, probe_done_t done, void *userdata, struct probe **ret);

/* It is waiting, for its turn or for an answer, and may be freed. */
bool probe_is_waiting(const struct probe *probe);

/* Its worker must have ended: after DONE, while it is waiting, or when the workers were stopped. Accepts
 * NULL, returns NULL. */
struct probe *probe_free(struct probe *probe);
