/*
 * A pair of fault and call, from arming to recovery. What is waited for are lines of the two programs; that
 * the fault was really used is taken from devconnector's own events.
 */

#include "tests/faults/fault-runner.h"

#include <check.h>
#include <stdarg.h>

#include "tests/support/snapshot.h"

#define SLIPS_MAX      5u
#define ENROL_MAX_USEC (20 * USEC_PER_SEC)
#define SLOW_MAX_USEC  (75 * USEC_PER_SEC)

/* A certificate becomes due in the first tenth of its life, so that there is much of it left to recover in.
 */
#define LIFETIME "30s"

/* What ends a call that is delayed or held. */
#define TIMEOUT ", timeout: 5s"

void result_wrong(struct result *result, const char *format, ...) {
        size_t used = strlen(result->wrong);
        va_list args;

        result->outcome = OUTCOME_WRONG;
        va_start(args, format);
        if (used > 0)
                used += (size_t)snprintf(result->wrong + used, sizeof(result->wrong) - used, "; ");
        if (used < sizeof(result->wrong))
                vsnprintf(result->wrong + used, sizeof(result->wrong) - used, format, args);
        va_end(args);
}

char *fault_json(unsigned pair, unsigned count) {
        const struct fault_case *row = case_of(pair);
        const struct struck_call_row *call = &struck_calls[call_of(pair)];
        const char *parameters = parameters_of(row), *field = by_protocol(call->field, call->service_field);
        bool own_field = row->of_field && (!parameters || !strstr(parameters, "\"field\""));
        char times[32] = "", *json;

        if (count > 0)
                snprintf(times, sizeof(times), ",\"count\":%u", count);
        ck_assert_int_ge(asprintf(&json, "{\"fault\":\"%s\",\"endpoint\":\"%s\"%s%s%s%s%s%s%s%s%s}",
                                  row->fault, call->endpoint, row->in_tls ? "" : ",\"at\":\"",
                                  row->in_tls ? "" : call->operation, row->in_tls ? "" : "\"",
                                  parameters ? "," : "", parameters ? parameters : "",
                                  own_field ? ",\"field\":\"" : "", own_field ? field : "",
                                  own_field ? "\"" : "", times),
                         0);
        return json;
}

/* In connector-service a proof and the call for the configuration are the same. devconnector takes it for a
 * proof until it was answered as it should be; an answer that does no harm is not, so that the next renewal
 * begins with another one. */
static bool leaves_proof_open(unsigned pair) {
        return expected_of(pair)->failure == FAILURE_NONE && call_of(pair) == RENEW_VERIFY &&
               streq(fixture_protocol(), "connector-service");
}

static void arm(struct fault_runner *runner, unsigned pair) {
        _cleanup_(freep) char *json = fault_json(pair, leaves_proof_open(pair) ? 1 : 0);

        fixture_fault(runner->fixture, json);
}

/* What strikes a connection has to wait for the right one. The call before is held; meanwhile the fault is
 * armed, and the connection that the held call came over ends with its answer. */
static void arm_behind(struct fault_runner *runner, unsigned pair) {
        const struct struck_call_row *before = &struck_calls[call_of(pair) - 1];
        static const char *const faults[] = { "hold", "close" };

        for (size_t i = 0; i < ELEMENTSOF(faults); i++) {
                _cleanup_(freep) char *json = NULL;

                ck_assert_int_ge(asprintf(&json,
                                          "{\"fault\":\"%s\",\"endpoint\":\"%s\",\"at\":\"%s\",\"count\":1}",
                                          faults[i], before->endpoint, before->operation),
                                 0);
                fixture_fault(runner->fixture, json);
        }
}

static void arm_now(struct fault_runner *runner, unsigned pair) {
        json_decref(fixture_await_connector(runner->fixture, "\"held\""));
        arm(runner, pair);
        fixture_release(runner->fixture);
}

static bool strikes_behind(unsigned pair) {
        const enum struck_call call = call_of(pair);

        return case_of(pair)->in_tls && call != ENROL_CONFIGURATION && call != RENEW_CONFIGURATION;
}

