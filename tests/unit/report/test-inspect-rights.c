/* A look by somebody who may not read everything; and what is seen of exports. */

#include "lib/report/inspect.h"

#include <grp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/support/scratch.h"
#include "tests/support/sets.h"
#include "tests/test.h"
#include "tests/unit/report/inspections.h"

#define NOBODY 65534u

/* --- Without rights --- */

/* Runs CHECK in a process of an unprivileged user, or of this one where it is unprivileged. CHECK returns
 * NULL or what is wrong. */
static void as_nobody(const char *(*check)(const char *scratch), const char *scratch) {
        pid_t pid;
        int status;

        fflush(NULL);
        pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
                const char *wrong = "cannot become another user";

                if (geteuid() != 0 || (setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0))
                        wrong = check(scratch);
                if (wrong)
                        fprintf(stderr, "%s\n", wrong);
                _exit(wrong ? EXIT_FAILURE : EXIT_SUCCESS);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
}

static const char *sees_all_but_the_key(const char *scratch) {
        _cleanup_(inspection_clear) struct inspection inspection = { 0 };

        if (inspect_directory(scratch, &inspection) != 0)
                return "it fails";
        if (inspection.problem.code != 0)
                return error_text(&inspection.problem);
        if (!inspection.has_set || inspection.set.generation != 2 || inspection.n_generations != 2)
                return "the set is not seen";
        if (inspection.generations[0].problem.code != 0 || inspection.generations[1].problem.code != 0)
                return "a generation has a problem";
        if (inspection.staged.key || inspection.staged.token)
                return "the stage is seen";
        return NULL;
}

START_TEST(a_key_that_may_not_be_read_is_done_without) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(test_set_clear) struct test_set third = test_set_make(2);
        _cleanup_(freep) char *before = NULL, *after = NULL,
                              *key1 = scratch_path(scratch, "..gen-000001/tls.key"),
                              *key2 = scratch_path(scratch, "..gen-000002/tls.key"),
                              *stage = scratch_path(scratch, "..stage-000003");
        struct store *store;

        make_two(scratch);
        store = test_store_open(scratch);
        ck_assert_int_eq(store_stage_key(store, third.key, NULL), 0);
        ck_assert_int_eq(store_stage_parts(store, &(struct store_staged) { .token = "a token" }, NULL), 0);
        store_close(store);
        ck_assert_int_eq(chmod(scratch, 0555), 0);
        if (geteuid() != 0)
                ck_assert(chmod(key1, 0) == 0 && chmod(key2, 0) == 0 && chmod(stage, 0) == 0);

        before = scratch_tree(scratch);
        as_nobody(sees_all_but_the_key, scratch);
        after = scratch_tree(scratch);
        ck_assert_str_eq(before, after);
        ck_assert(chmod(scratch, 0755) == 0 && chmod(stage, 0700) == 0);
}
END_TEST

static const char *says_permission_denied(const char *scratch) {
        _cleanup_(inspection_clear) struct inspection inspection = { 0 };

        if (inspect_directory(scratch, &inspection) != 0)
                return "it fails";
        if (inspection.has_set)
                return "there is a set";
        if (!strstr(error_text(&inspection.problem), "Permission denied"))
                return error_text(&inspection.problem);
        return NULL;
}

START_TEST(everything_else_that_may_not_be_read_is_said) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *generation = scratch_path(scratch, "..gen-000002"),
                              *certificate = scratch_path(generation, "tls.crt");

        make_two(scratch);
        ck_assert(chmod(scratch, 0755) == 0 && chmod(certificate, 0) == 0);
        as_nobody(says_permission_denied, scratch);
        ck_assert(chmod(certificate, 0644) == 0 && chmod(generation, 0) == 0);
        as_nobody(says_permission_denied, scratch);
        ck_assert(chmod(generation, 0755) == 0 && chmod(scratch, 0) == 0);
        as_nobody(says_permission_denied, scratch);
        ck_assert_int_eq(chmod(scratch, 0755), 0);
}
END_TEST

/* --- Exports --- */

#define N_EXPORTS 6

/* Of the second of two sets: written; of another set; none; for others; a link; the leaf.
 */
static struct config_certificate make_exports(const char *scratch, struct export exports[N_EXPORTS]) {
        static const char *const names[N_EXPORTS] = { "written", "other", "none", "mode", "link", "leaf" };
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
        _cleanup_(set_clear) struct set current = { 0 }, old = { 0 };
        _cleanup_(store_closep) struct store *store = NULL;
        _cleanup_(freep) char *directory = scratch_path(scratch, "orders");

        ck_assert_int_eq(mkdir(directory, 0755), 0);
        store = test_store_open(directory);
        test_set_commit(store, &first);
        ck_assert_int_eq(store_load(store, &old, NULL), 0);
        test_set_commit(store, &second);
        ck_assert_int_eq(store_load(store, &current, NULL), 0);
        for (size_t i = 0; i < N_EXPORTS; i++)
                exports[i] = (struct export) {
                        .path = scratch_path(scratch, names[i]),
                        .access = { .uid = (uid_t)-1, .gid = (gid_t)-1, .mode = 0 },
                };
        exports[5].n_contents = 1;
        exports[5].contents[0] = EXPORT_LEAF;
        ck_assert_int_eq(export_write(&exports[0], &current, NULL), 0);
        ck_assert_int_eq(export_write(&exports[1], &old, NULL), 0);
        ck_assert_int_eq(export_write(&exports[3], &current, NULL), 0);
        ck_assert_int_eq(chmod(exports[3].path, 0640), 0);
        ck_assert_int_eq(symlink("written", exports[4].path), 0);
        ck_assert_int_eq(export_write(&exports[5], &current, NULL), 0);
        return (struct config_certificate) {
                .directory = take_ptr(directory),
                .exports = exports,
                .n_exports = N_EXPORTS,
        };
}

