#pragma once

/* One call of rekeyca: its site, its places, the engine, and how it speaks. */

#include <jansson.h>

#include "ca/cli/options.h"
#include "ca/cluster/cluster.h"
#include "ca/live/live.h"
#include "ca/rotation/rotation.h"
#include "ca/rotation/survey.h"
#include "ca/site/site.h"

#define SESSION_TRUSTS_MAX 32

struct session {
        const struct options *options; /* borrowed */
        struct site site;
        struct site_gateway gateways[OPTIONS_REPEAT_MAX]; /* of the command line */
        struct cluster *cluster;                          /* NULL until it is needed */
        struct backend *signer, *state;
        struct backend *trusts[SESSION_TRUSTS_MAX];
        size_t n_trusts;
        struct rotation *rotation;
        struct live live;
        json_t *answer; /* what --json prints */
};

/* Whether places are only read, or changed: then other operators are kept out. */
enum session_mode { SESSION_READS, SESSION_CHANGES };

/* Reads the site file, opens the places and the state file. 0 or -errno, -EINVAL for the site. */
int session_open(struct session *session, const struct options *options, enum session_mode mode,
                 struct error *error);
void session_close(struct session *session);

/* A line on standard output, without what deceives a reader; with --json among what was done. */
void session_say(struct session *session, const char *format, ...) _printf_(2, 3);

/* What is wrong with the places. Owned. 0 or -errno. */
int session_survey(struct session *session, struct survey *ret, struct error *error);

/* A CA certificate for --json and for people. Owned; NULL: no memory. */
json_t *session_describe_cert(const struct cert *cert);

/* What the clients have to do in this phase, printed or for --json. */
void session_advise(struct session *session);

/* Ends a call: prints the answer, or the sentence of ERROR, and returns the exit status for R. */
int session_end(struct session *session, int r, const struct error *error);

/* The verbs. Each returns 0 or -errno with a sentence. */
int verb_inspect(struct session *session, struct error *error);
int verb_plan(struct session *session, struct error *error);
int verb_apply(struct session *session, struct error *error);
int verb_status(struct session *session, struct error *error);
int verb_probe(struct session *session, struct error *error);
int verb_retire(struct session *session, struct error *error);
int verb_rollback(struct session *session, struct error *error);
int verb_abort(struct session *session, struct error *error);