/* devconnector must have used the fault, at this endpoint, for this operation. */
static void await_strike(struct fault_runner *runner, unsigned pair) {
        const struct fault_case *row = case_of(pair);
        const struct struck_call_row *call = &struck_calls[call_of(pair)];
        _cleanup_(freep) char *text = NULL;
        bool found = false;

        ck_assert_int_ge(asprintf(&text, "\"fault\":\"%s\"", row->fault), 0);
        while (!found) {
                json_t *event = fixture_await_connector(runner->fixture, text);

                found = streq(member(event, "endpoint"), call->endpoint) &&
                        (row->in_tls || streq(member(event, "operation"), call->operation));
                json_decref(event);
        }
}

static const char *const message_ids[FAILURE_MAX] = {
        [FAILURE_TRANSIENT] = MESSAGE_FAILED_TRANSIENT, [FAILURE_REFUSED] = MESSAGE_FAILED_REFUSED,
        [FAILURE_REJECTED] = MESSAGE_FAILED_REJECTED,   [FAILURE_BAD_REPLY] = MESSAGE_FAILED_BAD_REPLY,
        [FAILURE_LOCAL] = MESSAGE_FAILED_LOCAL,
};

static void judge_failure(const json_t *line, unsigned pair, struct result *result) {
        const struct expected *expected = expected_of(pair);
        const char *step =
                renewal_step_names[expected->noticed != STEP_NONE ? expected->noticed
                                                                  : struck_calls[call_of(pair)].step];
        const char *class = failure_names[expected->failure], *state = renewal_state_names[expected->state];

        snprintf(result->failure, sizeof(result->failure), "%s", member(line, "failure"));
        snprintf(result->state, sizeof(result->state), "%s", member(line, "state"));
        if (!streq(member(line, "failure"), class) || !streq(member(line, "state"), state) ||
            !streq(member(line, "step"), step))
                result_wrong(result, "%s, then %s, noticed at %s, instead of %s, %s, %s (%s)",
                             member(line, "failure"), member(line, "state"), member(line, "step"), class,
                             state, step, member(line, "error"));
        result->is_other_call = streq(fixture_protocol(), "connector-service") &&
                                call_of(pair) == RENEW_VERIFY &&
                                streq(member(line, "step"), renewal_step_names[STEP_CONFIGURATION]) &&
                                expected->noticed == STEP_NONE;
        if (!streq(member(line, "message_id"), message_ids[expected->failure]))
                result_wrong(result, "logged with another message id than that of its class");
        if (strempty(member(line, "error")))
                result_wrong(result, "a failure without a reason");
}

static void judge_set(const char *directory, const struct snapshot *before, struct result *result) {
        _cleanup_(snapshot_clear) struct snapshot now = snapshot_take(directory);
        const char *difference = snapshot_difference(before, &now), *mismatch = NULL;

        if (before->generation)
                mismatch = snapshot_mismatch(&now, NULL);
        if (difference)
                result_wrong(result, "%s is not what it was before the failure", difference);
        if (mismatch)
                result_wrong(result, "the set on disk is damaged: %s", mismatch);
}

/* The next line that says that there is a new set. Returns the last failure before it, owned by the caller,
 * or NULL. */
static char *await_success(struct fault_runner *runner, struct result *result) {
        char *failure = NULL;

        for (;;) {
                char *text = process_poll(runner->fixture->rekeyd, PROCESS_STDERR, "\"message_id\"",
                                          SLOW_MAX_USEC);
                json_t *line;
                const char *id;
                bool enrolled, done;

                if (!text) /* says why not */
                        text = process_await(runner->fixture->rekeyd, PROCESS_STDERR, "\"message_id\"");
                line = text ? json_loads(text, 0, NULL) : NULL;
                id = member(line, "message_id");
                enrolled = streq(id, MESSAGE_ENROLLED);
                done = enrolled || streq(id, MESSAGE_RENEWED);
                ck_assert_msg(line != NULL, "no new set after the fault was lifted");
                json_decref(line);
                if (done) {
                        free(text);
                        snprintf(result->how, sizeof(result->how), "%s", enrolled ? "enrolled" : "renewed");
                        return failure;
                }
                if (strstr(text, "\"failure\":")) {
                        free(failure);
                        failure = take_ptr(text);
                }
                free(text);
        }
}

