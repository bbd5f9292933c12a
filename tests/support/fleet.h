#pragma once

/* Hundreds or thousands of complete sets at once, written without waiting for the disk. */

#include <stdio.h>

#include "tests/support/x509.h"

struct fleet_options {
        const char *directory; /* a stand's; its devconnector signs the leaves, so it takes them */
        const char *name;      /* of a folder in it, and of the certificates: "good", good-00000 ... */
        unsigned n;
        const char *url;              /* certificate-secured, for connection.json */
        usec_t not_before, not_after; /* CLOCK_REALTIME */
        bool with_staged_key;         /* the next key is made already, as after an attempt that was cut off */
        unsigned key_bits; /* each set has a key, and a staged key, of its own, of that size; 0: see below */
};

/* Every set has a leaf of its own. Without `key_bits` all have the same key, x509_key(0), and the staged key
 * x509_key(2). What cannot be made aborts. */
void fleet_make(const struct fleet_options *options);

/* Their entries below `certificates:`, with what EXTRA says for each of them (", name: value" or ""). */
void fleet_configure(const struct fleet_options *options, FILE *out, const char *connector,
                     const char *extra);

/* The configuration of FIXTURE is of FLEET, with DEFAULTS for all ("key: {bits: 2048}") and MORE lines. */
struct fixture;
void fleet_run_by(const struct fleet_options *options, const struct fixture *fixture, const char *defaults,
                  const char *more);

/* The path of file NAME ("tls.crt") of the I-th set; owned by the caller. */
char *fleet_path(const struct fleet_options *options, unsigned i, const char *name);

/* N sets of 90 days in FIXTURE, for its devconnector, that have LEFT_USEC to live. */
struct fleet_options fleet_of(const struct fixture *fixture, const char *name, unsigned n, usec_t left_usec);
