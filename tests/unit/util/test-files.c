/* Files: what fails leaves nothing behind, and what succeeds is whole. Real files in a directory of the
 * test's own. */

#include "lib/util/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/test.h"

static char root[] = "/tmp/rekeyd-test-files-XXXXXX";
static int dir_fd = -1;

static void setup(void) {
        strcpy(root + strlen(root) - 6, "XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(root));
        dir_fd = dir_open_at(AT_FDCWD, root);
        ck_assert_int_ge(dir_fd, 0);
}

static void teardown(void) {
        dir_fd = fd_close(dir_fd);
        ck_assert_int_eq(dir_remove_at(AT_FDCWD, root), 0);
}

static size_t count_entries(void) {
        DIR *dir = opendir(root);
        size_t n = 0;

        ck_assert_ptr_nonnull(dir);
        while (readdir(dir))
                n++;
        closedir(dir);
        return n - 2;
}

static void check_file(const char *name, const char *text, mode_t mode) {
        _cleanup_(freep) char *data = NULL;
        struct stat st;
        size_t size;

        ck_assert_int_eq(file_read_at(dir_fd, name, FILE_NOFOLLOW, 1000, &data, &size), 0);
        ck_assert_uint_eq(size, strlen(text));
        ck_assert_str_eq(data, text);
        ck_assert_int_eq(fstatat(dir_fd, name, &st, 0), 0);
        ck_assert_uint_eq(st.st_mode & 07777, mode);
}

START_TEST(open_refuses) {
        int fd;

        ck_assert_int_eq(mkdirat(dir_fd, "dir", 0755), 0);
        ck_assert_int_eq(mkfifoat(dir_fd, "fifo", 0600), 0);
        ck_assert_int_eq(symlinkat("file", dir_fd, "link"), 0);
        ck_assert_int_eq(symlinkat("dir", dir_fd, "dirlink"), 0);
        ck_assert_int_eq(file_create_at(dir_fd, "file", "x", 1, FILE_ACCESS(0600)), 0);

        ck_assert_int_eq(file_open_at(dir_fd, "none", FILE_FOLLOW), -ENOENT);
        ck_assert_int_eq(file_open_at(dir_fd, "dir", FILE_FOLLOW), -EISDIR);
        ck_assert_int_eq(file_open_at(dir_fd, "fifo", FILE_FOLLOW), -ENXIO); /* and does not hang */
        ck_assert_int_eq(file_open_at(dir_fd, "link", FILE_NOFOLLOW), -ELOOP);
        fd = file_open_at(dir_fd, "link", FILE_FOLLOW);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        fd_close(fd);

        fd = dir_open_at(dir_fd, "dirlink");
        ck_assert(fd == -ELOOP || fd == -ENOTDIR);
        ck_assert_int_eq(dir_open_at(dir_fd, "file"), -ENOTDIR);
        ck_assert_int_eq(dir_open_at(dir_fd, "none"), -ENOENT);

        ck_assert_int_eq(unlinkat(dir_fd, "dir", AT_REMOVEDIR), 0);
}
END_TEST

START_TEST(read_limits) {
        char *data = NULL;
        size_t size = 4711;
        int fd;

        ck_assert_int_eq(file_create_at(dir_fd, "f", "12345", 5, FILE_ACCESS(0600)), 0);
        ck_assert_int_eq(file_read_at(dir_fd, "f", FILE_NOFOLLOW, 4, &data, &size), -EFBIG);
        ck_assert_ptr_null(data);
        ck_assert_uint_eq(size, 4711);
        ck_assert_int_eq(file_read_at(dir_fd, "f", FILE_NOFOLLOW, 5, &data, &size), 0);
        ck_assert_str_eq(data, "12345");
        free(data);
        data = NULL;

        ck_assert_int_eq(file_create_at(dir_fd, "empty", "", 0, FILE_ACCESS(0600)), 0);
        ck_assert_int_eq(file_read_at(dir_fd, "empty", FILE_NOFOLLOW, 0, &data, NULL), 0);
        ck_assert_str_eq(data, "");
        free(data);
        data = NULL;

        /* Files of the kernel say that they are empty. */
        ck_assert_int_eq(file_read_at(AT_FDCWD, "/proc/self/status", FILE_NOFOLLOW, 65536, &data, &size), 0);
        ck_assert_uint_gt(size, 100);
        ck_assert_int_eq(data[size], 0);
        free(data);
        data = NULL;
        ck_assert_int_eq(file_read_at(AT_FDCWD, "/proc/self/status", FILE_NOFOLLOW, 10, &data, &size),
                         -EFBIG);
        ck_assert_ptr_null(data);

        /* A descriptor that cannot be read. */
        fd = openat(dir_fd, "f", O_WRONLY | O_CLOEXEC);
        ck_assert_int_eq(fd_read_all(fd, 100, &data, &size), -EBADF);
        fd_close(fd);
}
END_TEST

START_TEST(create_never_overwrites) {
        ck_assert_int_eq(file_create_at(dir_fd, "f", "old", 3, FILE_ACCESS(0640)), 0);
        ck_assert_int_eq(file_create_at(dir_fd, "f", "new", 3, FILE_ACCESS(0600)), -EEXIST);
        check_file("f", "old", 0640);

        /* A link is no way around, dangling or not. */
        ck_assert_int_eq(symlinkat("elsewhere", dir_fd, "l"), 0);
        ck_assert_int_eq(file_create_at(dir_fd, "l", "new", 3, FILE_ACCESS(0600)), -EEXIST);
        ck_assert_uint_eq(count_entries(), 2);
}
END_TEST

START_TEST(mode_beats_umask) {
        mode_t saved = umask(0777);

        ck_assert_int_eq(file_create_at(dir_fd, "tight", "x", 1, FILE_ACCESS(0644)), 0);
        umask(0);
        ck_assert_int_eq(file_create_at(dir_fd, "loose", "x", 1, FILE_ACCESS(0600)), 0);
        umask(saved);
        check_file("tight", "x", 0644);
        check_file("loose", "x", 0600);
}
END_TEST

START_TEST(full_disk_leaves_nothing) {
        struct rlimit saved, limit;
        char data[8192];

        memset(data, 'x', sizeof(data));
        ck_assert_int_eq(file_create_at(dir_fd, "f", "old", 3, FILE_ACCESS(0600)), 0);

        ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &saved), 0);
        limit = (struct rlimit) { 4096, saved.rlim_max };
        signal(SIGXFSZ, SIG_IGN);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        ck_assert_int_eq(file_create_at(dir_fd, "g", data, sizeof(data), FILE_ACCESS(0600)), -EFBIG);
        ck_assert_int_eq(file_replace_at(dir_fd, "f", data, sizeof(data), FILE_ACCESS(0600)), -EFBIG);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &saved), 0);

        check_file("f", "old", 0600);
        ck_assert_uint_eq(count_entries(), 1);
}
END_TEST

