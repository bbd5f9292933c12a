/*
 * Nearly all of the time of a renewal is that of its key. So it is ordered before: a timer comes, the maker
 * of all certificates has it generated in turn, and a worker stages it, where the next attempt finds it as it
 * would find the key of an attempt that was cut off. No state of the certificate depends on any of this: what
 * fails is tried again later and told to nobody, and an attempt that begins in between takes the key from the
 * maker, or makes its own.
 *
 * Only staging touches the store, for milliseconds: then nothing else may (key_ahead_is_busy()).
 */

#include "daemon/certificate/key-ahead.h"

#include <limits.h>
#include <unistd.h>

#include "daemon/certificate/attempt.h"
#include "daemon/certificate/key-maker.h"
#include "daemon/loop/backoff.h"
#include "daemon/observe/metrics.h"
#include "lib/util/log.h"

/* How soon after a failure the next key is generated, at the earliest: each one costs seconds. */
#define AGAIN_MIN_USEC (5 * USEC_PER_MINUTE)

struct stage_job {
        struct job job;
        struct key_ahead *ahead;
        const struct config_certificate *config;
        struct key *key; /* NULL: what is staged is to be removed */
        int result;
        enum store_ahead outcome;
        struct error error;
};

static struct stage_job *stage_job_free(struct stage_job *job) {
        if (!job)
                return NULL;
        key_free(job->key);
        error_clear(&job->error);
        free(job);
        return NULL;
}

static const char *name(const struct key_ahead *ahead) {
        return ahead->core->config->name;
}

static usec_t wanted_ahead(const struct key_ahead *ahead) {
        return ahead->core->config->policy.key.ahead_usec;
}

static void on_time(struct coarse_timer *timer) {
        struct key_ahead *ahead = container_of(timer, struct key_ahead, timer);

        ahead->is_due = true;
        ahead->ops->is_due(ahead);
}

void key_ahead_init(struct key_ahead *ahead, struct core *core, const struct key_ahead_ops *ops) {
        *ahead = (struct key_ahead) {
                .core = core, .ops = ops, .timer.came = on_time, .at_usec = USEC_INFINITY
        };
}

/* --- The plan --- */

static void forget(struct key_ahead *ahead) {
        coarse_timer_stop(&ahead->timer);
        ahead->core->next_key = key_order_cancel(ahead->core->next_key);
        ahead->at_usec = USEC_INFINITY;
        ahead->is_due = ahead->is_made = ahead->is_unwanted = false;
}

void key_ahead_clear(struct key_ahead *ahead) {
        forget(ahead);
        ahead->job = stage_job_free(ahead->job);
}

static void arm(struct key_ahead *ahead) {
        usec_t when = usec_add(now_usec(CLOCK_BOOTTIME), usec_sub(ahead->at_usec, now_usec(CLOCK_REALTIME)));

        if (when < ahead->retry_usec)
                when = ahead->retry_usec;
        if (coarse_timer_set(&ahead->core->env->coarse, &ahead->timer, when) < 0)
                log_debug("%s: out of memory; the next key may be late", name(ahead));
}

void key_ahead_observe(struct key_ahead *ahead, bool is_staged) {
        ahead->is_staged = is_staged;
}

/* Between attempts a certificate is current when it has a set that is accepted, and that is renewed by itself
 * when it is due. Where replicas share the set, who renews it is not known yet. */
static bool is_renewed_by_itself(const struct key_ahead *ahead, const struct renewal *renewal) {
        return renewal->state == RENEWAL_CURRENT && renewal->step == STEP_NONE &&
               renewal->backoff_usec == USEC_INFINITY && renewal->due_usec != USEC_INFINITY &&
               !ahead->core->replica && !ahead->core->env->once;
}

void key_ahead_retire(struct key_ahead *ahead) {
        forget(ahead);
        ahead->is_unwanted = ahead->is_staged && !ahead->core->replica;
}

void key_ahead_plan(struct key_ahead *ahead, const struct renewal *renewal) {
        const struct core *core = ahead->core;
        const bool is_possible = is_renewed_by_itself(ahead, renewal);
        const usec_t now = now_usec(CLOCK_REALTIME);
        usec_t at = USEC_INFINITY;

        if (core->is_retired) {
                key_ahead_retire(ahead); /* what has come to its end may have left one */
                return;
        }
        if (is_possible && !ahead->is_staged)
                at = schedule_key_ahead(wanted_ahead(ahead), core->facts.not_before, renewal->due_usec,
                                        schedule_seed(core->env->machine_id, name(ahead)));
        if (at == USEC_INFINITY) {
                forget(ahead);
                ahead->is_unwanted = is_possible && ahead->is_staged && wanted_ahead(ahead) == 0;
                return;
        }
        if (at > usec_add(now, core->env->coarse.slack_usec))
                forget(ahead); /* what is under way was for another due time */
        ahead->at_usec = at;
        if (!core->next_key)
                arm(ahead);
}

