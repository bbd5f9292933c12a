#pragma once

/* One run over the exports of a certificate: which are not what they should be, and writing those. */

#include "daemon/loop/workers.h"
#include "lib/config/config.h"

/* What came of one export. An error says that it could not be written, or could not be if it had to. */
struct export_result {
        bool is_seen;     /* of a Secret: it was read */
        bool is_stale;    /* it was not what it should be */
        bool is_writable; /* and could be written, as far as can be told beforehand */
        bool is_written;  /* and is what it should be now */
        char *warning;
        struct error error;
};

struct exports_run;

struct kube_client;
struct state;

/*
 * STATE has the CAs that are out of use; what is needed of it is copied.
 *
 * KUBE calls the API server for exports to Secrets. For SET, the current one, NULL for none; all is borrowed
 * until the run is freed. CLOSELY: could those that are current be replaced, should they have to be? NULL
 * where there is nothing to do, or memory is out: the next run does it.
 */
struct exports_run *exports_run_new(struct workers *workers, struct kube_client *kube,
                                    const struct config_certificate *config, const struct set *set,
                                    const struct state *state, bool closely);

/* No job may be under way. Accepts NULL, returns NULL. */
struct exports_run *exports_run_free(struct exports_run *run);

/* Finds out which exports are stale, and could be written; then writes those. Files on a worker thread,
 * Secrets from the loop; DONE is called from the loop. */
void exports_run_check(struct exports_run *run, void (*done)(void *userdata), void *userdata);
void exports_run_write(struct exports_run *run, void (*done)(void *userdata), void *userdata);

/* At least one export is stale and writable. */
bool exports_run_has_work(const struct exports_run *run);

/* When an export that is current now will not be any more, since an old CA is to leave it (CLOCK_REALTIME);
 * USEC_INFINITY: never. */
usec_t exports_run_end(const struct exports_run *run);

/* Of the I-th export of the configuration. */
const struct export_result *exports_run_result(const struct exports_run *run, size_t i);
