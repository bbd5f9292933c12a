/* The record of what has happened: that it stays small, and that what lies in its place does no harm. */

#include "lib/report/history.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/util/files.h"
#include "tests/support/scratch.h"
#include "tests/test.h"

static char *read_back(int fd, const char *name) {
        char *text;

        ck_assert_int_eq(history_read(fd, name, &text, NULL), 0);
        return text;
}

START_TEST(what_is_in_the_way_is_an_error) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(fd_closep) int fd = dir_open_at(AT_FDCWD, scratch);
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        static const char *const names[] = { "../x", "a/b", ".hidden", "" };
        char *text = NULL;

        for (size_t i = 0; i < ELEMENTSOF(names) - 1; i++) {
                ck_assert_int_eq(history_append(fd, names[i], "x\n", NULL), -EINVAL);
                ck_assert_int_eq(history_read(fd, names[i], &text, NULL), -EINVAL);
        }
        ck_assert_int_eq(symlinkat("/etc/hostname", fd, "link.history"), 0);
        ck_assert_int_eq(history_append(fd, "link", "x\n", &error), -ELOOP);
        ck_assert_msg(strstr(error_text(&error), "link.history"), "%s", error_text(&error));
        ck_assert_int_eq(history_read(fd, "link", &text, NULL), -ELOOP);
        ck_assert_int_eq(mkfifoat(fd, "fifo.history", 0600), 0);
        ck_assert_int_lt(history_append(fd, "fifo", "x\n", NULL), 0);
        ck_assert_int_lt(history_read(fd, "fifo", &text, NULL), 0);
        ck_assert_int_eq(mkdirat(fd, "dir.history", 0700), 0);
        ck_assert_int_lt(history_append(fd, "dir", "x\n", NULL), 0);
        ck_assert_ptr_null(text);
}
END_TEST

START_TEST(lines_are_added) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(fd_closep) int fd = dir_open_at(AT_FDCWD, scratch);
        _cleanup_(freep) char *none = read_back(fd, "orders"), *two = NULL;
        struct stat st;

        ck_assert_str_eq(none, "");
        ck_assert_int_eq(history_append(fd, "orders", "{\"a\":1}\n", NULL), 0);
        ck_assert_int_eq(history_append(fd, "orders", "{\"a\":2}\n", NULL), 0);
        two = read_back(fd, "orders");
        ck_assert_str_eq(two, "{\"a\":1}\n{\"a\":2}\n");
        ck_assert_int_eq(fstatat(fd, "orders.history", &st, 0), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0600);
}
END_TEST

START_TEST(it_stays_small_and_keeps_the_newest) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(fd_closep) int fd = dir_open_at(AT_FDCWD, scratch);
        char line[128];
        struct stat st;
        unsigned n = 0;

        for (unsigned i = 0; i < 5000; i++) {
                snprintf(line, sizeof(line), "{\"event\":\"failed\",\"n\":%u,\"more\":\"%060u\"}\n", i, 0);
                ck_assert_int_eq(history_append(fd, "orders", line, NULL), 0);
                ck_assert_int_eq(fstatat(fd, "orders.history", &st, 0), 0);
                ck_assert_uint_le((unsigned)st.st_size, HISTORY_SIZE_MAX);
        }
        _cleanup_(freep) char *text = read_back(fd, "orders");
        ck_assert(has_prefix(text, "{\"event\""));
        ck_assert(has_suffix(text, line));
        for (const char *p = text; (p = strchr(p, '\n')); p++)
                n++;
        ck_assert_uint_gt(n, 300);
        test_report("record: the last %u of 5000 lines, in %zu bytes", n, strlen(text));
}
END_TEST

/* What a full disk or a power cut leaves costs the line that it has hit, and none after it. */
START_TEST(torn_lines_do_not_spread) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(fd_closep) int fd = dir_open_at(AT_FDCWD, scratch), file = -1;
        _cleanup_(freep) char *text = NULL;
        static const char torn[] = "{\"a\":1}\n{\"b\":", hole[] = "{\"c\":3}\n\0\0\0\0";

        file = openat(fd, "orders.history", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        ck_assert_int_eq(write(file, torn, strlen(torn)), (ssize_t)strlen(torn));
        ck_assert_int_eq(history_append(fd, "orders", "{\"a\":2}\n", NULL), 0);
        ck_assert_int_eq(write(file, hole, sizeof(hole)), (ssize_t)sizeof(hole));
        ck_assert_int_eq(history_append(fd, "orders", "{\"a\":4}\n", NULL), 0);
        text = read_back(fd, "orders");
        ck_assert_str_eq(text, "{\"a\":1}\n{\"b\":\n{\"a\":2}\n{\"c\":3}\n     \n{\"a\":4}\n");
}
END_TEST

START_TEST(a_hole_does_not_empty_what_grows_too_large) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(fd_closep) int fd = dir_open_at(AT_FDCWD, scratch), file = -1;
        _cleanup_(freep) char *line = malloc(HISTORY_SIZE_MAX / 4), *text = NULL;

        memset(line, 'x', HISTORY_SIZE_MAX / 4);
        strcpy(line + HISTORY_SIZE_MAX / 4 - 2, "\n");
        file = openat(fd, "orders.history", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        ck_assert_int_eq(ftruncate(file, HISTORY_SIZE_MAX - HISTORY_SIZE_MAX / 4), 0);
        ck_assert_int_eq(history_append(fd, "orders", line, NULL), 0);
        ck_assert_int_eq(history_append(fd, "orders", "{\"a\":1}\n", NULL), 0);
        text = read_back(fd, "orders");
        ck_assert(has_suffix(text, "x\n{\"a\":1}\n"));
}
END_TEST

TEST_MAIN("record", what_is_in_the_way_is_an_error, lines_are_added, it_stays_small_and_keeps_the_newest,
          torn_lines_do_not_spread, a_hole_does_not_empty_what_grows_too_large)