static void give_token(struct fault_runner *runner) {
        fixture_token(runner->fixture, "client-1", runner->token);
}

/* A token that lies about is tried again when a certificate is rejected. */
static void remove_token(struct fault_runner *runner) {
        _cleanup_(freep) char *path = scratch_path(runner->fixture->directory, runner->token);

        (void)unlink(path);
}

/* Writes the configuration for the enrolment of a certificate of its own. */
static void configure_enrolment(struct fault_runner *runner, unsigned pair) {
        _cleanup_(freep) char *yaml = NULL;

        ck_assert_int_ge(asprintf(&yaml,
                                  "  c%u:\n"
                                  "    connector: dev\n"
                                  "    directory: %%s/c%u\n"
                                  "    token_file: %%s/c%u.token\n",
                                  pair, pair, pair),
                         0);
        fixture_configure(runner->fixture, yaml);
}

static void set_url(struct fault_runner *runner, unsigned pair) {
        _cleanup_(freep) char *options = NULL;

        ck_assert_int_ge(asprintf(&options, TIMEOUT ", url: '%s'", runner->fixture->certificate_url), 0);
        runner->fixture->connector_options = options;
        configure_enrolment(runner, pair);
        runner->fixture->connector_options = TIMEOUT;
        ck_assert_int_eq(fixture_stop(runner->fixture), 0);
        fixture_start(runner->fixture, NULL);
}

static void recover(struct fault_runner *runner, unsigned pair, const char *directory,
                    const struct snapshot *before, struct result *result) {
        const struct expected *expected = expected_of(pair);
        _cleanup_(snapshot_clear) struct snapshot after = { 0 };
        _cleanup_(freep) char *staged = staged_key(directory);
        usec_t begin, expiry = USEC_INFINITY;
        const char *mismatch;

        fixture_lift_faults(runner->fixture);
        begin = now_usec(CLOCK_MONOTONIC);
        if (expected->remedy == REMEDY_TOKEN)
                give_token(runner);
        else if (expected->remedy == REMEDY_URL)
                set_url(runner, pair);
        free(await_success(runner, result));
        result->recovered_usec = now_usec(CLOCK_MONOTONIC) - begin;

        if (before->generation)
                (void)snapshot_mismatch(before, &expiry);
        if (now_usec(CLOCK_REALTIME) >= expiry)
                result_wrong(result, "recovered only after the old set had expired");
        if (!before->generation &&
            result->recovered_usec > (expected->is_slow ? SLOW_MAX_USEC : ENROL_MAX_USEC))
                result_wrong(result, "recovered too late");
        if (!before->generation && expected->remedy == REMEDY_NONE &&
            result->recovered_usec + USEC_PER_SEC < case_of(pair)->not_before_usec)
                result_wrong(result, "the next call came sooner than Retry-After asks for");

        after = snapshot_take(directory);
        mismatch = snapshot_mismatch(&after, NULL);
        if (mismatch)
                result_wrong(result, "the new set is damaged: %s", mismatch);
        if (staged && !streq_null(staged, after.files[0]))
                result_wrong(result, "another key was made although one was staged");
        if (result->outcome != OUTCOME_WRONG)
                result->outcome = OUTCOME_RECOVERED;
        remove_token(runner);
}

/* The first configuration after a strike is by a certificate whose proof is over. Lines of rekeyd would not
 * do: one of a renewal before the strike may not have been read yet. */
static void await_closed_proof(struct fault_runner *runner) {
        json_decref(fixture_await_connector(runner->fixture, "\"operation\":\"configuration\""));
}