START_TEST(replace) {
        char longest[NAME_MAX + 1];

        ck_assert_int_eq(file_replace_at(dir_fd, "f", "one", 3, FILE_ACCESS(0600)), 0);
        check_file("f", "one", 0600);
        ck_assert_int_eq(file_replace_at(dir_fd, "f", "two", 3, FILE_ACCESS(0644)), 0);
        check_file("f", "two", 0644);

        /* What a crash left behind is in nobody's way. */
        ck_assert_int_eq(file_create_at(dir_fd, ".f.rekeyd", "half", 4, FILE_ACCESS(0600)), 0);
        ck_assert_int_eq(file_replace_at(dir_fd, "f", "three", 5, FILE_ACCESS(0600)), 0);
        check_file("f", "three", 0600);
        ck_assert_uint_eq(count_entries(), 1);

        /* A link is replaced, not followed. */
        ck_assert_int_eq(symlinkat("f", dir_fd, "l"), 0);
        ck_assert_int_eq(file_replace_at(dir_fd, "l", "four", 4, FILE_ACCESS(0600)), 0);
        check_file("l", "four", 0600);
        check_file("f", "three", 0600);

        memset(longest, 'n', sizeof(longest) - 1);
        longest[sizeof(longest) - 1] = '\0';
        ck_assert_int_eq(file_replace_at(dir_fd, longest, "x", 1, FILE_ACCESS(0600)), -ENAMETOOLONG);

        ck_assert_int_eq(mkdirat(dir_fd, "dir", 0755), 0);
        ck_assert_int_lt(file_replace_at(dir_fd, "dir", "x", 1, FILE_ACCESS(0600)), 0);
        ck_assert_int_eq(unlinkat(dir_fd, "dir", AT_REMOVEDIR), 0);
        ck_assert_uint_eq(count_entries(), 2);
}
END_TEST

