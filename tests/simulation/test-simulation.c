/*
 * A simulated year: a fleet of certificates lives through a Connector that fails, outages, the replacement of
 * its CA and daemons that are killed, on nothing but lib/renewal, lib/schedule and lib/journal;
 * tests/simulation/simulation.c is the world around them.
 *
 * What is checked comes from the simulation's own books, not from the machine: when each set expires, when
 * each signature was asked for, which steps are under way. A run ends with a list of rules, and each must
 * have held; the controls break one thing each, and the rule that is meant to notice must have been broken.
 */

#include "tests/simulation/simulation.h"

#include <inttypes.h>

#include "tests/test.h"

#define START SIMULATION_START

/* After an outage the back-off is 72 minutes at most, for those whose next attempt fails as well twice or
 * three times that; then nearly everybody is through. */
#define RECOVERY_USEC (4 * USEC_PER_HOUR)

/* The jitter of certificates of 90 days spans 108 hours. Peaks are counted over that share of it, for all
 * lifetimes. */
#define JITTER_PARTS 108u
#define BINS         12u /* of the histogram */

/* Signatures of one certificate that bring nothing, all told. */
#define NOT_LONGER_MAX 40u

/* Under valgrind, which takes some thirty times as long. */
static bool is_slow(void) {
        return getenv("REKEYD_TEST_WRAPPER") != NULL;
}

/* --- The rules --- */

static usec_t jitter_span(const struct scenario *scenario) {
        return scenario->lifetime / 100 * scenario->jitter_percent;
}

/* After an outage or the CA's replacement, those that had to wait come together: back-off alone spreads
 * them. */
static bool is_recovery(const struct simulation *s, usec_t at) {
        usec_t replaced = START + s->scenario->ca_replaced_at;

        return simulation_is_outage(s, at, RECOVERY_USEC) ||
               (at >= replaced && at < replaced + RECOVERY_USEC);
}

/* The most renewals in any span of WINDOW, either while the fleet recovers or else. */
static unsigned peak(const struct simulation *s, usec_t window, bool recovery) {
        unsigned most = 0, n = 0;

        for (size_t last = 0, first = 0; last < s->n_commits; last++) {
                n += is_recovery(s, s->commits[last]) == recovery;
                for (; s->commits[last] - s->commits[first] >= window; first++)
                        n -= is_recovery(s, s->commits[first]) == recovery;
                if (n > most)
                        most = n;
        }
        return most;
}

static unsigned quiet_peak(const struct simulation *s) {
        return peak(s, jitter_span(s->scenario) / JITTER_PARTS, false);
}

/* Three times what an even spread of the whole fleet would make, and something for small fleets. */
static unsigned quiet_peak_max(const struct simulation *s) {
        return 3 * s->scenario->fleet / JITTER_PARTS + 8;
}

static void renewals_of_each(const struct simulation *s, unsigned *ret_fewest, unsigned *ret_most) {
        unsigned fewest = UINT32_MAX, most = 0;

        for (unsigned i = 0; i < s->scenario->fleet; i++) {
                unsigned n = s->fleet[i].renewals;

                fewest = n < fewest ? n : fewest;
                most = n > most ? n : most;
        }
        *ret_fewest = fewest;
        *ret_most = most;
}

static bool none_expired(const struct simulation *s) {
        return s->expired == 0;
}

static bool within_budget(const struct simulation *s) {
        return s->over_budget == 0;
}

static bool waits_for_ca(const struct simulation *s) {
        return s->in_window == 0;
}

static bool one_at_a_time(const struct simulation *s) {
        return s->overlapping == 0;
}

/* What it takes to cover the span; one more for the first age, one for the life that the CA cuts short. */
static bool as_often_as_needed(const struct simulation *s) {
        const struct scenario *o = s->scenario;
        usec_t shortest = o->lifetime / 100 * (100 - o->renew_before_percent - o->jitter_percent);
        unsigned fewest, most;

        renewals_of_each(s, &fewest, &most);
        return fewest >= (o->span - 1) / o->lifetime && most <= o->span / shortest + 2 && s->too_early == 0;
}

