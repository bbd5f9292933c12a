#pragma once

/* What all certificates share, and what they tell their owner. Owned by the manager, borrowed by the
 * certificates. */

#include "daemon/connector/slots.h"
#include "daemon/delivery/places.h"
#include "daemon/loop/coarse-timers.h"
#include "daemon/loop/exact-timers.h"
#include "daemon/loop/services.h"
#include "daemon/observe/observers.h"
#include "daemon/observe/state-file.h"

struct certificate;
struct environment;
struct issuers;
struct key_maker;
struct kube_client;
struct seals;

struct environment_ops {
        /* A certificate has inspected its files, or could not (HAS_FAILED). IS_FIRST: since the start. */
        void (*inspected)(struct environment *env, const struct certificate *certificate, bool is_first,
                          bool has_failed);
        /* A certificate has a new set, which is issued under other CA certificates than BEFORE (NULL: not
         * known, or there was no set). */
        void (*other_issuers)(struct environment *env, struct certificate *certificate,
                              const struct issuers *before);
        /* Something has changed that a status shows. */
        void (*changed)(struct environment *env);
        /* certificate_retire() is done: the certificate may be freed. */
        void (*retired)(struct environment *env, struct certificate *certificate);
        /* --once: a certificate has nothing more to do. */
        void (*settled)(struct environment *env, bool renewed, bool failed);
};

struct environment {
        struct loop_services services;
        struct observers observers;
        struct state_directory state_directory;
        struct slots slots;          /* `limits.concurrent_renewals` */
        struct places places;        /* of notifications */
        struct coarse_timers coarse; /* `pulse`, `key.ahead` */
        struct key_maker *key_maker;
        struct exact_timers due; /* renewals, on the wall clock */
        struct exact_timers backoffs;
        struct kube_client *kube; /* `kubernetes` */
        struct seals *seals;      /* what earlier inspections have found; NULL: they are not kept */
        uint8_t machine_id[16];   /* derived for this application; the same after a restart */
        unsigned issuances_per_hour;
        bool once; /* one attempt for each certificate, then exit */
        const struct environment_ops *ops;
};
