/*
 * A certificate between its attempts and during them. Everything that happens to it is an event for the
 * machine in lib/renewal.c; what the machine answers is either a step, which attempt.c knows how to take, or
 * a rest, for which a timer is set here. Every change of state is logged here and nowhere else, once.
 */

#include "daemon/certificate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>

#include "daemon/attempt.h"
#include "daemon/messages.h"

static struct schedule_policy schedule_policy(const struct config_certificate *config) {
        return (struct schedule_policy) {
                .renew_before = config->policy.renew_before,
                .jitter = config->policy.jitter,
                .skew_usec = config->policy.clock_skew_usec,
                .ca_window_usec = config->connector->ca_window_usec,
        };
}

/* --- Log lines --- */

/* The fields that every line of a certificate carries; the caller adds its own by name. */
static void log_certificate(const struct certificate *certificate, int priority, const char *message_id,
                            const char *text) {
        const struct attempt *attempt = certificate->attempt;
        char not_after[TIMESTAMP_MAX], generation[24], failures[16];
        bool failed = attempt && attempt->failure != FAILURE_NONE;
        /* The machine's view where it has one: what an edge rejects at the proof is a bad reply to us. */
        enum failure failure = certificate->renewal.failure;
        const struct log_field fields[] = {
                { FIELD_CERTIFICATE, certificate->config->name },
                { FIELD_STATE, renewal_state_names[certificate->renewal.state] },
                { FIELD_FINGERPRINT, certificate->fingerprint[0] ? certificate->fingerprint : NULL },
                { FIELD_GENERATION, certificate->fingerprint[0] ? generation : NULL },
                { FIELD_NOT_AFTER, certificate->renewal.expiry > 0 ? not_after : NULL },
                { FIELD_ATTEMPT, certificate->renewal.failures > 0 ? failures : NULL },
                { FIELD_STEP, failed ? renewal_step_names[attempt->step] : NULL },
                { FIELD_FAILURE, failed ? failure_names[failure] : NULL },
                { FIELD_ERROR, failed ? error_text(&attempt->error) : NULL },
                { FIELD_REQUEST_ID, attempt && attempt->request_id[0] ? attempt->request_id : NULL },
        };

        format_timestamp(not_after, certificate->renewal.expiry);
        snprintf(generation, sizeof(generation), "%" PRIu64, certificate->generation);
        snprintf(failures, sizeof(failures), "%u", certificate->renewal.failures);
        log_fields(priority, message_id, fields, ELEMENTSOF(fields), "%s: %s", certificate->config->name,
                   text);
}

static void say(const struct certificate *certificate, int priority, const char *message_id,
                const char *format, ...) _printf_(4, 5);

static void say(const struct certificate *certificate, int priority, const char *message_id,
                const char *format, ...) {
        _cleanup_(freep) char *text = NULL;
        va_list args;

        if (!log_enabled(priority))
                return;
        va_start(args, format);
        if (vasprintf(&text, format, args) < 0)
                text = NULL;
        va_end(args);
        log_certificate(certificate, priority, message_id, text ? text : "out of memory");
}

/* What was being done, for the sentence "... failed". */
static const char *const step_texts[STEP_MAX] = {
        [STEP_NONE] = "waiting",
        [STEP_LOOK] = "reading the files",
        [STEP_KEY] = "making the key",
        [STEP_CONFIGURATION] = "asking for the configuration",
        [STEP_CSR] = "making the CSR",
        [STEP_SIGN] = "having it signed",
        [STEP_GATE] = "checking the reply",
        [STEP_PROOF] = "the proof",
        [STEP_COMMIT] = "the swap",
};

