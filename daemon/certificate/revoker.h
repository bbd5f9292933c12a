#pragma once

/* Revocation of a certificate's sets: the current one, because an operator asks for it, and the one before,
 * some time after a swap, because `revoke_old` says so. One at a time. */

#include <systemd/sd-event.h>

#include "daemon/certificate/core.h"
#include "daemon/certificate/reporter.h"

struct revocation;
struct revoker;

/* Why a revocation is over. */
enum revoker_end {
        REVOKER_OLD,   /* that of `revoke_old`, or one that will be tried again: nothing else has changed */
        REVOKER_ASKED, /* revoker_revoke_current() */
        REVOKER_LATE_NEWS, /* it is known now what came of an earlier revoker_revoke_current() */
};

struct revoker_ops {
        bool (*is_blocked)(struct revoker *revoker); /* an operation may bring back the very set: wait */
        void (*ended)(struct revoker *revoker, enum revoker_end end);
};

struct revoker {
        const struct core *core;
        const struct revoker_ops *ops;
        struct revocation *revocation; /* under way */
        sd_event_source *old_timer;    /* for the generation that was replaced */
        sd_event_source *asked_timer;  /* for one that an operator wants revoked, and that may be */
        unsigned n_old_failures;       /* in a row */
        unsigned n_asked_failures;     /* in a row */
};

/* All is borrowed. */
void revoker_init(struct revoker *revoker, const struct core *core, const struct revoker_ops *ops);

/* Ends what is under way; the workers have stopped, or it is done. */
void revoker_clear(struct revoker *revoker);

/* Goes on with what the state file says: at the start, and with a new configuration. */
void revoker_resume(struct revoker *revoker);

/* The certificate retires: what is to be revoked later is not. */
void revoker_retire(struct revoker *revoker);

/* The current set is to be replaced, as `revoke_old` may want to know: true when the state file is to be
 * saved before it is. And it is current after all, since the swap failed. */
bool revoker_schedule(struct revoker *revoker);
void revoker_cancel(struct revoker *revoker);

/* Revokes at once what is scheduled, since its files may go soon. */
void revoker_flush(struct revoker *revoker);

/* An operator wants the current set revoked. `ended` is called with REVOKER_ASKED, maybe from here. */
void revoker_revoke_current(struct revoker *revoker);

static inline bool revoker_is_busy(const struct revoker *revoker) {
        return revoker->revocation;
}
