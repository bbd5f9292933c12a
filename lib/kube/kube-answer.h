#pragma once

/* What an API server's answer means. Pure. */

#include <jansson.h>

#include "lib/util/error.h"
#include "lib/util/time.h"

/* How a request ended. What is not KUBE_DONE comes with a sentence. */
enum kube_outcome {
        KUBE_DONE,
        KUBE_NOT_FOUND,
        KUBE_EXISTS,       /* what was to be created is there */
        KUBE_CONFLICT,     /* somebody has written since: read it, and decide anew */
        KUBE_GONE,         /* of a watch: its version is too old; read the object, and watch from there */
        KUBE_UNAUTHORIZED, /* the credentials are not accepted */
        KUBE_FORBIDDEN,    /* they are, and give no right to this */
        KUBE_INVALID,      /* the server will not take it, however often it is asked */
        KUBE_BUSY,         /* refused for now: nothing was done */
        KUBE_UNCERTAIN,    /* whether it was done is unknown: read, and compare; never repeat blindly */
        KUBE_UNREACHED,    /* the server has heard nothing */
        KUBE_BAD_REPLY,    /* it was no API server that answered */
        KUBE_OUTCOME_MAX,
};
extern const char *const kube_outcome_names[KUBE_OUTCOME_MAX];

/* What came over the wire. Borrowed. */
struct kube_reply {
        unsigned status;
        const char *body;
        size_t size;
        usec_t retry_after_usec; /* the header's; 0: none */
        bool changes;            /* of the request: an error of the server leaves open whether it was done */
};

/*
 * Reads REPLY. With KUBE_DONE, *RET is the object, owned by the caller, or a Status that says so.
 * *RET_RETRY_USEC is when to ask again, 0 where the server does not say. A text of the server is quoted in
 * ERROR as reply_quote() does. -ENOMEM, or an outcome.
 */
int kube_answer_read(const struct kube_reply *reply, json_t **ret, usec_t *ret_retry_usec,
                     struct error *error);

/* What a Status, or the object of an ERROR in a watch, means. */
enum kube_outcome kube_answer_judge(unsigned status, const char *reason, bool changes);
