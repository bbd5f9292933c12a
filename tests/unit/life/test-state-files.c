/* Journals on the disk: names that are none, files that are damaged or cannot be read, saving that fails;
 * then there and back. */

#include "lib/life/state.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "lib/util/files.h"
#include "tests/support/scratch.h"
#include "tests/unit/life/states.h"

static char *directory;
static int dir_fd;

static void setup(void) {
        directory = scratch_new();
        dir_fd = dir_open_at(AT_FDCWD, directory);
        ck_assert_int_ge(dir_fd, 0);
}

static void teardown(void) {
        dir_fd = fd_close(dir_fd);
        directory = scratch_free(directory);
}

static void write_bytes(const char *name, const char *data, size_t size) {
        int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(write(fd, data, size), (ssize_t)size);
        fd_close(fd);
}

static void check_listing(const char *expected) {
        _cleanup_(freep) char *list = scratch_list(directory);

        ck_assert_str_eq(list, expected);
}

/* --- What is refused --- */

START_TEST(test_format_refuses_what_cannot_be_read) {
        static usec_t many[SCHEDULE_BUDGET_MAX + 1], late[] = { 2, 1 };
        static struct state_pending items[STATE_PENDING_MAX + 1],
                bad_key[] = { { .key = (char *)"a\n" } },
                bad_generation[] = { { .key = (char *)"a", .generation = UINT64_MAX } };
        const struct state cases[] = {
                { .failure = FAILURE_MAX },
                { .generation = (uint64_t)INT64_MAX + 1 },
                { .fingerprint = "xy" },
                { .issuances = many, .n_issuances = ELEMENTSOF(many) },
                { .issuances = late, .n_issuances = ELEMENTSOF(late) },
                { .pending = items, .n_pending = ELEMENTSOF(items) },
                { .pending = bad_key, .n_pending = 1 },
                { .pending = bad_generation, .n_pending = 1 },
        };

        for (size_t i = 0; i < ELEMENTSOF(items); i++)
                items[i].key = (char *)"same";
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                char *json = NULL;

                ck_assert_msg(state_format(&cases[i], &today, &json, &error) == -EINVAL, "case %zu", i);
                ck_assert_ptr_null(json);
                ck_assert_int_eq(error.code, -EINVAL);
                ck_assert_int_eq(state_save(dir_fd, "orders", &cases[i], &today, NULL), -EINVAL);
        }
        check_listing("");
}
END_TEST

START_TEST(test_names) {
        static const char *const refused[] = {
                "",         ".",
                "..",       ".hidden",
                "-x",       "_x",
                "a/b",      "../x",
                "a b",      "a\n",
                "\xc3\xa4", "a1234567890123456789012345678901234567890123456789012345678901234", /* 65 */
        };
        static const char longest[] = "a123456789012345678901234567890123456789012345678901234567890.-_";
        _cleanup_(state_clear) struct state state = { .failures = 1 };

        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                char *warning = NULL;

                ck_assert_int_eq(state_save(dir_fd, refused[i], &state, &today, &error), -EINVAL);
                ck_assert_msg(strstr(error_text(&error), "no state file for this certificate"), "%s",
                              error_text(&error));
                ck_assert_int_eq(state_load(dir_fd, refused[i], &today, &state, &warning, NULL), -EINVAL);
        }
        check_listing("");

        ck_assert_uint_eq(strlen(longest), 64);
        ck_assert_int_eq(state_save(dir_fd, longest, &state, &today, NULL), 0);
}
END_TEST

/* --- Files that cannot be used --- */

/* Loads "orders", which must be set aside, and returns the warning. */
static char *load_damaged(void) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct state state = { .failures = 77, .n_pending = 78 };
        char *warning = NULL;
        int r = state_load(dir_fd, "orders", &today, &state, &warning, &error);

        ck_assert_msg(r == 0, "%s", error_text(&error));
        ck_assert(state_is_empty(&state));
        ck_assert_ptr_nonnull(warning);
        return warning;
}

