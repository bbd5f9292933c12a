#pragma once

/* Where what is shown comes from: rekeyd, or the files where no rekeyd runs. */

#include "ctl/ctl.h"

struct source;

/* Nothing is asked yet. NULL when memory is out. */
struct source *source_new(struct ctl *ctl);
struct source *source_free(struct source *source);
DEFINE_CLEANUP(struct source *, source_free);

/*
 * Each returns CTL_OK, or an exit status after it has printed the error. If no process listens at the
 * socket they read the files instead, and report that in a line on standard error, once. Results are the
 * caller's.
 *
 * source_list(): an array with the status of NAMES, in their order; of all where N is 0.
 */
int source_list(struct source *source, const char *const *names, size_t n, json_t **ret);
int source_details(struct source *source, const char *name, json_t **ret);
int source_history(struct source *source, const char *name, json_t **ret); /* an array of events */

bool source_is_offline(const struct source *source); /* after one of the above */

/* Starts over: rekeyd may have been started or stopped. */
void source_refresh(struct source *source);

/* Neither errors nor the fact that the files are read are printed: for `check`, which has one line for all,
 * and for completions. */
void source_be_quiet(struct source *source);
const char *source_error(const struct source *source); /* the last sentence; "" for none. Borrowed */
