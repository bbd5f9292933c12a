/*
 * The fault matrix: every fault that devconnector can arm, at every call that rekeyd makes, with the real
 * daemon. For each pair the class, the next state and the step that noticed are held against
 * tests/support/fault-matrix.c; the set on disk must not change by a byte; the fault is lifted, and the time
 * is taken until there is a new set.
 *
 * Nearly all of that time is waiting for back-offs, so several lanes, each a process with a devconnector and
 * a rekeyd of its own, take pairs from two queues: those that renew, in one daemon with certificates that
 * live for seconds, and those that enrol, each as another certificate in a daemon of its own. Results are in
 * shared memory. The first test runs the matrix and prints the table; those after it judge one column each.
 *
 * REKEYD_TEST_FAULT=NAME in the environment leaves only the rows of one fault.
 */

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "daemon/messages.h"
#include "tests/support/fault-matrix.h"
#include "tests/support/snapshot.h"
#include "tests/support/stand.h"
#include "tests/test.h"

#define ONLY           "REKEYD_TEST_FAULT"
#define N_LANES        16u
#define PAIRS_MAX      768u
#define PAIRS_A_STAND  20u /* then a fresh one: budgets, and output that is searched again and again */
#define SLIPS_MAX      5u
#define RESTARTS_MAX   40u
#define ENROL_MAX_USEC (20 * USEC_PER_SEC)

/* A certificate becomes due in the first tenth of its life, so that there is much of it left to recover in.
 */
#define LIFETIME "30s"

/* What ends a call that is delayed or held. */
#define TIMEOUT ", timeout: 5s"

enum outcome {
        OUTCOME_NONE, /* not run */
        OUTCOME_NOT_HERE,
        OUTCOME_PASSED,
        OUTCOME_RECOVERED,
        OUTCOME_WRONG,
};

struct result {
        enum outcome outcome;
        char failure[16], state[24], how[24];
        usec_t recovered_usec;
        char wrong[400];
};

enum { RENEWALS, ENROLMENTS, QUEUE_MAX };

/* Shared by the tests and the lanes. */
static struct matrix {
        struct queue {
                unsigned pairs[PAIRS_MAX], n;
                atomic_uint next;
        } queues[QUEUE_MAX];
        struct result results[PAIRS_MAX];
} * matrix;

struct lane {
        struct stand *stand;
        unsigned n_done;
        char name[24], directory[24], token[32]; /* of the certificate that is struck */
};

/* A pair is a number: a row of fault_cases[] and a call. */
static const struct fault_case *case_of(unsigned pair) {
        return &fault_cases[pair / STRUCK_CALL_MAX];
}

static enum struck_call call_of(unsigned pair) {
        return (enum struck_call)(pair % STRUCK_CALL_MAX);
}

static const struct expected *expected_of(unsigned pair) {
        return &case_of(pair)->at[call_of(pair)];
}

static void wrong(struct result *result, const char *format, ...) _printf_(2, 3);

