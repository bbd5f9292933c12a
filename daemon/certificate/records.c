/*
 * What a restart must know is in the state file before it can matter. A failure is written ahead: before the
 * first call of an attempt the state file says that it has failed, so that a process that dies each time does
 * not call each time. A signature is counted before it is requested, and so is the try of a certificate that
 * is verified. An attempt that begins counts the signature that it will request in the same write, which is
 * two fsyncs less; one that fails before that takes the count back. A process that is killed in between has
 * counted one too many, never one too few. A set that the state file does not name is one that no dependent
 * was notified of.
 */

#include "daemon/certificate/records.h"

#include <limits.h>

#include "daemon/certificate/reporter.h"
#include "lib/util/quote.h"
#include "lib/x509/cert-write.h"

static struct state *saved(const struct core *core) {
        return &core->state_file->state;
}

void records_failure(const struct core *core, unsigned failures, enum failure failure, usec_t backoff_usec) {
        struct state *state = saved(core);

        if (failures == 0) {
                state_keep_error(&state->error, NULL);
                state->cause = CAUSE_NONE;
        }
        state->failures = failures;
        state->failure = failure;
        state->next_attempt_usec =
                backoff_usec == USEC_INFINITY ? 0 : usec_add(now_usec(CLOCK_REALTIME), backoff_usec);
}

void records_error(const struct core *core, const struct error *error, enum cause cause) {
        struct state *state = saved(core);

        state_keep_error(&state->error, error_text(error));
        state->cause = cause;
        state->failed_usec = now_usec(CLOCK_REALTIME);
}

void records_attempt(const struct core *core, const struct renewal *renewal,
                     const struct renewal_context *context, uint64_t token) {
        records_failure(core, renewal->failures < UINT_MAX ? renewal->failures + 1 : UINT_MAX,
                        renewal->failure != FAILURE_NONE ? renewal->failure : FAILURE_TRANSIENT,
                        renewal_assumed_backoff(renewal, context));
        /* Whichever attempt it is for, it has ended its back-off: it does that once. */
        if (token != 0)
                saved(core)->token = token;
}

/* A try counts before its end is known, so that a process that dies each time does not try for as long as it
 * lives. */
void records_verification(const struct core *core, uint32_t reply) {
        struct state *state = saved(core);

        if (state->reply != reply) {
                state->reply = reply;
                state->reply_tries = 0;
        }
        if (state->reply_tries < UINT32_MAX)
                state->reply_tries++;
}

int records_signature(const struct core *core) {
        return state_record_issuance(saved(core), now_usec(CLOCK_BOOTTIME));
}

void records_no_signature(const struct core *core) {
        state_drop_issuance(saved(core));
}

bool records_old_ca(const struct core *core, const struct findings *findings) {
        const usec_t overlap = config_ca_overlap(core->config);
        const char *before = findings->set ? findings->set->ca_pem : NULL;

        _cleanup_(freep) char *text = NULL;

        if (overlap == 0 || !before || !findings->next_ca || cert_text_rewrite(before, &text, NULL) < 0 ||
            streq(text, findings->next_ca))
                return false;
        return state_retire_ca(saved(core), text, now_usec(CLOCK_REALTIME), overlap) == 0;
}

void records_swap(const struct core *core) {
        records_failure(core, 0, FAILURE_NONE, USEC_INFINITY);
        saved(core)->reply = saved(core)->reply_tries = 0;
        saved(core)->rotation.since = saved(core)->rotation.asked = 0;
        saved(core)->is_copied = false; /* the set is this machine's own */
}

/* What somebody has asked for stays asked for until it is done, however many attempts that takes. */
bool records_named_subject(const struct core *core, const struct outcome *outcome, const char *subject) {
        if (!outcome->is_other_subject || !subject)
                return false;
        return state_name_other_subject(saved(core), subject, outcome->failure == FAILURE_NONE) == 0;
}

bool records_subject(const struct core *core, const char *subject, const char *why) {
        struct state *state = saved(core);

        if (!subject || (streq_null(state->subject, subject) && !state->other_subject))
                return false;
        if (state->subject && !streq(state->subject, subject))
                reporter_log(core->reporter, LOG_NOTICE, MESSAGE_SUBJECT,
                             "the subject of the certificate is '%s' now, instead of '%s'%s", quoted(subject),
                             quoted(state->subject), why);
        return state_settle_subject(state, subject) == 0;
}
