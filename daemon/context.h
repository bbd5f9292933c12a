#pragma once

/* What all certificates share. Owned by the manager, borrowed by everybody else. */

#include <stdatomic.h>
#include <systemd/sd-event.h>

#include "daemon/connector/slots.h"
#include "daemon/loop/curl-glue.h"
#include "daemon/loop/workers.h"

struct certificate;
struct events;
struct metrics;

struct context {
        sd_event *event;
        bool once; /* one attempt for each certificate, then exit */

        atomic_bool stopping; /* read by the key workers, who give up then */

        struct workers *key_workers;    /* key generation: every processor, for seconds */
        struct workers *disk_workers;   /* everything else that blocks: milliseconds */
        struct workers *export_workers; /* the same, in directories of others */
        struct curl_glue *curl;
        struct slots slots;      /* `limits.concurrent_renewals` */
        struct events *events;   /* what happens, for those who watch */
        struct metrics *metrics; /* what is counted */

        uint8_t machine_id[16]; /* derived for this application; the same after a restart */
        uint8_t boot_id[16];    /* all zero where it cannot be had */
        int state_fd;           /* `state_directory`, locked */
        unsigned issuances_per_hour;

        /* A certificate has looked at its files for the first time. */
        void (*inspected)(struct context *context);
        /* Something has changed that a status shows. */
        void (*changed)(struct context *context);
        /* certificate_retire() is done: the certificate may be freed. */
        void (*retired)(struct context *context, struct certificate *certificate);
        /* --once: a certificate has nothing more to do. */
        void (*settled)(struct context *context, bool renewed, bool failed);
};
