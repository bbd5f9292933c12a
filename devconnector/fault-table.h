#pragma once

/* What faults there are: shared by the files fault*.c only. */

#include "devconnector/faults.h"

enum fault_parameter_type {
        PARAMETER_TEXT,
        PARAMETER_DURATION, /* a text like "2s" */
        PARAMETER_NUMBER,
        PARAMETER_FLAG,
};

/* A flag has no fallback: it is off. */
struct fault_parameter {
        const char *name;
        enum fault_parameter_type type;
        const char *fallback;
        json_int_t min, max; /* of a number */
};

#define FAULT_PARAMETERS_MAX 3

struct fault_row {
        const char *name;
        enum fault_stage stage;
        unsigned operations;  /* that it makes sense for; "at" chooses among them */
        const char *not_rest; /* why it has no meaning in the older service; NULL: it has */
        struct fault_parameter parameters[FAULT_PARAMETERS_MAX];
};

extern const struct fault_row fault_rows[FAULT_KIND_MAX];

/* NULL when a fault of ROW takes no parameter NAME. */
const struct fault_parameter *fault_find_parameter(const struct fault_row *row, const char *name);

/* A request to arm a fault, checked. */
struct fault_request {
        enum fault_kind kind;
        unsigned operations, endpoints, protocols; /* bit masks */
        json_int_t count;                          /* 0: until lifted */
};
int fault_request_read(const json_t *request, struct fault_request *ret, struct error *error);
