#pragma once

/* Looks at directories, and by whom. */

#include <sys/stat.h>

#include "lib/report/inspect.h"
#include "tests/support/scratch.h"
#include "tests/support/sets.h"
#include "tests/test.h"

/* Two generations in SCRATCH: 1 of set 0 and 2 of set 1. */
static inline void make_two(const char *scratch) {
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);

        test_set_commit(store, &first);
        test_set_commit(store, &second);
}

static inline void assert_problem(const struct inspection *inspection, const char *text) {
        const char *problem = error_text(&inspection->problem);

        if (!text)
                ck_assert_msg(inspection->problem.code == 0, "%s", problem);
        else
                ck_assert_msg(inspection->problem.code < 0 && strstr(problem, text), "%s", problem);
}
