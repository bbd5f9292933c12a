#pragma once

/* What the loop offers to everything that hangs on it. Owned by the manager, borrowed by all others. */

#include <stdatomic.h>
#include <systemd/sd-event.h>

#include "daemon/loop/children.h"
#include "daemon/loop/curl-glue.h"
#include "daemon/loop/workers.h"

struct loop_services {
        sd_event *event;
        atomic_bool stopping;           /* read by the key workers, who give up then */
        struct workers *key_workers;    /* key generation: every processor, for seconds */
        struct workers *disk_workers;   /* everything else that blocks: milliseconds */
        struct workers *export_workers; /* the same, in directories of others */
        struct curl_glue *curl;         /* with a thread */
        struct children *children;      /* dependents' commands */
};
