#pragma once

/* The metrics as a file, for node_exporter's textfile collector. */

#include <systemd/sd-event.h>

#include "daemon/loop/workers.h"
#include "daemon/observe/metrics.h"

struct metrics_file;

/* The file is written no more often than this. */
#define METRICS_FILE_EVERY_USEC (5 * USEC_PER_SEC)

/* METRICS and SOURCE are borrowed, and read again for each file: the owner of SOURCE keeps it up to date.
 * There is no file before metrics_file_set_path(). 0 or -errno. */
int metrics_file_new(sd_event *event, struct workers *workers, const struct metrics *metrics,
                     const struct metrics_source *source, usec_t every_usec, struct metrics_file **ret);

/*
 * To be called after workers_free(), as for all jobs, and while SOURCE still has its certificates: what was
 * not written yet is written here, so that the last word of `--once` is on disk. The file stays. Accepts
 * NULL, returns NULL.
 */
struct metrics_file *metrics_file_free(struct metrics_file *file);
DEFINE_CLEANUP(struct metrics_file *, metrics_file_free);

/* From now on the file is PATH, an absolute one; NULL: there is none. It is written at once, or after the
 * interval where SOURCE is not ready; and the one before it, if this process has written it, is removed,
 * since it would be out of date. 0, also when it was PATH already; -ENOMEM. */
int metrics_file_set_path(struct metrics_file *file, const char *path);

/* Something has changed that a status or a counter shows: the file is written, soon. */
void metrics_file_changed(struct metrics_file *file);
