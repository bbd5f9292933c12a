#pragma once

/* What the tests of the store say about it, and about its directory. */

#include <fcntl.h>
#include <sys/resource.h>

#include "tests/support/scratch.h"
#include "tests/support/sets.h"
#include "tests/test.h"

static const struct store_options options = {
        .key_access = { .uid = (uid_t)-1, .gid = (gid_t)-1, .mode = 0600 },
        .public_access = { .uid = (uid_t)-1, .gid = (gid_t)-1, .mode = 0644 },
        .keep = 2,
};

static inline void assert_list(const char *directory, const char *expected) {
        _cleanup_(freep) char *list = scratch_list(directory);

        ck_assert_str_eq(list, expected);
}

static inline void assert_file(const char *directory, const char *name, const char *expected) {
        _cleanup_(freep) char *text = scratch_read(directory, name);

        ck_assert_msg(text != NULL, "no %s", name);
        ck_assert_str_eq(text, expected);
}

static inline void assert_loads(const struct store *store, uint64_t generation,
                                const struct test_set *expected) {
        _cleanup_(set_clear) struct set set = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        uint8_t spki[SPKI_HASH_SIZE];

        ck_assert_msg(store_load(store, &set, &error) == 0, "%s", error_text(&error));
        ck_assert_uint_eq(set.generation, generation);
        ck_assert_str_eq(set.certificate_pem, expected->certificate_pem);
        key_spki(expected->key, spki);
        ck_assert_mem_eq(set.spki, spki, sizeof(spki));
        ck_assert_uint_gt(set.effective_expiry, set.not_before);
}

static inline void assert_damaged(const struct store *store, const char *text) {
        _cleanup_(set_clear) struct set set = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        ck_assert_int_eq(store_load(store, &set, &error), -EBADMSG);
        ck_assert_msg(strstr(error_text(&error), text), "%s", error_text(&error));
        ck_assert_ptr_null(set.key);
}

/* From now on N more descriptors can be opened; returns the limit to put back. */
static inline struct rlimit leave_descriptors(unsigned n) {
        int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
        struct rlimit before, limit;

        ck_assert_int_ge(next, 0);
        fd_close(next);
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
        limit = before;
        limit.rlim_cur = (rlim_t)next + n;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        return before;
}
