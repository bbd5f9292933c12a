/*
 * Between two renewals nobody calls the Connector, so a certificate that it does not accept any more would be
 * found when the next one falls due: weeks later. A probe finds it within `pulse`, and costs neither a
 * signature nor a token. It is no attempt: what it cannot find out changes nothing.
 */

#include "daemon/certificate/prober.h"

#include <limits.h>

#include "daemon/certificate/reporter.h"
#include "daemon/loop/backoff.h"
#include "daemon/observe/metrics.h"
#include "lib/util/log.h"

/* How soon after a probe without a certain answer the next one comes, at the earliest. */
#define AGAIN_MIN_USEC USEC_PER_MINUTE

static const struct config_certificate *config(const struct prober *prober) {
        return prober->core->config;
}

static struct reporter *reporter(const struct prober *prober) {
        return prober->core->reporter;
}

static void on_time(struct coarse_timer *timer) {
        struct prober *prober = container_of(timer, struct prober, timer);

        prober->is_due = true;
        prober->ops->is_due(prober);
}

void prober_init(struct prober *prober, const struct core *core, const struct prober_ops *ops) {
        *prober = (struct prober) { .core = core, .ops = ops, .timer.came = on_time };
}

void prober_clear(struct prober *prober) {
        coarse_timer_stop(&prober->timer);
        prober->probe = probe_free(prober->probe);
}

/* A fleet spreads over the second half of the time. Where the last one has found out nothing, it comes
 * sooner.
 */
static usec_t next_wait(const struct prober *prober) {
        const usec_t pulse = config(prober)->policy.pulse_usec;
        usec_t wait =
                pulse / 2 + (usec_t)((double)(pulse - pulse / 2) * (random_number() / (double)UINT32_MAX));
        usec_t again;

        if (prober->n_failures == 0)
                return wait;
        again = backoff_for_ever(FAILURE_TRANSIENT, prober->n_failures);
        if (again < AGAIN_MIN_USEC)
                again = AGAIN_MIN_USEC;
        return again < wait ? again : wait;
}

static void arm(struct prober *prober) {
        const usec_t pulse = config(prober)->policy.pulse_usec;

        if (pulse == 0 || prober->core->env->once || prober->core->is_retired) {
                coarse_timer_stop(&prober->timer);
                return;
        }
        if (coarse_timer_set(&prober->core->env->coarse, &prober->timer,
                             usec_add(now_usec(CLOCK_BOOTTIME), next_wait(prober))) < 0)
                log_error("%s: out of memory; the next probe may be late", config(prober)->name);
}

void prober_resume(struct prober *prober) {
        if (prober->core->state_file->state.failure == FAILURE_REJECTED)
                prober->is_due = true;
        arm(prober);
}

void prober_restart(struct prober *prober, bool is_adopted) {
        prober->is_adopted = is_adopted;
        prober->is_due = is_adopted;
        prober->n_failures = 0;
        prober->last_answer = PROBE_NONE;
        prober->probed_usec = 0;
        arm(prober);
}

void prober_retire(struct prober *prober) {
        coarse_timer_stop(&prober->timer);
        prober->is_due = false;
        if (prober->probe && probe_is_waiting(prober->probe))
                prober->probe = probe_free(prober->probe);
}

/* --- What it has found --- */

/* What the proof leaves open, after "; ". */
static const char *limits(const struct prober *prober) {
        return protocol_get(config(prober)->connector->protocol)->proof_passes_revoked
                       ? "; a revocation would show at the next renewal only"
                       : "";
}

static void report_acceptance(struct prober *prober, const struct probe_result *result) {
        const bool was_bad = prober->last_answer > PROBE_ACCEPTED;

        if (prober->is_asked || prober->is_adopted || was_bad)
                reporter_log(reporter(prober), prober->is_asked || was_bad ? LOG_NOTICE : LOG_INFO,
                             MESSAGE_PROBED, "%s accepts the certificate%s%s", result->url,
                             was_bad && !prober->is_asked ? " again" : "", limits(prober));
        else
                log_debug("%s: %s accepts the certificate", config(prober)->name, result->url);
        prober->is_adopted = false;
}

