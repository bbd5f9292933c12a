#pragma once

/* A certificate from the inside, for certificate*.c. */

#include "daemon/certificate.h"
#include "daemon/dependents.h"
#include "daemon/history.h"
#include "daemon/messages.h"
#include "daemon/set-watch.h"
#include "daemon/watch.h"
#include "lib/renewal.h"

struct attempt;

struct certificate {
        struct context *context;
        struct config *owner; /* a reference; `config` is in it */
        const struct config_certificate *config;
        uint32_t seed;

        struct renewal renewal;
        struct attempt *attempt; /* while a look or a step is under way */
        bool has_slot;
        struct slot_waiter slot_waiter;
        struct history *history;

        /* The current set, as last seen; fingerprint is empty without one. */
        uint64_t generation;
        char fingerprint[FINGERPRINT_HEX];

        struct file_identity token_file, token_identity; /* of the token that the last look read */
        struct file_identity burnt_token;                /* that the Connector did not take */
        struct file_identity tried_token;                /* the last one that was shown to the Connector */
        bool token_came;                                 /* with the last look: it is another one */
        bool token_again; /* something happened to its file during an attempt */

        uint64_t told_failure;         /* what the last failure said, as a hash */
        unsigned n_same_failures;      /* that said the same, in a row */
        usec_t told_due_usec;          /* what the last MESSAGE_CURRENT said */
        bool renewed, failed, settled; /* --once */

        bool has_looked;           /* once at least */
        bool look_closely;         /* the next look, since the configuration is new to us */
        bool is_new_set;           /* what this look saw is another set than the last one */
        bool look_only;            /* this look may find something to repair, but ends no back-off */
        bool configured_url_first; /* with the next call: the operator has changed it */
        bool is_over_budget;       /* the last attempt was */
        bool look_again;           /* something happened to the files during an attempt */
        usec_t backoff_until;      /* CLOCK_BOOTTIME; 0: no back-off */

        sd_event_source *timer;
        sd_event_source *export_timer;
        unsigned export_failures; /* in a row */
        unsigned n_exports_failed;
        struct watch *token_watch;
        struct set_watch *set_watch;
        struct dependents *dependents;

        void (*published)(struct certificate *certificate);
        bool is_news; /* nobody was told of this set yet */

        /* What has to wait until nothing is under way. */
        struct config *next_owner;
        const struct config_certificate *next_config;
        bool next_has_changed;
        bool is_retired;
};

void certificate_say(const struct certificate *certificate, int priority, const char *message_id,
                     const char *format, ...) _printf_(4, 5);
void certificate_say_failure(struct certificate *certificate);
void certificate_say_waiting(const struct certificate *certificate);
void certificate_say_current(struct certificate *certificate);
void certificate_say_held(const struct certificate *certificate);
void certificate_say_exports(const struct certificate *certificate, usec_t wait_usec); /* 0: no retry */

/* The look has found a set, or none: brings the exports up to date with it and sees to it that dependents
 * learn of it, then calls NEXT, maybe before this returns. */
void certificate_publish(struct certificate *certificate, void (*next)(struct certificate *certificate));

/* What it waits for, in certificate-wait.c; the states that make a wait pointless end it. */
void certificate_arm_timer(struct certificate *certificate);
void certificate_arm_token_watch(struct certificate *certificate);
void certificate_arm_set_watch(struct certificate *certificate);
void certificate_stop_waiting(struct certificate *certificate);

/* Does what has waited until nothing is under way. The certificate may be gone afterwards. */
void certificate_settle(struct certificate *certificate);

/* Nothing is under way: takes the configuration that waits. */
void certificate_take_configuration(struct certificate *certificate);

/* What a restart is to know of failures; the caller saves it. BACKOFF_USEC is a span from now, or
 * USEC_INFINITY for none. */
void certificate_remember_failure(struct certificate *certificate, unsigned failures, enum failure failure,
                                  usec_t backoff_usec);