START_TEST(test_damaged_is_set_aside) {
        static const struct {
                const char *json, *warning;
        } cases[] = {
                { "", "it is empty" },
                { "hello", "it is not JSON at line 1" },
                { "{\"version\":1}", "member saved.boot_id" },
                { "{\"version\":2}", "it has version 2, and this rekeyd reads version 1" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(freep) char *warning = NULL, *aside = NULL;

                write_bytes("orders.json", cases[i].json, strlen(cases[i].json));
                warning = load_damaged();
                ck_assert_msg(strstr(warning, cases[i].warning), "%s", warning);
                ck_assert_msg(strstr(warning, "orders.json in the state directory"), "%s", warning);
                ck_assert_msg(strstr(warning, "it was renamed to orders.json.damaged"), "%s", warning);

                /* in place of the one before it */
                check_listing("orders.json.damaged");
                aside = scratch_read(directory, "orders.json.damaged");
                ck_assert_str_eq(aside, cases[i].json);
        }
}
END_TEST

START_TEST(test_too_large_is_set_aside) {
        _cleanup_(state_clear) struct state state = { 0 }, back = { 0 };
        _cleanup_(freep) char *json = NULL, *warning = NULL, *large = calloc(1, STATE_SIZE_MAX + 1);

        fill(&state);
        json = format(&state);
        memset(large, ' ', STATE_SIZE_MAX + 1);
        memcpy(large, json, strlen(json));

        write_bytes("orders.json", large, STATE_SIZE_MAX);
        ck_assert_int_eq(state_load(dir_fd, "orders", &today, &back, &warning, NULL), 0);
        ck_assert_ptr_null(warning);
        ck_assert_uint_eq(back.failures, 3);

        write_bytes("orders.json", large, STATE_SIZE_MAX + 1);
        warning = load_damaged();
        ck_assert_msg(strstr(warning, "it is larger than 524288 bytes"), "%s", warning);
        check_listing("orders.json.damaged");
}
END_TEST

START_TEST(test_cannot_be_set_aside) {
        _cleanup_(state_clear) struct state state = { .failures = 1 }, back = { 0 };
        _cleanup_(freep) char *warning = NULL, *none = NULL;

        /* A directory has the name. The journal is lost all the same, and the next save goes on. */
        ck_assert_int_eq(mkdirat(dir_fd, "orders.json.damaged", 0700), 0);
        write_bytes("orders.json", "x", 1);
        warning = load_damaged();
        ck_assert_msg(strstr(warning, "it could not be renamed to orders.json.damaged: Is a directory"), "%s",
                      warning);
        ck_assert_int_eq(state_save(dir_fd, "orders", &state, &today, NULL), 0);
        ck_assert_int_eq(state_load(dir_fd, "orders", &today, &back, &none, NULL), 0);
        ck_assert_ptr_null(none);
        ck_assert_uint_eq(back.failures, 1);
}
END_TEST

static void check_unreadable(int code, const char *text) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct state state = { .failures = 77 };
        char *warning = (char *)1;

        ck_assert_int_eq(state_load(dir_fd, "orders", &today, &state, &warning, &error), code);
        ck_assert_msg(strstr(error_text(&error), text), "%s", error_text(&error));
        ck_assert_msg(strstr(error_text(&error), "cannot read orders.json in the state directory"), "%s",
                      error_text(&error));
        ck_assert_uint_eq(state.failures, 77);
        ck_assert_ptr_eq(warning, (char *)1);
        ck_assert_int_eq(faccessat(dir_fd, "orders.json", F_OK, AT_SYMLINK_NOFOLLOW), 0);
}

START_TEST(test_unreadable_is_an_error) {
        ck_assert_int_eq(mkdirat(dir_fd, "orders.json", 0700), 0);
        check_unreadable(-EISDIR, "it is not a regular file");
        ck_assert_int_eq(unlinkat(dir_fd, "orders.json", AT_REMOVEDIR), 0);

        ck_assert_int_eq(symlinkat("/etc/passwd", dir_fd, "orders.json"), 0);
        check_unreadable(-ELOOP, "it is not a regular file");
        ck_assert_int_eq(unlinkat(dir_fd, "orders.json", 0), 0);

        ck_assert_int_eq(mkfifoat(dir_fd, "orders.json", 0600), 0);
        check_unreadable(-ENXIO, "it is not a regular file");
        ck_assert_int_eq(unlinkat(dir_fd, "orders.json", 0), 0);

        write_bytes("orders.json", "{}", 2);
        ck_assert_int_eq(fchmodat(dir_fd, "orders.json", 0, 0), 0);
        if (geteuid() != 0)
                check_unreadable(-EACCES, "Permission denied");
        else {
                ck_assert_int_eq(seteuid(65534), 0);
                check_unreadable(-EACCES, "Permission denied");
                ck_assert_int_eq(seteuid(0), 0);
        }
}
END_TEST

/* state_read() of what state_load() would set aside, or make an error of: the directory stays as it is.
 */
