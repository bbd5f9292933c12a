#pragma once

/* A fleet of certificates on a simulated clock, a Connector that fails, and daemons that are killed. */

#include "lib/life/renewal.h"
#include "lib/life/state.h"

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
        usec_t no_verify_at, no_verify_usec; /* the edge accepts no new certificate */

        usec_t restart_every_usec; /* each certificate's daemon, on average; 0: never */
        usec_t crash_loop_usec;    /* from the start, when all are due: dies a second after each start */

        enum flaw {
                FLAW_NONE,
                FLAW_NO_RETRY,       /* a back-off that never ends */
                FLAW_ONE_SEED,       /* no jitter between certificates */
                FLAW_NO_BUDGET,      /* nobody asks schedule_budget_wait() */
                FLAW_NO_WINDOW,      /* a bad reply is no reason to wait for the CA */
                FLAW_SECOND_ATTEMPT, /* a wake starts an attempt beside the one under way */
                FLAW_NO_HOLD,        /* each look is a try */
                FLAW_NOT_AHEAD,      /* a failure is written when it is known, not before */
                FLAW_NOT_LONGER,     /* nobody says that a signature brought nothing */
        } flaw;
};

struct certificate {
        struct renewal renewal;
        uint32_t seed;
        usec_t not_before, expiry; /* the current set; the expiry is the effective one */

        bool has_staged_key, has_staged_reply;
        usec_t reply_not_before, reply_expiry;
        unsigned reply_failures;

        enum failure failure; /* of the step under way */
        usec_t retry_after_usec;
        bool not_longer;
        unsigned ticket; /* a timer or step of another ticket is out of date */

        /* The daemon: what it has in mind, and what of that is on disk. */
        unsigned process; /* events of another one are void */
        bool refresh_only;
        usec_t backoff_until;
        struct state state;
        struct {
                struct state state;
                usec_t issuances[SCHEDULE_BUDGET_MAX];
                struct state_instant at;
                bool is_new;
        } disk;
        unsigned boot;
        usec_t booted_at;

        /* The simulation's own books */
        usec_t signed_at[BUDGET]; /* a ring of the last requests */
        size_t n_signed;
        usec_t bad_reply_at; /* the last one */
        usec_t patience;     /* until then no attempt may begin */
        unsigned under_way, renewals, n_calls, n_not_later;
        bool has_expired;
};

struct event {
        usec_t at;
        uint64_t sequence; /* breaks ties, so that every run is the same */
        struct certificate *certificate;
        enum {
                EVENT_TIMER,
                EVENT_STEP,
                EVENT_STRAY, /* a wake during an attempt */
                EVENT_TOUCH, /* somebody's hand on the files: a look */
                EVENT_CRASH,
                EVENT_KILL, /* restarts that nothing causes */
                EVENT_START,
        } type;
        unsigned ticket, process;
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
        unsigned starts, killed, held, hurried;
};

/* Runs SCENARIO, which must outlive *RET, to its end. The same scenario gives the same result. */
void simulate(const struct scenario *scenario, struct simulation *ret);
void simulation_clear(struct simulation *simulation);

/* Whether AT lies in an outage or less than RECOVERY_USEC after one. */
bool simulation_is_outage(const struct simulation *simulation, usec_t at, usec_t recovery_usec);
