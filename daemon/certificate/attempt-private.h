#pragma once

/* An attempt from the inside, for attempt-*.c. */

#include "daemon/certificate/attempt.h"
#include "daemon/connector/connector-client.h"
#include "lib/protocol/connection.h"

/* Lives from an inspection until the machine rests. The loop's thread owns it, except while a job is under
 * way: then the worker does. */
struct attempt {
        struct job job;
        struct loop_services *services;
        const struct config_certificate *config;
        void (*done)(void *userdata);
        void *userdata;
        struct attempt_input input;
        char *offered_token; /* cleansed */
        bool by_token;

        /* Found by the inspection. */
        struct store *store; /* open and locked */
        struct set set;
        struct stage stage;
        char *token; /* on offer; cleansed */
        bool is_offered;
        struct connection connection; /* of the current set, or as `configuration` changed it */
        char *adopted;
        struct findings findings;

        /* Gathered on the way. */
        bool director_down;
        struct compass_configuration configuration;
        struct compass_certificates reply;
        uint64_t generation; /* committed; 0: none was */
        unsigned key_bits;   /* to make: configured, or what keyAlgorithm asks for when that is more */

        /* The step under way. */
        struct connector_call *call;
        CURLSH *connection_share; /* from the configuration to the signature, with the key of SET */
        usec_t begin;             /* CLOCK_MONOTONIC */
        usec_t key_cpu_usec;      /* processor time that STEP_KEY took */
        struct outcome outcome;
        char *warning;
};

/* Steps on a worker thread: they touch the attempt and nothing else. */
void attempt_inspect(struct attempt *attempt);
void attempt_make_key(struct attempt *attempt);
void attempt_make_csr(struct attempt *attempt);
void attempt_gate(struct attempt *attempt);
void attempt_commit(struct attempt *attempt);

/* Steps that call the Connector; each ends with attempt_call_done(), maybe before it returns. */
void attempt_call_configuration(struct attempt *attempt);
void attempt_call_sign(struct attempt *attempt);
void attempt_call_verify(struct attempt *attempt);

/* The call is over: discards what must not be used again, then calls `done`. */
void attempt_call_done(struct attempt *attempt);
