#pragma once

/* One fault at one call of a real rekeyd: armed, met, judged, lifted, recovered from. */

#include "tests/faults/fault-matrix.h"
#include "tests/support/fixture.h"

/* A row of fault_cases[] and a call, as one number: row * STRUCK_CALL_MAX + call. */
static inline const struct fault_case *case_of(unsigned pair) {
        return &fault_cases[pair / STRUCK_CALL_MAX];
}

static inline enum struck_call call_of(unsigned pair) {
        return (enum struck_call)(pair % STRUCK_CALL_MAX);
}

/* Why the whole row has no meaning in the protocol of this test; NULL where it has. */
static inline const char *why_not_in_protocol(const struct fault_case *row) {
        return by_protocol(row->not_in_compass, row->not_in_service);
}

static inline const struct expected *expectations_of(const struct fault_case *row) {
        return row->service_at && streq(fixture_protocol(), "connector-service") ? row->service_at : row->at;
}

static inline const struct expected *expected_of(unsigned pair) {
        return &expectations_of(case_of(pair))[call_of(pair)];
}

/* Why the fault of PAIR cannot strike its call; NULL where it can. */
static inline const char *why_not_here(unsigned pair) {
        const char *why = why_not_in_protocol(case_of(pair));

        return why ? why : expected_of(pair)->not_here;
}

/* JSON members, or NULL. */
static inline const char *parameters_of(const struct fault_case *row) {
        return by_protocol(row->parameters,
                           row->service_parameters ? row->service_parameters : row->parameters);
}

enum outcome {
        OUTCOME_NONE, /* not run */
        OUTCOME_PASSED,
        OUTCOME_RECOVERED,
        OUTCOME_WRONG,
};

/* What arms the fault of PAIR, as devconnector takes it; COUNT calls, 0: until it is lifted. Owned by the
 * caller. */
char *fault_json(unsigned pair, unsigned count);

/* Holds no pointers: it is handed from one process to another. */
struct result {
        enum outcome outcome;
        char failure[16], state[24], how[24]; /* class, next state, "enrolled" or "renewed" */
        usec_t recovered_usec;
        char wrong[400];
        bool is_other_call; /* the fault has struck the other purpose of management/info */
};

/* Adds a sentence to what is wrong. */
void result_wrong(struct result *result, const char *format, ...) _printf_(2, 3);

/* Where pairs are run one after the other: a devconnector, and a rekeyd that renews a certificate again and
 * again, or is started for each enrolment. What is waited for and never comes aborts the test. */
struct fault_runner {
        struct fixture *fixture; /* NULL: closed */
        unsigned n_done;
        char directory[24], token[32]; /* of the certificate that is struck, in the stand's directory */
};

void runner_open(struct fault_runner *runner, bool enrols);
void runner_close(struct fault_runner *runner);

/* PAIR must be of the kind that the lane was opened for. */
void runner_run(struct fault_runner *runner, unsigned pair, struct result *result);