/* Of those that fall due while the CA has yet to be replaced: each signature is as short as the last. */
static unsigned most_without_gain(const struct simulation *s) {
        unsigned most = 0;

        for (unsigned i = 0; i < s->scenario->fleet; i++)
                most = s->fleet[i].n_not_later > most ? s->fleet[i].n_not_later : most;
        return most;
}

static bool few_without_gain(const struct simulation *s) {
        return most_without_gain(s) <= NOT_LONGER_MAX;
}

/* Neither a look nor a restart, nor thousands of them. */
static bool patient(const struct simulation *s) {
        return s->hurried == 0;
}

static bool spread_out(const struct simulation *s) {
        return quiet_peak(s) <= quiet_peak_max(s);
}

/* Even then the Connector gets no more than a tenth of the fleet in a minute; and a few of a small fleet. */
static bool recovers_gently(const struct simulation *s) {
        return peak(s, USEC_PER_MINUTE, true) <= s->scenario->fleet / 10 + 8;
}

enum rule {
        RULE_EXPIRY,
        RULE_BUDGET,
        RULE_CA_WINDOW,
        RULE_ONE_AT_A_TIME,
        RULE_AS_OFTEN,
        RULE_NOT_LONGER,
        RULE_PATIENCE,
        RULE_SPREAD,
        RULE_RECOVERY,
        RULE_MAX,
};

static const struct {
        const char *text;
        bool (*holds)(const struct simulation *s);
} rules[RULE_MAX] = {
        [RULE_EXPIRY] = { "no certificate expires", none_expired },
        [RULE_BUDGET] = { "no hour has more signatures than the budget", within_budget },
        [RULE_CA_WINDOW] = { "no signature within the CA window after a bad reply", waits_for_ca },
        [RULE_ONE_AT_A_TIME] = { "one attempt at a time", one_at_a_time },
        [RULE_AS_OFTEN] = { "renewed as often as the lifetime demands", as_often_as_needed },
        [RULE_NOT_LONGER] = { "few signatures are spent on a CA that is about to expire", few_without_gain },
        [RULE_PATIENCE] = { "nothing ends a back-off early", patient },
        [RULE_SPREAD] = { "renewals are spread over the jitter", spread_out },
        [RULE_RECOVERY] = { "after an outage renewals do not come at once", recovers_gently },
};

/* --- Runs --- */

/* The first renewals of those that were enrolled together, over the jitter's span. */
static void check_histogram(const struct simulation *s) {
        const struct scenario *o = s->scenario;
        usec_t bin_usec = jitter_span(o) / BINS;
        usec_t begin = START + o->lifetime / 100 * (100 - o->renew_before_percent - o->jitter_percent);
        unsigned bins[BINS + 1] = { 0 }, even = o->fleet / 2 / BINS, total = 0;
        static const char bar[] = "############################################################";
        char from[TIMESPAN_MAX];

        /* The few of the other half that fall into this time are spread already. */
        for (size_t i = 0; i < s->n_commits; i++) {
                usec_t since = usec_sub(s->commits[i], begin), bin = since / bin_usec;

                if (s->commits[i] < begin || since > 2 * jitter_span(o))
                        continue;
                bins[bin < BINS ? bin : BINS]++;
                total++;
        }
        test_report("the first renewals, from the earliest that jitter allows:");
        for (size_t i = 0; i < BINS; i++)
                test_report("  +%-8s %4u %.*s", format_timespan(from, i * bin_usec), bins[i],
                            (int)(bins[i] * 600 / (o->fleet + 1)), bar);
        test_report("  later     %4u", bins[BINS]);

        /* A handful of certificates may leave a bin empty. */
        for (size_t i = 0; i < BINS; i++)
                ck_assert_msg((is_slow() || bins[i] > even / 2) && bins[i] < 2 * even + 8,
                              "the renewals are not spread: bin %zu has %u of %u", i, bins[i], total);
}

