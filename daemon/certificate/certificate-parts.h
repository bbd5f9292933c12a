#pragma once

/* What a certificate is made of, for the files that put it together. */

#include "daemon/certificate/certificate.h"
#include "daemon/certificate/key-ahead.h"
#include "daemon/certificate/prober.h"
#include "daemon/certificate/publisher.h"
#include "daemon/certificate/renewer.h"
#include "daemon/certificate/revoker.h"
#include "daemon/certificate/rollback.h"

struct certificate {
        struct core core;
        struct reporter reporter;
        struct renewer renewer;
        struct revoker revoker;
        struct prober prober;
        struct key_ahead key_ahead;
        struct publisher publisher;

        /* What an operator asked for, beside an attempt: it waits until no attempt is under way, and no
         * attempt begins before its end. */
        struct {
                enum operation kind; /* OPERATION_NONE: there is none */
                bool is_running;
                bool is_named; /* of a rollback: the generation is */
                uint64_t generation;
                struct rollback *rollback;
                struct adoption *adoption; /* with what was handed over, from the request on */

                /* What it has made current, to be told when the inspection has seen it: who hears of it may
                 * ask for the status at once. */
                const char *message_id; /* NULL: nothing */
                char *text;             /* NULL: memory was out */
        } operation;

        /* What waits until nothing is under way: another configuration. NULL: none. The other is
         * core.is_retired. */
        struct config *next_owner;
        const struct config_certificate *next_config;
        bool next_has_changed;

        bool is_exporting; /* an operator waits for the exports */
        bool is_settled;   /* --once: it has nothing more to do */
};

/* Something has come to its end, or is new: does what is pending, first an operation, then the end, then
 * another configuration, once nothing is in the way of it. The certificate may be freed. */
void certificate_dispatch(struct certificate *certificate);

/* Logs what an operation has made current, where that is still to be told. */
void certificate_say_made(struct certificate *certificate);

/* Says once that the state was copied from another machine: from now on it is this one's. */
void certificate_say_copied(struct certificate *certificate);

/* An inspection has brought the exports up to date, or has not, for WHY: logs it for who asked. */
void certificate_say_exported(struct certificate *certificate, const char *why);
