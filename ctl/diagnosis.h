#pragma once

/* What an examination has found: a line for each check, with what fixes it where it fails. */

#include "ctl/ctl.h"

enum diagnosis_result {
        DIAGNOSIS_GOOD,
        DIAGNOSIS_BAD,
        DIAGNOSIS_UNKNOWN, /* it could not be judged, or needs time only */
};

struct diagnosis_line {
        enum diagnosis_result result;
        const char *check; /* static: "dns" */
        char *about;       /* "connector ucl", "orders"; NULL: the whole */
        char *text;        /* one sentence, without a full stop */
        char *fix;         /* NULL: none */
};

struct diagnosis {
        struct diagnosis_line *lines;
        size_t n, n_allocated, n_bad, n_unknown;
        bool is_out_of_memory;
};
void diagnosis_clear(struct diagnosis *diagnosis);

/* Adds a line; ABOUT and FIX are copied, and may be NULL. */
void diagnosis_add(struct diagnosis *diagnosis, enum diagnosis_result result, const char *check,
                   const char *about, const char *fix, const char *format, ...) _printf_(6, 7);

/* Prints all lines and a summary; or as JSON. An exit status: CTL_OK where nothing is bad, CTL_FAILED
 * otherwise. */
int diagnosis_print(const struct diagnosis *diagnosis, struct ctl *ctl);
int diagnosis_print_json(const struct diagnosis *diagnosis, struct ctl *ctl);