void key_ahead_reset(struct key_ahead *ahead) {
        forget(ahead);
        ahead->retry_usec = 0;
        ahead->n_failures = 0;
}

/* --- Staging --- */

/* Nobody hears of it: the renewal will find out by itself, and say so, if that still is so. */
static void put_off(struct key_ahead *ahead, const char *problem) {
        usec_t wait;

        if (ahead->n_failures < UCHAR_MAX)
                ahead->n_failures++;
        wait = backoff_for_ever(FAILURE_LOCAL, ahead->n_failures);
        if (wait < AGAIN_MIN_USEC)
                wait = AGAIN_MIN_USEC + wait;
        ahead->retry_usec = usec_add(now_usec(CLOCK_BOOTTIME), wait);
        log_debug("%s: no key is staged ahead: %s; trying again later", name(ahead), problem);
        if (ahead->at_usec != USEC_INFINITY)
                arm(ahead);
}

static void run(struct job *base) {
        struct stage_job *job = container_of(base, struct stage_job, job);
        const char *directory = job->config->directory;
        const struct store_options options = attempt_store_options(job->config);
        _cleanup_(store_closep) struct store *store = NULL;

        job->outcome = STORE_AHEAD_HAS_NONE;
        if (access(directory, F_OK) < 0 && errno == ENOENT)
                return; /* opening would create it */
        job->result = store_open(directory, &options, &store, &job->error);
        if (job->result < 0)
                return;
        job->result = job->key ? store_stage_ahead(store, job->key, &job->outcome, &job->error)
                               : store_stage_drop_unused(store, &job->error);
}

static void on_done(struct job *base) {
        struct stage_job *job = container_of(base, struct stage_job, job);
        struct key_ahead *ahead = job->ahead;
        const bool is_removal = !job->key;

        ahead->job = NULL;
        if (job->result < 0 && !is_removal)
                put_off(ahead, error_text(&job->error));
        else if (job->result < 0)
                log_warning("%s: the key that was staged ahead could not be removed: %s", name(ahead),
                            error_text(&job->error));
        else {
                ahead->is_staged = job->outcome != STORE_AHEAD_HAS_NONE;
                ahead->at_usec = USEC_INFINITY;
                ahead->n_failures = 0;
                log_debug("%s: %s", name(ahead),
                          is_removal         ? "no key stays staged ahead"
                          : ahead->is_staged ? "the key of the next renewal is staged"
                                             : "there is no set; no key is staged");
        }
        stage_job_free(job);
        ahead->ops->ended(ahead);
}

/* KEY is taken over; NULL: removes what is staged. */
static void submit(struct key_ahead *ahead, struct key *key) {
        struct stage_job *job = calloc(1, sizeof(*job));

        if (!job) {
                key_free(key);
                put_off(ahead, "out of memory");
                return;
        }
        *job = (struct stage_job) {
                .job = { .run = run, .done = on_done },
                .ahead = ahead,
                .config = ahead->core->config,
                .key = key,
        };
        ahead->job = job;
        workers_submit(ahead->core->env->services.disk_workers, &job->job);
}

/* --- What is due --- */

static void on_made(void *userdata) {
        struct key_ahead *ahead = userdata;

        ahead->core->env->observers.metrics->key_cpu_usec += key_order_cpu_usec(ahead->core->next_key);
        ahead->is_made = true;
        ahead->ops->is_due(ahead);
}

static void order(struct key_ahead *ahead) {
        ahead->is_due = false;
        ahead->core->next_key = key_order_new(ahead->core->env->key_maker,
                                              ahead->core->config->policy.key.bits, on_made, ahead);
        if (!ahead->core->next_key)
                put_off(ahead, "out of memory");
}

static void stage(struct key_ahead *ahead) {
        struct key *key = NULL;
        const bool has_key =
                key_order_take(ahead->core->next_key, ahead->core->config->policy.key.bits, &key);

        ahead->is_made = false;
        ahead->core->next_key = key_order_cancel(ahead->core->next_key);
        if (has_key)
                submit(ahead, key);
        else
                put_off(ahead, "none could be generated");
}

void key_ahead_begin(struct key_ahead *ahead, bool is_current) {
        if (ahead->is_unwanted) {
                ahead->is_unwanted = false;
                submit(ahead, NULL);
                return;
        }
        if (!ahead->is_due && !ahead->is_made)
                return;
        if (!is_current || ahead->core->is_retired)
                forget(ahead);
        else if (ahead->is_made)
                stage(ahead);
        else if (!ahead->core->next_key)
                order(ahead);
}

enum report_key key_ahead_state(const struct key_ahead *ahead, usec_t *ret_at) {
        *ret_at = USEC_INFINITY;
        if (ahead->is_staged)
                return REPORT_KEY_READY;
        if (ahead->core->next_key || ahead->job)
                return REPORT_KEY_GENERATING;
        if (ahead->at_usec == USEC_INFINITY)
                return REPORT_KEY_NONE;
        *ret_at = ahead->at_usec;
        return REPORT_KEY_PLANNED;
}
