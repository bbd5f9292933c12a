#pragma once

/* A fleet of certificates on a simulated clock, and a Connector that fails. */

#include "lib/renewal.h"

#define SIMULATION_START (UINT64_C(1795197442) * USEC_PER_SEC)

#define OUTAGES         3u
#define BUDGET          6u  /* signatures an hour for each certificate */
#define FAILING_PERCENT 10u /* of the calls, besides the outages */

struct scenario {
        const char *name;
        unsigned fleet;
        usec_t lifetime, span;
        unsigned renew_before_percent, jitter_percent;

        /* Since the start */
        usec_t outage_at[OUTAGES], outage_usec;
        usec_t ca_replaced_at, ca_lead_usec; /* the old one expires that much later */

        enum flaw {
                FLAW_NONE,
                FLAW_NO_RETRY,       /* a back-off that never ends */
                FLAW_ONE_SEED,       /* no jitter between certificates */
                FLAW_NO_BUDGET,      /* nobody asks schedule_budget_wait() */
                FLAW_NO_WINDOW,      /* a bad reply is no reason to wait for the CA */
                FLAW_SECOND_ATTEMPT, /* a wake starts an attempt beside the one under way */
        } flaw;
};

struct certificate {
        struct renewal renewal;
        uint32_t seed;
        usec_t not_before, expiry; /* the current set; the expiry is the effective one */

        bool has_staged_key, has_staged_reply;
        usec_t reply_not_before, reply_expiry;

        enum failure failure; /* of the step under way */
        usec_t retry_after_usec;
        unsigned ticket; /* a timer or step of another ticket is out of date */

        usec_t budget[BUDGET]; /* as the daemon keeps it */
        size_t n_budget;

        /* The simulation's own books */
        usec_t signed_at[BUDGET]; /* a ring of the last requests */
        size_t n_signed;
        usec_t bad_reply_at; /* the last one */
        unsigned under_way, renewals;
        bool has_expired;
};

struct event {
        usec_t at;
        uint64_t sequence; /* breaks ties, so that every run is the same */
        struct certificate *certificate;
        enum { EVENT_TIMER, EVENT_STEP, EVENT_STRAY } type;
        unsigned ticket;
};

struct simulation {
        const struct scenario *scenario;
        struct schedule_policy policy;
        uint64_t random, sequence;
        usec_t now;

        struct certificate *fleet;
        struct event *queue; /* a binary heap, the earliest first */
        size_t n_queue, queue_size;

        usec_t *commits; /* of the whole fleet, in order */
        size_t n_commits, commits_size;

        unsigned expired, overlapping, over_budget, in_window, too_early;
        unsigned attempts, budget_waits, signatures, calls, failed_calls, outage_calls;
        unsigned from_old_ca, not_later, strays;
};

/* Runs SCENARIO, which must outlive *RET, to its end. The same scenario gives the same result. */
void simulate(const struct scenario *scenario, struct simulation *ret);
void simulation_clear(struct simulation *simulation);

/* Whether AT lies in an outage or less than RECOVERY_USEC after one. */
bool simulation_is_outage(const struct simulation *simulation, usec_t at, usec_t recovery_usec);