static void check_read(int code, const char *text) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(freep) char *before = scratch_tree(directory), *after = NULL;
        struct state state = { .failures = 77 };

        ck_assert_int_eq(state_read(dir_fd, "orders", &today, &state, &error), code);
        after = scratch_tree(directory);
        ck_assert_str_eq(before, after);
        ck_assert_msg(strstr(error_text(&error), text), "%s", error_text(&error));
        ck_assert_msg(strstr(error_text(&error), "orders.json in the state directory"), "%s",
                      error_text(&error));
        ck_assert_uint_eq(state.failures, 77);
}

START_TEST(test_reading_changes_nothing) {
        _cleanup_(freep) char *large = calloc(1, STATE_SIZE_MAX + 2), *json = NULL, *before = NULL,
                              *after = NULL;
        _cleanup_(state_clear) struct state state = { 0 }, back = { 0 };

        ck_assert_int_eq(state_read(dir_fd, "../orders", &today, &back, NULL), -EINVAL);
        ck_assert_int_eq(state_read(dir_fd, "orders", &today, &back, NULL), 0);
        ck_assert(state_is_empty(&back));
        check_listing("");

        write_bytes("orders.json", "hello", 5);
        check_read(-EINVAL, "it is not JSON at line 1");
        write_bytes("orders.json", "{\"version\":2}", 13);
        check_read(-EPROTONOSUPPORT, "it has version 2, and this rekeyd reads version 1");
        memset(large, ' ', STATE_SIZE_MAX + 1);
        write_bytes("orders.json", large, STATE_SIZE_MAX + 1);
        check_read(-EFBIG, "File too large");
        ck_assert_int_eq(unlinkat(dir_fd, "orders.json", 0), 0);
        ck_assert_int_eq(mkfifoat(dir_fd, "orders.json", 0600), 0);
        check_read(-ENXIO, "it is not a regular file");
        ck_assert_int_eq(unlinkat(dir_fd, "orders.json", 0), 0);
        ck_assert_int_eq(symlinkat("/etc/passwd", dir_fd, "orders.json"), 0);
        check_read(-ELOOP, "it is not a regular file");
        ck_assert_int_eq(unlinkat(dir_fd, "orders.json", 0), 0);

        fill(&state);
        json = format(&state);
        write_bytes("orders.json", json, strlen(json));
        before = scratch_tree(directory);
        ck_assert_int_eq(state_read(dir_fd, "orders", &today, &back, NULL), 0);
        after = scratch_tree(directory);
        ck_assert_str_eq(before, after);
        ck_assert_uint_eq(back.failures, 3);
        ck_assert_uint_eq(back.n_pending, 2);
        ck_assert_uint_eq(back.n_issuances, 2);
}
END_TEST

START_TEST(test_truncated_at_every_byte) {
        _cleanup_(state_clear) struct state state = { 0 };
        _cleanup_(freep) char *json = NULL;
        size_t size;

        fill(&state);
        ck_assert_int_eq(state_save(dir_fd, "orders", &state, &today, NULL), 0);
        json = scratch_read(directory, "orders.json");
        size = strlen(json);

        /* All but the last byte, a line break, is needed. */
        for (size_t i = 0; i < size - 1; i++) {
                _cleanup_(freep) char *warning = NULL;

                write_bytes("orders.json", json, i);
                warning = load_damaged();
                ck_assert_int_eq(faccessat(dir_fd, "orders.json", F_OK, 0), -1);
        }
        check_listing("orders.json.damaged");

        for (size_t i = size - 1; i <= size; i++) {
                _cleanup_(state_clear) struct state back = { 0 };
                _cleanup_(freep) char *warning = NULL, *again = NULL;

                write_bytes("orders.json", json, i);
                ck_assert_int_eq(state_load(dir_fd, "orders", &today, &back, &warning, NULL), 0);
                ck_assert_ptr_null(warning);
                again = format(&back);
                ck_assert_str_eq(again, json);
        }
        test_report("truncated at each of %zu bytes", size);
}
END_TEST

/* xorshift64*: the same numbers in every run */
static uint64_t draw(uint64_t *state, uint64_t below) {
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        return (*state * UINT64_C(0x2545f4914f6cdd1d) >> 11) % below;
}