/* What follows a failure, in words: whether the old set is still good, and what is waited for. */
static void say_failure(const struct certificate *certificate) {
        const struct renewal *renewal = &certificate->renewal;
        const struct attempt *attempt = certificate->attempt;
        const char *set = renewal->expiry == 0                          ? "there is no certificate yet"
                          : renewal->expiry <= now_usec(CLOCK_REALTIME) ? "the certificate has expired"
                                                                        : "keeping the old set";
        char span[TIMESPAN_MAX];

        if (certificate->context->once)
                say(certificate, LOG_ERR, MESSAGE_FAILED, "%s failed (%s): %s; %s", step_texts[attempt->step],
                    failure_names[renewal->failure], error_text(&attempt->error), set);
        else
                say(certificate, LOG_ERR, MESSAGE_FAILED, "%s failed (%s): %s; %s, trying again in %s",
                    step_texts[attempt->step], failure_names[renewal->failure], error_text(&attempt->error),
                    set, format_timespan(span, renewal->backoff_usec));
}

static void say_waiting(const struct certificate *certificate) {
        const struct config_certificate *config = certificate->config;
        const char *why =
                certificate->renewal.expiry == 0 ? "no certificate yet" : "the certificate cannot be renewed";

        if (config->token_file)
                say(certificate, LOG_WARNING, MESSAGE_WAITING, "%s; waiting for a one-time token in %s", why,
                    config->token_file);
        else
                say(certificate, LOG_WARNING, MESSAGE_WAITING,
                    "%s, and no way to enrol: set `token_file`, or import an existing pair", why);
}

static void say_current(struct certificate *certificate) {
        const struct renewal *renewal = &certificate->renewal;
        usec_t now = now_usec(CLOCK_REALTIME);
        char expiry[TIMESTAMP_MAX], due[TIMESTAMP_MAX], span[TIMESPAN_MAX];

        if (certificate->told_due_usec == renewal->due_usec)
                return;
        certificate->told_due_usec = renewal->due_usec;
        say(certificate, LOG_INFO, MESSAGE_CURRENT,
            "generation %" PRIu64 " is current until %s, sha256 %.16s...; will be renewed at %s, in %s",
            certificate->generation, format_timestamp(expiry, renewal->expiry), certificate->fingerprint,
            format_timestamp(due, renewal->due_usec),
            format_timespan(span, usec_sub(renewal->due_usec, now)));
}

/* --- Rest --- */

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        certificate_wake(userdata);
        return 0;
}

/* An expiry is an instant on the wall clock; a back-off is a span, which a suspended machine has waited as
 * well. */
static void arm_timer(struct certificate *certificate) {
        const struct renewal *renewal = &certificate->renewal;
        sd_event *event = certificate->context->event;
        int r = 0;

        certificate->timer = sd_event_source_disable_unref(certificate->timer);
        certificate->backoff_until = 0;
        if (renewal->backoff_usec != USEC_INFINITY)
                certificate->backoff_until = usec_add(now_usec(CLOCK_BOOTTIME), renewal->backoff_usec);
        if (renewal->backoff_usec != USEC_INFINITY)
                r = sd_event_add_time_relative(event, &certificate->timer, CLOCK_BOOTTIME,
                                               renewal->backoff_usec, 0, on_timer, certificate);
        else if (renewal->due_usec != USEC_INFINITY)
                r = sd_event_add_time(event, &certificate->timer, CLOCK_REALTIME, renewal->due_usec, 0,
                                      on_timer, certificate);
        if (r < 0) {
                /* Without its timer a certificate would expire in silence: better to end and be restarted. */
                log_error("%s: cannot set a timer: %s", certificate->config->name, strerrordesc_np(-r));
                sd_event_exit(event, EXIT_FAILURE);
        }
}

/* Another file than the last look read: a token that was tried once is not tried at each noise in its folder.
 */
static bool token_is_new(const struct certificate *certificate) {
        struct file_identity identity;

        return file_identify(AT_FDCWD, certificate->config->token_file, &identity) == 0 &&
               !file_identity_equal(&identity, &certificate->token_identity);
}

static void on_token_event(void *userdata) {
        struct certificate *certificate = userdata;

        if (token_is_new(certificate))
                certificate_wake(certificate);
}

