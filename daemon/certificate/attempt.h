#pragma once

/* One walk along the steps: what it gathered, and the step under way. Shared by certificate.c and attempt-*.c
 * only. */

#include "daemon/connector/connector-client.h"
#include "daemon/context.h"
#include "lib/config/config.h"
#include "lib/life/gate.h"
#include "lib/life/renewal.h"
#include "lib/protocol/connection.h"
#include "lib/store/store.h"

/* What became of one export. An error says that it could not be written, or could not be if it had to. */
struct export_result {
        bool is_stale;    /* it was not what it should be */
        bool is_writable; /* and could be written, as far as can be told beforehand */
        bool is_written;  /* and is what it should be now */
        char *warning;
        struct error error;
};

/*
 * Lives from a look until the machine rests. The loop's thread owns it, except while a job is under way: then
 * the worker does.
 */
struct attempt {
        struct job job;
        struct context *context;
        const struct config_certificate *config;
        void (*done)(void *userdata); /* a step is over; see `failure` */
        void (*exports_done)(void *userdata);
        void *userdata;
        enum renewal_step step;
        usec_t step_begin;   /* CLOCK_MONOTONIC */
        usec_t key_cpu_usec; /* processor time that STEP_KEY took */

        /* Set by the owner before the look. */
        bool may_renew;            /* keep the store open and locked after the look */
        bool inspect_closely;      /* the first look: could the exports that are current be replaced? */
        unsigned n_failures;       /* in a row, before this attempt */
        bool configured_url_first; /* before the one that `configuration` last said */
        char *offered_token;       /* from an operator, instead of the file; cleansed */
        bool enrol_asked;          /* although there is a set that can be used */
        bool accepts_not_longer;
        uint64_t tried_token; /* the last one that was shown to the Connector; see lib/life/state.h */

        /* Found by the look. */
        struct store *store; /* open and locked */
        bool has_set;
        struct set set;
        struct stage stage;
        char *token; /* from token_file, or offered; cleansed */
        bool is_offered;
        struct file_identity token_file; /* where it lies */
        uint64_t token_hash;             /* what is in it */
        struct connection connection;    /* of the current set, or as `configuration` changed it */
        struct renewal_observation observation;
        struct export_result *exports; /* as many as are configured; NULL when not looked at */
        bool has_exports_to_write;     /* at least one is stale and writable */

        /* Gathered on the way. */
        bool by_token;
        bool director_down;
        bool is_recorded; /* the journal knows of this attempt */
        bool over_budget; /* it ended before it began, since too many signatures were asked for */
        struct compass_configuration configuration;
        struct compass_certificates reply;
        uint64_t generation; /* committed; 0: none was */
        unsigned key_bits;   /* to make: configured, or what keyAlgorithm asks for when that is more */

        /* Outcome of the step. */
        struct connector_call *call;
        CURLSH *line; /* from the configuration to the signature, with the key of SET */
        enum failure failure;
        bool key_too_small;
        usec_t retry_after_usec;
        char request_id[40];
        bool is_doubtful; /* rejected, if it was not the Director that is down */
        bool not_longer;  /* the gate: valid, but not later than what we have */
        char *adopted;    /* what the look adopted, for the log */
        char *warning;
        struct error error;
};

/* CONTEXT and CONFIG are borrowed. NULL only when memory is out. */
struct attempt *attempt_new(struct context *context, const struct config_certificate *config,
                            void (*done)(void *userdata), void *userdata);
struct attempt *attempt_free(struct attempt *attempt);
DEFINE_CLEANUP(struct attempt *, attempt_free);

/* STEP calls the Connector. */
bool attempt_step_calls(enum renewal_step step);

/* Starts STEP. `done` is called from the loop when it is over, maybe before this returns; it may free the
 * attempt. */
void attempt_start(struct attempt *attempt, enum renewal_step step);

/* Makes TEXT one token: white space around it goes. False when it is none: it is empty, has blanks inside, or
 * what cannot be printed. */
bool attempt_trim_token(char *text);

/* As CONFIG has them. */
struct store_options attempt_store_options(const struct config_certificate *config);

/* Steps on a worker thread: they touch the attempt and nothing else. */
void attempt_inspect(struct attempt *attempt);
void attempt_make_key(struct attempt *attempt);
void attempt_make_csr(struct attempt *attempt);
void attempt_gate(struct attempt *attempt);
void attempt_commit(struct attempt *attempt);

/* Beside the steps: the copies of the current set, after the look has found it. The first finds out which are
 * stale and writable, the second writes those. On worker threads; DONE is called from the loop, that of the
 * first maybe before it returns. */
void attempt_check_exports(struct attempt *attempt, void (*done)(void *userdata));
void attempt_write_exports(struct attempt *attempt, void (*done)(void *userdata));
void attempt_free_exports(struct attempt *attempt);

/* Steps that call the Connector; each ends with attempt_call_done(), maybe before it returns. */
void attempt_call_configuration(struct attempt *attempt);
void attempt_call_sign(struct attempt *attempt);
void attempt_call_verify(struct attempt *attempt);

/* The call is over: discards what must not be used again, then calls `done`. */
void attempt_call_done(struct attempt *attempt);
