#pragma once

/* Daemons that are killed and started again, and dependents that write down what they are told. */

#include "tests/support/stand.h"
#include "tests/test.h"

#define ORDERS                       \
        "  orders:\n"                \
        "    connector: dev\n"       \
        "    directory: %s/orders\n" \
        "    token_file: %s/token\n"

#define LARGER_KEY "    key: {bits: 3072}\n"

/* Two dependents, told in this order. */
#define TOLD                                    \
        "    notify:\n"                         \
        "      - {command: [%s/tell, first]}\n" \
        "      - {command: [%s/tell, second]}\n"

#define HOLD(operation) "{\"fault\":\"hold\",\"at\":\"" operation "\"}"

static const char *const a_month[] = { "--lifetime", "30d", NULL };

static inline bool is_wrapped(void) {
        return getenv("REKEYD_TEST_WRAPPER");
}

static inline bool has_said(struct stand *stand, const char *text) {
        return strstr(process_output(stand->rekeyd, PROCESS_STDERR), text);
}

static inline unsigned count(const char *text, const char *word) {
        unsigned n = 0;

        for (const char *p = text; p && (p = strstr(p, word)); p += strlen(word))
                n++;
        return n;
}

static inline unsigned stand_count(struct stand *stand, const char *file, const char *word) {
        _cleanup_(freep) char *text = scratch_read(stand->directory, file);

        return count(text, word);
}

static inline void remove_file(struct stand *stand, const char *name) {
        _cleanup_(freep) char *path = scratch_path(stand->directory, name);

        ck_assert_int_eq(unlink(path), 0);
}

/* Enrolled; nothing is due. */
static inline struct stand *stand_enrolled(const char *certificates) {
        struct stand *stand = stand_new(a_month);

        stand_configure(stand, certificates);
        stand_token(stand, "client-1", "token");
        ck_assert_int_eq(stand_run(stand, "--once"), 2);
        return stand;
}

/* Enrolled, and due: a larger key is asked for. */
static inline struct stand *stand_due(void) {
        struct stand *stand = stand_enrolled(ORDERS);

        stand_configure(stand, ORDERS LARGER_KEY);
        return stand;
}

/* A dependent that does as the files beside it say, and writes down what it was told. */
static inline void write_dependent(struct stand *stand) {
        scratch_write(
                stand->directory, "tell",
                "#!/bin/sh\n"
                "cd \"${0%/*}\" || exit 1\n"
                "echo \"run $1 $REKEYD_GENERATION\" >> runs\n"
                "if [ -e deadly ]; then rm deadly; kill -9 $PPID; exit 0; fi\n"
                "if [ -e slow ]; then echo $1 begins; while [ -e slow ]; do sleep 0.1; done; exit 1; fi\n"
                "if [ -e failing-$1 ]; then exit 1; fi\n"
                "echo \"$1 $REKEYD_GENERATION\" >> told\n",
                0700);
}

static inline struct stand *stand_with_dependents(void) {
        struct stand *stand = stand_new(a_month);

        write_dependent(stand);
        stand_configure(stand, ORDERS TOLD);
        stand_token(stand, "client-1", "token");
        return stand;
}

static inline void assert_file(struct stand *stand, const char *name, const char *expected) {
        _cleanup_(freep) char *text = scratch_read(stand->directory, name);

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