/* The token file is watched while a token would be of use. */
static void arm_token_watch(struct certificate *certificate) {
        const struct renewal *renewal = &certificate->renewal;
        const char *path = certificate->config->token_file;
        int r;

        if (!path || renewal->state == RENEWAL_CURRENT) {
                certificate->token_watch = watch_free(certificate->token_watch);
                return;
        }
        if (certificate->token_watch)
                return;
        r = watch_new(certificate->context->event, path, on_token_event, certificate,
                      &certificate->token_watch);
        if (r < 0)
                say(certificate, LOG_WARNING, MESSAGE_WARNING, "cannot watch for token file %s: %s", path,
                    strerrordesc_np(-r));
        /* It may have come between the look and the watch. */
        if (token_is_new(certificate))
                certificate_wake(certificate);
}

static void on_set_event(void *userdata) {
        certificate_look(userdata);
}

/* The files are watched as soon as there is a directory, and before they are looked at: what changes after
 * the look is then an event. */
static void arm_set_watch(struct certificate *certificate) {
        int r;

        if (certificate->context->once)
                return;
        if (certificate->set_watch) {
                set_watch_follow(certificate->set_watch);
                return;
        }
        r = set_watch_new(certificate->context->event, certificate->config->directory, on_set_event,
                          certificate, &certificate->set_watch);
        if (r < 0 && r != -ENOENT)
                say(certificate, LOG_WARNING, MESSAGE_WARNING,
                    "cannot watch directory %s: %s; changes by others are found at the next renewal only",
                    certificate->config->directory, strerrordesc_np(-r));
}

/* --once: nothing more is to come of this certificate. */
static void settle(struct certificate *certificate) {
        if (!certificate->context->once || certificate->settled)
                return;
        certificate->settled = true;
        certificate->context->settled(certificate->context, certificate->renewed, certificate->failed);
}

static void on_dependents_settled(bool all_delivered, void *userdata) {
        struct certificate *certificate = userdata;

        certificate->failed = certificate->failed || !all_delivered;
        settle(certificate);
}

static void end_attempt(struct certificate *certificate) {
        certificate->attempt = attempt_free(certificate->attempt);
        if (certificate->has_slot) {
                certificate->has_slot = false;
                slots_return(&certificate->context->slots);
        }
}

static void rest(struct certificate *certificate) {
        end_attempt(certificate);
        if (certificate->context->once) {
                /* What is owed to dependents is waited for; on_dependents_settled() tells. */
                if (!certificate->dependents || dependents_owed(certificate->dependents) == 0)
                        settle(certificate);
                return;
        }
        arm_timer(certificate);
        arm_token_watch(certificate);
        if (certificate->look_again)
                certificate_look(certificate);
}

/* --- Events --- */

static enum renewal_step take_event(struct certificate *certificate, struct renewal *renewal,
                                    const struct renewal_event *event) {
        const struct schedule_policy policy = schedule_policy(certificate->config);
        struct renewal_context context = {
                .policy = &policy,
                .seed = certificate->seed,
                .now = now_usec(CLOCK_REALTIME),
        };

        (void)getrandom(&context.random, sizeof(context.random), GRND_NONBLOCK);
        return renewal_next(renewal, event, &context);
}

/* Keeps the facts of the current set that outlive the attempt. Returns whether it is another one. */
static bool remember_set(struct certificate *certificate) {
        const struct attempt *attempt = certificate->attempt;
        char fingerprint[FINGERPRINT_HEX] = "";
        bool changed;

        certificate->token_identity = attempt->token_identity;
        if (attempt->has_set)
                hex_format(fingerprint, attempt->set.fingerprint, FINGERPRINT_SIZE);
        changed = !streq(fingerprint, certificate->fingerprint);
        certificate->generation = attempt->set.generation;
        memcpy(certificate->fingerprint, fingerprint, sizeof(fingerprint));
        return changed;
}

/* A step may succeed and still have something to tell. */
static void say_warning(const struct certificate *certificate) {
        struct attempt *attempt = certificate->attempt;

        if (!attempt->warning)
                return;
        say(certificate, LOG_WARNING, MESSAGE_WARNING, "%s", attempt->warning);
        free(take_ptr(attempt->warning));
}