static void wrong(struct result *result, const char *format, ...) {
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

/* --- One pair --- */

static void arm(struct lane *lane, unsigned pair) {
        const struct fault_case *row = case_of(pair);
        const struct struck_call_row *call = &struck_calls[call_of(pair)];
        bool own_field = row->of_field && (!row->parameters || !strstr(row->parameters, "\"field\""));
        _cleanup_(freep) char *json = NULL;

        ck_assert_int_ge(asprintf(&json, "{\"fault\":\"%s\",\"door\":\"%s\"%s%s%s%s%s%s%s%s}", row->fault,
                                  call->door, row->in_tls ? "" : ",\"at\":\"",
                                  row->in_tls ? "" : call->operation, row->in_tls ? "" : "\"",
                                  row->parameters ? "," : "", row->parameters ? row->parameters : "",
                                  own_field ? ",\"field\":\"" : "", own_field ? call->field : "",
                                  own_field ? "\"" : ""),
                         0);
        stand_fault(lane->stand, json);
}

/* What strikes a connection has to wait for the right one. The call before is held; meanwhile the fault is
 * armed, and the connection that the held call came over ends with its answer. */
static void arm_behind(struct lane *lane, unsigned pair) {
        const struct struck_call_row *before = &struck_calls[call_of(pair) - 1];
        static const char *const faults[] = { "hold", "close" };

        for (size_t i = 0; i < ELEMENTSOF(faults); i++) {
                _cleanup_(freep) char *json = NULL;

                ck_assert_int_ge(asprintf(&json,
                                          "{\"fault\":\"%s\",\"door\":\"%s\",\"at\":\"%s\",\"count\":1}",
                                          faults[i], before->door, before->operation),
                                 0);
                stand_fault(lane->stand, json);
        }
}

static void arm_now(struct lane *lane, unsigned pair) {
        json_decref(stand_await_connector(lane->stand, "\"held\""));
        arm(lane, pair);
        json_decref(stand_admin(lane->stand, "/release", "{}"));
}

static bool strikes_behind(unsigned pair) {
        const enum struck_call call = call_of(pair);

        return case_of(pair)->in_tls && call != ENROL_CONFIGURATION && call != RENEW_CONFIGURATION;
}

/* devconnector must have used the fault, at this door, for this operation. */
static void await_strike(struct lane *lane, unsigned pair) {
        const struct fault_case *row = case_of(pair);
        const struct struck_call_row *call = &struck_calls[call_of(pair)];
        _cleanup_(freep) char *text = NULL;
        bool found = false;

        ck_assert_int_ge(asprintf(&text, "\"fault\":\"%s\"", row->fault), 0);
        while (!found) {
                json_t *event = stand_await_connector(lane->stand, text);

                found = streq(member(event, "door"), call->door) &&
                        (row->in_tls || streq(member(event, "operation"), call->operation));
                json_decref(event);
        }
}

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
                wrong(result, "%s, then %s, noticed at %s, instead of %s, %s, %s (%s)",
                      member(line, "failure"), member(line, "state"), member(line, "step"), class, state,
                      step, member(line, "error"));
        if (strempty(member(line, "error")))
                wrong(result, "a failure without a reason");
}

static void judge_set(const char *directory, const struct snapshot *before, struct result *result) {
        _cleanup_(snapshot_clear) struct snapshot now = snapshot_take(directory);
        const char *difference = snapshot_difference(before, &now), *mismatch = NULL;

        if (before->generation)
                mismatch = snapshot_mismatch(&now, NULL);
        if (difference)
                wrong(result, "%s is not what it was before the failure", difference);
        if (mismatch)
                wrong(result, "the set on disk is damaged: %s", mismatch);
}

/* The next line that says that there is a new set. Returns the last failure before it, owned by the caller,
 * or NULL. */
