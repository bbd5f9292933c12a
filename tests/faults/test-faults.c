/*
 * The fault matrix: every fault that devconnector can arm, at every call that rekeyd makes, with the real
 * daemon. For each pair the class, the next state and the step that noticed are held against
 * tests/faults/fault-matrix.c; the set on disk must not change by a byte; the fault is lifted, and the time
 * is taken until there is a new set.
 *
 * Nearly all of that time is waiting for back-offs, so several lanes, each a process with a devconnector and
 * a rekeyd of its own, take pairs from two queues: those that renew, in one daemon with certificates that
 * live for seconds, and those that enrol, each as another certificate in a daemon of its own. Results are in
 * shared memory. The first test runs the matrix and prints the table; those after it judge one column each.
 *
 * The rows that have no meaning in the protocol of this run say why.
 *
 * REKEYD_TEST_FAULT=NAME in the environment leaves only the rows of one fault.
 */

#include <errno.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "tests/faults/fault-runner.h"
#include "tests/support/parallel.h"
#include "tests/test.h"

#define ONLY            "REKEYD_TEST_FAULT"
#define N_RUNNERS       16u
#define PAIRS_MAX       768u
#define PAIRS_A_FIXTURE 20u /* then a fresh one: budgets, and output that is searched again and again */
#define RESTARTS_MAX    40u
#define TRIES           3u /* of a pair, where devconnector took a configuration for a proof */

enum { RENEWALS, ENROLMENTS, QUEUE_MAX };

/* Shared by the tests and the lanes. */
struct matrix {
        struct queue {
                unsigned pairs[PAIRS_MAX], n;
                atomic_uint next;
        } queues[QUEUE_MAX];
        struct result results[PAIRS_MAX];
};
static struct matrix *matrix;

/* --- Lanes --- */

static void run_queue(struct queue *queue, bool enrols) {
        struct fault_runner runner = { 0 };
        unsigned next;

        while ((next = atomic_fetch_add(&queue->next, 1)) < queue->n) {
                unsigned pair = queue->pairs[next];
                struct result result;

                /* This stays where what is waited for never comes, which ends the lane. */
                result_wrong(&matrix->results[pair], "rekeyd never did what was waited for");
                for (unsigned i = 0; i < TRIES; i++) {
                        result = (struct result) { 0 };
                        if (!runner.fixture)
                                runner_open(&runner, enrols);
                        runner_run(&runner, pair, &result);
                        if (!result.is_other_call)
                                break;
                        runner_close(&runner);
                }
                matrix->results[pair] = result;
                if (runner.fixture && runner.n_done == PAIRS_A_FIXTURE)
                        runner_close(&runner);
        }
        if (runner.fixture)
                runner_close(&runner);
}

static bool more_to_do(void) {
        for (size_t i = 0; i < QUEUE_MAX; i++)
                if (atomic_load(&matrix->queues[i].next) < matrix->queues[i].n)
                        return true;
        return false;
}

/* A lane begins with one queue and goes on with the other. */
static void start_runner(unsigned i) {
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

                if (!why_not_here(pair) && (!only || streq(only, case_of(pair)->fault)))
                        queue->pairs[queue->n++] = pair;
        }
}

static const char *name_of(unsigned pair, char buffer[64]) {
        const struct fault_case *row = case_of(pair);
        const char *parameters = parameters_of(row);
        size_t n = (size_t)snprintf(buffer, 64, "%s%s", row->fault, parameters ? " " : "");

        for (const char *p = parameters; p && *p && n < 63; p++)
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
        const struct fault_case *fault = &fault_cases[row];
        const struct expected *at = expectations_of(fault);
        unsigned told = 0;

        if (why_not_in_protocol(fault)) {
                char name[64];

                test_report("%-54s has no meaning in %s: %s", name_of(row * STRUCK_CALL_MAX, name),
                            fixture_protocol(), why_not_in_protocol(fault));
                return;
        }
        for (unsigned first = 0; first < STRUCK_CALL_MAX; first++) {
                const char *why = at[first].not_here;
                char name[64], calls[160] = "";

                if (!why || (told & 1u << first))
                        continue;
                for (unsigned call = first; call < STRUCK_CALL_MAX; call++) {
                        size_t n = strlen(calls);

                        if (!streq_null(at[call].not_here, why))
                                continue;
                        told |= 1u << call;
                        snprintf(calls + n, sizeof(calls) - n, "%s%s", n > 0 ? ", " : "",
                                 struck_calls[call].name);
                }
                test_report("%-54s cannot affect %s: %s", name_of(row * STRUCK_CALL_MAX, name), calls, why);
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
                n += result->outcome != OUTCOME_NONE;
                n_passed += result->outcome == OUTCOME_PASSED;
                n_recovered += result->outcome == OUTCOME_RECOVERED;
                if (result->outcome == OUTCOME_RECOVERED && result->recovered_usec > longest)
                        longest = result->recovered_usec;
        }
        test_report("faults: %s: %u combinations, %u recovered, longest recovery %.1f s; %u did no harm",
                    fixture_protocol(), n, n_recovered, (double)longest / USEC_PER_SEC, n_passed);
}

START_TEST(every_fault_has_a_row) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
        json_t *reply;
        long status;
        char *list, *name;
        unsigned n = 0;

        /* devconnector answers with all that it knows: `... must be one of tls-close, delay, ...` */
        reply = fixture_request(fixture, "/faults", "{\"fault\":\"?\"}", &status);
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
        unsigned n_bad = 0;
        int status;

        fill_queues();
        for (unsigned i = 0; i < N_RUNNERS; i++)
                start_runner(i);
        for (;;) {
                pid_t pid = waitpid(-1, &status, 0);

                if (pid < 0 && errno == ECHILD)
                        break;
                /* It has said why, on stderr; the pair that it was at is marked. */
                if (pid > 0 && status != 0 && n_bad++ < RESTARTS_MAX && more_to_do())
                        start_runner(n_bad);
        }
        report();
        ck_assert_msg(!more_to_do(), "too many lanes ended early");
        ck_assert_msg(n_bad == 0, "%u lanes ended early, or a daemon of theirs ended badly", n_bad);
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
COLUMN_TEST(faults_of_the_proof_while_enrolling, ENROL_VERIFY)
COLUMN_TEST(faults_of_configuration_while_renewing, RENEW_CONFIGURATION)
COLUMN_TEST(faults_of_sign_while_renewing, RENEW_SIGN)
COLUMN_TEST(faults_of_the_proof_while_renewing, RENEW_VERIFY)

int main(void) {
        Suite *suite = suite_create("faults");

        setenv("CK_FORK", "yes", 1); /* a lane that fails an assertion must end, and nothing else */
        matrix = parallel_share(sizeof(*matrix));
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
