#pragma once

/* What all parts of one certificate know of it. certificate.c alone writes it; facts.c writes the facts. */

#include "daemon/certificate/environment.h"
#include "daemon/certificate/facts.h"
#include "daemon/observe/state-file.h"
#include "lib/config/config.h"

struct key_order;
struct replica;
struct reporter;

struct core {
        struct environment *env;
        struct config *owner;                    /* a reference */
        const struct config_certificate *config; /* in it */
        struct state_file *state_file;
        struct reporter *reporter;  /* for all that is logged */
        struct replica *replica;    /* `store`; NULL: the directory is the store */
        struct key_order *next_key; /* key-ahead.c alone writes it: one that is being generated; NULL: none */
        struct facts facts;
        bool is_retired; /* it is not in the configuration any more, and comes to its end */
};