/* The look is done. What it leads to is tried on a copy first: without a slot, a step must wait for one, and
 * the world may have changed by then. */
static void take_sight(struct certificate *certificate) {
        const struct renewal_event event = { .type = RENEWAL_LOOKED, .sight = &certificate->attempt->sight };
        struct attempt *attempt = certificate->attempt;
        struct renewal next = certificate->renewal;
        enum renewal_state before = certificate->renewal.state;
        bool changed = remember_set(certificate);

        if (attempt->adopted)
                say(certificate, LOG_NOTICE, MESSAGE_ADOPTED, "adopted %s as generation %" PRIu64,
                    attempt->adopted, attempt->set.generation);
        say_warning(certificate);

        if (certificate->look_only && !changed && certificate->backoff_until > now_usec(CLOCK_BOOTTIME)) {
                certificate->renewal = certificate->resting;
                certificate->renewal.backoff_usec =
                        usec_sub(certificate->backoff_until, now_usec(CLOCK_BOOTTIME));
                log_debug("%s: looked, nothing has changed, the back-off goes on", certificate->config->name);
                rest(certificate);
                return;
        }

        if (take_event(certificate, &next, &event) != STEP_NONE) {
                if (!certificate->has_slot) {
                        certificate->renewal.step = STEP_NONE;
                        certificate->attempt = attempt_free(attempt);
                        slots_wait(&certificate->context->slots, &certificate->slot_waiter);
                        return;
                }
                certificate->renewal = next;
                attempt->by_token = next.by_token;
                attempt->forced = next.forced;
                say(certificate, LOG_INFO, MESSAGE_BEGUN, "%s",
                    next.by_token                    ? "enrolling with a one-time token"
                    : attempt->sight.other_key_asked ? "renewing, since a larger key is asked for"
                                                     : "renewing");
                attempt_start(attempt, next.step);
                return;
        }

        certificate->renewal = next;
        if (next.failure == FAILURE_LOCAL && next.failures > 0 && next.backoff_usec != USEC_INFINITY) {
                attempt->failure = FAILURE_LOCAL;
                error_set(&attempt->error, -ETIME,
                          "the clock of this machine lies before the certificate's notBefore: it is wrong, "
                          "and nothing is renewed by it");
                say_failure(certificate);
                certificate->failed = true;
        } else if (next.state == RENEWAL_WAITING_FOR_TOKEN) {
                if (before != RENEWAL_WAITING_FOR_TOKEN)
                        say_waiting(certificate);
                certificate->failed = true;
        } else
                say_current(certificate);
        rest(certificate);
}

static void take_commit(struct certificate *certificate, bool enrolled) {
        char expiry[TIMESTAMP_MAX];
        const struct attempt *attempt = certificate->attempt;

        certificate->renewal.expiry = attempt->set.effective_expiry;
        certificate->renewed = true;
        remember_set(certificate);
        say(certificate, LOG_NOTICE, enrolled ? MESSAGE_ENROLLED : MESSAGE_RENEWED,
            "%s: generation %" PRIu64 " is current until %s, sha256 %.16s...",
            enrolled ? "enrolled" : "renewed", certificate->generation,
            format_timestamp(expiry, certificate->renewal.expiry), certificate->fingerprint);

        const struct notice notice = {
                .generation = certificate->generation,
                .certificate = certificate->config->name,
                .directory = certificate->config->directory,
                .fingerprint = certificate->fingerprint,
        };
        if (certificate->dependents)
                dependents_owe(certificate->dependents, &notice);

        /* The next due time comes from what is on disk. */
        end_attempt(certificate);
        certificate_wake(certificate);
}

static void take_failure(struct certificate *certificate) {
        const struct attempt *attempt = certificate->attempt;
        const struct renewal_event event = {
                .type = RENEWAL_FAILED,
                .failure = attempt->failure,
                .retry_after_usec = attempt->retry_after_usec,
        };
        enum renewal_state before = certificate->renewal.state;

        say_warning(certificate);
        take_event(certificate, &certificate->renewal, &event);
        say_failure(certificate);
        if (certificate->renewal.state == RENEWAL_WAITING_FOR_TOKEN && before != RENEWAL_WAITING_FOR_TOKEN)
                say_waiting(certificate);
        certificate->failed = true;
        rest(certificate);
}