START_TEST(test_flipped_bytes) {
        _cleanup_(state_clear) struct state state = { 0 };
        _cleanup_(freep) char *json = NULL, *copy = NULL;
        uint64_t seed = 42;
        size_t size, n_read = 0;

        fill(&state);
        json = format(&state);
        size = strlen(json);
        copy = malloc(size);

        for (unsigned i = 0; i < 20000; i++) {
                _cleanup_(state_clear) struct state back = { 0 }, loaded = { 0 };
                _cleanup_(freep) char *warning = NULL;
                struct state_instant saved;
                int r;

                memcpy(copy, json, size);
                for (uint64_t flips = 1 + draw(&seed, 4); flips > 0; flips--)
                        copy[draw(&seed, size)] ^=
                                (char)(i % 2 ? 1 << draw(&seed, 8) : 1 + (int)draw(&seed, 255));

                r = state_parse(copy, size, &back, &saved, NULL);
                if (r == 0) {
                        n_read++;
                        ck_assert_int_eq(state_check(&back, NULL), 0);
                        state_sanitise(&back, &saved, &today);
                        ck_assert_int_eq(state_check(&back, NULL), 0);
                        ck_assert_uint_le(schedule_budget_wait(back.issuances, back.n_issuances, 1, 5 * HOUR),
                                          HOUR);
                        ck_assert_uint_le(back.next_attempt_usec, DATE + USEC_PER_DAY);
                } else
                        ck_assert(r == -EINVAL || r == -EPROTONOSUPPORT);

                if (i % 20 != 0)
                        continue;
                write_bytes("orders.json", copy, size);
                ck_assert_int_eq(state_load(dir_fd, "orders", &today, &loaded, &warning, NULL), 0);
                ck_assert(!warning == (r == 0));
                ck_assert_int_eq(faccessat(dir_fd, "orders.json", F_OK, 0), r == 0 ? 0 : -1);
                if (r < 0)
                        ck_assert(state_is_empty(&loaded));
        }
        test_report("20000 damaged journals: %zu could still be read, within all limits", n_read);
        ck_assert_uint_gt(n_read, 100);
        ck_assert_uint_lt(n_read, 19000);
}
END_TEST

/* --- Saving that fails --- */

static const struct state old = { .failures = 7 };

/* The save over the old one ended with R, which is CODE, and left it as it was in the directory FD. */
static void check_old(int fd, int r, int code, const struct error *error) {
        _cleanup_(state_clear) struct state back = { 0 };
        _cleanup_(freep) char *warning = NULL;

        ck_assert_int_eq(r, code);
        ck_assert_msg(strstr(error_text(error), "cannot write orders.json in the state directory: "), "%s",
                      error_text(error));
        ck_assert_int_eq(faccessat(fd, ".orders.json.rekeyd", F_OK, 0), -1);

        ck_assert_int_eq(state_load(fd, "orders", &today, &back, &warning, NULL), 0);
        ck_assert_ptr_null(warning);
        ck_assert_uint_eq(back.failures, 7);
        ck_assert_uint_eq(back.n_pending, 0);
}

START_TEST(test_file_too_large_for_the_process) {
        _cleanup_(state_clear) struct state large = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct rlimit saved, limit;
        int r;

        fill_to_the_limits(&large);
        ck_assert_int_eq(state_save(dir_fd, "orders", &old, &today, NULL), 0);

        /* Check writes to a file as well: nothing is asserted under the limit. */
        ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &saved), 0);
        limit = (struct rlimit) { 4096, saved.rlim_max };
        signal(SIGXFSZ, SIG_IGN);
        (void)setrlimit(RLIMIT_FSIZE, &limit);
        r = state_save(dir_fd, "orders", &large, &today, &error);
        (void)setrlimit(RLIMIT_FSIZE, &saved);

        check_old(dir_fd, r, -EFBIG, &error);
        check_listing("orders.json");
}
END_TEST