static void report(const struct simulation *s) {
        const struct scenario *o = s->scenario;
        char outage[TIMESPAN_MAX], lead[TIMESPAN_MAX], window[TIMESPAN_MAX];
        unsigned fewest, most;

        renewals_of_each(s, &fewest, &most);
        test_report("%s: %u certificates over %" PRIu64
                    " days, %u outages of %s, the CA replaced %s before it expires%s",
                    o->name, o->fleet, o->span / USEC_PER_DAY, OUTAGES,
                    format_timespan(outage, o->outage_usec), format_timespan(lead, o->ca_lead_usec),
                    is_slow() ? " (reduced: valgrind)" : "");
        test_report("%u attempts, %zu renewals (%u to %u each), %u calls: %u failed, %u more in outages",
                    s->attempts, s->n_commits, fewest, most, s->calls, s->failed_calls, s->outage_calls);
        test_report("%u signatures, %u put off by the budget, %u by the old CA in its window", s->signatures,
                    s->budget_waits, s->from_old_ca);
        test_report(
                "the CA about to expire: %u signatures not later than the current set, %u at most for one",
                s->not_later, most_without_gain(s));
        test_report("%u starts, %u in the middle of a step, %u looks in a back-off", s->starts, s->killed,
                    s->held);
        test_report("peaks: %u renewals in any %s (at most %u); recovering %u in an hour, %u in a minute",
                    quiet_peak(s), format_timespan(window, jitter_span(o) / JITTER_PARTS), quiet_peak_max(s),
                    peak(s, USEC_PER_HOUR, true), peak(s, USEC_PER_MINUTE, true));
        test_report("simulation: %" PRIu64 " certificate-years, %u expired",
                    o->fleet * o->span / (365 * USEC_PER_DAY), s->expired);
}

static void check_run(const struct simulation *s) {
        unsigned served = s->calls - s->outage_calls;

        report(s);
        for (size_t i = 0; i < RULE_MAX; i++)
                ck_assert_msg(rules[i].holds(s), "%s: broken: %s", s->scenario->name, rules[i].text);

        /* The run was as hard as it says. */
        ck_assert_uint_gt(s->failed_calls * 100, served * (FAILING_PERCENT - 1));
        ck_assert_uint_lt(s->failed_calls * 100, served * (FAILING_PERCENT + 1));
        ck_assert_uint_gt(s->outage_calls, 0);
        if (s->scenario->lifetime == USEC_PER_DAY) /* the others wait too long to meet a window of a minute */
                ck_assert_uint_gt(s->from_old_ca, 0);
        ck_assert_uint_gt(s->not_later, 0);
        ck_assert_uint_gt(s->budget_waits, 0);
        ck_assert_uint_gt(s->strays, 0);
        ck_assert_uint_gt(s->starts, s->scenario->fleet);
        ck_assert_uint_gt(s->killed, 0);
        ck_assert_uint_gt(s->held, 0);
}

/* The second outage begins while the fleet still recovers from the CA's replacement, the first and the third
 * fall into the renewals of those that were enrolled, or have recovered, together. */
static struct scenario of_90_days(void) {
        return (struct scenario) {
                .name = "90 days",
                .fleet = is_slow() ? 100 : 1000,
                .lifetime = 90 * USEC_PER_DAY,
                .span = 365 * USEC_PER_DAY,
                .renew_before_percent = 33,
                .jitter_percent = 5,
                .outage_at = {
                        114 * USEC_PER_DAY,
                        188 * USEC_PER_DAY + 30 * USEC_PER_MINUTE,
                        247 * USEC_PER_DAY,
                },
                .outage_usec = 2 * USEC_PER_DAY,
                .ca_replaced_at = 188 * USEC_PER_DAY,
                .ca_lead_usec = 10 * USEC_PER_DAY,
                .no_verify_at = 58 * USEC_PER_DAY,
                .no_verify_usec = 3 * USEC_PER_HOUR,
                .restart_every_usec = 10 * USEC_PER_DAY,
        };
}

