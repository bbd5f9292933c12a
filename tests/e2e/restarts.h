#pragma once

/* Daemons that are killed and started again, and dependents that write down what they are told. */

#include "tests/support/fixture.h"
#include "tests/test.h"

/* Two dependents, told in this order. */
#define TOLD                                    \
        "    notify:\n"                         \
        "      - {command: [%s/tell, first]}\n" \
        "      - {command: [%s/tell, second]}\n"

#define HOLD(operation) "{\"fault\":\"hold\",\"at\":\"" operation "\"}"

static inline bool is_wrapped(void) {
        return getenv("REKEYD_TEST_WRAPPER");
}

static inline bool has_said(struct fixture *fixture, const char *text) {
        return strstr(process_output(fixture->rekeyd, PROCESS_STDERR), text);
}

static inline unsigned count(const char *text, const char *word) {
        unsigned n = 0;

        for (const char *p = text; p && (p = strstr(p, word)); p += strlen(word))
                n++;
        return n;
}

static inline unsigned fixture_count(struct fixture *fixture, const char *file, const char *word) {
        _cleanup_(freep) char *text = scratch_read(fixture->directory, file);

        return count(text, word);
}

static inline void remove_file(struct fixture *fixture, const char *name) {
        _cleanup_(freep) char *path = scratch_path(fixture->directory, name);

        ck_assert_int_eq(unlink(path), 0);
}

/* Enrolled; nothing is due. */
static inline struct fixture *fixture_enrolled(const char *certificates) {
        struct fixture *fixture = fixture_new(FIXTURE_LASTING("30d"));

        fixture_enrol(fixture, certificates);
        return fixture;
}

/* Enrolled, and due: a larger key is asked for. */
static inline struct fixture *fixture_due(void) {
        struct fixture *fixture = fixture_enrolled(ORDERS);

        fixture_configure(fixture, ORDERS LARGER_KEY);
        return fixture;
}

/* A dependent that does as the files beside it say, and writes down what it was told. */
static inline void write_dependent(struct fixture *fixture) {
        scratch_write(
                fixture->directory, "tell",
                "#!/bin/sh\n"
                "cd \"${0%/*}\" || exit 1\n"
                "echo \"run $1 $REKEYD_GENERATION\" >> runs\n"
                "if [ -e deadly ]; then rm deadly; kill -9 $PPID; exit 0; fi\n"
                "if [ -e slow ]; then echo $1 begins; while [ -e slow ]; do sleep 0.1; done; exit 1; fi\n"
                "if [ -e failing-$1 ]; then exit 1; fi\n"
                "echo \"$1 $REKEYD_GENERATION\" >> told\n",
                0700);
}

static inline struct fixture *fixture_with_dependents(void) {
        struct fixture *fixture = fixture_new(FIXTURE_LASTING("30d"));

        write_dependent(fixture);
        fixture_prepare(fixture, ORDERS TOLD);
        return fixture;
}

static inline void assert_file(struct fixture *fixture, const char *name, const char *expected) {
        _cleanup_(freep) char *text = scratch_read(fixture->directory, name);

        ck_assert_ptr_nonnull(text);
        ck_assert_str_eq(text, expected);
}

/* How many calls back-offs of 5 s, doubling, a fifth less at most, allow in SPAN_USEC, from the first one. */
static inline unsigned allowed_calls(usec_t span_usec) {
        unsigned n = 1;

        for (usec_t wait = 4 * USEC_PER_SEC; span_usec >= wait; wait *= 2, n++)
                span_usec -= wait;
        return n;
}