START_TEST(test_directory_not_writable) {
        const struct state new = { .failures = 8 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        uid_t uid = geteuid();
        int r;

        ck_assert_int_eq(state_save(dir_fd, "orders", &old, &today, NULL), 0);
        ck_assert_int_eq(fchmod(dir_fd, 0555), 0);
        ck_assert_int_eq(fchmodat(dir_fd, "orders.json", 0644, 0), 0);
        if (uid == 0)
                ck_assert_int_eq(seteuid(65534), 0);
        r = state_save(dir_fd, "orders", &new, &today, &error);
        check_old(dir_fd, r, -EACCES, &error);
        ck_assert_int_eq(seteuid(uid), 0);
        ck_assert_int_eq(fchmod(dir_fd, 0700), 0);
        check_listing("orders.json");
}
END_TEST

START_TEST(test_full_disk) {
        _cleanup_(state_clear) struct state large = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(freep) char *path = scratch_path(directory, "small");
        _cleanup_(fd_closep) int fd = -1;
        int r;

        fill_to_the_limits(&large);
        ck_assert_int_eq(mkdir(path, 0700), 0);
        if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
            mount("none", "/", "", MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("tmpfs", path, "tmpfs", 0, "size=16k") < 0) {
                test_skip("test_full_disk: only root can mount a small one");
                return;
        }

        fd = dir_open_at(AT_FDCWD, path);
        ck_assert_int_eq(state_save(fd, "orders", &old, &today, NULL), 0);
        r = state_save(fd, "orders", &large, &today, &error);
        check_old(fd, r, -ENOSPC, &error);
        fd = fd_close(fd);
        ck_assert_int_eq(umount(path), 0);
}
END_TEST

/* --- There and back --- */

START_TEST(test_no_file) {
        struct state state = { .failures = 77 };
        char *warning = (char *)1;

        ck_assert_int_eq(state_load(dir_fd, "orders", &today, &state, &warning, NULL), 0);
        ck_assert(state_is_empty(&state));
        ck_assert_ptr_null(warning);
}
END_TEST

START_TEST(test_there_and_back) {
        _cleanup_(state_clear) struct state state = { 0 }, back = { 0 };
        _cleanup_(freep) char *warning = NULL, *json = NULL, *again = NULL;
        const struct state_pending *pending;
        struct stat st;

        fill(&state);
        umask(0);
        ck_assert_int_eq(state_save(dir_fd, "orders", &state, &today, NULL), 0);
        check_listing("orders.json");
        ck_assert_int_eq(fstatat(dir_fd, "orders.json", &st, 0), 0);
        ck_assert_int_eq(st.st_mode & 07777, 0600);

        ck_assert_int_eq(state_load(dir_fd, "orders", &today, &back, &warning, NULL), 0);
        ck_assert_ptr_null(warning);
        ck_assert_uint_eq(back.failures, 3);
        ck_assert_int_eq(back.failure, FAILURE_BAD_REPLY);
        ck_assert_uint_eq(back.next_attempt_usec, DATE + 90 * USEC_PER_SEC);
        ck_assert_uint_eq(back.token, token);
        ck_assert_uint_eq(back.generation, 42);
        ck_assert_str_eq(back.fingerprint, FINGERPRINT);
        ck_assert_uint_eq(back.n_revoked, 1);
        ck_assert(state_has_revoked(&back, FINGERPRINT));
        ck_assert_uint_eq(back.revoke_usec, DATE + HOUR);
        ck_assert_uint_eq(back.revoke_generation, 41);
        ck_assert(back.is_revoking);
        ck_assert_uint_eq(back.revoking_generation, 40);
        ck_assert_uint_eq(back.n_issuances, 2);
        ck_assert_uint_eq(back.issuances[0], 4 * HOUR + 1);
        ck_assert_uint_eq(back.issuances[1], 4 * HOUR + 30 * USEC_PER_MINUTE);
        ck_assert_uint_eq(back.n_pending, 2);
        pending = state_find_pending(&back, "command /usr/libexec/orders-reload");
        ck_assert_ptr_nonnull(pending);
        ck_assert_uint_eq(pending->generation, 42);
        ck_assert_uint_eq(pending->failures, 2);
        ck_assert_uint_eq(pending->next_attempt_usec, DATE + 20 * USEC_PER_SEC);
        pending = state_find_pending(&back, "SIGHUP \xe2\x86\x92 \"/run/x y\\z.pid\"");
        ck_assert_ptr_nonnull(pending);
        ck_assert_uint_eq(pending->generation, 41);

        json = scratch_read(directory, "orders.json");
        again = format(&back);
        ck_assert_str_eq(again, json);

        /* A save replaces. */
        state_clear(&back);
        ck_assert(state_is_empty(&back));
        ck_assert_int_eq(state_save(dir_fd, "orders", &back, &today, NULL), 0);
        ck_assert_int_eq(state_load(dir_fd, "orders", &today, &back, &warning, NULL), 0);
        ck_assert(state_is_empty(&back));
}
END_TEST

#define STATE_TEST(test) TEST_CASE_IN(suite, test, setup, teardown)

int main(void) {
        Suite *suite = suite_create("journal-files");

        STATE_TEST(test_format_refuses_what_cannot_be_read);
        STATE_TEST(test_names);
        STATE_TEST(test_damaged_is_set_aside);
        STATE_TEST(test_too_large_is_set_aside);
        STATE_TEST(test_cannot_be_set_aside);
        STATE_TEST(test_unreadable_is_an_error);
        STATE_TEST(test_reading_changes_nothing);
        STATE_TEST(test_truncated_at_every_byte);
        STATE_TEST(test_flipped_bytes);
        STATE_TEST(test_file_too_large_for_the_process);
        STATE_TEST(test_directory_not_writable);
        STATE_TEST(test_full_disk);
        STATE_TEST(test_no_file);
        STATE_TEST(test_there_and_back);
        return test_run(suite);
}