/*
 * The same shares of the lifetime. An outage of two days is longer than the whole life of a certificate of 24
 * hours: nothing that a client does can survive it, and the controls show that nothing does. What a client
 * can survive is an outage that is shorter than renew_before: of_24_hours_hard() has such outages.
 */
static struct scenario of_24_hours(void) {
        return (struct scenario) {
                .name = "24 hours",
                .fleet = is_slow() ? 100 : 1000,
                .lifetime = USEC_PER_DAY,
                .span = (is_slow() ? 30 : 90) * USEC_PER_DAY,
                .renew_before_percent = 33,
                .jitter_percent = 5,
                .outage_at = {
                        30 * USEC_PER_HOUR,
                        20 * USEC_PER_DAY + 5 * USEC_PER_MINUTE,
                        25 * USEC_PER_DAY,
                },
                .outage_usec = USEC_PER_DAY * 2 / 90,
                .ca_replaced_at = 20 * USEC_PER_DAY,
                .ca_lead_usec = USEC_PER_DAY * 10 / 90,
                .no_verify_at = 15 * USEC_PER_HOUR,
                .no_verify_usec = USEC_PER_HOUR,
                .restart_every_usec = 2 * USEC_PER_DAY,
        };
}

/* Those that fall due as an outage begins have 55 minutes left when it ends, and the CA has five hours. */
static struct scenario of_24_hours_hard(void) {
        struct scenario scenario = of_24_hours();

        scenario.name = "24 hours, long outages";
        scenario.span = 30 * USEC_PER_DAY;
        scenario.outage_usec = 7 * USEC_PER_HOUR;
        scenario.ca_lead_usec = 12 * USEC_PER_HOUR;
        return scenario;
}

/* All are due, and each daemon dies a second after it was started, for an hour. */
static struct scenario of_a_crash_loop(void) {
        return (struct scenario) {
                .name = "crash loop",
                .fleet = is_slow() ? 10 : 100,
                .lifetime = 90 * USEC_PER_DAY,
                .span = USEC_PER_HOUR,
                .renew_before_percent = 33,
                .jitter_percent = 5,
                .ca_lead_usec = 365 * USEC_PER_DAY,
                .crash_loop_usec = USEC_PER_HOUR,
        };
}

START_TEST(test_certificates_of_90_days) {
        _cleanup_(simulation_clear) struct simulation s = { 0 };
        const struct scenario scenario = of_90_days();

        simulate(&scenario, &s);
        check_histogram(&s);
        check_run(&s);
}
END_TEST

START_TEST(test_certificates_of_24_hours) {
        _cleanup_(simulation_clear) struct simulation s = { 0 };
        const struct scenario scenario = of_24_hours();

        test_report(
                "24 hours: outages are scaled to 2/90 of the lifetime, the CA's replacement to 10/90 of it");
        simulate(&scenario, &s);
        check_run(&s);
}
END_TEST

START_TEST(test_certificates_of_24_hours_in_long_outages) {
        _cleanup_(simulation_clear) struct simulation s = { 0 };
        const struct scenario scenario = of_24_hours_hard();

        simulate(&scenario, &s);
        report(&s);
        ck_assert(none_expired(&s) && within_budget(&s) && patient(&s) && one_at_a_time(&s));
        ck_assert_uint_gt(s.outage_calls, 0);
}
END_TEST

static unsigned most_calls(const struct simulation *s) {
        unsigned most = 0;

        for (unsigned i = 0; i < s->scenario->fleet; i++)
                most = s->fleet[i].n_calls > most ? s->fleet[i].n_calls : most;
        return most;
}

