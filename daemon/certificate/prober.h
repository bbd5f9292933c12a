#pragma once

/* When the certificate in use is probed, and what comes of it: from time to time as `pulse` says, once after
 * an adoption, and for an operator. */

#include "daemon/certificate/core.h"
#include "daemon/certificate/probe.h"
#include "daemon/loop/coarse-timers.h"

struct prober;

struct prober_ops {
        /* prober_begin() may have something to do. */
        void (*is_due)(struct prober *prober);
        /* The Connector accepts the certificate in use, or rejects it (ERROR): RESULT is valid until this
         * returns. */
        void (*judged)(struct prober *prober, const struct probe_result *result);
        /* It is over; WAS_ASKED: an operator's is. */
        void (*ended)(struct prober *prober, bool was_asked);
};

struct prober {
        const struct core *core;
        const struct prober_ops *ops;
        struct coarse_timer timer;
        struct probe *probe; /* under way */
        usec_t probed_usec;  /* CLOCK_REALTIME, of the last one; 0: none */
        uint8_t last_answer; /* of `enum probe_answer` */
        uint8_t n_failures;  /* in a row */
        bool is_due;
        bool is_adopted; /* nobody has proven the set yet: the next success is news */
        bool is_asked;   /* an operator waits for the one under way */
};

/* All is borrowed. */
void prober_init(struct prober *prober, const struct core *core, const struct prober_ops *ops);
/* Ends what is under way; the workers have stopped, or it is done. */
void prober_clear(struct prober *prober);

/* Waits for the next time, by the configuration that the core has now. A rejection by which the last run
 * ended is not believed: it is found out at once. */
void prober_resume(struct prober *prober);

/* The set in use is another one: IS_ADOPTED: which nobody has proven yet. */
void prober_restart(struct prober *prober, bool is_adopted);

/* A probe is due, and nothing is in its way: it begins. */
void prober_begin(struct prober *prober);

/* An operator wants to know now. `ended` is called, maybe from here. */
void prober_ask(struct prober *prober);

/* The certificate retires: ends what can be ended now. */
void prober_retire(struct prober *prober);

static inline bool prober_is_busy(const struct prober *prober) {
        return prober->probe;
}