static void on_step_done(void *userdata) {
        struct certificate *certificate = userdata;
        struct attempt *attempt = certificate->attempt;
        struct renewal_event event = { .type = RENEWAL_DONE };
        enum renewal_step step = attempt->step, next;

        if (attempt->failure != FAILURE_NONE) {
                take_failure(certificate);
                return;
        }
        if (step == STEP_LOOK) {
                take_sight(certificate);
                return;
        }
        say_warning(certificate);
        if (step == STEP_CONFIGURATION && attempt->key_too_small)
                event.type = RENEWAL_KEY_TOO_SMALL;

        log_debug("%s: %s done", certificate->config->name, renewal_step_names[step]);
        next = take_event(certificate, &certificate->renewal, &event);
        if (step == STEP_COMMIT)
                take_commit(certificate, attempt->by_token);
        else
                attempt_start(attempt, next);
}

static void begin_look(struct certificate *certificate) {
        static const struct renewal_event wake = { .type = RENEWAL_WAKE };

        certificate->timer = sd_event_source_disable_unref(certificate->timer);
        certificate->attempt =
                attempt_new(certificate->context, certificate->config, on_step_done, certificate);
        if (!certificate->attempt) {
                log_error("%s: out of memory", certificate->config->name);
                sd_event_exit(certificate->context->event, EXIT_FAILURE);
                return;
        }
        if (!certificate->has_slot)
                certificate->has_slot = slots_take(&certificate->context->slots);
        certificate->attempt->may_renew = certificate->has_slot;
        certificate->attempt->n_failures = certificate->renewal.failures;
        arm_set_watch(certificate);
        attempt_start(certificate->attempt, take_event(certificate, &certificate->renewal, &wake));
}

void certificate_wake(struct certificate *certificate) {
        if (certificate->attempt || certificate->slot_waiter.is_waiting)
                return;
        certificate->look_only = false;
        begin_look(certificate);
}

void certificate_look(struct certificate *certificate) {
        if (certificate->slot_waiter.is_waiting)
                return; /* it looks anyway when its turn comes */
        certificate->look_again = certificate->attempt;
        if (certificate->attempt)
                return;
        certificate->look_only = true;
        certificate->resting = certificate->renewal;
        begin_look(certificate);
}

static void on_slot(struct slot_waiter *waiter) {
        struct certificate *certificate =
                (struct certificate *)((char *)waiter - offsetof(struct certificate, slot_waiter));

        certificate->has_slot = true;
        certificate_wake(certificate);
}

int certificate_new(struct context *context, const struct config_certificate *config,
                    struct certificate **ret) {
        _cleanup_(certificate_freep) struct certificate *certificate = NULL;
        int r;

        certificate = calloc(1, sizeof(*certificate));
        if (!certificate)
                return -ENOMEM;
        certificate->context = context;
        certificate->slot_waiter.granted = on_slot;
        certificate->config = config;
        certificate->seed = schedule_seed(context->machine_id, config->name);
        certificate->renewal.due_usec = certificate->renewal.backoff_usec = USEC_INFINITY;

        if (config->n_notify > 0) {
                r = dependents_new(context->event, config, !context->once, on_dependents_settled, certificate,
                                   &certificate->dependents);
                if (r < 0)
                        return r;
        }
        *ret = take_ptr(certificate);
        return 0;
}

struct certificate *certificate_free(struct certificate *certificate) {
        if (!certificate)
                return NULL;
        slots_leave(&certificate->context->slots, &certificate->slot_waiter);
        attempt_free(certificate->attempt);
        sd_event_source_disable_unref(certificate->timer);
        watch_free(certificate->token_watch);
        set_watch_free(certificate->set_watch);
        dependents_free(certificate->dependents);
        free(certificate);
        return NULL;
}