START_TEST(test_crash_loop) {
        _cleanup_(simulation_clear) struct simulation s = { 0 }, later = { 0 }, flawed = { 0 };
        struct scenario scenario = of_a_crash_loop(), longer = scenario, flaw = scenario;
        unsigned fewest, most;

        simulate(&scenario, &s);
        test_report(
                "crash loop of an hour, %u daemons: %u starts, %u attempts, %u calls (%u at most for one), "
                "%u signatures",
                scenario.fleet, s.starts, s.attempts, s.calls, most_calls(&s), s.signatures);
        ck_assert_uint_ge(s.starts, scenario.fleet * 3600);
        ck_assert_uint_gt(s.killed, scenario.fleet);
        ck_assert_uint_le(s.attempts, scenario.fleet * 12);
        ck_assert_uint_le(most_calls(&s), 24);
        ck_assert(within_budget(&s) && patient(&s));

        /* It is over, and nobody has to help. */
        longer.span = USEC_PER_DAY;
        simulate(&longer, &later);
        renewals_of_each(&later, &fewest, &most);
        ck_assert_uint_eq(fewest, 1);
        ck_assert_uint_eq(most, 1);

        flaw.flaw = FLAW_NOT_AHEAD;
        simulate(&flaw, &flawed);
        test_report("control: with nothing written ahead: %u attempts, %u calls (%u at most for one), "
                    "%u signatures",
                    flawed.attempts, flawed.calls, most_calls(&flawed), flawed.signatures);
        ck_assert(!patient(&flawed));
        ck_assert_uint_gt(flawed.attempts, s.attempts);
}
END_TEST

/* A third of the fleet is enough to break a rule. */
static struct scenario smaller(struct scenario scenario) {
        if (!is_slow())
                scenario.fleet /= 3;
        return scenario;
}

START_TEST(test_controls) {
        struct scenario late = smaller(of_90_days()), no_retry = late, one_seed = late, no_budget = late,
                        no_window = late, second = late, no_hold = late, not_longer = late;
        struct scenario unscaled = smaller(of_24_hours());
        const struct {
                const char *what;
                const struct scenario *scenario;
                enum rule broken;
        } rows[] = {
                { "renewed so late that an outage is longer", &late, RULE_EXPIRY },
                { "no retry", &no_retry, RULE_EXPIRY },
                { "24 hours with outages of two days", &unscaled, RULE_EXPIRY },
                { "no jitter", &one_seed, RULE_SPREAD },
                { "no budget", &no_budget, RULE_BUDGET },
                { "no wait after a bad reply", &no_window, RULE_CA_WINDOW },
                { "a second attempt", &second, RULE_ONE_AT_A_TIME },
                { "each look is a try", &no_hold, RULE_PATIENCE },
                { "a CA about to expire is no reason to wait", &not_longer, RULE_NOT_LONGER },
        };

        /* Over the end of those that were enrolled together: due since day 84, expired on day 90. */
        late.renew_before_percent = 1;
        late.outage_at[0] = 88 * USEC_PER_DAY + 12 * USEC_PER_HOUR;
        no_retry.flaw = FLAW_NO_RETRY;
        unscaled.outage_usec = 2 * USEC_PER_DAY;
        one_seed.flaw = FLAW_ONE_SEED;
        no_budget.flaw = FLAW_NO_BUDGET;
        no_budget.no_verify_usec = USEC_PER_DAY;
        no_window.flaw = FLAW_NO_WINDOW;
        second.flaw = FLAW_SECOND_ATTEMPT;
        no_hold.flaw = FLAW_NO_HOLD;
        not_longer.flaw = FLAW_NOT_LONGER;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(simulation_clear) struct simulation s = { 0 };

                simulate(rows[i].scenario, &s);
                test_report("control: %s: %u expired, %u signatures beyond the budget, %u too soon, %u "
                            "overlapping steps, %u attempts in a back-off, %u without gain, peak %u",
                            rows[i].what, s.expired, s.over_budget, s.in_window, s.overlapping, s.hurried,
                            s.not_later, quiet_peak(&s));
                ck_assert_msg(!rules[rows[i].broken].holds(&s), "%s goes unnoticed by: %s", rows[i].what,
                              rules[rows[i].broken].text);
                if (rows[i].broken == RULE_EXPIRY)
                        ck_assert_uint_gt(s.expired, 0);
        }
}
END_TEST

TEST_MAIN("simulation", test_certificates_of_90_days, test_certificates_of_24_hours,
          test_certificates_of_24_hours_in_long_outages, test_crash_loop, test_controls)
