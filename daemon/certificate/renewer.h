#pragma once

/* The renewal machine of one certificate, and the hands that do what it says: attempts, their turn, their
 * waits. */

#include "daemon/certificate/probe.h"
#include "daemon/certificate/reporter.h"
#include "daemon/certificate/waits.h"
#include "daemon/connector/slots.h"
#include "lib/life/renewal.h"

struct renewer;

/* What the renewer tells its owner. */
struct renewer_ops {
        /* An operation goes first: no attempt may begin. */
        bool (*is_blocked)(struct renewer *renewer);
        /* An inspection has ended: it is known what is on disk, or (HAS_FAILED) not. IS_FIRST: since the
         * start. */
        void (*inspected)(struct renewer *renewer, bool is_first, bool has_failed);
        /* The files were inspected; FINDINGS are valid until renewer_continue(), which must follow. CLOSELY:
         * for the first time with this configuration. */
        void (*observed)(struct renewer *renewer, const struct findings *findings, bool closely);
        /* A step that calls or generates a key is next. */
        void (*attempt_begins)(struct renewer *renewer);
        /* The swap is next: true when the state file is to be saved before it. */
        bool (*swap_begins)(struct renewer *renewer);
        /* The new set is issued under other CA certificates than BEFORE (NULL: not known, or there was none).
         */
        void (*other_issuers)(struct renewer *renewer, const struct issuers *before);
        /* Nothing is under way any more, or the attempt waits for its turn. */
        void (*idle)(struct renewer *renewer);
};

/* What is asked of a renewer. While an attempt is under way, or waits for its turn, a TRY has nothing to add
 * to it. */
enum renewer_request {
        RENEWER_NOTHING,
        RENEWER_REFRESH, /* inspect files and clock; a back-off stays, unless the set or the token is another
                            one */
        RENEWER_TRY,     /* inspect, and do what is due, back-off or not */
};

struct renewer {
        struct core *core;
        const struct renewer_ops *ops;

        struct renewal renewal;
        struct attempt *attempt; /* while an inspection or a step is under way */
        struct slot_waiter slot;
        struct waits waits;
        char *offered_token; /* by an operator, for the next attempt; cleansed */

        enum renewer_request current; /* what the attempt under way was begun for */
        enum renewer_request pending; /* once it ends */

        bool has_slot;
        bool has_inspected;  /* once at least */
        bool is_news_to_us;  /* the configuration: the next inspection is close */
        bool is_over_budget; /* the last attempt was */
        bool is_recorded;    /* the state file knows of the attempt under way */
        bool is_counted;     /* and has counted the signature that is still to be requested */

        /* What an operator wants of the next attempt besides. */
        struct {
                bool not_longer;           /* may be what comes back */
                bool configured_url_first; /* the operator has changed it */
                bool any_subject;          /* may be that of the offered token */
        } wish;

        /* For --once. */
        struct {
                bool renewed, failed;
        } result;
};

/* CORE and OPS are borrowed. renewer_configure() comes next. */
void renewer_init(struct renewer *renewer, struct core *core, const struct renewer_ops *ops);

/* An attempt that is under way is told to stop: it has not failed. The workers have stopped. */
void renewer_clear(struct renewer *renewer);

/* Takes the configuration that the core has now; HAS_CHANGED: its options are others, and URL_CHANGED: that
 * of its Connector is. Nothing may be under way. 0 or -ENOMEM. */
int renewer_configure(struct renewer *renewer, bool has_changed, bool url_changed);

/* The first inspection. What is due is done, unless a back-off of the last run goes on; with --once, in any
 * case. */
void renewer_start(struct renewer *renewer);

void renewer_request(struct renewer *renewer, enum renewer_request request);

/* Inspects soon, also where an attempt waits for its turn. Returns with which `inspected` from now on that is
 * done: the first, or the second, where one is under way that may have read the files already. */
unsigned renewer_look(struct renewer *renewer);

/* After `observed`. */
void renewer_continue(struct renewer *renewer);

/* Waits for nothing any more, neither for its turn. */
void renewer_stop_waiting(struct renewer *renewer);

/* An operator wants a certificate that expires no earlier, or takes any (NOT_LONGER): now, or from the
 * attempt under way. */
void renewer_force(struct renewer *renewer, bool not_longer);

/* An operator wants another certificate within that time, in the part of it that the certificate has by its
 * name, whatever happens until then. Returns when (CLOCK_REALTIME). */
usec_t renewer_plan(struct renewer *renewer, usec_t within_usec);

/* An operator wants to enrol with TOKEN, which is taken over and cleansed; it may be one of another client
 * (ANY_SUBJECT). */
void renewer_offer_token(struct renewer *renewer, char *token, bool not_longer, bool any_subject);

/* A probe has found whether the Connector accepts the set in use: one that it rejects waits for a token at
 * once, and one that it accepts again is current again. No attempt is under way. */
void renewer_take_probe(struct renewer *renewer, const struct probe_result *result);

/* The attempt that an operator waits for will not be made; WHY follows "dropped: certificate is ". */
void renewer_give_up(struct renewer *renewer, const char *why);

/* The token that an operator gave is not wanted any more. */
void renewer_forget_token(struct renewer *renewer);

/* There is a larger budget: an attempt that waits for it waits no longer. */
void renewer_raise_budget(struct renewer *renewer);

/* An inspection or an attempt is under way. It goes beyond its inspection. It waits for its turn. */
bool renewer_is_busy(const struct renewer *renewer);
bool renewer_is_attempting(const struct renewer *renewer);
bool renewer_is_queued(const struct renewer *renewer);

/* The certificate is not accepted, or a token is needed: what an enrolment may replace without force. */
bool renewer_is_rejected(const struct renewer *renewer);

/* When the next attempt comes after a failure (CLOCK_REALTIME), or USEC_INFINITY. */
usec_t renewer_next_attempt(const struct renewer *renewer);
