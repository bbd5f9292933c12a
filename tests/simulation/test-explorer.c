/*
 * From every state that can be reached there is a way back to a good certificate. The machine of
 * lib/life/renewal.c is driven breadth-first through all that the world can do to it: each step fails in each
 * class, a signed certificate turns out to be one that can never be verified, tokens come and burn, time
 * passes, the process dies before any step, the files cannot be read for a while, an operator asks. In each
 * state that is found the world becomes well again: from there the certificate must be current after a few
 * attempts, with a token only where the machine waits for one; or without any, where the edge accepts the
 * certificate. What is staged gives way to what is newer, and is not tried after its expiry.
 *
 * What the daemon does between the machine's steps is here in short: what a step leaves on disk, which
 * failures discard what, when a token is burnt (daemon/certificate/).
 */

#include <inttypes.h>

#include "lib/life/renewal.h"
#include "tests/test.h"

#define NOW           SIMULATED_NOW
#define SIMULATED_NOW (UINT64_C(1800000000) * USEC_PER_SEC)

/* More in a row are alike: no rule looks further. */
#define FAILURES_MAX 5u
#define TRIES_MAX    RENEWAL_REPLY_TRIES

static const struct schedule_policy policy = {
        .renew_before = { .is_share = true, .ppm = 330000 },
        .skew_usec = 5 * USEC_PER_MINUTE,
        .ca_window_usec = USEC_PER_MINUTE,
        .replace_within_usec = USEC_PER_HOUR,
};

enum disk { DISK_NONE, DISK_FRESH, DISK_DUE, DISK_EXPIRED, DISK_MAX };
static const usec_t set_expiry[DISK_MAX] = {
        [DISK_FRESH] = NOW + 80 * USEC_PER_DAY,
        [DISK_DUE] = NOW + 10 * USEC_PER_DAY,
        [DISK_EXPIRED] = NOW - USEC_PER_DAY,
};

/* A staged certificate: one that works, and those that never will, by the class of the failure at its
 * verification. */
enum reply { REPLY_NONE, REPLY_GOOD, REPLY_NOWHERE, REPLY_UNLOADABLE, REPLY_MAX };
enum grant { GRANT_NONE, GRANT_GOOD, GRANT_BURNT };
enum token {
        TOKEN_NONE,
        TOKEN_UNTRIED,
        TOKEN_TRIED,
        TOKEN_KEPT,  /* was tried, and still works */
        TOKEN_BURNT, /* is known to be */
};

/* The machine, and the world as far as it matters to it. Compared byte by byte: made with memset(). */
struct node {
        struct renewal renewal;
        uint8_t set;
        uint8_t is_rejected; /* by the edge, whatever the clock says */
        uint8_t is_outdated; /* it is issued under a CA that is not trusted any more */
        uint8_t reply, is_reply_expired, reply_tries;
        uint8_t has_key, grant, token;
};

/* What the world does in one attempt. */
struct plan {
        enum renewal_step fails_at; /* STEP_NONE: nowhere */
        enum renewal_step dies_at;  /* the process, before this step */
        enum failure failure;
        bool is_unreadable; /* the set, where the inspection fails */
        bool not_longer, is_old_ca;
        bool is_token_good; /* a refusal does not use it up */
        enum reply reply;   /* what the signature brings */
        bool offers_token;  /* an operator's hand */
        bool is_new_config;
};

struct tally {
        unsigned attempts, signatures; /* that brought a certificate */
        unsigned steps;                /* that were taken, a bit each */
        bool is_late;                  /* an expired certificate was verified */
        usec_t waited;
};

static usec_t expiry_of(const struct node *node) {
        return node->set == DISK_NONE ? 0 : set_expiry[node->set];
}

static enum renewal_step take(struct node *node, const struct renewal_event *event) {
        const struct renewal_context context = { .policy = &policy, .random = UINT32_MAX / 2, .now = NOW };

