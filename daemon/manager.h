#pragma once

/* What all certificates share: the loop, the pools, curl, and the right to renew. */

#include <systemd/sd-event.h>

#include "daemon/curl-glue.h"
#include "daemon/workers.h"
#include "lib/config.h"

struct certificate;

struct manager {
        sd_event *event;
        struct config *config;
        bool once; /* one attempt for each certificate, then exit */

        struct workers *key_workers;  /* key generation: every processor, for seconds */
        struct workers *disk_workers; /* everything else that blocks: milliseconds */
        struct curl_glue *curl;

        uint8_t machine_id[16]; /* derived for this application; the same after a restart */

        struct certificate **certificates;
        size_t n_certificates;

        /* `limits.concurrent_renewals` and who waits for one to end, in order. */
        unsigned slots_free;
        struct certificate *first_waiting, *last_waiting;

        /* --once: what is still to be heard of, and what was. */
        size_t n_unsettled;
        bool any_renewed, any_failed;
};

/* Takes CONFIG over. 0 or -errno with a sentence. */
int manager_new(sd_event *event, struct config *config, bool once, struct manager **ret, struct error *error);

/* Wakes every certificate. */
void manager_start(struct manager *manager);

struct manager *manager_free(struct manager *manager);
DEFINE_CLEANUP(struct manager *, manager_free);

/* Takes a slot if one is free. */
bool manager_take_slot(struct manager *manager);

/* Gives a slot back; the first certificate in the queue is woken. */
void manager_return_slot(struct manager *manager);

/* Puts CERTIFICATE, which waits for a slot, at the end of the queue; or takes it out again. */
void manager_enqueue(struct manager *manager, struct certificate *certificate);
void manager_dequeue(struct manager *manager, struct certificate *certificate);

/* --once: CERTIFICATE has nothing more to do. Ends the loop after the last. */
void manager_settled(struct manager *manager, bool renewed, bool failed);

/* 0: nothing was due; 2: something was renewed; 1: something failed. */
int manager_exit_status(const struct manager *manager);
