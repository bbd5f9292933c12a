#pragma once

/* The key of the next renewal, generated and staged a while before that is due: `key.ahead`. */

#include "daemon/certificate/core.h"
#include "daemon/loop/coarse-timers.h"
#include "lib/life/renewal.h"
#include "lib/report/report.h"

struct key_ahead;
struct stage_job;

struct key_ahead_ops {
        /* key_ahead_begin() has something to do. */
        void (*is_due)(struct key_ahead *ahead);
        /* What worked on the store has ended. */
        void (*ended)(struct key_ahead *ahead);
};

struct key_ahead {
        struct core *core;
        const struct key_ahead_ops *ops;
        struct coarse_timer timer;
        struct stage_job *job; /* the store is open and locked; NULL: it is not */
        usec_t at_usec;        /* CLOCK_REALTIME: when it is to be generated; USEC_INFINITY: not planned */
        usec_t retry_usec;     /* CLOCK_BOOTTIME: not before; 0: whenever */
        uint8_t n_failures;    /* in a row */
        bool is_due;           /* to be ordered */
        bool is_made;          /* core->next_key has come to its end */
        bool is_staged;        /* one is, whoever has staged it */
        bool is_unwanted;      /* it is to be removed, if nothing was done with it yet */
};

/* All is borrowed. */
void key_ahead_init(struct key_ahead *ahead, struct core *core, const struct key_ahead_ops *ops);
/* The workers have stopped. */
void key_ahead_clear(struct key_ahead *ahead);

/* An inspection has seen that a key of the size that is asked for is staged, or none is. */
void key_ahead_observe(struct key_ahead *ahead, bool is_staged);

/* No attempt is under way any more, and RENEWAL says what comes next: what goes with it is planned. */
void key_ahead_plan(struct key_ahead *ahead, const struct renewal *renewal);

/* Nothing is in the way: what is due begins, as long as the certificate is current (IS_CURRENT). */
void key_ahead_begin(struct key_ahead *ahead, bool is_current);

/* The configuration is another one: an inspection follows, which leads to a new plan. */
void key_ahead_reset(struct key_ahead *ahead);

/* The certificate retires: no key is needed, and one that is staged is removed by key_ahead_begin(). */
void key_ahead_retire(struct key_ahead *ahead);

/* It works on the store: no inspection and no operation may begin before `ended`. */
static inline bool key_ahead_is_busy(const struct key_ahead *ahead) {
        return ahead->job;
}

/* For the status; *RET_AT is when it is to be generated, USEC_INFINITY where that is not to come. */
enum report_key key_ahead_state(const struct key_ahead *ahead, usec_t *ret_at);
