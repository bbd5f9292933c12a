#pragma once

/* Adopting a key and a certificate that an operator hands over: checked, proven by a call, then made current.
 */

#include "daemon/certificate/environment.h"
#include "lib/config/config.h"
#include "lib/life/state.h"

struct adoption;

/* What was handed over; borrowed. Only CA and URL may be NULL. */
struct adoption_texts {
        const char *key, *certificate, *ca; /* PEM */
        const char *url;                    /* the Connector's certificate-secured one */
        bool force;                         /* the certificate may be one of another client */
};

/* 0: GENERATION is current now, and TEXT is the URL that has accepted it, as texts may show it. Otherwise
 * -errno, nothing was changed, and TEXT is a sentence. The adoption may be freed from here. */
typedef void (*adoption_done_t)(int r, uint64_t generation, const char *text, void *userdata);

/* Copies TEXTS, and reads nothing of them yet. 0; -EINVAL with a sentence for a URL that is none; -ENOMEM. */
int adoption_new(const struct adoption_texts *texts, struct adoption **ret, struct error *error);

/* Begins, once. STATE is read here; CONFIG, one of OWNER's, is borrowed. DONE is called from the loop, later.
 */
void adoption_start(struct adoption *adoption, struct environment *env, struct config *owner,
                    const struct config_certificate *config, const struct state *state, adoption_done_t done,
                    void *userdata);

/* Its worker must have ended. All that was handed over is cleansed. Accepts NULL, returns NULL. */
struct adoption *adoption_free(struct adoption *adoption);
DEFINE_CLEANUP(struct adoption *, adoption_free);
