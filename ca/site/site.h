#pragma once

/* The configuration of a site: where the CA is kept, and how its gateways are asked and reloaded. */

#include "lib/protocol/protocol.h"
#include "lib/util/arena.h"
#include "lib/util/error.h"
#include "lib/util/time.h"

#define SITE_FILE  "/etc/rekeyca/site.yaml"
#define SITE_STATE "/var/lib/rekeyca/rotation.json"

struct site_gateway {
        char *url;
        char *trust; /* PEM file of its server's CA; NULL: the system's */
};

/* Which client the Connector is asked to sign for, to see its CA. */
struct site_canary {
        char *url; /* the certificate-secured endpoint; NULL: there is no canary */
        char *subject;
        char *trust;
        enum protocol_id protocol;
};

/* All texts are in MEMORY, or borrowed from the command line. */
struct site {
        char *signer, *state, *kubeconfig;
        char **trust; /* ends with NULL, as `reload` and `control`; NULL: none */
        char **reload;
        char **control; /* sockets of rekeyds */
        struct site_gateway *gateways;
        size_t n_gateways;
        struct site_canary canary;
        char *prometheus; /* NULL: the fleet is not counted */
        char *connector;  /* what rekeyd's configuration calls the Connector */
        usec_t leaf_lifetime, ca_lifetime, ca_window, skew, patience; /* ca_lifetime 0: as before */
        usec_t renew_within;                                          /* for those of `control` */
        unsigned key_bits;
        struct arena memory;
};

/* Reads FILE; with IS_OPTIONAL, defaults where there is none. 0, or -errno with all that is wrong in one
 * text, a line each. */
int site_read(const char *file, bool is_optional, struct site *ret, struct error *error);
void site_clear(struct site *site);
