#pragma once

/* The certificate authorities of the Connector for development, and the files that hold them. */

#include "devconnector/pki.h"
#include "devconnector/settings.h"

#define CA_CLIENT_TRUST "clients.pem"   /* what the certificate endpoint trusts */
#define CA_SERVER_TRUST "server-ca.crt" /* what clients must trust */

struct ca;

/* Opens the CAs in the directory, which is borrowed as SETTINGS is, and makes what is missing. 0 or -errno.
 */
int ca_open(int dir_fd, const struct settings *settings, struct ca **ret, struct error *error);
struct ca *ca_free(struct ca *ca);
DEFINE_CLEANUP(struct ca *, ca_free);

/* The CA that signs. Read again from the files when what is in memory is older than the window at NOW
 * (CLOCK_MONOTONIC): inside the window a retired CA still signs, as with the real Connector. Files that
 * cannot be read leave the old one in use, with a warning on stderr. Never NULL. */
const struct pki_pair *ca_issuer(struct ca *ca, usec_t now);

/* The issuer of the last ca_issuer() and what is above it: CA, then root. Borrowed. */
const pki_list *ca_chain(const struct ca *ca);

/* The identity of both endpoints. Borrowed. */
const struct pki_pair *ca_server(const struct ca *ca);

struct ca_rotation {
        bool same_key;
        const char *name; /* NULL: as before */
        bool trust_new_only;
};

/* Replaces the CA files; what signs changes when the window has passed. *RET is the new certificate. */
int ca_rotate(struct ca *ca, const struct ca_rotation *rotation, X509 **ret, struct error *error);

/* An untrusted CA and key, for faults; generated at the first request. NULL when that failed. Borrowed. */
const struct pki_pair *ca_stranger(struct ca *ca);