        return renewal_next(&node->renewal, event, &context);
}

static struct renewal_observation observe(const struct node *node, const struct plan *plan) {
        bool has_token = node->token >= TOKEN_UNTRIED && node->token <= TOKEN_KEPT;

        return (struct renewal_observation) {
                .set = node->set != DISK_NONE ? SET_KNOWN : SET_NONE,
                .not_before = node->set != DISK_NONE ? expiry_of(node) - 90 * USEC_PER_DAY : 0,
                .expiry = expiry_of(node),
                .has_token = has_token,
                .has_untried_token = node->token == TOKEN_UNTRIED,
                .has_staged_key = node->has_key,
                .has_staged_grant = node->has_key && node->grant != GRANT_NONE,
                .has_staged_reply = node->has_key && node->reply != REPLY_NONE,
                .reply_expiry = node->is_reply_expired ? NOW - 1 : NOW + 90 * USEC_PER_DAY,
                .reply_failures = node->reply_tries,
                .is_new_config = plan->is_new_config,
                .replace_from = node->set != DISK_NONE && node->is_outdated ? NOW : 0,
                .enrol_asked = plan->offers_token && has_token,
        };
}

/* How STEP ends by itself. */
static enum failure natural_end(struct node *node, enum renewal_step step, bool *is_doubtful) {
        const bool by_token = node->renewal.by_token;

        switch (step) {
        case STEP_CONFIGURATION:
        case STEP_SIGN:
                if (!by_token)
                        return node->set == DISK_EXPIRED || node->is_rejected ? FAILURE_REJECTED
                                                                              : FAILURE_NONE;
                /* A token is burnt by the call that carries it. */
                *is_doubtful = true;
                if (step == STEP_CONFIGURATION) {
                        bool good = node->token == TOKEN_UNTRIED || node->token == TOKEN_KEPT;

                        node->token = TOKEN_TRIED;
                        return good ? FAILURE_NONE : FAILURE_REJECTED;
                }
                if (node->grant != GRANT_GOOD)
                        return FAILURE_REJECTED;
                node->grant = GRANT_BURNT;
                return FAILURE_NONE;
        case STEP_VERIFY:
                return node->is_reply_expired            ? FAILURE_REJECTED
                       : node->reply == REPLY_NOWHERE    ? FAILURE_TRANSIENT
                       : node->reply == REPLY_UNLOADABLE ? FAILURE_LOCAL
                                                         : FAILURE_NONE;
        default:
                return FAILURE_NONE;
        }
}

/* What a step that is done leaves. */
static void leave(struct node *node, enum renewal_step step, const struct plan *plan) {
        switch (step) {
        case STEP_KEY:
                node->has_key = true;
                node->reply = REPLY_NONE;
                node->grant = GRANT_NONE;
                break;
        case STEP_CSR:
                node->grant = node->renewal.by_token ? GRANT_GOOD : GRANT_NONE;
                break;
        case STEP_GATE:
                node->reply = (uint8_t)plan->reply;
                node->is_reply_expired = node->reply_tries = 0;
                break;
        case STEP_COMMIT:
                if (node->renewal.by_token && node->token != TOKEN_NONE)
                        node->token = TOKEN_BURNT;
                node->set = DISK_FRESH;
                node->is_rejected = node->is_outdated = node->has_key = node->reply = node->grant =
                        node->reply_tries = 0;
                break;
        default:
                break;
        }
}

static bool must_discard(enum failure failure, bool is_doubtful, unsigned failures_before) {
        return failure != FAILURE_TRANSIENT && failure != FAILURE_LOCAL &&
               !(is_doubtful && failures_before < RENEWAL_DOUBTS);
}

