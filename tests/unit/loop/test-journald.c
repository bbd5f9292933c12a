/* Entries of the journal, as a socket that stands for journald's gets them. */

#include "daemon/loop/journald.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "tests/support/scratch.h"
#include "tests/test.h"

static struct sockaddr_un address = { .sun_family = AF_UNIX };

/* Found by the linker before libc's: leads to the socket of the test. */
int connect(int fd, __CONST_SOCKADDR_ARG wanted, socklen_t size) {
        const struct sockaddr_un *unix_address = wanted.__sockaddr_un__;
        const bool is_journal = unix_address->sun_family == AF_UNIX &&
                                streq(unix_address->sun_path, "/run/systemd/journal/socket");

        return (int)syscall(SYS_connect, fd, is_journal ? &address : unix_address, size);
}

static int journal_fd = -1;
static char *directory;

static void open_journal(void) {
        (void)unlink(address.sun_path);
        journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        ck_assert_int_ge(journal_fd, 0);
        ck_assert_int_eq(bind(journal_fd, (const struct sockaddr *)&address, sizeof(address)), 0);
}

static void set_up(void) {
        _cleanup_(freep) char *path = NULL;

        directory = scratch_new();
        path = scratch_path(directory, "journal");
        snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        open_journal();
        log_set_journal(&journald);
        log_configure(LOG_FORMAT_JOURNAL, LOG_INFO);
}

static void tear_down(void) {
        journal_fd = fd_close(journal_fd);
        directory = scratch_free(directory);
}

/* The next entry, or what is in the file that it came in. */
static size_t read_entry(char *data, size_t max) {
        struct iovec bytes = { data, max - 1 };
        union {
                struct cmsghdr head;
                char buffer[CMSG_SPACE(sizeof(int))];
        } control;
        struct msghdr message = {
                .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
        };
        ssize_t n = recvmsg(journal_fd, &message, 0);
        int fd;

        if (n == 0 && message.msg_controllen > 0) {
                memcpy(&fd, CMSG_DATA(&control.head), sizeof(fd));
                ck_assert_int_eq(fcntl(fd, F_GET_SEALS),
                                 F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
                n = pread(fd, data, max - 1, 0);
                close(fd);
        }
        data[n > 0 ? n : 0] = '\0';
        return n > 0 ? (size_t)n : 0;
}

START_TEST(an_entry_has_its_fields) {
        static const struct log_field fields[] = {
                { "REKEYD_CERTIFICATE", "orders" },
                { "REKEYD_ABSENT", NULL },
                { "REKEYD_ERROR", "two\nlines=x" },
                { "REKEYD_STATE", "" },
        };
        static const char wanted[] =
                "MESSAGE=orders: failed: \\x1b[2J\\xe2\\x80\\xae\nPRIORITY=4\nSYSLOG_IDENTIFIER=rekeyd\n"
                "MESSAGE_ID=0123456789abcdef0123456789abcdef\nREKEYD_CERTIFICATE=orders\n"
                "REKEYD_ERROR\n\x0b\0\0\0\0\0\0\0two\nlines=x\nREKEYD_STATE=\n";
        char entry[4096];

        log_fields(LOG_WARNING, "0123456789abcdef0123456789abcdef", fields, ELEMENTSOF(fields),
                   "orders: failed: %s", "\x1b[2J\xe2\x80\xae");
        ck_assert_uint_eq(read_entry(entry, sizeof(entry)), sizeof(wanted) - 1);
        ck_assert_mem_eq(entry, wanted, sizeof(wanted) - 1);
        ck_assert_uint_eq(read_entry(entry, sizeof(entry)), 0);
}
END_TEST

#define MANY 32000u

START_TEST(nothing_waits_for_a_journal) {
        unsigned number, n = 0, n_dropped = 0;
        bool has_more;
        char entry[4096];

        alarm(getenv("REKEYD_TEST_WRAPPER") ? 500 : 60);
        for (unsigned i = 0; i < MANY; i++)
                log_info("line %u", i);
        ck_assert_uint_gt(log_dropped(), 0);
        do {
                for (has_more = false; read_entry(entry, sizeof(entry)) > 0; has_more = true)
                        if (sscanf(entry, "MESSAGE=line %u\n", &number) == 1)
                                ck_assert_uint_eq(number, n++);
                        else
                                ck_assert_int_eq(sscanf(entry,
                                                        "MESSAGE=log: %u lines were dropped: the journal did "
                                                        "not read them\nPRIORITY=4\n",
                                                        &n_dropped),
                                                 1);
                log_flush(LOG_PLACE_JOURNAL);
        } while (has_more);
        ck_assert_uint_eq(n + n_dropped, MANY);
        ck_assert_uint_eq(log_dropped(), n_dropped);
        log_info("last");
        ck_assert_uint_gt(read_entry(entry, sizeof(entry)), 0);
        ck_assert_ptr_nonnull(strstr(entry, "MESSAGE=last\n"));
        alarm(0);
}
END_TEST

START_TEST(a_large_entry_comes_in_a_file) {
        enum { LARGE = 4 << 20 };
        _cleanup_(freep) char *message = malloc(LARGE + 1), *entry = malloc(2 * LARGE);

        memset(message, 'x', LARGE);
        message[LARGE] = '\0';
        log_info("%s", message);
        ck_assert_uint_gt(read_entry(entry, 2 * LARGE), LARGE);
        ck_assert(has_prefix(entry, "MESSAGE=xxx"));
        ck_assert_mem_eq(entry + strlen("MESSAGE=") + LARGE, "\nPRIORITY=6\n", 12);
        ck_assert_uint_eq(log_dropped(), 0);
}
END_TEST

START_TEST(a_journal_may_go_and_come_back) {
        char entry[4096];
        int fds[2];
        ssize_t n;

        log_info("one");
        ck_assert_uint_gt(read_entry(entry, sizeof(entry)), 0);
        close(journal_fd);
        open_journal();
        log_info("two");
        ck_assert_uint_gt(read_entry(entry, sizeof(entry)), 0);
        ck_assert(has_prefix(entry, "MESSAGE=two\n"));

        /* Without it the line is on standard error, as text. */
        close(journal_fd);
        ck_assert_int_eq(unlink(address.sun_path), 0);
        ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        ck_assert_int_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
        log_info("three");
        n = read(fds[0], entry, sizeof(entry));
        ck_assert_int_eq(n, 6);
        ck_assert_mem_eq(entry, "three\n", 6);
        open_journal();
        log_info("four");
        ck_assert_uint_gt(read_entry(entry, sizeof(entry)), 0);
        ck_assert(has_prefix(entry, "MESSAGE=four\n"));
        ck_assert_uint_eq(log_dropped(), 0);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("journald");

        TEST_CASE_IN(suite, an_entry_has_its_fields, set_up, tear_down);
        TEST_CASE_IN(suite, nothing_waits_for_a_journal, set_up, tear_down);
        TEST_CASE_IN(suite, a_large_entry_comes_in_a_file, set_up, tear_down);
        TEST_CASE_IN(suite, a_journal_may_go_and_come_back, set_up, tear_down);
        return test_run(suite);
}
