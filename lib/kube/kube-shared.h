#pragma once

/*
 * One set that replicas share, in two Secrets and a Lease.
 *
 * The published Secret (kubernetes.io/tls) has the set that is current, and changes once a generation. The
 * private one has what is staged for the next generation. Every write carries the resourceVersion that was
 * read: that makes the staged key the only one of its generation, and a set that was published never comes
 * back. The Lease only saves work that would be done twice. Two replicas may both have the same key signed,
 * where one was frozen between its last look at the clock and the call; there are never two keys for one
 * generation, and never a set of two.
 *
 * Pure: objects are read and changed here, and sent elsewhere.
 */

#include <jansson.h>

#include "lib/kube/kube-lease.h"

#define SHARED_GENERATION  "rekeyd.io/generation" /* annotations of the published Secret */
#define SHARED_FINGERPRINT "rekeyd.io/fingerprint"

/* What both Secrets say. */
struct shared_view {
        uint64_t generation; /* that is published; 0: none */

        /* Staged for the generation after it. What is staged for any other is void, and counts as nothing. */
        bool has_key, has_csr, has_certificate;

        /* Who was about to have it signed last, and how often that was so for this generation. */
        char marked_by[KUBE_LEASE_HOLDER_MAX + 1];
        unsigned n_marks;
};

/* 0, or -EPROTO with a sentence where a Secret says what rekeyd never writes. */
int shared_read(const json_t *published, const json_t *private, struct shared_view *ret, struct error *error);

/* What is staged. */
enum shared_part {
        SHARED_KEY,
        SHARED_CSR,
        SHARED_TOKEN,
        SHARED_CONNECTION,
        SHARED_CERTIFICATE,
        SHARED_CA,
        SHARED_PART_MAX,
};
extern const char *const shared_part_names[SHARED_PART_MAX];

/* The staged PART; owned by the caller, who cleanses it. 0, -ENOENT, -EINVAL or -ENOMEM. */
int shared_get(const json_t *private, enum shared_part part, char **ret);

/* Changes PRIVATE so that writing it stages KEY_PEM for the generation after VIEW's, and drops all that was
 * staged or marked before. Not where a key is staged for it already (-EEXIST): there is to be one. 0 or
 * -ENOMEM. */
int shared_stage_key(json_t *private, const struct shared_view *view, const char *key_pem);

/* Changes PRIVATE so that writing it stages PART of that key; TEXT NULL drops it. 0, -ENOKEY where no key is
 * staged, or -ENOMEM. */
int shared_stage(json_t *private, const struct shared_view *view, enum shared_part part, const char *text);

/* Changes PRIVATE so that writing it says that SELF has it signed now: one more. 0, -ENOKEY or -ENOMEM. */
int shared_mark(json_t *private, const struct shared_view *view, const char *self);

/* Changes PUBLISHED so that writing it publishes what is staged in PRIVATE as the next generation;
 * FINGERPRINT is of its leaf. Other values, labels and annotations stay. 0; -ENODATA where key or certificate
 * are not staged; -EINVAL, -ENOMEM. */
int shared_publish(json_t *published, const json_t *private, const struct shared_view *view,
                   const char *fingerprint);

/* Changes PUBLISHED so that writing it publishes PARTS, NULL for none, as GENERATION: where a stranger has
 * overwritten a set that is known elsewhere, or an older one was made current. 0, -EINVAL or -ENOMEM. */
int shared_write_back(json_t *published, const char *const parts[SHARED_PART_MAX], uint64_t generation,
                      const char *fingerprint);

/* Whether PARTS (NULL: none) and nothing else is staged for the generation after VIEW's. */
bool shared_has_parts(const json_t *private, const struct shared_view *view,
                      const char *const parts[SHARED_PART_MAX]);

/*
 * Changes PRIVATE so that writing it stages PARTS, with a mark of SELF unless that is NULL. Another key than
 * the staged one takes its place, which is right only where that is of no use: too small for what is asked
 * for, and nothing was published with it. 0 or -ENOMEM.
 */
int shared_stage_parts(json_t *private, const struct shared_view *view,
                       const char *const parts[SHARED_PART_MAX], const char *self);

/* What both Secrets hold: owned copies, NULL where there is none, or what is no text. */
struct shared_copy {
        bool is_read;
        uint64_t generation;
        char *published[SHARED_PART_MAX], *staged[SHARED_PART_MAX];
};
void shared_copy_clear(struct shared_copy *copy); /* cleanses it */
int shared_copy_read(const json_t *published, const json_t *private, const struct shared_view *view,
                     struct shared_copy *ret); /* 0 or -ENOMEM */

/* --- What is next */

enum shared_step {
        SHARED_IDLE,    /* nothing is due, and the Lease is not ours */
        SHARED_WAIT,    /* another replica works on it, until kube_lease_end() */
        SHARED_TAKE,    /* write the Lease: take it, or hold it longer */
        SHARED_STAGE,   /* write a key into the stage, then its CSR */
        SHARED_MARK,    /* write the mark */
        SHARED_SIGN,    /* have it signed, and give up before the Lease ends */
        SHARED_KEEP,    /* write the certificate into the stage */
        SHARED_PUBLISH, /* verify what is staged, and write the published Secret */
        SHARED_RELEASE, /* write the Lease: nobody has it */
        SHARED_STEP_MAX,
};
extern const char *const shared_step_names[SHARED_STEP_MAX];

struct shared_situation {
        const struct shared_view *view;
        const struct kube_lease *lease;
        const char *self;
        bool is_due;    /* the published set is to be replaced */
        bool is_marked; /* the mark in the view was written by this replica, for the signature that is next */
        bool has_reply; /* a certificate is here that is not staged yet */
        usec_t now;     /* CLOCK_BOOTTIME */
        usec_t call_usec; /* what a signature may take */
};

/*
 * After each write both Secrets are as they were written; after one that was refused (409) or whose outcome
 * is unknown they are read again, and so is the Lease. Never is a write repeated blindly. The first row that
 * fits:
 *
 *   not due, the Lease is ours             SHARED_RELEASE
 *   not due                                SHARED_IDLE
 *   the Lease is another's                 SHARED_WAIT
 *   it is ours for less than a signature   SHARED_TAKE
 *   a certificate is staged                SHARED_PUBLISH
 *   a reply is here                        SHARED_KEEP
 *   no key is staged                       SHARED_STAGE
 *   it is not marked                       SHARED_MARK
 *   otherwise                              SHARED_SIGN
 */
enum shared_step shared_next(const struct shared_situation *situation);
