/* In which order the store asks the disk: what a power cut would find, which no kill shows. */

#include "lib/store/store.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "tests/unit/store/store-checks.h"

/* Stands between the store and the system calls. Paths are as within the store's directory, "." for itself.
 */
static struct {
        char directory[PATH_MAX];
        char calls[4096];  /* "sync PATH" or "rename OLD NEW", a line each */
        const char *fails; /* the call that gets EIO, as in CALLS */
        const char *aged;  /* a name that was last changed an hour ago */
} spy;

static void spy_on(const char *directory) {
        memset(&spy, 0, sizeof(spy));
        ck_assert_ptr_nonnull(realpath(directory, spy.directory));
}

static void path_of(int fd, char path[PATH_MAX]) {
        char link[64], target[PATH_MAX];
        const char *name = target;
        ssize_t n;

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, target, sizeof(target) - 1);
        target[n > 0 ? n : 0] = '\0';
        if (has_prefix(name, spy.directory))
                name += strlen(spy.directory);
        if (*name == '/')
                name++;
        strcpy(path, *name ? name : ".");
}

/* Whether the call may be made. */
static bool note(const char *call) {
        size_t size = strlen(spy.calls);

        if (spy.directory[0])
                snprintf(spy.calls + size, sizeof(spy.calls) - size, "%s\n", call);
        if (!spy.fails || !streq(spy.fails, call))
                return true;
        errno = EIO;
        return false;
}

int fsync(int fd) {
        char path[PATH_MAX], call[PATH_MAX + 16];

        path_of(fd, path);
        snprintf(call, sizeof(call), "sync %s", path);
        return note(call) ? (int)syscall(SYS_fsync, fd) : -1;
}

int renameat(int old_fd, const char *old, int new_fd, const char *new) {
        char path[PATH_MAX], call[PATH_MAX + 256];

        path_of(old_fd, path);
        snprintf(call, sizeof(call), "rename %s%s%s %s", streq(path, ".") ? "" : path,
                 streq(path, ".") ? "" : "/", old, new);
        return note(call) ? (int)syscall(SYS_renameat2, old_fd, old, new_fd, new, 0) : -1;
}

int fstatat(int fd, const char *name, struct stat *st, int flags) {
        int at = openat(fd, name, O_PATH | O_CLOEXEC | (flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0));
        int r = at < 0 ? -1 : fstat(at, st);

        fd_close(at);
        if (r == 0 && spy.aged && streq(spy.aged, name))
                st->st_ctim.tv_sec -= 3600;
        return r;
}

static void stage(struct store *store, const struct test_set *set) {
        ck_assert_int_eq(store_stage_key(store, set->key, NULL), 0);
        ck_assert_int_eq(store_stage_parts(store,
                                           &(struct store_staged) { .ca_pem = set->ca_pem,
                                                                    .certificate_pem = set->certificate_pem },
                                           NULL),
                         0);
}

/* Each name is durable only once its directory is; and no link names what may be gone. */
START_TEST(a_commit_is_durable_before_it_is_seen) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
        uint64_t generation;

        test_set_commit(store, &first);
        spy_on(scratch);
        stage(store, &second);
        ck_assert_str_eq(spy.calls, "sync ..stage-000002/tls.key\n"
                                    "sync ..stage-000002\n"
                                    "sync .\n"
                                    "sync ..stage-000002/.ca.crt.rekeyd\n"
                                    "rename ..stage-000002/.ca.crt.rekeyd ca.crt\n"
                                    "sync ..stage-000002/.tls.crt.rekeyd\n"
                                    "rename ..stage-000002/.tls.crt.rekeyd tls.crt\n"
                                    "sync ..stage-000002\n");
        spy.calls[0] = '\0';
        ck_assert_int_eq(store_commit(store, &generation, NULL), 0);
        ck_assert_str_eq(spy.calls, "sync ..stage-000002\n"
                                    "rename ..stage-000002 ..gen-000002\n"
                                    "sync .\n"
                                    "rename .data.rekeyd ..data\n"
                                    "sync .\n");
}
END_TEST

START_TEST(what_opening_finishes_is_durable) {
        _cleanup_(scratch_freep) char *scratch = scratch_new(), *data = scratch_path(scratch, "..data");
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);

        test_set_commit(store, &first);
        test_set_commit(store, &second);
        store = store_close(store);
        ck_assert_int_eq(unlink(data), 0);
        ck_assert_int_eq(symlink("..gen-000001", data), 0);
        spy_on(scratch);
        store = test_store_open(scratch);
        ck_assert_str_eq(spy.calls, "rename ...data.rekeyd ..data\nsync .\n");
        assert_loads(store, 2, &second);
}
END_TEST

/* A commit that fails leaves its stage, which the next attempt goes on with, and nothing of itself. */
START_TEST(a_commit_that_fails_is_undone) {
        static const char *const calls[] = {
                "rename ..stage-000002 ..gen-000002",
                "sync .",
                "rename .data.rekeyd ..data",
        };

        for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                _cleanup_(scratch_freep) char *scratch = scratch_new();
                _cleanup_(store_closep) struct store *store = test_store_open(scratch);
                _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
                uint64_t generation = 7;

                test_set_commit(store, &first);
                stage(store, &second);
                spy_on(scratch);
                spy.fails = calls[i];
                ck_assert_int_eq(store_commit(store, &generation, NULL), -EIO);
                ck_assert_uint_eq(generation, 7);
                assert_list(scratch,
                            "..data ..gen-000001 ..stage-000002 ca.crt connection.json tls.crt tls.key");
                assert_loads(store, 1, &first);
                spy.fails = NULL;
                ck_assert_int_eq(store_commit(store, &generation, NULL), 0);
                assert_loads(store, 2, &second);
        }
}
END_TEST

/* A year-old generation was in use until its successor came, which readers may not have noticed yet. */
START_TEST(the_grace_begins_with_the_successor) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
        const struct store_options one_minute = { .key_access = options.key_access,
                                                  .public_access = options.public_access,
                                                  .keep = 1,
                                                  .grace_usec = USEC_PER_MINUTE };

        test_set_commit(store, &first);
        test_set_commit(store, &second);
        store = store_close(store);
        spy_on(scratch);
        spy.aged = "..gen-000001";
        ck_assert_int_eq(store_open(scratch, &one_minute, &store, NULL), 0);
        assert_list(scratch, "..data ..gen-000001 ..gen-000002 ca.crt connection.json tls.crt tls.key");
        store = store_close(store);
        spy.aged = "..gen-000002";
        ck_assert_int_eq(store_open(scratch, &one_minute, &store, NULL), 0);
        assert_list(scratch, "..data ..gen-000002 ca.crt connection.json tls.crt tls.key");
}
END_TEST

int main(void) {
        Suite *suite = suite_create("store-order");

        x509_key(1);
        x509_key(7);
        TEST_CASE(suite, a_commit_is_durable_before_it_is_seen);
        TEST_CASE(suite, what_opening_finishes_is_durable);
        TEST_CASE(suite, a_commit_that_fails_is_undone);
        TEST_CASE(suite, the_grace_begins_with_the_successor);
        return test_run(suite);
}
