/* Listening sockets, and who is at the other end: users and groups are those of real processes. */

#include "daemon/http/http-server.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tests/support/scratch.h"
#include "tests/test.h"

static const char *swapped_for; /* what takes the place of the next socket that is bound */

/* Found by the linker before libc's. */
int bind(int fd, __CONST_SOCKADDR_ARG address, socklen_t size) {
        const struct sockaddr_un *unix_address = address.__sockaddr_un__;
        const int r = (int)syscall(SYS_bind, fd, unix_address, size);

        if (r == 0 && swapped_for) {
                ck_assert_int_eq(unlink(unix_address->sun_path), 0);
                ck_assert_int_eq(symlink(swapped_for, unix_address->sun_path), 0);
        }
        return r;
}

START_TEST(a_unix_socket_replaces_a_stale_one_only) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        char directory[] = "/tmp/test-http-XXXXXX", path[64], longer[256];
        struct stat st;
        mode_t mask;
        int fd, other;

        ck_assert_ptr_nonnull(mkdtemp(directory));
        snprintf(path, sizeof(path), "%s/socket", directory);
        mask = umask(0077);
        fd = http_listen_unix(path, &error);
        ck_assert_msg(fd >= 0, "%s", error_text(&error));
        umask(mask);
        ck_assert_int_eq(lstat(path, &st), 0);
        ck_assert(S_ISSOCK(st.st_mode));
        ck_assert_uint_eq(st.st_mode & 07777, 0666);
        ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
        ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);

        ck_assert_int_eq(http_listen_unix(path, &error), -EADDRINUSE);
        ck_assert_ptr_nonnull(strstr(error_text(&error), "another process listens there"));
        fd_close(fd);
        other = http_listen_unix(path, &error); /* stale now */
        ck_assert_int_ge(other, 0);
        fd_close(other);
        ck_assert_int_eq(unlink(path), 0);

        fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        ck_assert_int_ge(fd, 0);
        fd_close(fd);
        ck_assert_int_eq(http_listen_unix(path, &error), -EEXIST);
        ck_assert_ptr_nonnull(strstr(error_text(&error), "not a socket"));
        ck_assert_int_eq(lstat(path, &st), 0);
        ck_assert(S_ISREG(st.st_mode));
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(symlink("elsewhere", path), 0);
        ck_assert_int_eq(http_listen_unix(path, &error), -EEXIST);
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(rmdir(directory), 0); /* and no litter */

        memset(longer, 'a', sizeof(longer) - 1);
        longer[sizeof(longer) - 1] = '\0';
        ck_assert_int_eq(http_listen_unix(longer, &error), -ENAMETOOLONG);
}
END_TEST

/* Whoever may replace names in the directory may replace the socket. */
START_TEST(only_root_and_we_may_write_to_the_directory) {
        static const struct {
                mode_t mode;
                uid_t uid; /* 0: our own */
                gid_t gid; /* the same */
                const char *refusal;
        } rows[] = {
                { 0700, 0, 0, NULL },
                { 0755, 0, 0, NULL },
                { 02750, 0, 0, NULL },
                { 02775, 0, 0, NULL },
                { 02770, 0, 60010, "its mode 2770 lets other users write to it" },
                { 0757, 0, 0, "its mode 0757 lets other users write to it" },
                { 01777, 0, 0, "its mode 1777 lets other users write to it" },
                { 02777, 0, 0, "its mode 2777 lets other users write to it" },
                { 0700, 60010, 0, "owned by user 60010" },
                { 0755, 60010, 0, "owned by user 60010" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(scratch_freep) char *scratch = scratch_new();
                _cleanup_(freep) char *directory = scratch_path(scratch, "directory");
                _cleanup_(freep) char *link = scratch_path(scratch, "link"), *names = NULL;
                _cleanup_(freep) char *path = scratch_path(i % 2 == 0 ? directory : link, "socket");
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                _cleanup_(fd_closep) int fd = -1;
                struct stat st;

                ck_assert_int_eq(mkdir(directory, 0700), 0);
                ck_assert_int_eq(symlink("directory", link), 0);
                if (chown(directory, rows[i].uid ? rows[i].uid : (uid_t)-1,
                          rows[i].gid ? rows[i].gid : (gid_t)-1) < 0)
                        continue; /* only root gives away */
                ck_assert_int_eq(chmod(directory, rows[i].mode), 0);
                fd = http_listen_unix(path, &error);
                ck_assert_msg(rows[i].refusal ? fd == -EPERM : fd >= 0, "row %zu: %d: %s", i, fd,
                              error_text(&error));
                ck_assert(!rows[i].refusal || strstr(error_text(&error), rows[i].refusal));
                names = scratch_list(directory);
                ck_assert_str_eq(names, rows[i].refusal ? "" : "socket");
                if (rows[i].refusal)
                        continue;
                ck_assert_int_eq(stat(directory, &st), 0); /* no group may from now on */
                ck_assert_uint_eq(st.st_mode & 07777u, rows[i].mode & ~(mode_t)S_IWGRP);
        }
}
END_TEST

START_TEST(a_link_in_the_place_of_the_socket_is_not_followed) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *path = scratch_path(scratch, "socket"),
                              *victim = scratch_path(scratch, "victim");
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct stat st;
        int r;

        scratch_write(scratch, "victim", "secret", 0600);
        swapped_for = victim;
        r = http_listen_unix(path, &error);
        swapped_for = NULL;
        ck_assert_int_lt(r, 0);
        ck_assert_int_eq(stat(victim, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0600);
        ck_assert_int_eq(lstat(path, &st), -1);
}
END_TEST

START_TEST(the_directory_is_made) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *directory = scratch_path(scratch, "directory");
        _cleanup_(freep) char *path = scratch_path(directory, "socket");
        struct stat st;
        int fd = http_listen_unix(path, NULL);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(stat(directory, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0755);
        fd_close(fd);
        http_remove_unix(path);
        ck_assert_int_eq(rmdir(directory), 0);
        http_remove_unix(path); /* does not make it again */
        ck_assert_int_eq(stat(directory, &st), -1);
}
END_TEST

START_TEST(only_what_is_stale_is_removed) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *path = scratch_path(scratch, "socket");
        struct stat st;
        int fd = http_listen_unix(path, NULL);

        ck_assert_int_ge(fd, 0);
        http_remove_unix(path);
        ck_assert_int_eq(lstat(path, &st), 0);
        fd_close(fd);
        http_remove_unix(path);
        ck_assert_int_eq(lstat(path, &st), -1);
        scratch_write(scratch, "socket", "a file", 0600);
        http_remove_unix(path);
        ck_assert_int_eq(lstat(path, &st), 0);
}
END_TEST