static char *await_success(struct lane *lane, struct result *result) {
        char *failure = NULL;

        for (;;) {
                char *text = process_await(lane->stand->rekeyd, PROCESS_STDERR, "\"message_id\"");
                json_t *line = text ? json_loads(text, 0, NULL) : NULL;
                const char *id = member(line, "message_id");
                bool enrolled = streq(id, MESSAGE_ENROLLED), done = enrolled || streq(id, MESSAGE_RENEWED);

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

static void give_token(struct lane *lane) {
        stand_token(lane->stand, "client-1", lane->token);
}

/* A token that lies about is tried again when a certificate is rejected. */
static void remove_token(struct lane *lane) {
        _cleanup_(freep) char *path = scratch_path(lane->stand->directory, lane->token);

        (void)unlink(path);
}

/* Writes the configuration for the enrolment of a certificate of its own. */
static void configure_enrolment(struct lane *lane, unsigned pair) {
        _cleanup_(freep) char *yaml = NULL;

        ck_assert_int_ge(asprintf(&yaml,
                                  "  c%u:\n"
                                  "    connector: dev\n"
                                  "    directory: %%s/c%u\n"
                                  "    token_file: %%s/c%u.token\n",
                                  pair, pair, pair),
                         0);
        stand_configure(lane->stand, yaml);
}

static void set_url(struct lane *lane, unsigned pair) {
        _cleanup_(freep) char *options = NULL;

        ck_assert_int_ge(asprintf(&options, TIMEOUT ", url: '%s'", lane->stand->certificate_url), 0);
        lane->stand->connector_options = options;
        configure_enrolment(lane, pair);
        lane->stand->connector_options = TIMEOUT;
        ck_assert_int_eq(stand_stop(lane->stand), 0);
        stand_start(lane->stand, NULL);
}

static void recover(struct lane *lane, unsigned pair, const char *directory, const struct snapshot *before,
                    struct result *result) {
        const struct expected *expected = expected_of(pair);
        _cleanup_(snapshot_clear) struct snapshot after = { 0 };
        _cleanup_(freep) char *staged = staged_key(directory);
        usec_t begin, expiry = USEC_INFINITY;
        const char *mismatch;

        stand_lift_faults(lane->stand);
        /* Who brings another token does so because rekeyd asks for it: after the next call, where the one
         * that failed did not tell. */
        if (expected->remedy == REMEDY_TOKEN)
                json_decref(stand_await(lane->stand, MESSAGE_WAITING));
        begin = now_usec(CLOCK_MONOTONIC);
        if (expected->remedy == REMEDY_TOKEN)
                give_token(lane);
        else if (expected->remedy == REMEDY_URL)
                set_url(lane, pair);
        free(await_success(lane, result));
        result->recovered_usec = now_usec(CLOCK_MONOTONIC) - begin;

        if (before->generation)
                (void)snapshot_mismatch(before, &expiry);
        if (now_usec(CLOCK_REALTIME) >= expiry)
                wrong(result, "recovered only after the old set had expired");
        if (!before->generation && result->recovered_usec > ENROL_MAX_USEC)
                wrong(result, "recovered too late");
        if (!before->generation && expected->remedy == REMEDY_NONE &&
            result->recovered_usec + USEC_PER_SEC < case_of(pair)->not_before_usec)
                wrong(result, "the next call came sooner than Retry-After asks for");

        after = snapshot_take(directory);
        mismatch = snapshot_mismatch(&after, NULL);
        if (mismatch)
                wrong(result, "the new set is damaged: %s", mismatch);
        if (staged && !streq_null(staged, after.files[0]))
                wrong(result, "another key was made although one was staged");
        if (result->outcome != OUTCOME_WRONG)
                result->outcome = OUTCOME_RECOVERED;
        remove_token(lane);
}

/* The fault does no harm: there is a new set in spite of it. */
static void pass(struct lane *lane, unsigned pair, struct result *result) {
        _cleanup_(freep) char *failure = NULL;

        await_strike(lane, pair);
        failure = await_success(lane, result);
        stand_lift_faults(lane->stand);
        remove_token(lane);
        if (failure)
                wrong(result, "failed although the fault does no harm: %s", failure);
        else
                result->outcome = OUTCOME_PASSED;
}

/* The failure that the armed fault leads to, and the set as it was before. On a busy machine a renewal may
 * have slipped through just before the fault was armed; the failure then names another generation. */
static json_t *await_failure(struct lane *lane, const char *directory, struct snapshot *ret_before) {
        for (unsigned i = 0;; i++) {
                _cleanup_(snapshot_clear) struct snapshot before = snapshot_take(directory);
                json_t *line = stand_await(lane->stand, MESSAGE_FAILED);
                const char *number = before.generation ? strrchr(before.generation, '-') + 1 : "0";

                if (atoi(member(line, "generation")) == atoi(number) || i == SLIPS_MAX) {
                        *ret_before = before;
                        before = (struct snapshot) { 0 };
                        return line;
                }
                json_decref(line);
        }
}

static void run_pair(struct lane *lane, unsigned pair, struct result *result) {
        _cleanup_(freep) char *directory = scratch_path(lane->stand->directory, lane->directory);
        _cleanup_(snapshot_clear) struct snapshot before = { 0 };
        json_t *line;

        if (strikes_behind(pair))
                arm_now(lane, pair);
        if (expected_of(pair)->failure == FAILURE_NONE) {
                pass(lane, pair, result);
                return;
        }
        line = await_failure(lane, directory, &before);
        judge_failure(line, pair, result);
        json_decref(line);
        judge_set(directory, &before, result);
        recover(lane, pair, directory, &before, result);
        await_strike(lane, pair);
}

/* --- Lanes --- */

static void open_lane(struct lane *lane, bool enrols) {
        *lane = (struct lane) { 0 };
        lane->stand = stand_new(enrols ? NULL : (const char *[]) { "--lifetime", LIFETIME, NULL });
        lane->stand->connector_options = TIMEOUT;
        if (enrols)
                return;
        snprintf(lane->directory, sizeof(lane->directory), "orders");
        snprintf(lane->token, sizeof(lane->token), "token");
        stand_configure(lane->stand, "  orders:\n"
                                     "    connector: dev\n"
                                     "    directory: %s/orders\n"
                                     "    token_file: %s/token\n"
                                     "    renew_before: 99%%\n");
        give_token(lane);
        stand_start(lane->stand, NULL);
        json_decref(stand_await(lane->stand, MESSAGE_ENROLLED));
        remove_token(lane);
}

static void close_lane(struct lane *lane) {
        if (lane->stand->rekeyd)
                ck_assert_int_eq(stand_stop(lane->stand), 0);
        lane->stand = stand_free(lane->stand);
}

static void arm_before(struct lane *lane, unsigned pair) {
        if (strikes_behind(pair))
                arm_behind(lane, pair);
        else
                arm(lane, pair);
}

static void run_enrolment(struct lane *lane, unsigned pair, struct result *result) {
        snprintf(lane->directory, sizeof(lane->directory), "c%u", pair);
        snprintf(lane->token, sizeof(lane->token), "c%u.token", pair);
        configure_enrolment(lane, pair);
        give_token(lane);
        arm_before(lane, pair);
        stand_start(lane->stand, NULL);
        run_pair(lane, pair, result);
        ck_assert_int_eq(stand_stop(lane->stand), 0);
}

/* Takes pairs from QUEUE until there are no more. */
static void run_queue(struct queue *queue, bool enrols) {
        struct lane lane = { 0 };
        unsigned next;

        while ((next = atomic_fetch_add(&queue->next, 1)) < queue->n) {
                unsigned pair = queue->pairs[next];
                struct result result = { 0 };

                /* This stays where what is waited for never comes, which ends the lane. */
                wrong(&matrix->results[pair], "rekeyd never did what was waited for");
                if (!lane.stand)
                        open_lane(&lane, enrols);
                if (enrols)
                        run_enrolment(&lane, pair, &result);
                else {
                        arm_before(&lane, pair);
                        run_pair(&lane, pair, &result);
                }
                matrix->results[pair] = result;
                if (++lane.n_done == PAIRS_A_STAND)
                        close_lane(&lane);
        }
        if (lane.stand)
                close_lane(&lane);
}

static bool more_to_do(void) {
        for (size_t i = 0; i < QUEUE_MAX; i++)
                if (atomic_load(&matrix->queues[i].next) < matrix->queues[i].n)
                        return true;
        return false;
}

/* A lane begins with one queue and goes on with the other. */
static void start_lane(unsigned i) {
        pid_t pid = fork();

        ck_assert_int_ge(pid, 0);
        if (pid > 0)
                return;
        for (size_t n = 0; n < QUEUE_MAX; n++) {
                size_t queue = (i + n) % QUEUE_MAX;

                run_queue(&matrix->queues[queue], queue == ENROLMENTS);
        }
        _exit(EXIT_SUCCESS);
}

/* --- What is to be run, and what came of it --- */

static void fill_queues(void) {
        const char *only = getenv(ONLY);

        ck_assert_uint_le(n_fault_cases * STRUCK_CALL_MAX, PAIRS_MAX);
        for (unsigned pair = 0; pair < n_fault_cases * STRUCK_CALL_MAX; pair++) {
                struct queue *queue = &matrix->queues[is_enrolment(call_of(pair)) ? ENROLMENTS : RENEWALS];

                if (expected_of(pair)->not_here)
                        matrix->results[pair].outcome = OUTCOME_NOT_HERE;
                else if (!only || streq(only, case_of(pair)->fault))
                        queue->pairs[queue->n++] = pair;
        }
}

static const char *name_of(unsigned pair, char buffer[64]) {
        const struct fault_case *row = case_of(pair);
        size_t n = (size_t)snprintf(buffer, 64, "%s%s", row->fault, row->parameters ? " " : "");

        for (const char *p = row->parameters; p && *p && n < 63; p++)
                if (*p != '"')
                        buffer[n++] = *p;
        buffer[n < 63 ? n : 63] = '\0';
        return buffer;
}

static void report_pair(unsigned pair) {
        const struct result *result = &matrix->results[pair];
        const char *call = struck_calls[call_of(pair)].name;
        char name[64];

        (void)name_of(pair, name);
        switch (result->outcome) {
        case OUTCOME_NONE:
        case OUTCOME_NOT_HERE:
                break;
        case OUTCOME_PASSED:
                test_report("%-54s %-19s none       %s all the same", name, call, result->how);
                break;
        case OUTCOME_RECOVERED:
                test_report("%-54s %-19s %-10s %-17s %s after %.1f s%s", name, call, result->failure,
                            result->state, result->how, (double)result->recovered_usec / USEC_PER_SEC,
                            remedies[expected_of(pair)->remedy]);
                break;
        case OUTCOME_WRONG:
                test_report("%-54s %-19s WRONG: %s", name, call, result->wrong);
                break;
        }
}

/* The calls that a fault cannot strike, in one line for each reason. */
static void report_not_here(unsigned row) {
        unsigned told = 0;

        for (unsigned first = 0; first < STRUCK_CALL_MAX; first++) {
                const char *why = fault_cases[row].at[first].not_here;
                char name[64], calls[160] = "";

                if (!why || (told & 1u << first))
                        continue;
                for (unsigned call = first; call < STRUCK_CALL_MAX; call++) {
                        size_t n = strlen(calls);

                        if (!streq_null(fault_cases[row].at[call].not_here, why))
                                continue;
                        told |= 1u << call;
                        snprintf(calls + n, sizeof(calls) - n, "%s%s", n > 0 ? ", " : "",
                                 struck_calls[call].name);
                }
                test_report("%-54s cannot strike %s: %s", name_of(row * STRUCK_CALL_MAX, name), calls, why);
        }
}

static void report(void) {
        unsigned n = 0, n_recovered = 0, n_passed = 0;
        usec_t longest = 0;

        for (unsigned pair = 0; pair < n_fault_cases * STRUCK_CALL_MAX; pair++) {
                const struct result *result = &matrix->results[pair];

                if (pair % STRUCK_CALL_MAX == 0 && !getenv(ONLY))
                        report_not_here(pair / STRUCK_CALL_MAX);
                report_pair(pair);
                n += result->outcome > OUTCOME_NOT_HERE;
                n_passed += result->outcome == OUTCOME_PASSED;
                n_recovered += result->outcome == OUTCOME_RECOVERED;
                if (result->outcome == OUTCOME_RECOVERED && result->recovered_usec > longest)
                        longest = result->recovered_usec;
        }
        test_report("faults: %u combinations, %u recovered, longest recovery %.1f s; %u did no harm", n,
                    n_recovered, (double)longest / USEC_PER_SEC, n_passed);
}

START_TEST(every_fault_has_a_row) {
        _cleanup_(stand_freep) struct stand *stand = stand_new(NULL);
        json_t *reply;
        long status;
        char *list, *name;
        unsigned n = 0;

        /* devconnector answers with all that it knows: `... must be one of tls-close, delay, ...` */
        reply = stand_request(stand, "/faults", "{\"fault\":\"?\"}", &status);
        ck_assert_int_eq(status, 400);
        list = strstr(strdupa(member(reply, "error")), "one of ");
        ck_assert_ptr_nonnull(list);
        list += strlen("one of ");
        while ((name = strsep(&list, ", "))) {
                bool found = !*name;

                for (size_t i = 0; i < n_fault_cases; i++)
                        found = found || streq(fault_cases[i].fault, name);
                ck_assert_msg(found, "fault %s is not in the matrix", name);
                n += *name != '\0';
        }
        json_decref(reply);
        ck_assert_uint_gt(n, 30);
}
END_TEST

START_TEST(the_matrix) {
        unsigned n_restarts = 0;
        int status;

        fill_queues();
        for (unsigned i = 0; i < N_LANES; i++)
                start_lane(i);
        for (;;) {
                pid_t pid = waitpid(-1, &status, 0);

                if (pid < 0 && errno == ECHILD)
                        break;
                if (pid > 0 && status != 0 && more_to_do() && n_restarts++ < RESTARTS_MAX)
                        start_lane(n_restarts);
        }
        report();
        ck_assert_msg(!more_to_do(), "too many lanes ended early");
}
END_TEST

static void judge_column(enum struck_call call) {
        char name[64];
        unsigned n_wrong = 0;

        for (unsigned pair = (unsigned)call; pair < n_fault_cases * STRUCK_CALL_MAX; pair += STRUCK_CALL_MAX)
                if (matrix->results[pair].outcome == OUTCOME_WRONG) {
                        fprintf(stderr, "%s at %s: %s\n", name_of(pair, name), struck_calls[call].name,
                                matrix->results[pair].wrong);
                        n_wrong++;
                }
        ck_assert_msg(n_wrong == 0, "%s: %u faults were not met as expected", struck_calls[call].name,
                      n_wrong);
}

/* clang-format off */
#define COLUMN_TEST(name, call) START_TEST(name) { judge_column(call); } END_TEST
/* clang-format on */

COLUMN_TEST(faults_of_configuration_while_enrolling, ENROL_CONFIGURATION)
COLUMN_TEST(faults_of_sign_while_enrolling, ENROL_SIGN)
COLUMN_TEST(faults_of_the_proof_while_enrolling, ENROL_PROOF)
COLUMN_TEST(faults_of_configuration_while_renewing, RENEW_CONFIGURATION)
COLUMN_TEST(faults_of_sign_while_renewing, RENEW_SIGN)
COLUMN_TEST(faults_of_the_proof_while_renewing, RENEW_PROOF)

int main(void) {
        Suite *suite = suite_create("faults");

        setenv("CK_FORK", "yes", 1); /* a lane that fails an assertion must end, and nothing else */
        matrix = mmap(NULL, sizeof(*matrix), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (matrix == MAP_FAILED)
                return EXIT_FAILURE;
        TEST_CASE(suite, every_fault_has_a_row);
        TEST_CASE(suite, the_matrix);
        TEST_CASE(suite, faults_of_configuration_while_enrolling);
        TEST_CASE(suite, faults_of_sign_while_enrolling);
        TEST_CASE(suite, faults_of_the_proof_while_enrolling);
        TEST_CASE(suite, faults_of_configuration_while_renewing);
        TEST_CASE(suite, faults_of_sign_while_renewing);
        TEST_CASE(suite, faults_of_the_proof_while_renewing);
        return test_run(suite);
}
