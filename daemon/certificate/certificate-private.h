#pragma once

/* A certificate from the inside, for certificate*.c. */

#include "daemon/certificate/certificate.h"
#include "daemon/delivery/notifications.h"
#include "daemon/loop/path-watch.h"
#include "daemon/loop/set-watch.h"
#include "daemon/observe/messages.h"
#include "daemon/observe/state-file.h"
#include "lib/life/renewal.h"

struct attempt;
struct operation;
struct revocation;

struct certificate {
        struct context *context;
        struct config *owner; /* a reference; `config` is in it */
        const struct config_certificate *config;
        uint32_t seed;

        struct renewal renewal;
        struct attempt *attempt; /* while a look or a step is under way */
        struct slot_waiter slot_waiter;
        struct state_file *state_file;

        /* The current set, as last seen; fingerprint is empty without one. */
        uint64_t generation;
        char fingerprint[FINGERPRINT_HEX];
        usec_t not_before, expiry; /* effective, of a revoked one as well */

        /* What an operator has asked for. */
        const char
                *operation; /* its name, until the event that says what has become of it; static, or NULL */
        struct operation *job; /* under way: files are changed, and no attempt may begin */
        char *offered_token;   /* from the control API; cleansed */
        struct revocation *revocation;
        sd_event_source *revoke_timer; /* for the generation that is to be revoked */
        sd_event_source *asked_timer;  /* for one that an operator wants revoked, and that may be */

        /* For the status. */
        char *last_result_error;    /* NULL: it was no failure */
        const char *last_result;    /* the name of an event, or NULL */
        const char *last_operation; /* that it was the end of; static, NULL: of what rekeyd did by itself */
        usec_t last_result_usec;

        /* One-time tokens; see lib/life/state.h. */
        struct file_identity token_file;               /* of the last look's */
        uint64_t last_token, tried_token, burnt_token; /* that look's, the last one that was shown to the
                                                        * Connector, and one that is of no use any more */

        uint64_t told_failure;    /* what the last failure said, as a hash */
        usec_t told_due_usec;     /* what the last MESSAGE_CURRENT said */
        unsigned n_same_failures; /* that said the same, in a row */
        unsigned revoke_failures; /* in a row */
        unsigned asked_failures;  /* in a row */

        bool has_inspected;        /* once at least */
        bool inspect_closely;      /* the next look, since the configuration is new to us */
        bool is_new_set;           /* what this look saw is another set than the last one */
        bool refresh_only;         /* this look may find something to repair, but ends no back-off */
        bool configured_url_first; /* with the next call: the operator has changed it */
        bool is_over_budget;       /* the last attempt was */
        bool inspect_again;        /* something happened to the files during an attempt */
        bool token_came;           /* with the last look: it is another one */
        bool token_again;          /* something happened to its file during an attempt */
        bool has_slot;
        bool accepts_not_longer;       /* an operator's: what comes back may expire no later */
        bool is_news;                  /* nobody was told of this set yet */
        bool next_has_changed;         /* what waits until nothing is under way: another configuration, */
        bool is_retired;               /* or the end */
        bool renewed, failed, settled; /* --once */
        usec_t backoff_until;          /* CLOCK_BOOTTIME; 0: no back-off */

        sd_event_source *timer;
        sd_event_source *export_timer;
        unsigned export_failures; /* in a row */
        unsigned n_exports_failed;
        struct path_watch *token_watch;
        struct set_watch *set_watch;
        struct notifications *notifications;

        void (*published)(struct certificate *certificate);

        /* What has to wait until nothing is under way. */
        struct config *next_owner;
        const struct config_certificate *next_config;
};

void certificate_log(struct certificate *certificate, int priority, const char *message_id,
                     const char *format, ...) _printf_(4, 5);
void certificate_log_failure(struct certificate *certificate);
void certificate_log_waiting(struct certificate *certificate);
void certificate_log_current(struct certificate *certificate);
void certificate_log_step(struct certificate *certificate, enum renewal_step step);
void certificate_log_held(struct certificate *certificate);
void certificate_log_exports(struct certificate *certificate, usec_t wait_usec); /* 0: no retry */

/* The look has found a set, or none: brings the exports up to date with it and sees to it that dependents
 * learn of it, then calls NEXT, maybe before this returns. */
void certificate_publish(struct certificate *certificate, void (*next)(struct certificate *certificate));

/* What it waits for, in certificate-wait.c; the states that make a wait pointless end it. */
void certificate_arm_timer(struct certificate *certificate);
void certificate_arm_token_watch(struct certificate *certificate);
void certificate_arm_set_watch(struct certificate *certificate);
void certificate_stop_waiting(struct certificate *certificate);

/* What is to be revoked, in certificate-revoke.c. The current set is to be replaced: true when that is to be
 * saved before it is. And it is current after all, since the swap has failed. */
bool certificate_owe_revocation(struct certificate *certificate);
void certificate_withdraw_revocation(struct certificate *certificate);
void certificate_resume_revocation(struct certificate *certificate); /* at the start */
void certificate_hasten_revocation(struct certificate *certificate); /* its files may go soon */
void certificate_stop_revocation(struct certificate *certificate);

/* The current set was revoked by us, or may be: it is as if there were none. And whether it only may be,
 * since it is not known what has come of an operator's revocation. */
bool certificate_is_revoked(const struct certificate *certificate);
bool certificate_is_revocation_in_doubt(const struct certificate *certificate);

/* How long until one more signature may be asked for. */
usec_t certificate_budget_wait(const struct certificate *certificate);

/* What an operator has asked for and waits for the end of a look. */
void certificate_start_operation(struct certificate *certificate);
void certificate_end_operation(struct certificate *certificate);
void certificate_revoke(struct certificate *certificate); /* the current set */

/* An operator waits for the end of an attempt. */
bool certificate_asks_attempt(const struct certificate *certificate);

/* Says that there will be none; WHY goes on after "it is". */
void certificate_give_up_attempt(struct certificate *certificate, const char *why);

/* The one-time token that an operator gave is of no use any more. */
void certificate_forget_token(struct certificate *certificate);
struct operation *operation_free(struct operation *operation); /* the workers have stopped, or it is done */

/* Does what has waited until nothing is under way. The certificate may be gone afterwards. */
void certificate_settle(struct certificate *certificate);

/* Nothing is under way: takes the configuration that waits. */
void certificate_take_configuration(struct certificate *certificate);

/* What a restart is to know of failures; the caller saves it. BACKOFF_USEC is a span from now, or
 * USEC_INFINITY for none. The sentence of the last failure stays while there is one. */
void certificate_remember_failure(struct certificate *certificate, unsigned failures, enum failure failure,
                                  usec_t backoff_usec);
