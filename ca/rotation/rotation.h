#pragma once

/*
 * The engine: it takes a rotation from phase to phase, each of them as read; already so?; write with the
 * version that was read; verify. It may be killed at any instant, or lose any answer: the next call finds out
 * from the places themselves how far it came. What it finds there that is none of its own states was written
 * by another writer, and then it stops.
 */

#include "ca/rotation/record.h"
#include "lib/x509/key.h"

struct rotation;

/* What the engine asks of the world beside the places. */
struct rotation_ports {
        /* A line for the operator: what is done now, and why. */
        void (*say)(void *userdata, const char *text);

        int (*generate)(void *userdata, unsigned bits, struct key **ret, struct error *error);

        /* After the writes of PHASE: whether gateways and Connector do what is expected then. 0; -EAGAIN with
         * a sentence where they do not (yet): the phase is not reached, and can be tried again. */
        int (*verify)(void *userdata, const struct record *record, enum phase phase, struct error *error);

        /* Before a CA leaves the bundles where a leaf might be lost: 0, or -EPERM with a sentence. */
        int (*guard)(void *userdata, const struct record *record, bool is_rollback, struct error *error);

        usec_t (*now)(void *userdata); /* CLOCK_REALTIME */
};

/* The places are borrowed. */
struct rotation_places {
        struct backend *signer;
        struct backend *const *trusts;
        size_t n_trusts; /* at least 1 */
        struct backend *state;
};

/* Reads the state file, where there is one. PLACES, PORTS and USERDATA are borrowed. 0 or -errno. */
int rotation_open(const struct rotation_places *places, const struct rotation_ports *ports, void *userdata,
                  struct rotation **ret, struct error *error);
struct rotation *rotation_free(struct rotation *rotation);
DEFINE_CLEANUP(struct rotation *, rotation_free);

/* NULL: there is none yet. Borrowed. */
const struct record *rotation_record(const struct rotation *rotation);

/* What is planned beside the places. */
struct rotation_terms {
        enum reason reason;
        usec_t not_before, not_after; /* of the new certificate */
        unsigned key_bits;
        usec_t leaf_lifetime;
};

/* Reads all places and writes a state file. 0; -EPERM where a rotation is under way; -errno. */
int rotation_plan(struct rotation *rotation, const struct rotation_terms *terms, struct error *error);

/*
 * Goes on until PHASE is reached. 0, also where it was; or with a sentence -EPERM where the state does not
 * allow it or the guard refuses, -ESTALE where another writer was there, -EAGAIN where it could not be
 * verified yet, or another -errno. Each may be called again.
 */
int rotation_apply(struct rotation *rotation, enum phase until, struct error *error);

/* Brings the bytes from before back, where nobody else has written since. As rotation_apply(). */
int rotation_rollback(struct rotation *rotation, struct error *error);

/* Gives up a rotation that has not written yet. As rotation_apply(). */
int rotation_abort(struct rotation *rotation, struct error *error);

/* For the guard: the names that an operator gives up, kept in the state file with the next phase. NULL: none.
 * 0 or -ENOMEM. */
int rotation_set_forced(struct rotation *rotation, const char *names);

/* In which of its states a place is: BEFORE, BOTH (a bundle), FINAL, a mixture that a kill has left, or
 * none. */
enum place_state {
        PLACE_OTHER,
        PLACE_BEFORE,
        PLACE_BOTH,
        PLACE_FINAL,
        PLACE_HALF,
        PLACE_MISSING,
        PLACE_STATE_MAX,
};
extern const char *const place_state_texts[PLACE_STATE_MAX];

/* Of the signer (I = 0) or the I-th bundle, from 1. 0 or -errno. */
int rotation_examine(const struct rotation *rotation, size_t i, enum place_state *ret, struct error *error);
