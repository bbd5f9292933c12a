#pragma once

/* What the commands that change something share: their options, and how they ask. */

#include "ctl/ctl.h"

/* For the table of options of each. They wait for completion, since an operator wants to know the outcome. */
#define CHANGE_OPTIONS                                                                            \
        { .name = "no-wait", .help = "do not wait for completion" },                              \
                { .name = "wait", .help = "wait for completion; this is the default" }, {         \
                .name = "timeout", .letter = 't', .kind = CTL_DURATION, .argument = "DURATION",   \
                .help = "wait at most that long", .min = USEC_PER_MSEC, .max = 365 * USEC_PER_DAY \
        }

/* Whether to wait. False, after an error message, where the options contradict each other: the caller ends
 * with CTL_USAGE. */
bool change_wants_wait(const struct ctl *ctl, bool *ret_wait);

/* As ctl_ask() and ctl_fail_call(); where no rekeyd runs they say how to start it, since there is nothing
 * that could be done without. */
int change_ask(struct ctl *ctl, const char *method, const char *path, const json_t *body, json_t **ret);
int change_fail(struct ctl *ctl, int r, const struct client_reply *reply, const struct error *error);

/* What rekeyd says of certificate NAME, as change_ask() has it. */
int change_read(struct ctl *ctl, const char *name, json_t **ret);

/* Opens the stream of events, those of CERTIFICATE unless that is NULL; says in the same way what is wrong.
 */
int change_open_events(struct ctl *ctl, const char *certificate, struct client_stream **ret);

/* The same as change_ask(), without saying what is wrong: the sentence, owned, is in *RET_SENTENCE; NULL when
 * memory is out. */
int change_ask_quietly(struct ctl *ctl, const char *method, const char *path, const json_t *body,
                       json_t **ret, char **ret_sentence);
