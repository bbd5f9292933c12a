#pragma once

/*
 * The site of a rotation by rekeyca: a devconnector and an nginx are the gateways, each with a bundle of its
 * own, a rekeyd with a few certificates is the fleet, and a thread calls both gateways with all of them, all
 * the time. The same thread looks for keys where none may be: in argument lists, and in files that others may
 * read.
 */

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tests/support/fixture.h"

#define SITE_CERTIFICATES 6u
#define SITE_WINDOW       "2s"

struct rotation_traffic {
        pthread_t thread;
        atomic_bool stop;
        atomic_uint n_calls, n_failed;
        atomic_uint n_looks, n_exposed; /* for keys; and where they were found */
        char first_failure[CURL_ERROR_SIZE + 256], first_exposed[512];
};

struct rotation_site {
        struct fixture *fixture;
        struct process *nginx, *rekeyca;
        unsigned nginx_port, metrics_port;
        char *config; /* path of the site file */
        struct rotation_traffic traffic;
        char *old_key;      /* a line in the middle of the key, to be looked for */
        char distrust[160]; /* the line that rekeyd has; "": none yet */
};

/* Starts all but rekeyca, with the control socket of rekeyd as control.sock. nginx has its bundle in
 * nginx-clients.pem, and reads it when it is told to. */
void rotation_site_begin(struct rotation_site *site);

/* Ends all; a key that was found where none may be fails the test. */
void rotation_site_end(struct rotation_site *site);

/* Writes the site file: SIGNER, TRUST (a YAML list) and STATE as rekeyca has them, and MORE, further lines.
 */
void rotation_site_configure(struct rotation_site *site, const char *signer, const char *trust,
                             const char *state, const char *more);

/* Awaits N more calls. */
void rotation_site_await_calls(struct rotation_site *site, unsigned n);

/* Starts rekeyca with VERB and A, B, C, each of which may be NULL; and its end, whose status is returned. */
void rotation_site_start(struct rotation_site *site, const char *verb, const char *a, const char *b,
                         const char *c);
int rotation_site_wait(struct rotation_site *site);

/* Both, where the status is EXPECTED. */
void rotation_site_run(struct rotation_site *site, int expected, const char *verb, const char *a,
                       const char *b, const char *c);

/* The last rekeyca printed TEXT, on standard output or as its error. */
void rotation_site_expect(const struct rotation_site *site, const char *text);
void rotation_site_expect_error(const struct rotation_site *site, const char *text);

/* "http://127.0.0.1:PORT/metrics" of rekeyd; owned. */
char *rotation_site_metrics(const struct rotation_site *site);

/* Gives rekeyd the `distrust` that the last rekeyca has printed, in place of the one before. */
void rotation_site_distrust(struct rotation_site *site);

/* A line for SCENARIO since BEGUN (CLOCK_MONOTONIC): calls and failures, which are counted from 0 again;
 * where it WAS_PLANNED no call may have failed. */
void rotation_site_report(struct rotation_site *site, const char *scenario, usec_t begun, bool was_planned);

/* A line in the middle of the key that PEM has; owned. */
char *rotation_middle_of_key(const char *pem);

/* --- A fleet of N certificates orders-00 ..., for clients client-00 ... --- */

/* Their entries below `certificates:`, where @ stands for the directory; EXTRA (", notify: ...") may be "".
 * Owned. */
char *rotation_fleet_yaml(unsigned n, const char *extra);
void rotation_fleet_tokens(struct fixture *fixture, unsigned n);

/* Awaits MESSAGE_ID N times. */
void rotation_fleet_await(struct fixture *fixture, unsigned n, const char *message_id);