START_TEST(links) {
        char *target = NULL;

        ck_assert_int_eq(link_read_at(dir_fd, "none", &target), -ENOENT);
        ck_assert_int_eq(file_create_at(dir_fd, "f", "x", 1, FILE_ACCESS(0600)), 0);
        ck_assert_int_eq(link_read_at(dir_fd, "f", &target), -EINVAL);
        ck_assert_ptr_null(target);

        ck_assert_int_eq(link_replace_at(dir_fd, "a", "l"), 0);
        ck_assert_int_eq(symlinkat("left behind", dir_fd, ".l.rekeyd"), 0);
        ck_assert_int_eq(link_replace_at(dir_fd, "b", "l"), 0);
        ck_assert_int_eq(link_read_at(dir_fd, "l", &target), 0);
        ck_assert_str_eq(target, "b");
        free(target);
        target = NULL;

        ck_assert_int_eq(link_replace_at(dir_fd, "c", "f"), 0); /* also over a file */
        ck_assert_int_eq(link_read_at(dir_fd, "f", &target), 0);
        ck_assert_str_eq(target, "c");
        free(target);

        ck_assert_int_eq(mkdirat(dir_fd, "dir", 0755), 0);
        ck_assert_int_lt(link_replace_at(dir_fd, "d", "dir"), 0);
        ck_assert_int_eq(unlinkat(dir_fd, "dir", AT_REMOVEDIR), 0);
        ck_assert_uint_eq(count_entries(), 2);
}
END_TEST

START_TEST(remove_directory) {
        ck_assert_int_eq(dir_remove_at(dir_fd, "none"), 0);
        ck_assert_int_eq(mkdirat(dir_fd, "d", 0755), 0);
        ck_assert_int_eq(mkdirat(dir_fd, "d/inner", 0755), 0);
        ck_assert_int_eq(dir_remove_at(dir_fd, "d"), -ENOTEMPTY);
        ck_assert_int_eq(unlinkat(dir_fd, "d/inner", AT_REMOVEDIR), 0);
        ck_assert_int_eq(file_create_at(dir_fd, "d/.hidden", "x", 1, FILE_ACCESS(0)), 0);
        ck_assert_int_eq(symlinkat("/", dir_fd, "d/link"), 0);
        ck_assert_int_eq(dir_remove_at(dir_fd, "d"), 0);
        ck_assert_uint_eq(count_entries(), 0);

        /* Never through a link. */
        ck_assert_int_eq(symlinkat(".", dir_fd, "l"), 0);
        ck_assert_int_lt(dir_remove_at(dir_fd, "l"), 0);
        ck_assert_uint_eq(count_entries(), 1);
}
END_TEST

START_TEST(close_keeps_errno) {
        errno = EXDEV;
        ck_assert_int_eq(fd_close(-1), -1);
        ck_assert_int_eq(fd_close(INT_MAX), -1);
        ck_assert_int_eq(errno, EXDEV);
}
END_TEST

#define FILES_TEST(test) TEST_CASE_IN(suite, test, setup, teardown)

int main(void) {
        Suite *suite = suite_create("files");

        FILES_TEST(open_refuses);
        FILES_TEST(read_limits);
        FILES_TEST(create_never_overwrites);
        FILES_TEST(mode_beats_umask);
        FILES_TEST(full_disk_leaves_nothing);
        FILES_TEST(replace);
        FILES_TEST(links);
        FILES_TEST(remove_directory);
        FILES_TEST(close_keeps_errno);
        return test_run(suite);
}
