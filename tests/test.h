#pragma once

/* What every test program shares: Check, and a main() that speaks TAP. */

#include <check.h>
#include <stdio.h>

#include "lib/util/macro.h"

/* Check ends a test that has a longer message than this, and prints none. Its own limit is 4096. */
#define TEST_MESSAGE_MAX "65536"

/* Runs SUITE, prints TAP on stdout and returns the exit status for main(). CK_FORK=no is honoured (valgrind).
 */
static inline int test_run(Suite *suite) {
        SRunner *runner = srunner_create(suite);
        int failed;

        setenv("CK_MAX_MSG_SIZE", TEST_MESSAGE_MAX, 0);
        srunner_set_tap(runner, "-");
        srunner_run_all(runner, CK_SILENT);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The same for the N TESTS of a suite NAME. */
static inline int test_run_all(const char *name, const TTest *const *tests, size_t n) {
        Suite *suite = suite_create(name);

        for (size_t i = 0; i < n; i++) {
                TCase *tcase = tcase_create(tests[i]->name);

                tcase_set_timeout(tcase, 0); /* Meson has one for the program */
                tcase_add_test(tcase, tests[i]);
                suite_add_tcase(suite, tcase);
        }
        return test_run(suite);
}

/* A measurement that the test run shows to its reader: "# swap: 4711 reads, 0 mismatches". */
#define test_report(format, ...)                         \
        do {                                             \
                printf("# " format "\n", ##__VA_ARGS__); \
                fflush(stdout);                          \
        } while (0)

/* Whether times say something here, and whether a library can be preloaded: NULL, or why not. */
static inline const char *test_is_instrumented(void) {
#if HAS_ADDRESS_SANITIZER
        return "the program is built with sanitizers";
#else
        return getenv("REKEYD_TEST_WRAPPER") ? "the program runs under valgrind" : NULL;
#endif
}

/* Rounds of what goes by chance, or through many combinations: N, or an eighth of it under valgrind, which
 * takes thirty times as long and sees the same lines. */
static inline unsigned test_rounds(unsigned n) {
        return getenv("REKEYD_TEST_WRAPPER") ? n / 8 : n;
}

/* The step through rows that are alike and take seconds each there: N under valgrind. */
static inline unsigned test_step(unsigned n) {
        return getenv("REKEYD_TEST_WRAPPER") ? n : 1;
}

/* A test that cannot run here, and why. It is counted as skipped. */
#define test_skip(format, ...) test_report("SKIP " format, ##__VA_ARGS__)

/* Defines the suite NAME from test functions, one case each so that every one has its own line. */
#define TEST_CASE(suite, test) TEST_CASE_IN(suite, test, NULL, NULL)

/* The same with what goes before it and after it, also where it fails. */
#define TEST_CASE_IN(suite, test, set_up, tear_down)                              \
        do {                                                                      \
                TCase *tcase_ = tcase_create(#test);                              \
                tcase_set_timeout(tcase_, 0); /* Meson has one for the program */ \
                tcase_add_checked_fixture(tcase_, set_up, tear_down);             \
                tcase_add_test(tcase_, test);                                     \
                suite_add_tcase(suite, tcase_);                                   \
        } while (0)

/* main() of a suite NAME of tests that need nothing else. */
#define TEST_MAIN(name, ...)                                           \
        int main(void) {                                               \
                const TTest *const tests_[] = { __VA_ARGS__ };         \
                                                                       \
                return test_run_all(name, tests_, ELEMENTSOF(tests_)); \
        }
