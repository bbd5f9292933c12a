#pragma once

/* What one attempt gathers on its way: each step reads what the steps before it left, and leaves what the
 * next ones need. */

#include <stdatomic.h>

#include "daemon/certificate/attempt.h"
#include "lib/kube/kube-shared.h"
#include "lib/protocol/protocol.h"

/* Those of the input. */
struct gathered_subjects {
        char *last, *accepted;
};

/* Of `store`. */
struct gathered_shared {
        struct shared_copy copy; /* what was read before the inspection */
        bool is_newer;           /* the set here is to be shared */
};

/* The loop's thread owns it, except while a step runs on a worker: then the worker does. */
struct gathered {
        const struct config_certificate *config;
        const atomic_bool *stopping; /* key generation gives up then */
        struct attempt_input input;
        char *offered_token; /* cleansed */
        struct gathered_subjects subjects;
        char (*revoked)[FINGERPRINT_HEX]; /* those of `input.memory` */
        bool by_token;

        /* STEP_INSPECT. */
        struct gathered_shared shared;
        struct store *store; /* open and locked */
        struct set set;
        struct stage stage;
        char *token; /* on offer; cleansed */
        bool is_offered;
        struct connection connection; /* of the current set, or as `configuration` changed it */
        char *current_url;            /* the Connector's URL that came with the current set; NULL: none did */
        char *adopted;
        char *subject; /* as in `findings` */
        struct store_rights rights;
        struct findings findings;

        /* STEP_CONFIGURATION and STEP_SIGN. */
        char *answered_url;    /* where `configuration` was answered: the signature is requested there */
        bool no_configuration; /* the certificate has its subject */
        struct protocol_configuration configuration;
        struct protocol_certificates reply;
        char *next_subject; /* as in `findings` */
        unsigned key_bits;  /* to make: configured, or what keyAlgorithm asks for when that is more */

        bool is_connection_changed; /* STEP_VERIFY: since it was staged */
        uint64_t generation;        /* STEP_COMMIT; 0: none was committed */

        /* The last step. */
        usec_t key_cpu_usec; /* processor time that STEP_KEY took */
        struct outcome outcome;
        char *warning;
};

void gathered_clear(struct gathered *gathered);

/* Forgets how the step before ended; STEP is next. The request id stays: a check of the reply fails with that
 * of the call. */
void gathered_begin_step(struct gathered *gathered, enum renewal_step step);