/* Nothing of it is certain but that a person should look; an outage is nothing that only this shows. */
static int priority_without_certainty(const struct prober *prober, const struct probe_result *result) {
        if (prober->is_asked)
                return LOG_ERR;
        if (result->answer == PROBE_UNKNOWN && !prober->is_adopted)
                return LOG_DEBUG;
        return log_repeated(LOG_WARNING, prober->n_failures);
}

static void report_uncertainty(struct prober *prober, const struct probe_result *result) {
        const int priority = priority_without_certainty(prober, result);
        const char *then = prober->is_asked ? ""
                           : coarse_timer_is_waiting(&prober->timer)
                                   ? "; the certificate stays in use, and is probed again"
                                   : "; the certificate stays in use";

        if (priority == LOG_DEBUG)
                log_debug("%s: the probe has no result: %s", config(prober)->name, result->error);
        else
                reporter_log(reporter(prober), priority, MESSAGE_NOT_PROBED,
                             "unknown whether the Connector accepts the certificate: %s%s", result->error,
                             then);
}

static void report(struct prober *prober, const struct probe_result *result) {
        switch (result->answer) {
        case PROBE_ACCEPTED:
                report_acceptance(prober, result);
                break;
        case PROBE_REJECTED:
                reporter_log(reporter(prober), LOG_ERR, MESSAGE_NOT_PROBED,
                             "the Connector rejects the certificate before its expiry: %s", result->error);
                break;
        default:
                report_uncertainty(prober, result);
        }
}

/* It was of a set that is not in use any more, or that counts as none. */
static bool is_overtaken(const struct prober *prober, const struct probe_result *result) {
        const struct facts *facts = &prober->core->facts;

        return !streq(result->fingerprint, facts->fingerprint) ||
               facts_is_revoked(facts, &prober->core->state_file->state);
}

static void on_result(const struct probe_result *result, void *userdata) {
        struct prober *prober = userdata;
        const bool was_asked = prober->is_asked;
        const bool is_certain = result->answer == PROBE_ACCEPTED || result->answer == PROBE_REJECTED;

        prober->core->env->observers.metrics->probes[result->answer]++;
        if (is_certain)
                prober->n_failures = 0;
        else if (prober->n_failures < UCHAR_MAX)
                prober->n_failures++;
        arm(prober);
        if (was_asked || !is_overtaken(prober, result)) {
                report(prober, result);
                prober->last_answer = (uint8_t)result->answer;
                prober->probed_usec = now_usec(CLOCK_REALTIME);
                if (is_certain && !is_overtaken(prober, result))
                        prober->ops->judged(prober, result);
        }
        prober->is_asked = false;
        prober->probe = probe_free(prober->probe);
        prober->ops->ended(prober, was_asked);
}

/* --- Its beginning --- */

static int begin(struct prober *prober) {
        prober->is_due = false;
        return probe_new(prober->core->env, prober->core->owner, config(prober), on_result, prober,
                         &prober->probe);
}

void prober_begin(struct prober *prober) {
        const struct facts *facts = &prober->core->facts;

        if (!prober->is_due || prober->probe || prober->core->env->once || prober->core->is_retired)
                return;
        if (!facts_has_set(facts) || facts_is_revoked(facts, &prober->core->state_file->state))
                return;
        if (begin(prober) < 0)
                arm(prober);
}

void prober_ask(struct prober *prober) {
        prober->is_asked = true;
        if (prober->probe || begin(prober) == 0)
                return;
        prober->is_asked = false;
        reporter_log(reporter(prober), LOG_ERR, MESSAGE_NOT_PROBED, "not probed: out of memory");
        prober->ops->ended(prober, true);
}