static void fail_step(struct node *node, enum renewal_step step, const struct plan *plan,
                      enum failure failure, bool is_doubtful) {
        const bool by_token = node->renewal.by_token && step > STEP_INSPECT;
        const unsigned failures_before = node->renewal.failures;
        const bool is_token_good = plan->is_token_good && by_token && failure == FAILURE_REFUSED;
        struct renewal_observation seen = observe(node, plan);
        const struct renewal_event event = {
                .type = RENEWAL_FAILED,
                .observation = step == STEP_INSPECT ? &seen : NULL,
                .failure = failure,
                .is_doubtful = is_doubtful && failure == FAILURE_REJECTED,
                .is_token_good = is_token_good,
                .not_longer = plan->not_longer && step == STEP_GATE,
                .is_old_ca = plan->is_old_ca && step == STEP_GATE,
        };

        if (plan->is_unreadable)
                seen = (struct renewal_observation) { .set = SET_UNREADABLE };
        if (is_token_good && step == STEP_CONFIGURATION)
                node->token = TOKEN_KEPT;
        else if (is_token_good && step == STEP_SIGN)
                node->grant = node->grant == GRANT_NONE ? GRANT_NONE : GRANT_GOOD;
        else if (must_discard(failure, event.is_doubtful, failures_before)) {
                if (step == STEP_VERIFY)
                        node->reply = REPLY_NONE;
                else if (step == STEP_SIGN && by_token)
                        node->grant = GRANT_NONE;
        }
        take(node, &event);
        if (by_token && !is_token_good &&
            (node->renewal.failure == FAILURE_REFUSED || node->renewal.failure == FAILURE_REJECTED) &&
            !(event.is_doubtful && node->renewal.failures <= RENEWAL_DOUBTS) && node->token != TOKEN_NONE)
                node->token = TOKEN_BURNT;
}

#define CALLS (1u << STEP_CONFIGURATION | 1u << STEP_SIGN | 1u << STEP_VERIFY)

/* One attempt, from the wake to the rest. */
static void attempt(struct node *node, const struct plan *plan, struct tally *tally) {
        static const struct renewal_event wake = { .type = RENEWAL_WAKE }, done = { .type = RENEWAL_DONE };
        const unsigned failures = node->renewal.failures;
        const enum failure failure_before = node->renewal.failure;
        struct renewal_observation observation;
        enum renewal_step step = take(node, &wake);

        tally->attempts++;
        tally->steps |= 1u << STEP_INSPECT;
        if (plan->fails_at == STEP_INSPECT) {
                fail_step(node, STEP_INSPECT, plan, plan->failure, false);
                return;
        }
        observation = observe(node, plan);
        step = take(node, &(struct renewal_event) { .type = RENEWAL_INSPECTED, .observation = &observation });
        while (step != STEP_NONE) {
                bool is_doubtful = false;
                enum failure failure;

                tally->steps |= 1u << step;
                if (plan->dies_at == step) {
                        /* A failure is written ahead of the first call. */
                        renewal_restore(&node->renewal, failures + (tally->steps & CALLS ? 1 : 0),
                                        failure_before != FAILURE_NONE ? failure_before : FAILURE_TRANSIENT);
                        return;
                }
                tally->is_late |= step == STEP_VERIFY && node->is_reply_expired;
                if (step == STEP_VERIFY && node->reply_tries < TRIES_MAX)
                        node->reply_tries++;
                failure = natural_end(node, step, &is_doubtful);
                if (plan->fails_at == step)
                        failure = plan->failure;
                if (failure != FAILURE_NONE) {
                        fail_step(node, step, plan, failure, is_doubtful);
                        return;
                }
                tally->signatures += step == STEP_SIGN;
                leave(node, step, plan);
                step = take(node, &done);
        }
}

/* --- What is asked of each state --- */

#define ATTEMPTS_MAX   24u
#define WAIT_MAX       (26 * USEC_PER_HOUR)
#define SIGNATURES_MAX 2u
#define DEAD_MAX       100u /* enough to know */

/* The world is well: what cannot work still does not, and all the rest does. Whether the certificate becomes
 * current, with a token where the machine says that it waits for one, if there may be one. */
