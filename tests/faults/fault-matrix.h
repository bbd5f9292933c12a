#pragma once

/* What is to follow from each fault of devconnector at each call that rekeyd makes. */

#include "lib/life/renewal.h"

/* The calls: enrolment goes through the token endpoint and proves itself at the other one. */
enum struck_call {
        ENROL_CONFIGURATION,
        ENROL_SIGN,
        ENROL_VERIFY,
        RENEW_CONFIGURATION,
        RENEW_SIGN,
        RENEW_VERIFY,
        STRUCK_CALL_MAX,
};

struct struck_call_row {
        const char *name;
        const char *operation, *endpoint; /* as devconnector names them */
        const char *field;                /* one that the reply must have */
        const char *service_field;        /* the same in connector-service */
        enum renewal_step step;
};
extern const struct struck_call_row struck_calls[STRUCK_CALL_MAX];

static inline bool is_enrolment(enum struck_call call) {
        return call <= ENROL_VERIFY;
}

enum remedy {
        REMEDY_NONE, /* it recovers by itself */
        REMEDY_TOKEN,
        REMEDY_URL, /* the certificate-secured URL in the configuration */
        REMEDY_MAX,
};
extern const char *const remedies[REMEDY_MAX];

struct expected {
        enum failure failure;      /* FAILURE_NONE: the call succeeds all the same */
        enum renewal_state state;  /* after the failure */
        enum remedy remedy;        /* what it takes to recover, besides an end of the fault */
        enum renewal_step noticed; /* STEP_NONE: at the call itself */
        const char *not_here;      /* why the fault cannot strike this call */
        bool is_slow; /* an enrolment tries the same token again, after the first of RENEWAL_DOUBTS */
};

struct fault_case {
        const char *fault;
        const char *parameters; /* JSON members, or NULL */
        bool in_tls;            /* strikes a connection, whatever is called over it */
        bool of_field;          /* takes a field; the call's own unless the parameters name one */
        usec_t not_before_usec; /* an enrolment that recovers by itself waits at least that long */
        struct expected at[STRUCK_CALL_MAX];

        /* What is otherwise in connector-service; NULL for what is not. */
        const char *service_parameters;
        const struct expected *service_at; /* STRUCK_CALL_MAX of them */

        const char *not_in_compass, *not_in_service; /* why it has no meaning there */
};

extern const struct fault_case fault_cases[];
extern const size_t n_fault_cases;
