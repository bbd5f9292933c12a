#pragma once

/* The live side of a rotation: what gateways and Connector do, reloads, and who would be lost. */

#include <jansson.h>

#include "ca/live/gateway.h"
#include "ca/rotation/guard.h"
#include "ca/rotation/record.h"

struct fleet;

struct live {
        const struct site *site;
        int (*generate)(void *userdata, unsigned bits, struct key **ret, struct error *error);
        void (*say)(void *userdata, const char *text); /* a line for the operator */

        /* One of site->reload that is not for reload_run(). NULL: there is none. 0 or -errno with a sentence.
         */
        int (*reload_other)(void *userdata, const char *spec, struct error *error);
        void *userdata;
};

/* The two CAs, with their keys. `new` is empty before it is staged. */
struct live_cas {
        struct cert *old_cert, *new_cert;
        struct key *old_key, *new_key;
};
int live_read_cas(const struct record *record, struct live_cas *ret, struct error *error);
void live_cas_clear(struct live_cas *cas);

/*
 * Whether the world is as PHASE has it: for a bundle each address of each gateway is probed with leaves of
 * both CAs, and what is to be reloaded is reloaded where they ask for it; for a signer the canary is asked,
 * past the Connector's window. 0; -EAGAIN with a sentence after the site's patience; -errno.
 */
int live_verify(const struct live *live, const struct record *record, enum phase phase, struct error *error);

/* What LIVE says to the operator. */
void live_say(const struct live *live, const char *format, ...) _printf_(2, 3);

/* Whether the fleet can be counted, and all its sets, by Prometheus and by the control sockets. 0 or -errno
 * with a sentence. */
bool live_counts(const struct live *live);
int live_count(const struct live *live, struct fleet *ret, struct error *error);

/* Has each rekeyd whose control socket was given renew its sets of the old CA; names those that need a token,
 * where they cannot be renewed. 0; -EAGAIN with a sentence where not all of them are; -errno. */
int live_renew(const struct live *live, const struct record *record, struct error *error);

/* Whether a CA may leave: the old one, or the new one with IS_ROLLBACK. 0, or -EPERM with a sentence. */
int live_guard(const struct live *live, const struct record *record, bool is_rollback, struct error *error);

/* One probe of all addresses, as JSON: a list of objects with gateway, address, old and new. CAS may have one
 * of them only. Owned. */
int live_probe(const struct live *live, const struct live_cas *cas, json_t **ret, struct error *error);