static bool heals(struct node node, bool may_get_token, struct tally *tally) {
        const struct plan well = { .reply = REPLY_GOOD };

        while (tally->attempts < ATTEMPTS_MAX && tally->waited <= WAIT_MAX &&
               tally->signatures <= SIGNATURES_MAX) {
                attempt(&node, &well, tally);
                /* A set that the edge rejects is not seen to be so before it is due. */
                if (node.renewal.state == RENEWAL_CURRENT && node.set == DISK_FRESH && !node.is_outdated)
                        return true;
                if (node.renewal.state == RENEWAL_WAITING_FOR_TOKEN && may_get_token) {
                        node.token = TOKEN_UNTRIED;
                        may_get_token = false;
                } else if (node.renewal.backoff_usec != USEC_INFINITY)
                        tally->waited += node.renewal.backoff_usec;
        }
        return false;
}

/* The first step of an attempt that may fail. */
static enum renewal_step first_call(struct node node, const struct plan *plan, bool *ret_late) {
        struct plan well = *plan;
        struct tally tally = { 0 };

        well.fails_at = STEP_NONE;
        well.reply = REPLY_GOOD;
        attempt(&node, &well, &tally);
        *ret_late = tally.is_late;
        return tally.steps & 1u << STEP_KEY || tally.steps & 1u << STEP_CONFIGURATION ? STEP_CONFIGURATION
               : tally.steps & 1u << STEP_SIGN                                        ? STEP_SIGN
               : tally.steps & 1u << STEP_VERIFY                                      ? STEP_VERIFY
                                                                                      : STEP_NONE;
}

/* While the set cannot be read it is read again, after a back-off, and nothing else is done. When it can be,
 * it is current at once where it is fresh, for all that is known of it. */
static bool stops_at_unreadable(struct node node) {
        const struct plan unreadable = { .fails_at = STEP_INSPECT,
                                         .failure = FAILURE_LOCAL,
                                         .is_unreadable = true };
        const struct plan well = { .reply = REPLY_GOOD };
        const struct node before = node;
        struct tally tally = { 0 };

        attempt(&node, &unreadable, &tally);
        if (node.renewal.state != RENEWAL_RETRYING || node.renewal.step != STEP_NONE ||
            node.renewal.backoff_usec == USEC_INFINITY || tally.steps != 1u << STEP_INSPECT)
                return true;
        if (node.token != before.token || node.grant != before.grant || node.reply != before.reply ||
            node.has_key != before.has_key)
                return true;
        if (node.set != DISK_FRESH || node.is_outdated || node.renewal.rejected || node.renewal.forced)
                return false;
        attempt(&node, &well, &tally);
        return node.renewal.state != RENEWAL_CURRENT || tally.steps != 1u << STEP_INSPECT;
}

/* What goes wrong from NODE, or NULL. */
static const char *find_flaw(const struct node *node, struct tally *tally) {
        const bool is_valid = node->set == DISK_FRESH || node->set == DISK_DUE;
        struct tally alone = { 0 };
        struct node accepted = *node, forced = *node;
        bool is_late;

        if (!heals(*node, true, tally))
                return "dead end";
        accepted.is_rejected = false;
        if (is_valid && !heals(accepted, false, &alone))
                return *tally = alone, "dead end without a token, though the edge accepts the certificate";
        if (stops_at_unreadable(*node))
                return "a set that cannot be read is not just read again";
        first_call(*node, &(struct plan) { 0 }, &is_late);
        if (is_late)
                return "a staged certificate is verified after its expiry";
        if (node->token == TOKEN_UNTRIED &&
            first_call(*node, &(struct plan) { .offers_token = true }, &is_late) != STEP_CONFIGURATION)
                return "a token from a hand does not go first";
        if (node->token == TOKEN_UNTRIED && node->reply_tries > 0 && node->set == DISK_NONE &&
            first_call(*node, &(struct plan) { 0 }, &is_late) == STEP_VERIFY)
                return "a certificate that failed goes before a new token";
        if (node->reply_tries == 0 || !is_valid || node->is_rejected || node->renewal.rejected)
                return NULL;
        if (first_call(*node, &(struct plan) { .is_new_config = true }, &is_late) == STEP_VERIFY)
                return "a certificate that failed goes before a new configuration";
        forced.renewal.forced = true;
        if (first_call(forced, &(struct plan) { 0 }, &is_late) == STEP_VERIFY)
                return "a certificate that failed goes before an operator's wish";
        return NULL;
}