static void clear_exports(struct config_certificate *config) {
        for (size_t i = 0; i < config->n_exports; i++)
                free((char *)config->exports[i].path);
        free(config->directory);
}

START_TEST(exports_are_compared) {
        static const struct {
                bool is_current;
                const char *problem;
        } expected[N_EXPORTS] = {
                { true, NULL },
                { false, NULL },
                { false, "it cannot be read: No such file" },
                { false, "owner, group or mode differs from the configuration" },
                { false, "it is a symbolic link to written" },
                { true, NULL },
        };
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(inspection_clear) struct inspection inspection = { 0 };
        struct export exports[N_EXPORTS];
        struct config_certificate config = make_exports(scratch, exports);
        _cleanup_(freep) char *before = scratch_tree(scratch), *after = NULL;

        ck_assert_int_eq(inspect_certificate(&config, NULL, &inspection), 0);
        after = scratch_tree(scratch);
        ck_assert_str_eq(before, after);
        assert_problem(&inspection, NULL);
        ck_assert_uint_eq(inspection.n_exports, N_EXPORTS);
        for (size_t i = 0; i < N_EXPORTS; i++) {
                const struct inspected_export *seen = &inspection.exports[i];
                const char *text = error_text(&seen->problem);

                ck_assert_msg(seen->is_known && seen->is_current == expected[i].is_current, "%zu: %s", i,
                              text);
                ck_assert_msg((seen->problem.code < 0) == (expected[i].problem != NULL), "%zu: %s", i, text);
                ck_assert_msg(!expected[i].problem || strstr(text, expected[i].problem), "%zu: %s", i, text);
        }
        clear_exports(&config);
}
END_TEST

START_TEST(without_a_set_nothing_is_known_of_exports) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        struct export export = { .path = "/etc/passwd", .access = FILE_ACCESS(0600) };
        const char *const directories[] = { scratch, "/nowhere/orders", "/dev/null" };

        for (size_t i = 0; i < ELEMENTSOF(directories); i++) {
                _cleanup_(freep) char *directory = strdup(directories[i]);
                const struct config_certificate config = { .directory = directory,
                                                           .exports = &export,
                                                           .n_exports = 1 };
                _cleanup_(inspection_clear) struct inspection inspection = { 0 };

                ck_assert_int_eq(inspect_certificate(&config, NULL, &inspection), 0);
                ck_assert_uint_eq(inspection.n_exports, 1);
                ck_assert(!inspection.exports[0].is_known && !inspection.exports[0].is_current);
                ck_assert_str_eq(error_text(&inspection.exports[0].problem),
                                 "there is no set to compare it with");
        }
}
END_TEST

static struct config_certificate *exporting; /* for a child */

static const char *knows_the_leaf_only(_unused_ const char *scratch) {
        _cleanup_(inspection_clear) struct inspection inspection = { 0 };

        if (inspect_certificate(exporting, NULL, &inspection) != 0 || inspection.n_exports != N_EXPORTS)
                return "it fails";
        if (inspection.problem.code != 0)
                return error_text(&inspection.problem);
        if (inspection.exports[0].is_known ||
            !strstr(error_text(&inspection.exports[0].problem), "Permission"))
                return "it knows what is in an export that it may not read";
        if (inspection.exports[3].is_known || inspection.exports[3].problem.code != -ENOKEY)
                return "it knows what is in an export of the key";
        if (!inspection.exports[5].is_known || !inspection.exports[5].is_current)
                return error_text(&inspection.exports[5].problem);
        return NULL;
}

START_TEST(what_may_not_be_compared_is_unknown_and_not_stale) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        struct export exports[N_EXPORTS];
        struct config_certificate config = make_exports(scratch, exports);
        _cleanup_(freep) char *key = scratch_path(config.directory, "..gen-000002/tls.key");

        /* One that may be read, but there is nothing to compare it with. */
        exports[3].access.mode = 0640;
        ck_assert_int_eq(chmod(scratch, 0755), 0);
        if (geteuid() == 0)
                ck_assert_int_eq(chown(exports[3].path, 0, NOBODY), 0);
        else
                ck_assert(chmod(exports[0].path, 0) == 0 && chmod(key, 0) == 0);
        exporting = &config;
        as_nobody(knows_the_leaf_only, scratch);
        clear_exports(&config);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("inspect-rights");

        x509_key(7);
        TEST_CASE(suite, a_key_that_may_not_be_read_is_done_without);
        TEST_CASE(suite, everything_else_that_may_not_be_read_is_said);
        TEST_CASE(suite, exports_are_compared);
        TEST_CASE(suite, without_a_set_nothing_is_known_of_exports);
        TEST_CASE(suite, what_may_not_be_compared_is_unknown_and_not_stale);
        return test_run(suite);
}
