#pragma once

/* One walk along the steps, from the inspection to the swap: what it gathers, and the step under way. It
 * knows what each step does, and nothing of what comes next. */

#include "daemon/loop/services.h"
#include "lib/config/config.h"
#include "lib/life/cause.h"
#include "lib/life/renewal.h"
#include "lib/report/doubt.h"
#include "lib/store/store.h"

struct attempt;
struct key_order;
struct replica;

/* What the owner wants of an attempt; all is copied but fingerprints, which stay as they are during an
 * inspection. */
struct attempt_input {
        bool may_renew;            /* keep the store open and locked after the inspection */
        bool configured_url_first; /* before the one that `configuration` last said */
        bool accepts_not_longer;   /* what comes back may expire no later than what there is */
        unsigned n_failures;       /* in a row, before this attempt */
        const char *offered_token; /* from an operator, instead of the file: enrol with it; NULL: none */
        uint64_t tried_token;      /* the last one that was shown to the Connector; see lib/life/state.h */
        uint32_t reply;            /* the staged certificate that was verified last, and how often */
        uint32_t reply_tries;
        bool is_new_config;                  /* since the last attempt */
        usec_t replace_since, replace_asked; /* see lib/life/state.h */

        /* Of the last set that is known; empty and NULL for none. And what an operator wants instead. */
        const char *fingerprint, *subject, *accepted_subject;
        bool takes_any_subject;     /* with `offered_token` */
        uint64_t rights;            /* what the last inspection could not put right; see store_put_rights() */
        bool is_copied;             /* the state is: another machine may use the set */
        struct key_order *next_key; /* that may be taken where a key is needed; NULL: none */
        struct store_memory memory;
        struct seals *seals; /* lib/store/seals.h; borrowed; NULL: none */
};

/* How the last step ended. */
struct outcome {
        enum renewal_step step;
        enum failure failure; /* FAILURE_NONE: it is done */
        enum cause cause;     /* of a failure */
        struct error error;   /* the sentence of a failure */
        usec_t retry_after_usec;
        char request_id[40];
        bool key_too_small;    /* STEP_CONFIGURATION: a larger key is asked for */
        bool is_doubtful;      /* rejected, if it was not the Director that is down */
        bool is_unheard;       /* refused by a proxy: the Connector has heard nothing */
        bool is_token_good;    /* refused, and the token is not used up */
        bool is_token_sent;    /* STEP_CONFIGURATION: the Connector may have heard of it */
        bool not_longer;       /* STEP_GATE: valid, but it expires no later than what there is */
        bool is_old_ca;        /* STEP_GATE: it is issued under a CA that is not trusted any more */
        bool is_other_subject; /* STEP_CSR: than the last set has; refused, or somebody asks for it */
};

/* What the inspection found, and what the swap left. Borrowed from the attempt. */
struct findings {
        const struct set *set;                  /* the current one; NULL: none */
        struct renewal_observation observation; /* of STEP_INSPECT */
        uint64_t token;                         /* the hash of the one-time token on offer; 0: none */
        uint64_t token_file;                    /* the file_identity_hash() of where it lies; 0: nowhere */
        char *token_problem;               /* why the token file is not used; NULL: it is, or there is none */
        uint32_t reply;                    /* the hash of the staged certificate; 0: none is */
        const char *adopted;               /* what STEP_INSPECT adopted, or NULL */
        const char *subject;               /* of the set, canonical; NULL: as before, or it cannot be read */
        const char *next_ca;               /* the PEM of the staged certificate's CA; NULL: none is staged */
        const char *next_subject;          /* that the CSR asks for, or would; NULL: not known yet */
        const struct store_rights *rights; /* what STEP_INSPECT made of them; NULL: unknown */
        enum doubt doubt;                  /* about the set */
        usec_t replace_since; /* since when it is known that it is to be replaced; 0: it is not */
};

/* SERVICES, CONFIG and REPLICA (NULL: the directory is nobody else's) are borrowed. DONE is called when a
 * step is over. NULL only when memory is out. */
struct attempt *attempt_new(struct loop_services *services, const struct config_certificate *config,
                            struct replica *replica, const struct attempt_input *input,
                            void (*done)(void *userdata), void *userdata);
struct attempt *attempt_free(struct attempt *attempt);
DEFINE_CLEANUP(struct attempt *, attempt_free);

/* STEP calls the Connector. */
bool attempt_step_calls(enum renewal_step step);

/* Starts STEP. DONE is called from the loop when it is over, maybe before this returns; it may free the
 * attempt. */
void attempt_start(struct attempt *attempt, enum renewal_step step);

/* STEP cannot begin: its outcome is a local failure, with SENTENCE for CODE; it may be tried after
 * RETRY_AFTER_USEC, 0 for whenever. */
void attempt_fail(struct attempt *attempt, enum renewal_step step, int code, const char *sentence,
                  usec_t retry_after_usec);

/* After DONE. */
const struct outcome *attempt_outcome(const struct attempt *attempt);
const struct findings *attempt_findings(const struct attempt *attempt);

/* The attempt enrols, by the token on offer or staged; otherwise it renews, by the current set. To be set
 * once, before the first step that calls. */
void attempt_set_enrolment(struct attempt *attempt, bool is_enrolment);
bool attempt_is_enrolment(const struct attempt *attempt);

/* What comes back may expire no later: for a gate that has not run yet. Whether it knew of that already. */
bool attempt_accept_not_longer(struct attempt *attempt);

/* The current set counts as none, since it was revoked; the token on offer does, since it was used. */
void attempt_pass_over_set(struct attempt *attempt);
void attempt_pass_over_token(struct attempt *attempt);

/* A swap was made: the new set is current, whatever came after it. */
bool attempt_has_committed(const struct attempt *attempt);

/* What the last step warns of, NULL for nothing; owned by the caller. */
char *attempt_take_warning(struct attempt *attempt);

/* How long the last step took, and how much processor time went into a key. */
usec_t attempt_step_usec(const struct attempt *attempt);
usec_t attempt_key_cpu_usec(const struct attempt *attempt);

/* As CONFIG has them. */
struct store_options attempt_store_options(const struct config_certificate *config);