/* --- All states --- */

static struct node *nodes;
static size_t n_nodes, nodes_size;
static uint32_t *table;
static size_t table_size;
static uint64_t n_transitions;

static uint64_t hash_node(const struct node *node) {
        uint64_t words[(sizeof(*node) + 7) / 8] = { 0 }, hash = UINT64_C(0xcbf29ce484222325);

        memcpy(words, node, sizeof(*node));
        for (size_t i = 0; i < ELEMENTSOF(words); i++) {
                hash = (hash ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
                hash ^= hash >> 32;
        }
        return hash;
}

static void grow(void) {
        nodes_size = nodes_size > 0 ? 2 * nodes_size : 1024;
        nodes = reallocarray(nodes, nodes_size, sizeof(*nodes));
        ck_assert_ptr_nonnull(nodes);
        table_size = 4 * nodes_size;
        free(table);
        table = calloc(table_size, sizeof(*table));
        ck_assert_ptr_nonnull(table);
        for (size_t i = 0; i < n_nodes; i++) {
                size_t k = hash_node(&nodes[i]) % table_size;

                while (table[k] != 0)
                        k = (k + 1) % table_size;
                table[k] = (uint32_t)i + 1;
        }
}

/* What no rule looks at between two attempts is made alike. */
static struct node normal(const struct node *from) {
        const struct renewal *renewal = &from->renewal;
        struct node node;

        memset(&node, 0, sizeof(node));
        node.renewal.state = renewal->state;
        node.renewal.forced = renewal->forced;
        node.renewal.rejected = renewal->rejected;
        node.renewal.past_signature = renewal->past_signature;
        node.renewal.failures = renewal->failures <= FAILURES_MAX
                                        ? renewal->failures
                                        : FAILURES_MAX - (renewal->failures + FAILURES_MAX) % 2;
        node.renewal.failure = renewal->failure;
        /* Of the set that is there, or of another one. */
        node.renewal.expiry =
                renewal->expiry == expiry_of(from) || renewal->expiry == 0 ? renewal->expiry : 1;
        node.renewal.due_usec = node.renewal.backoff_usec = USEC_INFINITY;
        /* Each inspection says anew what is known of the set. */
        node.set = from->set;
        node.is_rejected = from->is_rejected;
        node.is_outdated = from->is_outdated;
        node.has_key = from->has_key;
        node.grant = from->has_key ? from->grant : GRANT_NONE;
        node.reply = from->has_key ? from->reply : REPLY_NONE;
        node.is_reply_expired = node.reply != REPLY_NONE && from->is_reply_expired;
        node.reply_tries = node.reply != REPLY_NONE ? from->reply_tries : 0;
        node.token = from->token;
        return node;
}

static void visit(const struct node *from) {
        struct node node = normal(from);
        size_t k;

        n_transitions++;
        if (n_nodes == nodes_size)
                grow();
        for (k = hash_node(&node) % table_size; table[k] != 0; k = (k + 1) % table_size)
                if (memcmp(&nodes[table[k] - 1], &node, sizeof(node)) == 0)
                        return;
        nodes[n_nodes++] = node;
        table[k] = (uint32_t)n_nodes;
}

/* Returns the steps that were taken. */
static unsigned visit_attempt(const struct node *from, const struct plan *plan) {
        struct node node = *from;
        struct tally tally = { 0 };

        attempt(&node, plan, &tally);
        visit(&node);
        return tally.steps;
}

#define CLASS(failure) (1u << FAILURE_##failure)
#define ALL            (CLASS(TRANSIENT) | CLASS(REFUSED) | CLASS(REJECTED) | CLASS(BAD_REPLY) | CLASS(LOCAL))

/* The classes in which each step can fail. */
static const unsigned classes[STEP_MAX] = {
        [STEP_INSPECT] = CLASS(LOCAL),
        [STEP_KEY] = CLASS(LOCAL),
        [STEP_CONFIGURATION] = ALL,
        [STEP_CSR] = CLASS(BAD_REPLY) | CLASS(LOCAL),
        [STEP_SIGN] = ALL,
        [STEP_GATE] = CLASS(BAD_REPLY) | CLASS(LOCAL),
        [STEP_VERIFY] = ALL & ~CLASS(REFUSED),
        [STEP_COMMIT] = CLASS(LOCAL),
};

/* Everything that one attempt may come to, as the operator or the world have it. */
static void visit_attempts(const struct node *from, struct plan plan) {
        unsigned steps = 0;

        plan.fails_at = STEP_NONE;
        for (plan.reply = REPLY_GOOD; plan.reply < REPLY_MAX; plan.reply++)
                steps |= visit_attempt(from, &plan);
        plan.reply = REPLY_GOOD;
        for (plan.dies_at = STEP_KEY; plan.dies_at < STEP_MAX; plan.dies_at++)
                if (steps & 1u << plan.dies_at)
                        visit_attempt(from, &plan);
        plan.dies_at = STEP_NONE;
        for (plan.fails_at = STEP_INSPECT; plan.fails_at < STEP_MAX; plan.fails_at++) {
                if (!(steps & 1u << plan.fails_at))
                        continue;
                for (plan.failure = FAILURE_NONE + 1; plan.failure < FAILURE_MAX; plan.failure++)
                        if (classes[plan.fails_at] & 1u << plan.failure)
                                visit_attempt(from, &plan);
        }
        plan.failure = FAILURE_REFUSED;
        plan.is_token_good = true;
        for (plan.fails_at = STEP_CONFIGURATION; plan.fails_at <= STEP_SIGN; plan.fails_at++)
                if (steps & 1u << plan.fails_at && classes[plan.fails_at] & CLASS(REFUSED))
                        visit_attempt(from, &plan);
        plan.is_token_good = false;
        plan.fails_at = STEP_INSPECT;
        plan.failure = FAILURE_LOCAL;
        plan.is_unreadable = true;
        visit_attempt(from, &plan);
        plan.is_unreadable = false;
        if (steps & 1u << STEP_GATE) {
                plan.fails_at = STEP_GATE;
                plan.failure = FAILURE_BAD_REPLY;
                plan.not_longer = true;
                visit_attempt(from, &plan);
                plan.not_longer = false;
                plan.is_old_ca = true;
                visit_attempt(from, &plan);
        }
}

/* What happens to it from outside, between attempts. */
static void visit_events(const struct node *from) {
        struct node node = *from;

        if (node.set == DISK_FRESH || node.set == DISK_DUE) { /* time passes */
                usec_t before = expiry_of(&node);

                node.set++;
                if (node.renewal.expiry == before)
                        node.renewal.expiry = expiry_of(&node);
                visit(&node);
        }
        node = *from;
        if (node.reply != REPLY_NONE) {
                node.is_reply_expired = true;
                visit(&node);
        }
        node = *from;
        node.is_rejected = node.set != DISK_NONE; /* revoked, or the CA was replaced */
        visit(&node);
        node = *from;
        node.is_outdated = node.set != DISK_NONE; /* the CA was replaced, and the operator has said so */
        visit(&node);
        node.reply = REPLY_NONE; /* what it has signed counts for nothing */
        visit(&node);
        node = *from;
        node.is_outdated = false; /* it is trusted again */
        visit(&node);
        node = *from;
        node.set = DISK_NONE; /* the files were removed */
        node.is_outdated = false;
        visit(&node);
        node = *from;
        node.set = DISK_DUE; /* another pair was put there */
        node.is_rejected = node.is_outdated = false;
        if (node.renewal.expiry != 0)
                node.renewal.expiry = 1;
        visit(&node);
        node = *from;
        renewal_restore(&node.renewal, from->renewal.failures, from->renewal.failure);
        visit(&node);
        node.renewal.expiry = from->renewal.expiry; /* as last known */
        if (node.token == TOKEN_BURNT && from->renewal.failures > 0)
                node.token = TOKEN_TRIED; /* what a restart knows of it */
        visit(&node);
        for (enum token token = TOKEN_NONE; token <= TOKEN_TRIED; token++) {
                node = *from;
                node.token = (uint8_t)token;
                visit(&node);
        }
        node = *from;
        node.grant = node.grant == GRANT_GOOD ? GRANT_BURNT : node.grant; /* it was too old */
        visit(&node);
        node = *from;
        node.renewal.forced = true;
        visit(&node);
}

static void report(const struct node *node, const char *flaw, const struct tally *tally) {
        test_report("%s: %s, set %u%s%s, reply %u%s tried %u times, key %u, grant %u, token %u, %u failures "
                    "(%s)%s%s: after "
                    "%u attempts, %u signatures, %" PRIu64 " s",
                    flaw, renewal_state_names[node->renewal.state], node->set,
                    node->is_rejected ? " rejected" : "", node->is_outdated ? " outdated" : "", node->reply,
                    node->is_reply_expired ? " expired" : "", node->reply_tries, node->has_key, node->grant,
                    node->token, node->renewal.failures, failure_names[node->renewal.failure],
                    node->renewal.forced ? ", forced" : "", node->renewal.rejected ? ", rejected" : "",
                    tally->attempts, tally->signatures, tally->waited / USEC_PER_SEC);
}

START_TEST(every_state_has_a_way_back) {
        struct node first;
        struct tally most = { 0 };
        unsigned n_dead = 0;

        memset(&first, 0, sizeof(first));
        renewal_restore(&first.renewal, 0, FAILURE_NONE);
        visit(&first);
        for (size_t i = 0; i < n_nodes && n_dead < DEAD_MAX; i++) {
                const struct node node = nodes[i];
                struct tally tally = { 0 };
                const char *flaw = find_flaw(&node, &tally);

                if (flaw && ++n_dead <= 3)
                        report(&node, flaw, &tally);
                most.attempts = tally.attempts > most.attempts ? tally.attempts : most.attempts;
                most.signatures = tally.signatures > most.signatures ? tally.signatures : most.signatures;
                most.waited = tally.waited > most.waited ? tally.waited : most.waited;

                visit_attempts(&node, (struct plan) { 0 });
                if (node.reply_tries > 0)
                        visit_attempts(&node, (struct plan) { .is_new_config = true });
                if (node.token == TOKEN_UNTRIED)
                        visit_attempts(&node, (struct plan) { .offers_token = true });
                visit_events(&node);
        }
        test_report("explorer: %zu states, %" PRIu64 " transitions, %u dead ends", n_nodes, n_transitions,
                    n_dead);
        test_report("explorer: at most %u attempts, %u signatures and %" PRIu64
                    " min of waiting to a good certificate",
                    most.attempts, most.signatures, most.waited / USEC_PER_MINUTE);
        ck_assert_uint_eq(n_dead, 0);
        ck_assert_uint_gt(n_nodes, 100000);
        free(nodes);
        free(table);
}
END_TEST

TEST_MAIN("explorer", every_state_has_a_way_back)