START_TEST(tcp_addresses_are_numbers) {
        static const char *const wrong[] = { "",        "127.0.0.1", "localhost:80", "127.0.0.1:x",  ":80",
                                             "[::1:80", "::1:80",    "[]:80",        "1.2.3.4:65536" };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        int fd;

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
                ck_assert_int_eq(http_listen_tcp(wrong[i], &error), -EINVAL);
        fd = http_listen_tcp("127.0.0.1:0", &error);
        ck_assert_msg(fd >= 0, "%s", error_text(&error));
        fd_close(fd);
        ck_assert_int_eq(http_listen_tcp("192.0.2.1:9", &error), -EADDRNOTAVAIL);
}
END_TEST

struct person {
        uid_t uid;
        gid_t gid, groups[3];
        size_t n_groups;
        enum http_access access;
};

START_TEST(access_follows_users_and_groups) {
        enum { CONTROL = 60001, READ = 60002 };
        static gid_t many[300];
        static const struct person people[] = {
                { 0, 0, {}, 0, HTTP_ACCESS_FULL },
                { 60010, 60010, {}, 0, HTTP_ACCESS_NONE },
                { 60010, CONTROL, {}, 0, HTTP_ACCESS_FULL },
                { 60010, READ, {}, 0, HTTP_ACCESS_READ },
                { 60010, 60010, { 7, CONTROL }, 2, HTTP_ACCESS_FULL },
                { 60010, 60010, { READ, 8, 9 }, 3, HTTP_ACCESS_READ },
                { 60010, 60010, { READ, CONTROL }, 2, HTTP_ACCESS_FULL },
                { 60010, 60010, { 0 }, 1, HTTP_ACCESS_NONE },
                { 60010, 60010, {}, ELEMENTSOF(many), HTTP_ACCESS_READ },
        };

        if (geteuid() != 0) {
                test_skip("access_follows_users_and_groups: only root can become somebody else");
                return;
        }
        for (size_t i = 0; i < ELEMENTSOF(many); i++)
                many[i] = (gid_t)(70000 + i);
        many[ELEMENTSOF(many) - 1] = READ;

        for (size_t i = 0; i < ELEMENTSOF(people); i++) {
                const struct person *person = &people[i];
                struct sockaddr_un address = { .sun_family = AF_UNIX };
                int listener, fd, status;
                char directory[] = "/tmp/test-http-XXXXXX", path[64];
                pid_t child;

                ck_assert_ptr_nonnull(mkdtemp(directory));
                ck_assert_int_eq(chmod(directory, 0755), 0);
                snprintf(path, sizeof(path), "%s/peer", directory);
                listener = http_listen_unix(path, NULL);
                ck_assert_int_ge(listener, 0);
                child = fork();
                ck_assert_int_ge(child, 0);
                if (child == 0) {
                        char byte;

                        strcpy(address.sun_path, path);
                        fd = socket(AF_UNIX, SOCK_STREAM, 0);
                        if (setgroups(person->n_groups, person->n_groups > 3 ? many : person->groups) == 0 &&
                            setresgid(person->gid, person->gid, person->gid) == 0 &&
                            setresuid(person->uid, person->uid, person->uid) == 0 &&
                            connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
                                (void)!read(fd, &byte, 1);
                        raise(SIGKILL); /* no exit handlers, and no opinion of valgrind's */
                }
                ck_assert_int_eq(poll(&(struct pollfd) { .fd = listener, .events = POLLIN }, 1, 20000), 1);
                fd = accept(listener, NULL, NULL);
                ck_assert_int_ge(fd, 0);
                ck_assert_msg(http_peer_access(fd, CONTROL, READ) == person->access, "person %zu", i);
                ck_assert_int_eq(http_peer_access(fd, (gid_t)-1, (gid_t)-1),
                                 person->uid == 0 ? HTTP_ACCESS_FULL : HTTP_ACCESS_NONE);
                fd_close(fd);
                fd_close(listener);
                ck_assert_int_eq(waitpid(child, &status, 0), child);
                ck_assert(WIFSIGNALED(status));
                ck_assert_int_eq(unlink(path), 0);
                ck_assert_int_eq(rmdir(directory), 0);
        }
        ck_assert_int_eq(http_peer_access(-1, 0, 0), HTTP_ACCESS_NONE);
}
END_TEST

TEST_MAIN("http-listen", a_unix_socket_replaces_a_stale_one_only, only_root_and_we_may_write_to_the_directory,
          a_link_in_the_place_of_the_socket_is_not_followed, the_directory_is_made,
          only_what_is_stale_is_removed, tcp_addresses_are_numbers, access_follows_users_and_groups)