/* The fault does no harm: there is a new set in spite of it. */
static void pass(struct fault_runner *runner, unsigned pair, struct result *result) {
        _cleanup_(freep) char *failure = NULL;

        await_strike(runner, pair);
        failure = await_success(runner, result);
        fixture_lift_faults(runner->fixture);
        remove_token(runner);
        if (!failure && leaves_proof_open(pair)) {
                failure = await_success(runner, result);
                await_closed_proof(runner);
        }
        if (failure)
                result_wrong(result, "failed although the fault does no harm: %s", failure);
        else
                result->outcome = OUTCOME_PASSED;
}

/* The failure that the armed fault leads to, and the set as it was before. On a busy machine a renewal may
 * have slipped through just before the fault was armed; the failure then names another generation. */
static json_t *await_failure(struct fault_runner *runner, const char *directory,
                             struct snapshot *ret_before) {
        for (unsigned i = 0;; i++) {
                _cleanup_(snapshot_clear) struct snapshot before = snapshot_take(directory);
                json_t *line = fixture_await(runner->fixture, MESSAGE_FAILED);
                const char *number = before.generation ? strrchr(before.generation, '-') + 1 : "0";

                if (atoi(member(line, "generation")) == atoi(number) || i == SLIPS_MAX) {
                        *ret_before = before;
                        before = (struct snapshot) { 0 };
                        return line;
                }
                json_decref(line);
        }
}

static void run_pair(struct fault_runner *runner, unsigned pair, struct result *result) {
        _cleanup_(freep) char *directory = scratch_path(runner->fixture->directory, runner->directory);
        _cleanup_(snapshot_clear) struct snapshot before = { 0 };
        json_t *line;

        if (strikes_behind(pair))
                arm_now(runner, pair);
        if (expected_of(pair)->failure == FAILURE_NONE) {
                pass(runner, pair, result);
                return;
        }
        line = await_failure(runner, directory, &before);
        judge_failure(line, pair, result);
        json_decref(line);
        judge_set(directory, &before, result);
        recover(runner, pair, directory, &before, result);
        await_strike(runner, pair);
}

void runner_open(struct fault_runner *runner, bool enrols) {
        *runner = (struct fault_runner) { 0 };
        runner->fixture = fixture_new(enrols ? NULL : FIXTURE_LASTING(LIFETIME));
        runner->fixture->connector_options = TIMEOUT;
        if (enrols)
                return;
        snprintf(runner->directory, sizeof(runner->directory), "orders");
        snprintf(runner->token, sizeof(runner->token), "token");
        fixture_configure(runner->fixture, "  orders:\n"
                                           "    connector: dev\n"
                                           "    directory: %s/orders\n"
                                           "    token_file: %s/token\n"
                                           "    renew_before: 99%%\n");
        give_token(runner);
        fixture_start(runner->fixture, NULL);
        fixture_expect(runner->fixture, MESSAGE_ENROLLED);
        remove_token(runner);
}

void runner_close(struct fault_runner *runner) {
        if (runner->fixture->rekeyd)
                ck_assert_int_eq(fixture_stop(runner->fixture), 0);
        runner->fixture = fixture_free(runner->fixture);
}

static void arm_before(struct fault_runner *runner, unsigned pair) {
        if (strikes_behind(pair))
                arm_behind(runner, pair);
        else
                arm(runner, pair);
}

static void run_enrolment(struct fault_runner *runner, unsigned pair, struct result *result) {
        snprintf(runner->directory, sizeof(runner->directory), "c%u", pair);
        snprintf(runner->token, sizeof(runner->token), "c%u.token", pair);
        configure_enrolment(runner, pair);
        give_token(runner);
        arm_before(runner, pair);
        fixture_start(runner->fixture, NULL);
        run_pair(runner, pair, result);
        ck_assert_int_eq(fixture_stop(runner->fixture), 0);
}

void runner_run(struct fault_runner *runner, unsigned pair, struct result *result) {
        if (is_enrolment(call_of(pair)))
                run_enrolment(runner, pair, result);
        else {
                arm_before(runner, pair);
                run_pair(runner, pair, result);
        }
        runner->n_done++;
}
